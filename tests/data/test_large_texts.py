from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unrolled.data import TokenStreams, build_vocabulary, read_documents
from unrolled.data.large import LargeTexts, Progress, blocks, building, data_files, open_texts, progress_to, wants_cache
from unrolled.data.large.building import Reading
from unrolled.data.large.files import Files, cache_folder
from unrolled.data.large.texts import Borders
from unrolled.data.split import hold_out
from unrolled.errors import DataError

BORDER = "<document>"
UNITS = pytest.mark.parametrize("units", ["char", "byte", "word", "symbol", "subword"])
PIECES = [
    "Σas",
    "ΑΣ",
    "the",
    "naïve",
    "(so)",
    "don't",
    "3.14",
    "\n",
    "\r\n",
    "  ",
    " ",
    "\t",
    "😀",
    "!!",
    "日本",
    "…",
    "a",
]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 64)


def some_text(rng: np.random.Generator, size: int = 1500) -> str:
    return "".join(str(rng.choice(PIECES)) + " " * int(rng.integers(0, 2)) for _ in range(size)) + "x"


def opened(path: Path, cache: Path, units: str = "char", **named: Any) -> LargeTexts:
    return open_texts(data_files(path), Reading(units, **named), cache)


def check_like_memory(texts: list[str], large: LargeTexts, units: str, *, lowercase: bool = False) -> None:
    """Held-out text, vocabulary, ids and batches are those of the texts in memory."""
    train, valid = hold_out(texts, 0.2, units=units)
    part, held = large.hold_out(0.2)
    assert held == valid
    assert len(part) == len(train)
    assert part.breaks == sum(text.count("\n") for text in train)
    known = build_vocabulary(units, train, lowercase=lowercase, specials=(BORDER,))
    vocabulary = part.vocabulary(size=None, minimum=1, specials=(BORDER,))
    assert vocabulary.to_json() == known.to_json()
    border, start = known.special(BORDER), 5
    for ends in (True, False):
        flat = part.under(vocabulary, Borders(start, border if ends else None))
        documents = [np.array([start, *known.encode(text), *([border] * ends)]) for text in train]
        assert [flat[k].tolist() for k in range(len(flat))] == [ids.tolist() for ids in documents]
        assert flat.units == sum(len(known.encode(text)) for text in train)
        one = TokenStreams(documents, 3, 7, 1)
        other = TokenStreams.of_flat(flat, (flat.begins, flat.sizes), 3, 7, 1)
        for number in range(2):
            for mine, theirs in zip(one.epoch(number), other.epoch(number), strict=True):
                for a, b in zip(mine, theirs, strict=True):
                    np.testing.assert_array_equal(a, b)


@UNITS
@pytest.mark.usefixtures("small_blocks")
def test_a_long_text_gives_the_batches_that_it_gives_in_memory(tmp_path: Path, units: str) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(some_text(np.random.default_rng(1)).replace("\t", " ").encode())
    check_like_memory(read_documents(path).texts, opened(path, tmp_path / "cache", units), units)


@pytest.mark.parametrize("units", ["char", "word"])
@pytest.mark.usefixtures("small_blocks")
def test_lower_case(tmp_path: Path, units: str) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(some_text(np.random.default_rng(2), 800).encode())
    large = opened(path, tmp_path / "cache", units, lowercase=True)
    check_like_memory(read_documents(path).texts, large, units, lowercase=True)


@UNITS
@pytest.mark.usefixtures("small_blocks")
def test_files_of_a_folder_are_documents(tmp_path: Path, units: str) -> None:
    rng = np.random.default_rng(3)
    for number in range(7):
        file = tmp_path / "in" / f"{number % 2}" / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(some_text(rng, int(rng.integers(1, 90))).replace("\t", " ").encode())
    check_like_memory(read_documents(tmp_path / "in").texts, opened(tmp_path / "in", tmp_path / "cache", units), units)


@pytest.mark.usefixtures("small_blocks")
def test_symbols_between_tabs(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    path = tmp_path / "visits.txt"
    path.write_text("\t".join(rng.choice(["blue shirt", "cart", "home page", "pay"], size=300)), encoding="utf-8")
    check_like_memory(read_documents(path).texts, opened(path, tmp_path / "cache", "symbol"), "symbol")


ROWS = [f"row {k}, {'x' * (k % 7)}" for k in range(60)]


def write_table(path: Path, suffix: str) -> Path:
    path = path / f"table{suffix}"
    if suffix == ".csv":
        path.write_text("n,text\r\n" + "".join(f'{k},"{row}\n""z"""\r\n' for k, row in enumerate(ROWS)), newline="")
    elif suffix == ".csv.gz":
        path.write_bytes(gzip.compress(("text\n" + "".join(f'"{row}"\n' for row in ROWS)).encode()))
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps({"n": k, "text": row}) + "\n" for k, row in enumerate(ROWS)))
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pytest.importorskip("pyarrow").table({"n": list(range(60)), "text": ROWS})
        parquet.write_table(table, path, row_group_size=11)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".jsonl", ".parquet"])
@pytest.mark.usefixtures("small_blocks")
def test_rows_of_a_table_are_documents(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.data.table._PARQUET_ROWS", 7)
    path = write_table(tmp_path, suffix)
    check_like_memory(read_documents(path).texts, opened(path, tmp_path / "cache", "word"), "word")


def test_several_paths_and_patterns_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a1.txt", "a2.txt"):
        (tmp_path / name).write_text(f"this is {name}", encoding="utf-8")
    files = data_files(tmp_path / "b.txt", [tmp_path / "a*.txt"])
    assert [path.name for path in files.paths] == ["b.txt", "a1.txt", "a2.txt"]
    texts = open_texts(files, Reading("char"), tmp_path / "cache")
    check_like_memory(["this is b.txt", "this is a1.txt", "this is a2.txt"], texts, "char")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    st.lists(st.sampled_from(PIECES), min_size=8, max_size=60),
    st.integers(8, 40),
    st.sampled_from(["char", "word", "subword"]),
)
@pytest.mark.usefixtures("small_blocks")
def test_wherever_blocks_are_cut_the_ids_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[str], size: int, units: str
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", size)
    path = tmp_path / "text.txt"
    path.write_bytes(("a" + "".join(pieces) + " end").replace("\t", " ").encode())
    text = read_documents(path).texts[0]
    large = open_texts(Files((path,)), Reading(units), tmp_path / f"cache-{abs(hash((text, size, units)))}")
    known = build_vocabulary(units, [text], specials=(BORDER,))
    vocabulary = large.vocabulary(size=None, minimum=1, specials=(BORDER,))
    assert vocabulary.to_json() == known.to_json()
    assert large.under(vocabulary, Borders(4, 3))[0].tolist() == [4, *known.encode(text), 3]


def test_units_are_as_rare_and_as_many_as_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a b b c c c d d d d " * 20, encoding="utf-8")
    large, texts = opened(path, tmp_path / "cache", "word"), read_documents(path).texts
    for size, minimum in ((5, 1), (None, 41), (None, 61)):
        known = build_vocabulary("word", texts, size=size, minimum=minimum, specials=(BORDER,))
        assert large.vocabulary(size=size, minimum=minimum, specials=(BORDER,)).to_json() == known.to_json()


def test_more_words_than_can_be_told_apart_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unrolled.data.large import units

    monkeypatch.setattr(units, "MOST_WORDS", units.FIRST + 2)
    path = tmp_path / "text.txt"
    path.write_text("one two three two one", encoding="utf-8")
    large = opened(path, tmp_path / "cache", "word")
    vocabulary = large.vocabulary(size=None, minimum=1, specials=(BORDER,))
    shown = [vocabulary.token(index) for index in large.under(vocabulary, Borders(2, None))[0].tolist()]
    assert shown == [BORDER, "one", "two", "<unk>", "two", "one"]


# --------------------------------------------------------------------------------------------------------- the cache


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


def test_a_file_is_encoded_once_and_again_when_it_changes(tmp_path: Path) -> None:
    path, cache = tmp_path / "a.txt", tmp_path / "cache"
    path.write_text("first text", encoding="utf-8")
    told: list[Progress] = []
    with progress_to(told.append):
        opened(path, cache)
        assert told and told[-1].done == told[-1].total == 10
        del told[:]
        first = opened(path, cache)
        assert not told
        path.write_text("other text", encoding="utf-8")
        os.utime(path, ns=(1, 1))
        second = opened(path, cache)
        assert told
    assert len(entries(cache)) == 2
    assert first.fingerprint != second.fingerprint


def test_the_same_text_elsewhere_is_the_same_for_a_run_that_goes_on(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("the same text", encoding="utf-8")
    a, b = (opened(tmp_path / name, tmp_path / "cache") for name in ("a.txt", "b.txt"))
    assert a.fingerprint == b.fingerprint


@pytest.mark.parametrize("harm", ["flip", "shorten", "remove", "json", "facts", "longer"])
def test_a_damaged_entry_is_made_anew(tmp_path: Path, harm: str) -> None:
    path, cache = tmp_path / "a.txt", tmp_path / "cache"
    path.write_text(some_text(np.random.default_rng(5)), encoding="utf-8")
    before = opened(path, cache).fingerprint
    tokens = entries(cache)[0] / "tokens.bin"
    data = bytearray(tokens.read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 1
        tokens.write_bytes(data)
    elif harm == "shorten":
        tokens.write_bytes(data[:-1])
    elif harm == "longer":
        tokens.write_bytes(data + b"\0")
    elif harm == "remove":
        tokens.unlink()
    elif harm == "facts":
        entry = entries(cache)[0] / "entry.json"
        entry.write_text(re.sub(r'"documents": \d+', '"documents": 7', entry.read_text()))
        assert json.loads(entry.read_text())["content"]["facts"]["documents"] == 7
    else:
        (entries(cache)[0] / "entry.json").write_text("{")
    told: list[Progress] = []
    with progress_to(told.append):
        assert opened(path, cache).fingerprint == before
    assert told


class Killed(BaseException):
    pass


@pytest.mark.parametrize("units", ["char", "word", "subword"])
@pytest.mark.usefixtures("small_blocks")
def test_a_killed_encoding_goes_on_and_ends_with_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: str
) -> None:
    # Few characters at first and ever more of them, so that the numbers have to become wider on the way.
    text = "".join(chr(0x4E00 + k // 8) + " " for k in range(5000))
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    whole = opened(path, tmp_path / "whole", units)
    monkeypatch.setattr(building, "_SAVED_EACH", 0.0)
    monkeypatch.setattr(building, "_SAVING_SHARE", 0)
    monkeypatch.setattr(building.Growing, "saving", False)
    monkeypatch.setattr(os, "fsync", lambda file: None)
    rng = np.random.default_rng(6)
    kills = widened = 0
    real = building.Growing.save

    def save(self: building.Growing, state: dict[str, Any]) -> None:
        real(self, state)
        nonlocal kills
        if rng.random() < 0.03:
            kills += 1
            # What was written after the journal is not there for the next one.
            self.append("tokens", np.zeros(1000, dtype=np.uint8))
            raise Killed

    def widen(self: building.Growing, *args: Any) -> None:
        real_widen(self, *args)
        nonlocal kills, widened
        widened += 1
        if widened == 1:
            kills += 1
            raise Killed

    real_widen = building.Growing.widen
    monkeypatch.setattr(building.Growing, "save", save)
    monkeypatch.setattr(building.Growing, "widen", widen)
    while True:
        try:
            found = opened(path, tmp_path / "killed", units)
            break
        except Killed:
            continue
    assert kills > 3
    assert found.entry.content == whole.entry.content
    assert found.entry.facts == whole.entry.facts


def _encode(path: Path, cache: Path, units: str) -> str:
    return opened(path, cache, units).fingerprint


def program(path: Path, cache: Path) -> list[str]:
    """A process that encodes in blocks of 256 bytes with a journal for each, and then says what it has."""
    return [
        sys.executable,
        "-c",
        (
            "from unrolled.data.large import blocks, building, data_files, open_texts\n"
            "from pathlib import Path\n"
            "blocks.BLOCK, building._SAVED_EACH, building._SAVING_SHARE = 256, 0.0, 0\n"
            f"files, cache = data_files(Path({str(path)!r})), Path({str(cache)!r})\n"
            "print(open_texts(files, building.Reading('word'), cache).fingerprint)\n"
        ),
    ]


def test_of_several_processes_one_encodes_and_the_others_wait(tmp_path: Path) -> None:
    path, cache = tmp_path / "a.txt", tmp_path / "cache"
    path.write_text(some_text(np.random.default_rng(7), 3000), encoding="utf-8")
    both = [subprocess.Popen(program(path, cache), stdout=subprocess.PIPE) for _ in range(2)]
    said = {process.communicate()[0].decode() for process in both}
    assert said == {_encode(path, tmp_path / "own", "word") + "\n"}
    assert len(entries(cache)) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_process_that_is_killed_leaves_no_lock_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(some_text(np.random.default_rng(8), 2000) * 100, encoding="utf-8")
    process = subprocess.Popen(program(path, tmp_path / "cache"))
    journal = None
    while process.poll() is None and journal is None:
        journal = next((tmp_path / "cache").glob("*/journal.json"), None) if (tmp_path / "cache").exists() else None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert journal is not None
    assert _encode(path, tmp_path / "cache", "word") == _encode(path, tmp_path / "other", "word")


def test_the_cache_belongs_to_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named" / "data"
    (tmp_path / "a.txt").write_text("some text", encoding="utf-8")
    cache_folder().mkdir(parents=True, mode=0o755)
    opened(tmp_path / "a.txt", cache_folder())
    if os.name == "posix":
        assert cache_folder().stat().st_mode & 0o777 == 0o700


def test_large_text_several_files_and_folders_of_tables_go_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("some text", encoding="utf-8")
    assert not wants_cache(path)
    assert not wants_cache(tmp_path / "absent.txt")
    assert wants_cache(path, [path])
    assert wants_cache(path, cache=tmp_path)
    assert wants_cache(tmp_path / "*.txt")
    assert not wants_cache(tmp_path)
    (tmp_path / "shards").mkdir()
    write_table(tmp_path / "shards", ".csv")
    assert wants_cache(tmp_path / "shards")
    monkeypatch.setattr("unrolled.data.large.files.LARGE", 9)
    assert wants_cache(path)


# --------------------------------------------------------------------------------------------------------- bad data


def refused(path: Path, cache: Path, match: str, **named: Any) -> None:
    with pytest.raises(DataError, match=match):
        opened(path, cache, **named)


@pytest.mark.usefixtures("small_blocks")
def test_faults_of_texts_are_said_with_their_row(tmp_path: Path) -> None:
    cases = {
        "latin.txt": (
            b"good line\n" * 20 + b"caf\xe9 is not\n" + b"more\n" * 20,
            r"row 21: byte 0xe9 at byte 4 of this line",
        ),
        "binary.txt": (b"text\n" * 30 + b"\0", "binary file"),
        "blank.txt": (b" \n\n" * 50, "the file is empty"),
        "utf16.txt": ("text".encode("utf-16"), "UTF-16"),
        "ends.txt": (b"text " * 20 + b"\xe2\x82", "not UTF-8"),
    }
    for name, (data, said) in cases.items():
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, tmp_path / "cache", said)
    refused(tmp_path / "absent.txt", tmp_path / "cache", "no such file")
    refused(tmp_path / "absent*.txt", tmp_path / "cache", "no file has a name of this pattern")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path / "cache", "the folder has no file")


@pytest.mark.usefixtures("small_blocks")
def test_faults_of_tables_are_said_and_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,n\n" + "good row,1\n" * 30 + ",2\none,two,three\n" + "last,3\n", encoding="utf-8")
    refused(path, tmp_path / "cache", "row 32: the text in column 'text' is empty")
    large = opened(path, tmp_path / "cache", skip_bad=True)
    memory = read_documents(path, column="text", skip_bad=True)
    assert len(large) == len(memory.texts) == 31
    assert sorted(map(str, large.skipped)) == sorted(map(str, memory.skipped))
    refused(path, tmp_path / "cache", "there is no column 'words'; the columns are 'text', 'n'", text="words")


@pytest.mark.usefixtures("small_blocks")
def test_a_bad_file_of_many_is_left_out_whole(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("good text\n" * 20, encoding="utf-8")
    (folder / "b.txt").write_bytes(b"good at first\n" * 20 + b"\xff")
    (folder / "c.txt").write_text("good too", encoding="utf-8")
    refused(folder, tmp_path / "cache", r"b\.txt, row 21: byte 0xff")
    large = opened(folder, tmp_path / "cache", skip_bad=True)
    assert len(large) == 2
    assert [str(error).split(":")[0] for error in large.skipped] == [f"{folder / 'b.txt'}, row 21"]
    check_like_memory(read_documents(folder, skip_bad=True).texts, large, "char")


def test_a_line_without_end_and_a_word_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 64)
    monkeypatch.setattr(blocks, "LONGEST", 1000)
    (tmp_path / "a.csv").write_text("text\n" + "x" * 2000, encoding="utf-8")
    (tmp_path / "a.txt").write_text("x" * 2000, encoding="utf-8")
    refused(tmp_path / "a.csv", tmp_path / "cache", "a line has more than")
    refused(tmp_path / "a.txt", tmp_path / "cache", "without a word or a gap", units="word")
    assert len(opened(tmp_path / "a.txt", tmp_path / "cache")) == 1


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("some text", encoding="utf-8")
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    refused(tmp_path / "a.txt", tmp_path / "file", "encoded data cannot be kept there")
    usage = type("Usage", (), {"free": 1})
    monkeypatch.setattr(building.shutil, "disk_usage", lambda path: usage)
    refused(tmp_path / "a.txt", tmp_path / "cache", "are free and encoding takes")


def test_too_short_a_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="too few to hold 10% out"):
        opened(tmp_path / "a.txt", tmp_path / "cache").hold_out(0.1)


# ------------------------------------------------------------------------------------------------------------- memory

TRAINING = """
import resource, sys
from pathlib import Path
from unrolled.data import TokenStreams
from unrolled.data.large import building, data_files, open_texts
from unrolled.data.large.texts import Borders

texts = open_texts(data_files(Path(sys.argv[1])), building.Reading("char"), Path(sys.argv[2]))
train, valid = texts.hold_out(1e-3)
vocabulary = train.vocabulary(size=None, minimum=1, specials=("<document>",))
flat = train.under(vocabulary, Borders(2, None))
source = TokenStreams.of_flat(flat, (flat.begins, flat.sizes), 64, 2048, 0)
for _ in zip(range(500), source.epoch(0)):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is in kilobytes on Linux alone")
def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    block = bytes(np.random.default_rng(3).integers(97, 123, size=1_000_000, dtype=np.uint8).tolist())
    peaks = []
    for size in (5, 100):
        path = tmp_path / f"{size}.txt"
        path.write_bytes(block * size)
        command = [sys.executable, "-c", TRAINING, str(path), str(tmp_path / "cache")]
        peaks.append(float(subprocess.run(command, capture_output=True, check=True).stdout))
        path.unlink()
    # In memory the larger text would take 900 MB, and what is read of its map is 65 MB.
    assert peaks[1] < peaks[0] + 100, peaks
