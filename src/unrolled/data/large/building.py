"""Files to an entry of the cache: read, cut into units, numbered, appended, once."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Ids
from unrolled.data.large.blocks import Block, Cut, Place, read_blocks
from unrolled.data.large.entry import VERSION, Entry, Growing, open_entry
from unrolled.data.large.files import Files
from unrolled.data.large.progress import Progress, tell
from unrolled.data.large.units import END, START, Coder, coder_for
from unrolled.data.problems import Problems
from unrolled.data.table import is_table
from unrolled.data.targets import as_number
from unrolled.errors import DataError

TOKENS, BEGINS, ROWS, KEYS = "tokens", "begins", "rows", "keys"
# How often the journal is written: what a kill costs at most.
_SAVED_EACH, _SAVING_SHARE = 5.0, 20
_TOLD_EACH = 0.2
_NAMED = 1000


@dataclass(frozen=True)
class Reading:
    """How the files are read: units, the table's columns of text, of names and of numbers, what to do with bad rows."""

    units: str
    lowercase: bool = False
    text: str | None = "text"
    columns: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    skip_bad: bool = False


def encoded(files: Files, reading: Reading, cache: Path) -> Entry:
    """The entry of these files, made where it is not there yet. Raises DataError, with the row where there is one."""
    content = json.dumps([VERSION, files.key(), asdict(reading)], sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()[:32]
    started = time.monotonic()
    total = files.size

    def wait() -> None:
        tell(Progress("encoding", 0, total, time.monotonic() - started, waiting=True))

    return open_entry(cache, key, lambda growing: _Building(files, reading, growing, cache).run(), wait)


class _Building:
    """One pass over the files from the journal's place on."""

    def __init__(self, files: Files, reading: Reading, growing: Growing, cache: Path) -> None:
        self.files = files
        self.reading = reading
        self.growing = growing
        self.cache = cache
        self.problems = Problems(reading.skip_bad)
        self.coder = self._coder()
        self.place = Place()
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        self.count = self.documents = self.characters = self.breaks = 0
        self.counts: Ids = np.zeros(0, dtype=np.int64)
        self.marks: list[list[int]] = []
        self.codes: list[dict[str, int]] = [{} for _ in reading.columns]
        self.skipped = 0
        self.widened = False

    def _coder(self) -> Coder:
        tabs = self.reading.units == "symbol" and not is_table(self.files.paths[0]) and _has_tab(self.files)
        return coder_for(self.reading.units, lowercase=self.reading.lowercase, tabs=tabs)

    def run(self) -> dict[str, Any]:
        state = self.growing.journal()
        if state is not None:
            self._load(state)
        else:
            self._check_room()
        started, begun = time.monotonic(), self._done()
        told, save_at = started, started + _SAVED_EACH
        cut = Cut(self.reading.text, (*self.reading.columns, *self.reading.numbers), self.coder.gap)
        for block in read_blocks(self.files, cut, self.problems, self.place):
            self._add(block)
            now = time.monotonic()
            if self.widened or (now > save_at and not self.growing.saving):
                self.widened = False
                self.growing.save(self._state())
                # A journal with millions of words takes a while, and so comes more seldom.
                saved = time.monotonic()
                save_at = saved + max(_SAVED_EACH, _SAVING_SHARE * (saved - now))
            if now - told > _TOLD_EACH:
                self._tell(begun, now - started)
                told = now
        if not self.documents:
            raise DataError("no text was found here; give at least one", self.files.paths[0])
        # The end of the last document, so that neighbours say where each begins and ends.
        self.growing.append(BEGINS, np.array([self.count], dtype=np.int64))
        self._tell(begun, time.monotonic() - started)
        return self._state()

    def _add(self, block: Block) -> None:
        if block.texts:
            self._add_texts(block)
        self.place = block.after

    def _add_texts(self, block: Block) -> None:
        # Before the numbers, because a place in the text is found from the mark in front of it.
        self.marks.append([self.count, self.characters, self.documents, *map(int, self.place)])
        codes, sizes = self.coder.code(block.texts)
        self._fit()
        begins = np.ones(len(sizes), dtype=bool)
        ends = np.ones(len(sizes), dtype=bool)
        begins[0], ends[-1] = not block.joined, not block.open
        flat, starts = _with_borders(codes.astype(self.dtype, copy=False), sizes, begins, ends)
        self.counts = _added(self.counts, codes, len(self.coder))
        self.growing.append(TOKENS, flat)
        self.growing.append(BEGINS, self.count + starts[begins])
        self.growing.append(ROWS, np.array(block.rows, dtype=np.int64)[begins])
        if block.columns:
            self._add_columns(block)
        self.count += len(flat)
        self.documents += int(begins.sum())
        self.characters += sum(map(len, block.texts))
        self.breaks += sum(text.count("\n") for text in block.texts)

    def _add_columns(self, block: Block) -> None:
        """Names as the number of their first appearance, numbers as they are, and a key of each text."""
        count = len(self.reading.columns)
        for name, codes, cells in zip(self.reading.columns, self.codes, block.columns, strict=False):
            found = np.fromiter((codes.setdefault(cell.strip(), len(codes)) for cell in cells), np.int64, len(cells))
            self.growing.append(column_file(name), found)
        for name, cells in zip(self.reading.numbers, block.columns[count:], strict=True):
            self.growing.append(column_file(name), np.array([as_number(cell) for cell in cells]))
        keys = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in block.texts)
        self.growing.append(KEYS, np.frombuffer(keys, dtype=np.uint64))

    def _fit(self) -> None:
        """Numbers in one, two or four bytes, as many as there are units by now."""
        needed = np.min_scalar_type(max(0, len(self.coder) - 1))
        if needed.itemsize > self.dtype.itemsize:
            self.growing.widen(TOKENS, self.dtype, needed)
            self.dtype = needed
            self.widened = True

    def _check_room(self) -> None:
        """Bytes are about the least that is written, a unit of text being one or more."""
        free = shutil.disk_usage(self.cache).free
        needed = self.files.size if self.reading.units in ("char", "byte") else self.files.size // 4
        if free < needed:
            raise DataError(
                f"{free / 2**30:.1f} GB are free and encoding takes {needed / 2**30:.1f} GB or more; "
                "make room or name a folder elsewhere (cache)",
                self.cache,
            )

    def _done(self) -> int:
        before = Files(self.files.paths[: self.place.file]).size
        if self.place.file == len(self.files.paths):
            return before
        path = self.files.paths[self.place.file]
        return before + min(self.place.at, path.stat().st_size) * (path.suffix != ".parquet")

    def _tell(self, begun: int, seconds: float) -> None:
        done = self._done()
        speed = max(1e-9, (done - begun) / max(seconds, 1e-9))
        tell(Progress("encoding", done, self.files.size, done / speed))

    def _state(self) -> dict[str, Any]:
        self.skipped = len(self.problems.found)
        return {
            "place": list(self.place), "dtype": self.dtype.str, "count": self.count, "documents": self.documents,
            "characters": self.characters, "breaks": self.breaks, "counts": self.counts.tolist(), "marks": self.marks,
            "tokens": self.coder.tokens(), "codes": [list(codes) for codes in self.codes],
            "skipped": [str(error) for error in self.problems.found[:_NAMED]], "skips": self.skipped,
        }  # fmt: skip

    def _load(self, state: dict[str, Any]) -> None:
        file, at, row, joined = state["place"]
        self.place = Place(file, at, row, bool(joined))
        self.dtype = np.dtype(state["dtype"])
        self.count, self.documents = state["count"], state["documents"]
        self.characters, self.breaks = state["characters"], state["breaks"]
        self.counts = np.array(state["counts"], dtype=np.int64)
        self.marks = state["marks"]
        self.coder.load(state["tokens"])
        self.codes = [{text: number for number, text in enumerate(texts)} for texts in state["codes"]]
        self.problems.found = [DataError(sentence) for sentence in state["skipped"]]


def column_file(name: str) -> str:
    """The name of the flat file of a column."""
    return f"column-{name.encode().hex()}"


def _with_borders(
    codes: npt.NDArray[Any], sizes: Ids, begins: npt.NDArray[np.bool_], ends: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[Any], Ids]:
    """The numbers with START before each text that begins and END behind each that ends, and where the texts begin."""
    if len(sizes) == 1:
        ends_with = [np.array([END], codes.dtype)] if ends[0] else []
        begins_with = [np.array([START], codes.dtype)] if begins[0] else []
        return np.concatenate([*begins_with, codes, *ends_with]), np.zeros(1, dtype=np.int64)
    behind = np.cumsum(sizes + begins + ends)
    starts = behind - (sizes + begins + ends)
    flat = np.empty(int(behind[-1]), dtype=codes.dtype)
    inside = np.ones(len(flat), dtype=bool)
    inside[starts[begins]] = False
    inside[behind[ends] - 1] = False
    flat[inside] = codes
    flat[starts[begins]] = START
    flat[behind[ends] - 1] = END
    return flat, starts


def _added(counts: Ids, codes: npt.NDArray[Any], size: int) -> Ids:
    """The counts and those of these numbers; bytes are counted in twos, which is twice as fast."""
    found: Ids
    if codes.dtype == np.uint8 and len(codes) > 1 << 16:
        twos = np.bincount(codes[: len(codes) // 2 * 2].view(np.uint16), minlength=1 << 16).reshape(256, 256)
        found = (twos.sum(0) + twos.sum(1))[:size]
        found[codes[-1]] += len(codes) % 2
    else:
        found = np.bincount(codes, minlength=size)
    found[: len(counts)] += counts
    return found


def _has_tab(files: Files) -> bool:
    """Whether the first text has a tab in it: then its symbols are what stands between tabs."""
    from unrolled.data.text import opened

    with opened(files.paths[0]) as file:
        while data := file.read(1 << 20):
            if b"\t" in data:
                return True
    return False
