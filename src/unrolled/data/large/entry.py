"""One entry of the cache: flat files that only grow, a journal to go on from after a kill, and checksums.

KEY/entry.json     what a whole entry holds; an entry without it is not whole
KEY/journal.json   how far the building has come
KEY/*.bin          the flat arrays
KEY.lock           held by the process that builds
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import stat
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from unrolled.errors import DataError

_WHOLE, _JOURNAL = "entry.json", "journal.json"
_BLOCK = 1 << 22
# A whole entry is looked at in so many of its blocks each time it is opened, and in all if it has no more.
_LOOKED_AT = 64
VERSION = 1

Journal = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A folder of the cache and what it holds."""

    folder: Path
    facts: dict[str, Any]
    files: dict[str, Any]

    @property
    def content(self) -> str:
        """SHA-256 over the checksums of all files: the same for the same content, wherever it was read from."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()

    def array(self, name: str, dtype: npt.DTypeLike) -> Mapped:
        """A flat array of the entry, read where it lies."""
        return Mapped(self.folder / f"{name}.bin", np.dtype(dtype))


def open_entry(cache: Path, key: str, build: Callable[[Growing], dict[str, Any]], wait: Callable[[], None]) -> Entry:
    """The entry of that key: opened, or built by this process while others wait for it, or built anew if damaged.

    `build` appends to the files and returns facts in JSON; `wait` is called now and then while another one builds.
    Raises DataError where nothing can be written, and what `build` raises.
    """
    try:
        _make_private(cache)
        folder = cache / key
        with _locked(cache / f"{key}.lock", wait):
            found = _whole(folder)
            if found is None:
                folder.mkdir(mode=0o700, exist_ok=True)
                _build(folder, build)
                found = _whole(folder)
        if found is None:
            raise DataError("what was encoded is damaged as soon as it is written; the disk may be failing", folder)
        return found
    except OSError as error:
        raise DataError(
            f"encoded data cannot be kept there ({error.strerror or error}); make room or name another folder (cache)",
            cache,
        ) from None


def _build(folder: Path, build: Callable[[Growing], dict[str, Any]]) -> None:
    growing = Growing(folder)
    try:
        growing.finish(build(growing))
    except DataError:
        # Data that is mended has another key.
        growing.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        growing.close()


class Growing:
    """The files of an entry while it is built; a second thread waits for the disk when the journal is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IO[bytes]] = {}
        self._sums: dict[str, list[int]] = {}
        self._sizes: dict[str, int] = {}
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def journal(self) -> Journal | None:
        """What the last `save` kept, with the files cut back to what they were then; None for a fresh start."""
        found = _read_json(self._folder / _JOURNAL)
        if found is not None and found.get("version") == VERSION:
            with contextlib.suppress(OSError, KeyError, TypeError, ValueError, AttributeError):
                for name, (size, sums) in found["files"].items():
                    if (self._folder / f"{name}.bin").stat().st_size < size:
                        raise ValueError
                    self._open(name, size, list(map(int, sums)))
                state: Journal = found["state"]
                return state
        self._let_go()
        for path in [*self._folder.glob("*.bin"), *self._folder.glob("*.json")]:
            path.unlink()
        self._files, self._sums, self._sizes = {}, {}, {}
        return None

    def append(self, name: str, array: npt.NDArray[Any]) -> None:
        """Numbers at the end of a file."""
        if name not in self._files:
            self._open(name, 0, [])
        data = np.ascontiguousarray(array).view(np.uint8).data
        self._files[name].write(data)
        sums, place = self._sums[name], self._sizes[name]
        done = 0
        while done < len(data):
            inside = (place + done) % _BLOCK
            part = data[done : done + _BLOCK - inside]
            if inside:
                sums[-1] = zlib.crc32(part, sums[-1])
            else:
                sums.append(zlib.crc32(part))
            done += len(part)
        self._sizes[name] = place + len(data)

    def widen(self, name: str, before: npt.DTypeLike, after: npt.DTypeLike) -> None:
        """All numbers of a file in a larger type; what is not saved afterwards begins anew after a kill."""
        if name not in self._files:
            return
        self._written()
        # It describes the file as it was.
        (self._folder / _JOURNAL).unlink(missing_ok=True)
        old = self._files.pop(name)
        old.flush()
        os.ftruncate(old.fileno(), self._sizes[name])
        old.close()
        path, wide = self._folder / f"{name}.bin", f"{name}-wide"
        (self._folder / f"{wide}.bin").unlink(missing_ok=True)
        with path.open("rb") as file:
            while data := file.read(_BLOCK):
                self.append(wide, np.frombuffer(data, before).astype(after))
        self._files[name] = self._files.pop(wide)
        self._sums[name], self._sizes[name] = self._sums.pop(wide), self._sizes.pop(wide)
        (self._folder / f"{wide}.bin").replace(path)

    def save(self, state: Journal) -> None:
        """From here on a killed building goes on, as soon as the disk has it all."""
        self._written()
        files = {name: [self._sizes[name], self._sums[name]] for name in self._files}
        content = json.dumps({"version": VERSION, "files": files, "state": state}).encode()
        handles = []
        for file in self._files.values():
            file.flush()
            handles.append(os.dup(file.fileno()))
        self._writing = self._writer.submit(_write_journal, handles, self._folder / _JOURNAL, content)

    @property
    def saving(self) -> bool:
        """Whether the disk is still at work on the last `save`."""
        return self._writing is not None and not self._writing.done()

    def _written(self) -> None:
        """Wait for the journal that is being written; raises the OSError of a disk that refused."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def finish(self, facts: dict[str, Any]) -> None:
        """The entry is whole."""
        self._written()
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        files = {name: [self._sizes[name], self._sums[name]] for name in self._files}
        self.close()
        content = json.dumps({"version": VERSION, "files": files, "facts": facts}).encode()
        _write_json(self._folder / _WHOLE, content)
        (self._folder / _JOURNAL).unlink(missing_ok=True)

    def _open(self, name: str, size: int, sums: list[int]) -> None:
        path = self._folder / f"{name}.bin"
        file = path.open("r+b" if path.exists() else "w+b")
        file.truncate(size)
        file.seek(size)
        self._files[name], self._sums[name], self._sizes[name] = file, sums, size

    def close(self) -> None:
        """Let the files go, once the journal is written."""
        self._writer.shutdown()
        self._let_go()

    def _let_go(self) -> None:
        for file in self._files.values():
            file.close()


class Mapped:
    """A flat array in a file, mapped into memory a part at a time.

    A mapped page counts as the process's memory until it is let go, so the map is made anew after some reading.
    """

    _LEFT = 2**26 // 2**16

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path = path
        self.dtype = dtype
        self._size = path.stat().st_size // dtype.itemsize if path.exists() else 0
        self._map: npt.NDArray[Any] | None = None
        self._touched = 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        """A copy of a part."""
        start, stop, _ = part.indices(self._size)
        self._touched += 1 + (stop - start) * self.dtype.itemsize // 2**16
        found: npt.NDArray[Any] = np.array(self._mapped()[start:stop])
        return found

    def take(self, places: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """The numbers at these places; those of a row lie close to one another."""
        self._touched += places.shape[0]
        found: npt.NDArray[Any] = self._mapped()[places]
        return found

    def parts(self, start: int, stop: int, size: int = 1 << 22) -> Iterator[npt.NDArray[Any]]:
        """From `start` to `stop` in pieces that fit into memory."""
        for place in range(start, stop, size):
            yield self[place : min(stop, place + size)]

    def _mapped(self) -> npt.NDArray[Any]:
        if self._map is None or self._touched > self._LEFT:
            self._map, self._touched = None, 0
            empty = not self._size
            self._map = np.zeros(0, self.dtype) if empty else np.memmap(self.path, self.dtype, "r", shape=(self._size,))
        return self._map


def _make_private(cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.name == "posix":
        facts = cache.stat()
        if facts.st_uid != os.getuid():
            raise DataError("this folder for encoded data belongs to another user; name one of your own (cache)", cache)
        if stat.S_IMODE(facts.st_mode) & 0o077:
            cache.chmod(0o700)


@contextlib.contextmanager
def _locked(path: Path, wait: Callable[[], None]) -> Iterator[None]:
    """The lock is the system's, so it ends with the process that holds it, however that ends."""
    with path.open("a+b") as file:
        while not _try_lock(file):
            wait()
            time.sleep(0.1)
        yield


def _try_lock(file: IO[bytes]) -> bool:
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return False
    return True


def _whole(folder: Path) -> Entry | None:
    """An entry that is whole; None, and nothing left of it, where it is damaged."""
    found = _read_json(folder / _WHOLE)
    if found is None:
        return None
    try:
        if found["version"] == VERSION and all(_good(folder / f"{name}.bin", *f) for name, f in found["files"].items()):
            return Entry(folder, found["facts"], found["files"])
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _good(path: Path, size: int, sums: list[int]) -> bool:
    if path.stat().st_size != size or len(sums) != -(-size // _BLOCK):
        return False
    blocks = range(len(sums))
    # Other ones each time, so that damage anywhere is met some day.
    looked_at = blocks if len(sums) <= _LOOKED_AT else [0, len(sums) - 1, *random.sample(blocks, _LOOKED_AT)]
    with path.open("rb") as file:
        for block in looked_at:
            file.seek(block * _BLOCK)
            if zlib.crc32(file.read(_BLOCK)) != sums[block]:
                return False
    return True


def _read_json(path: Path) -> dict[str, Any] | None:
    """What `_write_json` wrote; None where it is not there or not what was written."""
    try:
        head, _, content = path.read_bytes().partition(_CONTENT)
        if head != _head(content[:-1]):
            return None
        found: dict[str, Any] = json.loads(content[:-1])
    except (OSError, ValueError):
        return None
    return found


_CONTENT = b', "content": '


def _head(content: bytes) -> bytes:
    return b'{"crc32": %d' % zlib.crc32(content)


def _write_journal(handles: Sequence[int], path: Path, content: bytes) -> None:
    """What the journal tells of lies on the disk before the journal does."""
    try:
        for handle in handles:
            os.fsync(handle)
        _write_json(path, content)
    finally:
        for handle in handles:
            os.close(handle)


def _write_json(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(_head(content) + _CONTENT + content + b"}")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
