"""Draws the pictures of the manual into docs/pictures; a test compares them with what the code draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import unrolled as ur
from unrolled.cell import Cell, sigmoid, state, tanh
from unrolled.layers import Pooling, Recurrent
from unrolled.models import Embedding, ImageEncoder, SequenceNetwork, TagNetwork, TranslationNetwork
from unrolled.models.caption import CaptionNetwork

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"


@dataclass(frozen=True)
class TwoSpeeds(Cell):
    """A cell of one's own: a quick memory and a slow one."""

    gates = ("z", "n")
    state = state(h="output", slow="hidden")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        z = sigmoid(x.z + u.z)
        n = tanh(x.n + u.n)
        slow = 0.95 * s.slow + 0.05 * n
        h = z * s.h + (1 - z) * (n + slow)
        return h, self.next(h=h, slow=slow)


@dataclass(frozen=True)
class Mine(Cell):
    """The cell of the README."""

    gates = ("f", "n")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        f = sigmoid(x.f + u.f)
        n = tanh(x.n + u("n", f * s.h))
        h = (1 - f) * s.h + f * n
        return h, self.next(h=h)


def pictures() -> dict[str, ur.Picture]:
    """All pictures of the manual by the names of their files."""
    cells = ur.cells
    classifier = SequenceNetwork(Embedding(65, 32), Recurrent(cells.Elman(), 32, 64), Pooling("last", 64), 3)
    tagger = TagNetwork(Embedding(5000, 64), Recurrent(cells.GRU(), 64, 96, layers=2, bidirectional=True), 9, crf=True)
    encoder, decoder = Recurrent(cells.LSTM(), 64, 96, bidirectional=True), Recurrent(cells.LSTM(), 64, 192)
    translator = TranslationNetwork(Embedding(4000, 64), encoder, Embedding(4000, 64), decoder)
    captioner = CaptionNetwork(ImageEncoder(), 800, Recurrent(cells.LSTM(), 64, 128))
    return {
        "classifier-rolled": ur.draw(classifier, "rolled", name="classifier"),
        "classifier-unrolled": ur.draw(classifier, name="classifier"),
        "tagger": ur.draw(tagger, name="tagger"),
        "translator": ur.draw(translator, name="translator"),
        "captioner": ur.draw(captioner, name="captioner"),
        "five-steps": ur.draw(ur.unroll(Recurrent(cells.GRU(), 8, 16), 5)),
        "lstm-peephole": ur.draw(cells.PeepholeLSTM()),
        "own-cell": ur.draw(TwoSpeeds()),
        "mine": ur.draw(Mine()),
    }


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures().items():
        picture.save(FOLDER / f"{name}.svg")


if __name__ == "__main__":
    main()
