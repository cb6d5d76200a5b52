"""The recurrent layer: any cell, in depth and in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from unrolled.cell import Cell, Initial, Program, Sizes, trace
from unrolled.engine import MEMORIES, Capture, Tokens, Weights, ready_step, scan, step
from unrolled.errors import ArgumentError
from unrolled.layers import low_memory
from unrolled.layers.bound import BoundStep, ReadyStep
from unrolled.layers.captures import Captures
from unrolled.layers.direction import Call, Direction, Scan
from unrolled.layers.drawn import step_noise
from unrolled.layers.layer import Layer
from unrolled.layers.lengths import as_lengths
from unrolled.layers.regularisation import Regularisation, drop, regularised
from unrolled.layers.state import State, check_state, where_state


@dataclass(frozen=True)
class Structure:
    """How the layers of a `Recurrent` are put together.

    - `output_size`: width O of a cell with projection, one for all layers or one each; None is the hidden size.
    - `residual`: add a layer's input to its output wherever both are equally wide (Wu et al. 2016).
    - `learned_start`: the state before the first step is a parameter of each direction.
    """

    output_size: int | Sequence[int] | None = None
    residual: bool = False
    learned_start: bool = False


class Recurrent(nn.Module):
    """Layers of one cell over batches of sequences.

    `layer(x, state, lengths=lengths)` maps x (B, T, F) to outputs (B, T, D * O) and the state after the last step. D is
    2 if bidirectional, features of the forward direction first; O is the hidden size unless the cell projects.

    - `hidden_size`: one width for all layers, or a sequence with a width each that says how many layers there are.
    - `state`: a tuple over layers of a tuple over directions of named tuples of (B, size); None is `initial_state(B)`.
    - `lengths` (B,): past its length a row's state is frozen and its outputs are zero; in any order, 0 is allowed.
    - `capture`: a `Captures`, filled with states and gates at every step.
    - `memory`: "low" keeps the states at about sqrt(T) borders and computes the steps between them again on the way
      back: the same gradients in memory of about the square root of T, beside inputs, outputs and their gradients (and
      bidirectional, the outputs of the layers below). Where something is captured, everything is kept.
    - `x` may be `Tokens`, rows of a table of vectors, which is faster where the table has fewer rows than x has steps.
    - `x=None, steps=T`: runs without input, for as many rows as `state` or `lengths` have, else for one.

    Set `layer.engine` to choose an engine by name. Raises ArgumentError for sizes, shapes and types that do not fit.
    """

    def __init__(
        self,
        cell: Cell | Program,
        input_size: int,
        hidden_size: int | Sequence[int],
        *,
        layers: int = 1,
        bidirectional: bool = False,
        regularisation: Regularisation = Regularisation(),
        structure: Structure = Structure(),
        initial: Initial = Initial(),
        memory: str = "full",
    ) -> None:
        super().__init__()
        if memory not in MEMORIES:
            raise ArgumentError(f"memory is {memory!r}; give {' or '.join(MEMORIES)}.")
        self.program = regularised(cell if isinstance(cell, Program) else trace(cell), regularisation)
        self.input_size = input_size
        self.hidden_sizes = widths("hidden_size", hidden_size, layers)
        self.bidirectional = bidirectional
        self.regularisation = regularisation
        self.structure = structure
        self.engine = "auto"
        self.memory = memory
        self.layers = nn.ModuleList(self._build(initial))
        self.output_size = self.stack[-1].output_size
        if structure.residual and not any(layer.residual for layer in self.stack):
            raise ArgumentError(
                f"residual adds its input to a layer's output, but no layer of {self.extra_repr()} is as wide as that; "
                "make two neighbouring widths equal."
            )

    def _build(self, initial: Initial) -> Iterator[Layer]:
        structure, rates = self.structure, self.regularisation
        outputs = structure.output_size
        outputs = self.hidden_sizes if outputs is None else widths("output_size", outputs, len(self.hidden_sizes))
        width = self.input_size
        for i, (hidden, output) in enumerate(zip(self.hidden_sizes, outputs, strict=True)):
            directions = [
                Direction(
                    self.program,
                    Sizes(width, hidden, output),
                    initial,
                    learned_start=structure.learned_start,
                    weight_drop=rates.weight_drop,
                )
                for _ in range(2 if self.bidirectional else 1)
            ]
            layer = Layer(
                directions,
                norm=nn.LayerNorm(width) if rates.layer_norm and i else None,
                dropout=rates.dropout if i else 0.0,
                variational=rates.variational,
                residual=structure.residual and width == sum(d.output_size for d in directions),
            )
            width = layer.output_size
            yield layer

    @property
    def stack(self) -> tuple[Layer, ...]:
        """The layers, first to last."""
        return cast("tuple[Layer, ...]", tuple(self.layers._modules.values()))

    def forward(
        self,
        x: Tensor | Tokens | None,
        state: State | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        capture: Captures | None = None,
        steps: int | None = None,
    ) -> tuple[Tensor, State]:
        return self._taken(scan, x, state, lengths, capture, steps)

    def _taken(
        self,
        way: Scan,
        x: Tensor | Tokens | None,
        state: State | None,
        lengths: Any,
        capture: Captures | None,
        steps: int | None,
    ) -> tuple[Tensor, State]:
        """`through`, which `torch.compile` takes whole unless gates are to be captured."""
        if isinstance(x, Tokens) and not self._takes_tokens(way):
            x = x.dense()
        if torch.compiler.is_dynamo_compiling() and capture is None and not isinstance(x, Tokens):
            from unrolled.layers import untraced

            return untraced.forward(self, x, state, lengths, steps)
        return self.through(way, x, state, lengths=lengths, capture=capture, steps=steps)

    def step(
        self, x: Tensor | None, state: State | None = None, *, capture: Captures | None = None
    ) -> tuple[Tensor, State]:
        """One step: x (B, F) or None -> output (B, O), state; folded over a sequence it equals the whole call.

        Raises ArgumentError if the layer is bidirectional.
        """
        if self.bidirectional:
            raise ArgumentError(
                "a bidirectional layer cannot go step by step, because one direction starts at the sequence's end; "
                "call it on whole sequences or build it with bidirectional=False."
            )
        if x is not None and x.dim() != 2:
            raise ArgumentError(f"step was given x of shape {tuple(x.shape)}, but it needs (B, {self.input_size}).")
        if x is not None and state is not None and capture is None and not torch.compiler.is_dynamo_compiling():
            known = self._ready_step(x, state)
            if known is not None:
                return known[:2]
        xs = None if x is None else x[:, None]
        outputs, state = self._taken(one_step, xs, state, None, capture, 1 if x is None else None)
        return outputs[:, 0], state

    def bound_step(self, x: Tensor, state: State) -> BoundStep | None:
        """`step` for many calls like an earlier one, looked up once; None where there is more to do than the cells.

        Without gradients and in evaluation alone, for streams.
        """
        found = None if self.training or self.bidirectional else self._ready_step(x, state)
        return None if found is None else BoundStep(self, found[2])

    def _ready_step(self, x: Tensor, state: State) -> tuple[Tensor, State, list[ReadyStep]] | None:
        """A step by what earlier ones laid out, without their checks; None where there is more to do than the cells."""
        changes = self.training and self.regularisation != Regularisation()
        if changes or self.engine != "auto" or len(state) != len(self.hidden_sizes):
            return None
        after, steps = [], []
        for layer, start in zip(self.stack, state, strict=True):
            own = layer.forwards
            if layer.norm is not None or layer.residual or len(start) != 1:
                return None
            known = ready_step(own.program, own.weights(), x, start[0])
            if known is None:
                return None
            x, last = known(x, start[0])
            after.append((last,))
            steps.append(known)
        return x, tuple(after), steps

    def through(
        self,
        way: Scan,
        x: Tensor | Tokens | None,
        state: State | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        capture: Captures | None = None,
        steps: int | None = None,
    ) -> tuple[Tensor, State]:
        """`forward`, with another way to take a direction along its sequence than `engine.scan`."""
        batch, steps = self._extent(x, state, lengths, steps)
        rates, device = self.regularisation, self.stack[0].forwards.W.device
        state = self.initial_state(batch) if state is None else check_state(state, self.program, self._sizes, batch)
        ends = None if lengths is None else as_lengths(lengths, batch, steps, device)
        captures = Captures() if capture is None else capture
        if not isinstance(captures, Captures):
            raise ArgumentError(
                "a Capture holds one direction of one layer; give a layer Captures(...) with the same names."
            )
        captures.begin()
        # what is captured is kept for every step anyway
        low = self.memory == "low" and way is scan and not captures.names and batch > 0 and steps > 1
        if low and not self.bidirectional:
            inputs = x.dense() if isinstance(x, Tokens) else x
            return low_memory.through(self, inputs, state, ends, batch, steps)
        call = Call(low_memory.by_direction if low else way, self.engine, steps, ends)
        outputs, after = self._drop(x, rates.input_dropout), []
        for layer, start in zip(self.stack, state, strict=True):
            drawn = layer.draw(batch, steps, packed=low)
            outputs, last = layer.run(call, drawn, outputs, start, captures.layer(len(layer.directions)))
            after.append(last)
        return self._drop(outputs, rates.output_dropout), tuple(after)

    def _takes_tokens(self, way: Scan) -> bool:
        """Whether nothing but the cells of the first layer, in the engine itself, reads the input."""
        drops = self.training and self.regularisation.input_dropout
        return way is scan and not drops and not self.stack[0].residual and not torch.compiler.is_dynamo_compiling()

    def _drop(self, x: Any, rate: float) -> Any:
        return x if x is None else drop(x, rate, variational=self.regularisation.variational, training=self.training)

    def _extent(
        self, x: Tensor | Tokens | None, state: State | None, lengths: Any, steps: int | None
    ) -> tuple[int, int]:
        """Rows and steps of a call; ArgumentError where the arguments do not settle them."""
        if x is None:
            if steps is None or steps < 0:
                raise ArgumentError(f"x is None and steps is {steps}; give x, or how many steps to run without input.")
            known = lengths if state is None else state[0][0][0]
            return 1 if known is None else len(known), steps
        if x.dim() != 3 or x.shape[2] != self.input_size or steps not in (None, x.shape[1]):
            asked = "" if steps is None else f" with steps={steps}"
            raise ArgumentError(
                f"x of shape {tuple(x.shape)} was given{asked}, but the layer needs (B, T, {self.input_size})."
            )
        first = self.stack[0].forwards.W
        if x.dtype != first.dtype and not torch.is_autocast_enabled(x.device.type):
            raise ArgumentError(
                f"x is {x.dtype} and the layer {first.dtype}; convert one of them, as in x.to({first.dtype})."
            )
        return x.shape[0], x.shape[1]

    @property
    def _sizes(self) -> list[list[Sizes]]:
        return [[direction.sizes for direction in layer.directions] for layer in self.stack]

    def initial_state(self, batch: int) -> State:
        """The state before the first step for `batch` rows: learned where that was asked for, else the cell's own."""
        return tuple(tuple(d.initial_state(batch) for d in layer.directions) for layer in self.stack)

    def restart(self, state: State, fresh: Tensor) -> State:
        """The state with the rows (B,) that `fresh` marks set to the initial one, as at the start of a new document."""
        return where_state(fresh, self.initial_state(len(fresh)), state)

    def extra_repr(self) -> str:
        sizes = " -> ".join(str(width) for width in (self.input_size, *self.hidden_sizes))
        said = [self.program.name, sizes]
        said += ["bidirectional"] if self.bidirectional else []
        said += [str(self.regularisation)] if str(self.regularisation) else []
        said += ["learned start"] if self.structure.learned_start else []
        return ", ".join(said)


def widths(name: str, given: int | Sequence[int], layers: int) -> tuple[int, ...]:
    """One width a layer; ArgumentError if a sequence does not have as many as there are layers."""
    if isinstance(given, int):
        given = (given,) * layers
    if not given or (layers not in (1, len(given))):
        raise ArgumentError(
            f"{name} has {len(given)} widths for {layers} layers; give one number or one for each layer."
        )
    return tuple(given)


def one_step(
    program: Program,
    weights: Weights,
    xs: Tensor | None,
    state: Any,
    *,
    noise: Mapping[str, Tensor] | None,
    capture: Capture | None,
    engine: str,
    **options: Any,
) -> tuple[Tensor, Any]:
    """`engine.step` with the signature of `engine.scan`, for sequences of one step."""
    x = None if xs is None else xs[:, 0]
    y, state = step(program, weights, x, state, noise=step_noise(program, noise, 0), capture=capture, engine=engine)
    return y[:, None], state
