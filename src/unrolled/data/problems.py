"""How a reader meets a bad row: it stops at the first, or skips, counts and lists them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from unrolled.errors import DataError


class Problems:
    """Raises the first bad row, or collects them all where the user asked to skip."""

    def __init__(self, skip: bool = False, found: Iterable[DataError] = ()) -> None:
        self.skip = skip
        self.found = list(found)

    def report(self, error: DataError) -> None:
        """Raise `error`, or note it and let the reader go on."""
        if not self.skip:
            raise error
        self.found.append(error)

    def instead(self, sentence: str) -> str:
        """What is said where nothing could be kept: why the first was not, such as a library that is missing."""
        found = self.found
        return f"nothing here can be used; the first of {len(found):,}: {found[0]}" if found else sentence


def nearest(name: str, names: Iterable[str]) -> str:
    """`" (nearest: 'x')"` for the name that `name` was probably meant to be, or nothing."""
    folded = {known.casefold(): known for known in names}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f" (nearest: {quoted(folded[matches[0]])})" if matches else ""


_LONGEST = 60


def quoted(value: object) -> str:
    """A value as Python writes it, its middle left out where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}...{text[-_LONGEST // 2 :]}"


def printable(text: object) -> str:
    """A text of others, such as a library's error that says words of a file, on one line of signs that can be seen."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(text))


def listed(names: Sequence[str], most: int = 12) -> str:
    """The names in quotes, the tail counted rather than printed."""
    head = ", ".join(quoted(name) for name in names[:most])
    return head if len(names) <= most else f"{head} and {len(names) - most} more"
