"""How a transcription finds its symbols. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unrolled.decode.ctc import Companion, Greedy, PrefixBeam

Logs = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Search:
    """How symbols are found: `beam` 1 takes the likeliest at every step; `companion` is a language model's help.

    The score of the beam is log p + weight * (companion's log p) + bonus * (number of symbols).
    """

    beam: int = 1
    companion: Companion | None = None
    weight: float = 0.5
    bonus: float = 0.0

    def reader(self, blank: int) -> Greedy | PrefixBeam:
        """What finds the symbols, part by part."""
        if self.beam == 1 and self.companion is None:
            return Greedy(blank)
        return PrefixBeam(self.beam, blank=blank, companion=self.companion, weight=self.weight, bonus=self.bonus)

    def symbols(self, logs: Logs, blank: int) -> Sequence[int]:
        """The best sequence of symbols for log p (T, V)."""
        reader = self.reader(blank)
        reader.read(logs)
        return reader.symbols


GREEDY = Search()
