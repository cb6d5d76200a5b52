"""A text read by a language model while it is written: how surprising it is, and what comes next."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unrolled.data.arrays import Ids, Numbers
from unrolled.data.vocabulary import Vocabulary
from unrolled.decode.sampling import Sampling
from unrolled.errors import ArgumentError
from unrolled.streams.protocol import Answer, Network
from unrolled.streams.running import Origin, Running
from unrolled.streams.saved import Kept
from unrolled.streams.text import TextInput

# How a piece is joined to what stands before it depends on no more units: a character has at most four bytes.
_JOINING = 4


@dataclass(frozen=True)
class LanguageChoices:
    """`next`: how many of the likeliest next units an answer lists; 0 lists none, which is the quickest."""

    next: int = 5

    def __post_init__(self) -> None:
        if type(self.next) is not int or self.next < 0:
            raise ArgumentError(f"next={self.next!r} must be a whole number from 0; give how many units to list")


@dataclass(frozen=True)
class Units:
    """What a model knows of its units: the vocabulary, the one that begins a text, and the border that may end it."""

    vocabulary: Vocabulary
    start: int
    border: int
    ends: bool

    def name(self, unit: int) -> str:
        """For a reader; the end of the text is the empty name."""
        return "" if unit == self.border else self.vocabulary.token(unit)

    @property
    def unsaid(self) -> list[int]:
        """Units that are never written: padding, what is not known, and the end where none was learnt."""
        found = [self.vocabulary.pad, self.vocabulary.unknown]
        return found if self.ends else [*found, self.border]


class Surprise:
    """-log p of each unit given those before it, in nats, and p of the next one.

    `logits` (V,) are those of the next unit, for which the start unit has to be read first.
    """

    def __init__(self, units: Units, count: int, logits: Numbers) -> None:
        self.units = units
        self.count = count
        self.ones = np.ones_like(logits)
        self._await(logits)
        self.nats = 0.0
        self.last: deque[int] = deque(maxlen=_JOINING)
        self.read: list[Answer] = []
        self.names = _Names(units)
        # As `complete` lists them: no reserved unit but an end that was learnt.
        self.hidden = {k for k in range(units.vocabulary.first) if not (units.ends and k == units.border)}

    def take(self, steps: Ids, outputs: Numbers) -> None:
        read = steps.tolist()
        for place, unit in enumerate(read):
            cost = self.total - self.logits.item(unit)
            self.nats += cost
            self.read.append({"unit": self.names[unit], "surprise": cost})
            self._await(outputs[place])
        self.last.extend(read)

    def end(self) -> None:
        """The text ends here, which costs something where ends were learnt."""
        if self.units.ends:
            self.nats += self.total - self.logits.item(self.units.border)

    def answer(self, *, final: bool) -> Answer:
        read, self.read = self.read, []
        return {"units": read, "log_probability": -self.nats, "next": self._next()}

    def save(self) -> Kept:
        return Kept(logits=self.logits, nats=np.array([self.nats]), last=np.array([*self.last], np.int64))

    def load(self, kept: Kept) -> None:
        self._await(kept.finite("logits", self.logits.shape))
        self.nats = float(kept.array("nats", (1,), np.float64)[0])
        last = self.units.vocabulary.checked(kept.array("last", (None,), np.int64, most=_JOINING))
        self.last = deque(last.tolist(), _JOINING)

    def _await(self, logits: Numbers) -> None:
        """These are the scores of the next unit."""
        self.logits = logits
        # log sum_k exp(l_k), by the quickest of NumPy's ways for a single row.
        highest = logits.item(logits.argmax())
        self.total = math.log(np.exp(logits - highest).dot(self.ones)) + highest

    def _next(self) -> list[Answer]:
        if not self.count:
            return []
        logits, total, hidden, names = self.logits, self.total, self.hidden, self.names
        # The hidden ones are so few that they may be among the best, and are passed over then.
        most = min(self.count + len(hidden), len(logits))
        best = logits.argpartition(-most)[-most:].tolist()
        ranked = sorted([(logits.item(unit), unit) for unit in best if unit not in hidden], reverse=True)
        return [
            {"unit": names[unit], "probability": p}
            for score, unit in ranked[: self.count]
            if (p := math.exp(score - total)) > 0
        ]


class _Names(dict[int, str]):
    """What units are called, looked up when they first come."""

    def __init__(self, units: Units) -> None:
        super().__init__()
        self.units = units

    def __missing__(self, unit: int) -> str:
        name = self[unit] = self.units.name(unit)
        return name


class LanguageStream(Running):
    """A stream of text which can also be continued: `generate` goes on from here and leaves the stream as it is."""

    source: TextInput
    reader: Surprise

    def __init__(self, origin: Origin, units: Units, network: Network, choices: LanguageChoices) -> None:
        logits = network.read(np.array([units.start]))[-1]
        super().__init__(origin, TextInput(units.vocabulary), network, Surprise(units, choices.next, logits))
        self.units = units

    def _rest(self) -> None:
        super()._rest()
        self.reader.end()

    def generate(
        self,
        length: int = 500,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """The text that goes on from here, piece by piece: at most `length` units, fewer where an end is drawn.

        The stream itself stays where it is. Raises ArgumentError.
        """
        if length < 1:
            raise ArgumentError(f"length is {length}, it must be 1 or more")
        self._check_open()
        sampling, rng = Sampling(temperature, top_k, top_p), np.random.default_rng(seed)
        network, logits = self.network.fork(), self.reader.logits
        held = self.source.encoder.held
        waiting = self.units.vocabulary.encode(held) if held else np.zeros(0, np.int64)
        if len(waiting):
            logits = network.read(waiting)[-1]
        decoder = self.units.vocabulary.decoder()
        for unit in [*self.reader.last, *waiting.tolist()]:  # so that the first piece is joined to the text before it
            decoder.push(unit)

        def pieces(logits: Numbers) -> Iterator[str]:
            for _ in range(length):
                unit = sampling.draw(logits, rng, self.units.unsaid)
                if unit == self.units.border:
                    break
                if piece := decoder.push(unit):
                    yield piece
                logits = network.read(np.array([unit]))[-1]
            if rest := decoder.flush():
                yield rest

        return pieces(logits)
