"""A label for each step of a stream of words, rows of numbers or frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Numbers
from unrolled.data.vocabulary.encoder import LONGEST_WAIT, last_word
from unrolled.decode.sampling import softmax
from unrolled.errors import ArgumentError
from unrolled.streams.protocol import Answer
from unrolled.streams.saved import Kept


class Labels:
    """p(label) at each step that came since the last answer: softmax of the scores."""

    def __init__(self, classes: Sequence[Any]) -> None:
        self.classes = list(classes)
        self.names = [str(name) for name in classes]
        self.tags: list[Answer] = []

    def take(self, steps: Any, outputs: Numbers) -> None:
        p = softmax(outputs.astype(np.float64))
        for row, best in zip(p.tolist(), outputs.argmax(1).tolist(), strict=True):
            self.tags.append({"label": self.classes[best], "probabilities": dict(zip(self.names, row, strict=True))})

    def answer(self, *, final: bool) -> Answer:
        tags, self.tags = self.tags, []
        return {"tags": tags}

    def save(self) -> Kept:
        return Kept()

    def load(self, kept: Kept) -> None:
        self.tags = []


class WordsInput:
    """Words: whole ones as a list, or text as it comes, in which white space ends a word and the last one waits."""

    def __init__(self) -> None:
        self.held = ""

    def push(self, part: Any) -> list[str]:
        if isinstance(part, str):
            text = self.held + part
            end = last_word(text)
            if len(text) - end > LONGEST_WAIT:
                raise ArgumentError(f"a word is longer than {LONGEST_WAIT:,} characters; put white space between words")
            self.held = text[end:]
            return text[:end].split()
        if not isinstance(part, list | tuple) or not all(isinstance(word, str) and word for word in part):
            raise ArgumentError("a part is no list of words, and this stream reads words; give ['The', 'dog'] or text")
        words = [*([self.held] if self.held else []), *part] if part else []
        self.held = "" if part else self.held
        return words

    def finish(self) -> list[str]:
        rest, self.held = self.held, ""
        return [rest] if rest else []

    def save(self) -> Kept:
        return Kept(held=self.held)

    def load(self, kept: Kept) -> None:
        self.held = kept.value("held", str)[:LONGEST_WAIT]


class FramesInput:
    """Frames of a film (N, H, W, 3) of bytes, or a single one (H, W, 3)."""

    def __init__(self, size: int) -> None:
        self.size = size

    def push(self, part: Any) -> npt.NDArray[np.uint8]:
        try:
            found = np.asarray(part)
        except ValueError:
            found = np.zeros(0)
        found = found[None] if found.ndim == 3 else found
        whole = found.dtype.kind in "iu" and bool(((found >= 0) & (found <= 255)).all())
        if found.shape[1:] != (self.size, self.size, 3) or not whole:
            raise ArgumentError(
                f"a part has the shape {found.shape} of {found.dtype}, and this stream reads frames; give bytes "
                f"(N, {self.size}, {self.size}, 3)"
            )
        return found.astype(np.uint8)

    def finish(self) -> npt.NDArray[np.uint8]:
        return np.zeros((0, self.size, self.size, 3), np.uint8)

    def save(self) -> Kept:
        return Kept()

    def load(self, kept: Kept) -> None:
        """Nothing waits."""
