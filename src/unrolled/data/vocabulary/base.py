"""What every vocabulary is: reserved ids first, then its tokens; text to ids, ids to text, and itself to JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from unrolled.data.arrays import Ids
from unrolled.data.problems import listed
from unrolled.data.vocabulary.encoder import Encoder
from unrolled.errors import ArgumentError

PAD = "<pad>"
UNKNOWN = "<unk>"


class Decoder(Protocol):
    """Ids to text as they come: the pushed pieces and the flushed rest, joined, are `decode` of all the ids."""

    def push(self, token: int) -> str:
        """The text that is certain once this id is known; a character cut between ids waits for its end."""

    def flush(self) -> str:
        """What is left when no more ids come."""


class Vocabulary(ABC):
    """Tokens with their ids: 0 is padding, 1 is unknown, then `specials`, then the tokens of the text.

    `encode` never yields padding or a special id, and `decode` shows neither.
    """

    units: ClassVar[str]
    pad: ClassVar[int] = 0
    unknown: ClassVar[int] = 1

    def __init__(self, specials: Sequence[str] = ()) -> None:
        self.specials = tuple(specials)
        names = (PAD, UNKNOWN, *self.specials)
        if len(set(names)) < len(names):
            raise ArgumentError(f"the special tokens {listed(names)} must all differ; rename one of them")
        self.first = len(names)

    @abstractmethod
    def __len__(self) -> int:
        """The number of ids, the reserved ones counted."""

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """Text to ids `(T,)` int64; what is not known becomes `unknown`."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text; ArgumentError for an id outside the vocabulary."""

    @abstractmethod
    def decoder(self) -> Decoder:
        """A new incremental decoder, for text shown while it is being produced."""

    def encoder(self) -> Encoder:
        """A new incremental encoder, for text that is still arriving."""
        return Encoder(self)

    def settled(self, text: str) -> int:
        """How many characters from the first one on give the same ids whatever follows the text."""
        return len(text)

    @abstractmethod
    def token(self, index: int) -> str:
        """One token as it may be shown to a person."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `vocabulary_from_json` makes an equal vocabulary."""

    @property
    def tokens(self) -> list[str]:
        """Every token by id, as `token` shows it."""
        return [self.token(index) for index in range(len(self))]

    def pieces(self, text: str) -> list[str]:
        """What each id of `encode(text)` stands for in the text, the unknown ones too."""
        return [self.token(index) for index in self.encode(text).tolist()]

    def encode_all(self, texts: Iterable[str]) -> list[Ids]:
        """`encode` of each text."""
        return [self.encode(text) for text in texts]

    def special(self, name: str) -> int:
        """The id of a special token."""
        if name not in self.specials:
            raise ArgumentError(
                f"there is no special token {name!r}; this vocabulary has {listed(self.specials) or 'none'}"
            )
        return 2 + self.specials.index(name)

    def reserved(self, index: int) -> str | None:
        """The name of a reserved id, or None for a token of the text."""
        return (PAD, UNKNOWN, *self.specials)[index] if 0 <= index < self.first else None

    def checked(self, ids: Iterable[int]) -> Ids:
        """The ids as an array `(T,)` int64, all inside the vocabulary."""
        array = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids), dtype=np.int64).reshape(-1)
        if array.size and (array.min() < 0 or array.max() >= len(self)):
            wrong = int(array.min()) if array.min() < 0 else int(array.max())
            raise ArgumentError(f"id {wrong} is outside this vocabulary of {len(self)} tokens; give ids from 0 up")
        return array
