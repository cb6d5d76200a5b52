"""Recurrent layers of a run: depth, directions, normalisation and residual connections, without torch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from unrolled.cell import Program, Sizes, without_noise
from unrolled.cell.regularisation import Regularisation, regularised
from unrolled.errors import ArgumentError, EngineError
from unrolled.runtime.interpreter import Interpreter
from unrolled.runtime.kernels import Kernels, Step
from unrolled.runtime.parts import LayerNorm
from unrolled.runtime.weights import Array, Weights

State = tuple[tuple[tuple[Array, ...], ...], ...]
ENGINES = ("auto", "compiled", "numpy")
_log = logging.getLogger("unrolled.runtime")


@dataclass(frozen=True)
class Shape:
    """What the layers are made of: one cell, its widths, how they are stacked; `engine` is one of ENGINES."""

    program: Program
    inputs: int
    hidden: int
    layers: int = 1
    bidirectional: bool = False
    regularisation: Regularisation = Regularisation()
    engine: str = "auto"


class Layer:
    """One layer: y = x + f(norm(x)) in one or both directions, norm and sum only where the run has them."""

    def __init__(self, shape: Shape, width: int, place: int, weights: Weights) -> None:
        program = regularised(shape.program, shape.regularisation)
        program = without_noise(program, tuple(program.noise))
        sizes = Sizes(width, shape.hidden, shape.hidden)
        names = ("forwards", "backwards")[: 1 + shape.bidirectional]
        self.directions = [_direction(program, sizes, weights.under(name), shape.engine) for name in names]
        self.output_size = len(names) * sizes.of(program.output_width)
        with_norm = shape.regularisation.layer_norm and place > 0
        self.norm = LayerNorm(width, weights.under("norm")) if with_norm else None

    def run(
        self, x: Array, state: tuple[tuple[Array, ...], ...], lengths: npt.NDArray[np.int64] | None
    ) -> tuple[Array, tuple[tuple[Array, ...], ...]]:
        """From x (B, T, F) to outputs (B, T, D * O) and the state of each direction."""
        x = x if self.norm is None else self.norm(x)
        found = [
            direction.scan(x, start, lengths, reverse=place == 1)
            for place, (direction, start) in enumerate(zip(self.directions, state, strict=True))
        ]
        outputs = found[0][0] if len(found) == 1 else np.concatenate([ys for ys, _ in found], 2)
        return outputs, tuple(last for _, last in found)


class Recurrent:
    """`layers(x, state, lengths)` maps x (B, T, F) to outputs (B, T, D * O) and the state after the last step.

    The state is a tuple over layers of a tuple over directions of arrays (B, size), as in `unrolled.Recurrent`.
    """

    def __init__(self, shape: Shape, weights: Weights) -> None:
        if shape.engine not in ENGINES:
            raise ArgumentError(f"engine is {shape.engine!r}, it must be one of {', '.join(ENGINES)}")
        self.shape = shape
        self.layers: list[Layer] = []
        width = shape.inputs
        for place in range(shape.layers):
            self.layers.append(Layer(shape, width, place, weights.under(f"layers.{place}")))
            width = self.layers[-1].output_size
        self.output_size = width

    def __call__(
        self, x: Array, state: State | None = None, lengths: npt.NDArray[np.int64] | None = None
    ) -> tuple[Array, State]:
        state = self.initial_state(len(x)) if state is None else state
        after = []
        for layer, start in zip(self.layers, state, strict=True):
            x, last = layer.run(x, start, lengths)
            after.append(last)
        return x, tuple(after)

    def step(self, x: Array, state: State | None = None) -> tuple[Array, State]:
        """One step of B rows: x (B, F) -> output (B, O), state."""
        outputs, state = self(x[:, None], state)
        return outputs[:, 0], state

    def initial_state(self, batch: int) -> State:
        """Zeros for `batch` rows."""
        return tuple(
            tuple(
                tuple(np.zeros((batch, d.sizes.of(width)), np.float32) for width in d.program.state.values())
                for d in layer.directions
            )
            for layer in self.layers
        )

    def stepper(self) -> Stepper:
        """A stream of one row; ArgumentError where the layers read in both directions."""
        if self.shape.bidirectional:
            raise ArgumentError("this run reads in both directions, so it needs the whole input; train with causal")
        kernels = [layer.directions[0] for layer in self.layers]
        plain = all(layer.norm is None for layer in self.layers)
        if plain and all(isinstance(one, Kernels) for one in kernels):
            return BoundStepper(self)
        return Stepper(self)


class Stepper:
    """One row step by step: x (F,) -> output (O,), which the next step may overwrite."""

    def __init__(self, layers: Recurrent) -> None:
        self.layers = layers
        self.rows: tuple[Array, Array | None] | None = None
        self.put(layers.initial_state(1))

    def put(self, state: State) -> None:
        """Go on from a state of one row."""
        self._state = state

    def state(self) -> State:
        """A copy of the state after the last step."""
        return self._state

    def __call__(self, x: Array) -> Array:
        outputs, self._state = self.layers.step(x[None], self._state)
        found: Array = outputs[0]
        return found

    def fork(self) -> Stepper:
        """Another with the same rows that goes on from here."""
        other = self.layers.stepper()
        if self.rows is not None:
            other.bind(*self.rows)
        other.put(self.state())
        return other

    def bind(self, rows: Array, products: Array | None = None) -> None:
        """From now on `row` steps with one of `rows` (V, F); `products` are W x of them, if these were kept."""
        self.rows = (rows, products)

    def row(self, index: int) -> Array:
        """The step with that row."""
        if self.rows is None:
            raise TypeError("rows are bound first")
        return self(self.rows[0][index])


class BoundStepper(Stepper):
    """The same by one call of a compiled kernel for each layer, whose memory was laid out beforehand."""

    def __init__(self, layers: Recurrent) -> None:
        self.phase = 0
        self._lay_out(layers, Step(_kernels(layers.layers[0])))
        super().__init__(layers)

    def bind(self, rows: Array, products: Array | None = None) -> None:
        super().bind(rows, products)
        first = _kernels(self.layers.layers[0])
        state = self.state()
        self._lay_out(
            self.layers, Step(first, None, rows if products is None else products, multiplied=products is not None)
        )
        self.put(state)

    def row(self, index: int) -> Array:
        self.steps[0].select(self.phase, index)
        return self.advance()

    def _lay_out(self, layers: Recurrent, first: Step) -> None:
        self.steps = [first]
        for layer in layers.layers[1:]:
            self.steps.append(Step(_kernels(layer), self.steps[-1]))
        self.calls: list[list[Callable[[], None]]] = [[step.calls[phase] for step in self.steps] for phase in range(2)]

    def put(self, state: State) -> None:
        for step, ((*parts,),) in zip(self.steps, state, strict=True):
            step.put(self.phase, parts)

    def state(self) -> State:
        return tuple((step.state(self.phase),) for step in self.steps)

    def __call__(self, x: Array) -> Array:
        self.steps[0].x[:] = x
        return self.advance()

    def advance(self) -> Array:
        """The step whose input is already in place."""
        phase = self.phase
        self.phase = 1 - phase
        for call in self.calls[phase]:
            call()
        return self.steps[-1].outputs[phase]


def take_rows(state: State, rows: npt.NDArray[np.int64]) -> State:
    """The rows (N,) of a state, in that order and as often as they are named."""
    return tuple(tuple(tuple(part[rows] for part in parts) for parts in layer) for layer in state)


def _kernels(layer: Layer) -> Kernels:
    kernels = layer.directions[0]
    if not isinstance(kernels, Kernels):
        raise TypeError("only compiled layers are bound")
    return kernels


def _direction(program: Program, sizes: Sizes, weights: Weights, engine: str) -> Kernels | Interpreter:
    named = {name: weights.take(name, *shape) for name, shape in program.parameters(sizes).items()}
    if engine != "numpy":
        try:
            return Kernels(program, sizes, named)
        except EngineError as error:
            if engine == "compiled":
                raise
            _tell_once(str(error))
    return Interpreter(program, sizes, named)


@lru_cache(maxsize=16)
def _tell_once(reason: str) -> None:
    _log.warning("the layers are run by NumPy, which is slower, because kernels cannot be compiled here: %s", reason)
