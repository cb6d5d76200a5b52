"""Compiled kernels on disk: the one place from which code is loaded, so the folder is the user's and nobody else's."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

_log = logging.getLogger("unrolled.engine.cpu")


def folder() -> Path:
    """Where kernels are kept: UNROLLED_CACHE, or the user's cache folder."""
    if given := os.environ.get("UNROLLED_CACHE"):
        return Path(given)
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
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = place.stat()
        if os.name == "posix":
            if facts.st_uid != os.getuid():
                raise PermissionError("it belongs to another user")
            if stat.S_IMODE(facts.st_mode) & 0o077:
                place.chmod(0o700)
    except (OSError, RuntimeError) as error:
        _log.warning("compiled kernels are not kept in %s (%s); every process compiles its own", place, error)
        return None
    return place


def _read(entry: Path) -> bytes | None:
    """The code of an entry whose owner and checksum are right."""
    try:
        if os.name == "posix" and entry.stat().st_uid != os.getuid():
            return None
        data = entry.read_bytes()
    except OSError:
        return None
    code, checksum = data[:-32], data[-32:]
    return code if hashlib.sha256(code).digest() == checksum else None


def _write(entry: Path, code: bytes) -> None:
    """Written beside and renamed, so that processes starting together see a whole entry or none."""
    try:
        handle, name = tempfile.mkstemp(dir=entry.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(code + hashlib.sha256(code).digest())
        Path(name).replace(entry)
    except OSError as error:
        _log.warning("a compiled kernel could not be kept in %s (%s)", entry.parent, error)
