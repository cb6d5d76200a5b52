"""Text to ids while it is still arriving: the same ids as of the whole text, wherever it is cut into parts."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from unrolled.data.arrays import Ids
from unrolled.errors import ArgumentError

# Text that waits for the end of its word; memory must stay bounded whatever comes.
LONGEST_WAIT = 65_536


class Settling(Protocol):
    """A vocabulary that knows how far a text's units are certain."""

    def encode(self, text: str) -> Ids: ...

    def settled(self, text: str) -> int: ...


class Encoder:
    """The ids of each pushed part and of the finished rest, joined, are `encode` of the whole text.

    What may still become another unit is held back: of words the last one, of subwords the last one with the space
    before it. Raises ArgumentError where more than 65,536 characters would be.
    """

    def __init__(self, vocabulary: Settling) -> None:
        self.vocabulary = vocabulary
        self.held = ""
        """Text whose units are not certain yet."""

    def push(self, text: str) -> Ids:
        """The ids (T,) that are certain now."""
        text = self.held + text
        end = self.vocabulary.settled(text)
        self._hold(text[end:])
        return self.vocabulary.encode(text[:end]) if end else np.zeros(0, np.int64)

    def finish(self) -> Ids:
        """Those that waited: nothing follows."""
        rest, self.held = self.held, ""
        return self.vocabulary.encode(rest) if rest else np.zeros(0, np.int64)

    def save(self) -> dict[str, str]:
        """What `load` needs to go on here, as plain JSON."""
        return {"held": self.held}

    def load(self, saved: dict[str, str]) -> None:
        """Go on where `save` was called."""
        self._hold(saved["held"])

    def _hold(self, text: str) -> None:
        if len(text) > LONGEST_WAIT:
            raise ArgumentError(
                f"{len(text):,} characters came without a place where a unit surely ends, and at most "
                f"{LONGEST_WAIT:,} are held back; put white space between the words"
            )
        self.held = text


class LowercaseEncoder(Encoder):
    """The same for text that is put into lower case, where the Greek capital sigma depends on its neighbours.

    It becomes a final sigma behind a letter and not in front of one, whatever marks stand between (Unicode, section
    3.13, Final_Sigma), so the last letter before the part is kept and a sigma waits for what follows.
    """

    def __init__(self, vocabulary: Settling) -> None:
        super().__init__(vocabulary)
        self.before = ""

    def push(self, text: str) -> Ids:
        text = self.held + text
        end = len(text)
        while end and _passed_over(text[end - 1]):
            end -= 1
        end = end - 1 if end and text[end - 1] == "Σ" else len(text)
        self._hold(text[end:])
        return self._lowered(text, end)

    def finish(self) -> Ids:
        rest, self.held = self.held, ""
        return self._lowered(rest, len(rest))

    def save(self) -> dict[str, str]:
        return {"held": self.held, "before": self.before}

    def load(self, saved: dict[str, str]) -> None:
        super().load(saved)
        self.before = saved["before"]

    def _lowered(self, text: str, end: int) -> Ids:
        """The ids of the text up to `end`, which what stands behind it helps to decide."""
        first, last = len(self.before.lower()), len((self.before + text[:end]).lower())
        found = self.vocabulary.encode((self.before + text).lower()[first:last])
        self.before = next((c for c in reversed(text[:end]) if not _passed_over(c)), self.before)
        return found


def _passed_over(character: str) -> bool:
    """Whether a sigma looks past the character for a letter, as past an accent."""
    if character.isascii() and (character.isalnum() or character.isspace()):
        return False
    alone, followed = f"AΣ{character}".lower()[1], f"AΣ{character}A".lower()[1]
    return alone == "ς" and followed == "σ"


def last_word(text: str) -> int:
    """Where the word begins that the text ends in; its length where it ends in white space."""
    words = text.rsplit(maxsplit=1)
    return len(text) if not words or text[-1].isspace() else len(text) - len(words[-1])
