"""Which files are meant, how large they are, and a key for their content that does not read all of it."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unrolled.data.compressed import is_packed
from unrolled.data.table import is_table
from unrolled.data.text import is_folder, missing
from unrolled.errors import DataError

LARGE = 64 * 2**20
"""From this size on (in bytes, all files together) text is encoded into the cache instead of held in memory."""
# What compressed text becomes when it is unpacked, roughly.
_PACKED = 4
_SAMPLES, _SAMPLE = 16, 1 << 16


@dataclass(frozen=True)
class Files:
    """Files that are read one after another, in this order."""

    paths: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of all files as they lie on disk. Raises DataError for a file that is gone."""
        return sum(_size(path) for path in self.paths)

    @property
    def unpacked(self) -> int:
        """About how many bytes come out of them."""
        return sum(_size(path) * (_PACKED if is_packed(path) else 1) for path in self.paths)

    def key(self) -> str:
        """SHA-256 over each file's path, size, time of change and 16 samples of 64 KB spread over it."""
        found = hashlib.sha256()
        for path in self.paths:
            facts = path.stat()
            found.update(f"{path.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
            with path.open("rb") as file:
                for place in range(_SAMPLES):
                    file.seek(max(0, facts.st_size - _SAMPLE) * place // (_SAMPLES - 1))
                    found.update(file.read(_SAMPLE))
        return found.hexdigest()


def data_files(path: Path, more: Sequence[Path] = ()) -> Files:
    """The files of a path, a folder (with its subfolders, hidden ones apart) or a pattern such as `logs/*.txt`.

    `more` are further ones of the same kinds. Raises DataError for what is not there.
    """
    return Files(tuple(file for given in (path, *more) for file in _expanded(given)))


def wants_cache(path: Path, more: Sequence[Path] = (), *, cache: Path | None = None) -> bool:
    """Whether to read these through the cache: large, several, a folder of tables, or a folder for the cache named."""
    if more or cache is not None or _is_pattern(path):
        return True
    if not path.exists():
        return False
    files = data_files(path)
    return files.unpacked >= LARGE or (is_folder(path) and all(map(is_table, files.paths)))


def cache_folder(given: Path | None = None) -> Path:
    """The folder of encoded data: the one given, `data` in UNROLLED_CACHE, or `unrolled/data` in the user's cache."""
    if given is not None:
        return given.expanduser()
    if named := os.environ.get("UNROLLED_CACHE"):
        return Path(named).expanduser() / "data"
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or str(Path.home() / ".cache")
    return Path(base) / "unrolled" / "data"


def _expanded(path: Path) -> list[Path]:
    if is_folder(path):
        inside = sorted(path.rglob("*"))
        found = [file for file in inside if file.is_file() and not _hidden(file.relative_to(path))]
        if not found:
            raise DataError("the folder has no file; put at least one text or table there", path)
        return found
    if path.exists():
        return [path]
    if _is_pattern(path):
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207 - absolute patterns
        found = [file for file in matches if file.is_file()]
        if not found:
            raise DataError("no file has a name of this pattern; check it, and quote it for the shell", path)
        return found
    raise missing(path)


def _is_pattern(path: Path) -> bool:
    return not path.exists() and glob.has_magic(str(path))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        raise missing(path) from None
