"""A cell that other libraries have too: which of theirs it is, and its weights in their order.

Cells are told apart by their equations, so that a copy of one's own under another name has the same twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.bench.problem import Problem
from unrolled.cell import layouts
from unrolled.engine import native

KINDS = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}


@dataclass(frozen=True)
class Twin:
    """A problem as torch's `function`: `gates` says which of the program's gates stands at each place of torch."""

    problem: Problem
    function: str
    gates: tuple[int, ...]

    @property
    def kind(self) -> str:
        """The class: LSTM, GRU or RNN."""
        return KINDS[self.function]

    def rows(self, library: str = "torch") -> np.ndarray:
        """For each row of a library's stacked matrices, the row of ours."""
        places = layouts.LAYOUTS["torch", self.kind].gates
        order = layouts.order(places, layouts.LAYOUTS[library, self.kind].gates)
        hidden = self.problem.shape.hidden
        return np.concatenate([np.arange(hidden) + self.gates[k] * hidden for k in order])

    def biased(self) -> np.ndarray:
        """The rows of our stacked matrices whose gate has a recurrent bias."""
        hidden, program = self.problem.shape.hidden, self.problem.program
        places = [program.gates.index(gate) for gate in program.recurrent_biased]
        return np.concatenate([np.zeros(0, int), *(np.arange(hidden) + place * hidden for place in places)])

    def weights(self, library: str = "torch") -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Input matrix, recurrent matrix, and a bias for either, each in the order of a library."""
        values, rows = self.problem.values, self.rows(library)
        recurrent = np.zeros_like(values["b"])
        if "c" in values:
            recurrent[self.biased()] = values["c"]
        return values["W"][rows], values["U"][rows], values["b"][rows], recurrent[rows]

    def gradients(self, found: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Gradients of torch's four parameters under our names and in our order."""
        back = np.argsort(self.rows())
        w, u, b, c = (value[back] for value in found)
        return {"W": w, "U": u, "b": b, "c": c[self.biased()]}


def twin(problem: Problem) -> Twin | None:
    """The twin of the problem's cell; None where other libraries have none of these equations."""
    found = native.match(problem.program)
    if found is None or found.function not in KINDS or problem.program.products or "b" not in problem.values:
        return None
    return Twin(problem, found.function, found.gates)


def refuse(problem: Problem) -> str | None:
    """Why there is no such layer elsewhere."""
    return None if twin(problem) else f"it has no layer with the equations of {problem.program.name}"
