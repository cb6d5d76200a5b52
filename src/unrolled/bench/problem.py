"""What every contestant is given: a cell at a shape, with random weights and inputs as NumPy arrays."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from unrolled.cell import Cell, Program, Sizes, initial_values, trace
from unrolled.errors import ArgumentError

PASSES = {"forward": 1, "training": 3}
"""Products of a phase, in those of the forward pass: training has one more for the input's and for the weights'
gradient."""


@dataclass(frozen=True)
class Shape:
    """Steps T, rows B, input width F and hidden units H."""

    steps: int
    batch: int
    input: int
    hidden: int

    def __str__(self) -> str:
        return f"T={self.steps} B={self.batch} F={self.input} H={self.hidden}"

    @property
    def short(self) -> str:
        """As `parse` reads it."""
        return f"{self.steps}x{self.batch}x{self.input}x{self.hidden}"

    @classmethod
    def parse(cls, text: str) -> Shape:
        """The shape in `text`, e.g. 100x32x64x128; ArgumentError where it is none."""
        found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text.strip().lower())
        if not found:
            raise ArgumentError(
                f"{text!r} is no shape: write steps x rows x inputs x units as four numbers, e.g. 100x32x64x128."
            )
        return cls(*map(int, found.groups()))


@dataclass(frozen=True)
class Problem:
    """A cell by `name` at a shape: `values`, a float32 array for every parameter, `xs` (B, T, F), perhaps `lengths`."""

    name: str
    cell: Cell
    shape: Shape
    values: dict[str, np.ndarray]
    xs: np.ndarray
    lengths: np.ndarray | None = None

    @classmethod
    def random(cls, name: str, cell: Cell, shape: Shape, seed: int = 0) -> Problem:
        """Weights as a layer starts with them, biases that are not zero, and normal inputs."""
        generator = np.random.default_rng(seed)
        values = initial_values(trace(cell), Sizes(shape.input, shape.hidden, shape.hidden), generator)
        for bias in {"b", "c"} & set(values):
            values[bias] += generator.uniform(-0.1, 0.1, values[bias].shape)
        xs = generator.standard_normal((shape.batch, shape.steps, shape.input), dtype=np.float32)
        return cls(name, cell, shape, {k: v.astype(np.float32) for k, v in values.items()}, xs)

    def shortened(self, lengths: np.ndarray) -> Problem:
        """The same with rows of these lengths (B,)."""
        return replace(self, lengths=lengths)

    @cached_property
    def program(self) -> Program:
        return trace(self.cell)

    @cached_property
    def incoming(self) -> np.ndarray:
        """The gradient (B, T, H) of the outputs that training goes back from, as from a layer above."""
        outputs = (self.shape.batch, self.shape.steps, self.shape.hidden)
        return np.random.default_rng(1).standard_normal(outputs, dtype=np.float32)

    def flops(self, phase: str) -> int:
        """Multiplications and additions in the matrix products of one run."""
        matrices = sum(value.size for value in self.values.values() if value.ndim == 2)
        return PASSES[phase] * 2 * self.shape.steps * self.shape.batch * matrices
