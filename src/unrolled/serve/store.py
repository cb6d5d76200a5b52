"""Streams on disk: a JSON file each, in a folder that only this user may read."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from unrolled.errors import RunError

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_SUFFIX = ".session"
_FORMAT = 1


def new_id() -> str:
    """A name that nobody can guess."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True)
class Saved:
    """A stream as it lies on disk."""

    model: str
    owner: str
    state: bytes = field(repr=False)


class Store:
    """A folder of saved streams; the oldest give way when there are more than `most`, or they are older than `keep`."""

    def __init__(self, folder: Path, *, keep: float, most: int) -> None:
        self.folder, self.keep, self.most = folder, keep, most
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = folder.stat().st_mode
        except OSError as error:
            raise RunError(f"{folder} cannot be made ({error.strerror}); choose another folder to save to") from None
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise RunError(f"{folder} can be read by others, and streams hold what users sent; run `chmod 700` on it")

    def save(self, name: str, saved: Saved) -> None:
        """Write one, whole or not at all. Raises RunError where the disk refuses."""
        state = base64.b64encode(saved.state).decode("ascii")
        data = {"format": _FORMAT, "model": saved.model, "owner": saved.owner, "state": state}
        path, part = self._path(name), self.folder / f".{name}.part"
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
                json.dump(data, file)
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise RunError(f"a stream could not be saved ({error.strerror}); make room in {self.folder}") from None

    def load(self, name: str) -> Saved | None:
        """The stream of that name, None where there is none that can be read."""
        if not _ID.fullmatch(name):
            return None
        try:
            data = json.loads(self._path(name).read_text(encoding="ascii"))
            if data["format"] != _FORMAT or not all(isinstance(data[key], str) for key in ("model", "owner", "state")):
                return None
            return Saved(data["model"], data["owner"], base64.b64decode(data["state"], validate=True))
        except (OSError, ValueError, KeyError, TypeError, RecursionError, binascii.Error):
            return None

    def remove(self, name: str) -> None:
        """Forget one."""
        if _ID.fullmatch(name):
            self._path(name).unlink(missing_ok=True)

    def prune(self) -> int:
        """Forget those that are too old or too many; how many went."""
        found = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            try:
                found.append((path.stat().st_mtime, path))
            except OSError:
                continue  # removed in this moment
        found.sort(reverse=True)
        oldest = time.time() - self.keep
        gone = [path for place, (when, path) in enumerate(found) if place >= self.most or when < oldest]
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"
