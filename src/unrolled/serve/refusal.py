"""What a client is told when it gets no answer: one sentence and a status that says whose fault it is."""

from __future__ import annotations

from collections.abc import Mapping

from unrolled.errors import UnrolledError


class Refusal(Exception):
    """A request that is refused: an HTTP status, a sentence, and headers that go with it."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, error: UnrolledError) -> Refusal:
        """What a task says of an input, as a refusal of a request that could be read and makes no sense."""
        return cls(422, sentence(str(error)))


def sentence(words: str) -> str:
    """The words on one line, with a full stop."""
    words = " ".join(words.split())
    return words if words.endswith((".", "!", "?")) else f"{words}."


def busy(what: str) -> Refusal:
    """Too many at once; the same request may be sent again a little later."""
    return Refusal(429, what, {"Retry-After": "1"})
