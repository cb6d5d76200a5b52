"""Compiled kernels on disk: the one place from which code is loaded, so the folder is the user's and nobody else's."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

_log = logging.getLogger("unrolled.engine.cpu")


def folder() -> Path:
    """Where kernels are kept: UNROLLED_CACHE, or the user's cache folder."""
    if given := os.environ.get("UNROLLED_CACHE"):
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or str(Path.home() / ".cache")
    return Path(base) / "unrolled" / "kernels"


def load_or_make(key: str, make: Callable[[], bytes]) -> bytes:
    """The object code of that key: read, or made and kept; a broken or foreign entry is made anew."""
    place = _private_folder()
    if place is None:
        return make()
    entry = place / key
    code = _read(entry)
    if code is None:
        code = make()
        _write(entry, code)
    return code


def _private_folder() -> Path | None:
    """The folder, if it is ours alone; None, with the reason logged, where kernels cannot be kept safely."""
    try:
        place = folder()
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = place.stat()
        if os.name == "posix":
            if facts.st_uid != os.getuid():
                raise PermissionError(f"{place} belongs to another user")
            if stat.S_IMODE(facts.st_mode) & 0o077:
                place.chmod(0o700)
    except (OSError, RuntimeError) as error:  # a RuntimeError where nobody knows the user's home
        _tell_once(str(error))
        return None
    return place


def _read(entry: Path) -> bytes | None:
    """The code of an entry whose owner and checksum are right."""
    try:
        with entry.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_uid != os.getuid():
                return None
            data = file.read()
    except OSError:
        return None
    code, checksum = data[:-32], data[-32:]
    return code if _checksum(entry.name, code) == checksum else None


def _write(entry: Path, code: bytes) -> None:
    """Written beside and renamed, so that processes starting together see a whole entry or none."""
    name = None
    try:
        handle, name = tempfile.mkstemp(dir=entry.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(code + _checksum(entry.name, code))
        Path(name).replace(entry)
    except OSError as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        _tell_once(str(error))


def _checksum(key: str, code: bytes) -> bytes:
    """Over the key too: an entry under another's name is a broken one."""
    return hashlib.sha256(key.encode() + b"\0" + code).digest()


@lru_cache(maxsize=16)
def _tell_once(reason: str) -> None:
    _log.warning("compiled kernels are not kept (%s); every process compiles its own", reason)
