"""API keys: from a file or an environment variable, compared in constant time, never written down."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from pathlib import Path

from unrolled.errors import ArgumentError, DataError

VARIABLE = "UNROLLED_KEYS"
_SHORTEST = 16


class Keys:
    """The keys that open the server; none: it is open to all who reach it. Only their hashes are kept."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._hashes: list[bytes] = []
        for key in keys:
            if len(key) < _SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
                raise ArgumentError(
                    f"an API key is shorter than {_SHORTEST} characters or has others than letters, digits and signs "
                    "of ASCII; make one with `openssl rand -hex 16`"
                )
            self._hashes.append(_hash(key))

    def __len__(self) -> int:
        return len(self._hashes)

    def __repr__(self) -> str:
        return f"Keys({len(self)})"

    def owner(self, key: str | None) -> str | None:
        """Who sends this key, as a name that tells nothing of it; None where it opens nothing. "" without keys."""
        if not self._hashes:
            return ""
        given = _hash(key or "")
        # Every hash is looked at, whichever is right, so that the time says nothing.
        right = [hmac.compare_digest(given, known) for known in self._hashes]
        return hashlib.sha256(given).hexdigest()[:16] if any(right) else None


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def read_keys(path: Path | None) -> Keys:
    """The keys of a file, one a line, `#` begins a remark; without a file those of UNROLLED_KEYS, with commas between.

    Raises DataError for a file that cannot be read, that others may read, or that holds no key.
    """
    if path is None:
        return Keys(filter(None, (part.strip() for part in os.environ.get(VARIABLE, "").split(","))))
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise DataError(f"the keys cannot be read ({reason}); give a text file with a key a line", path) from None
    if mode & 0o077 and os.name == "posix":
        raise DataError("others may read the keys; run `chmod 600` on the file", path)
    keys = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise DataError("the file holds no key; write one a line", path)
    return Keys(keys)
