"""What passes through the recurrent layers of a network while it runs, watched from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from unrolled import engine
from unrolled.cell import Program
from unrolled.engine import Tokens, Weights
from unrolled.layers.captures import Captures
from unrolled.layers.direction import Scan
from unrolled.layers.recurrent import Recurrent
from unrolled.layers.state import State

# From the steps of a sequence and the direction of reading to the steps after which the state is kept.
Marks = Callable[[int, bool], Sequence[int]]


@dataclass(frozen=True)
class Place:
    """Where in a network: the path of the `Recurrent` module, the layer of its stack, the direction."""

    network: str
    layer: int
    backward: bool = False

    def __str__(self) -> str:
        said = [self.network] if self.network not in ("", "recurrent") else []
        said.append(f"layer {self.layer + 1}")
        return " ".join([*said, "backward"] if self.backward else said)


@dataclass(frozen=True)
class Passage:
    """One direction of one layer over a batch: what it read, xs (B, T, F), and its states after the steps `marks`.

    `states` are named tuples of (B, size), in the order of reading. They are what a step hands on: to the next step
    and, where a state is the output, to the outside.
    """

    place: Place
    program: Program
    weights: Weights
    xs: Tensor
    start: Any
    lengths: Tensor | None
    reverse: bool
    marks: tuple[int, ...] = ()
    states: tuple[Any, ...] = ()

    @property
    def steps(self) -> int:
        return int(self.xs.shape[1])

    @property
    def ends(self) -> Tensor:
        """Steps of each row, (B,)."""
        return torch.full((len(self.xs),), self.steps) if self.lengths is None else self.lengths.cpu()

    def distances(self, mark: int) -> Tensor:
        """Steps from `mark` to each row's last one in the order of reading, (B,); negative past its length."""
        ends = self.ends
        return torch.where(mark < ends, torch.full_like(ends, mark), -1) if self.reverse else ends - 1 - mark

    def detached(self, dtype: torch.dtype | None = None, rows: int | None = None) -> Passage:
        """The same numbers without the graph, of the first `rows`, in another precision, not yet run."""

        def cut(tensor: Tensor) -> Tensor:
            return tensor.detach().to(dtype or tensor.dtype)

        named = {name: cut(value) for name, value in self.weights.as_dict().items()}
        return replace(
            self,
            weights=Weights.from_dict(named),
            xs=cut(self.xs[:rows]),
            start=self.program.state_type(*(cut(value[:rows]) for value in self.start)),
            lengths=None if self.lengths is None else self.lengths[:rows],
            marks=(),
            states=(),
        )

    def again(self, marks: Marks, name: str = "auto") -> Passage:
        """Read once more, in evaluation, keeping the states after other steps."""
        found: list[Passage] = []
        scan = _marked(self.place, marks, found)
        scan(
            self.program, self.weights, self.xs, self.start, steps=self.steps, noise=None, lengths=self.lengths,
            reverse=self.reverse, capture=None, engine=name,
        )  # fmt: skip
        return found[0]


@dataclass(frozen=True)
class Visit:
    """One call of a `Recurrent`: what it was given and what it returned; `captures` where they were asked for."""

    network: str
    layer: Recurrent
    x: Tensor | None
    start: State | None
    lengths: Tensor | None
    outputs: Tensor
    after: State
    captures: Captures | None


@dataclass
class Watch:
    """What was seen so far, in the order in which it happened."""

    visits: list[Visit] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)


def every_step(steps: int, reverse: bool) -> Sequence[int]:
    """Keep the state after every step."""
    return range(steps)


@contextmanager
def watching(
    module: nn.Module, *, marks: Marks | None = None, capture: bool = False, training: bool = False
) -> Iterator[Watch]:
    """Watch every `Recurrent` in `module` for as long as the context lasts; outputs and gradients stay what they are.

    `marks`: states after these steps are kept, as tensors of the graph. `capture`: all states and gates at every step.
    `training`: only what runs with gradients is watched, and the kept states keep theirs in `grad`.
    """
    watch = Watch()
    layers = [(path, part) for path, part in module.named_modules() if isinstance(part, Recurrent)]
    try:
        for path, layer in layers:
            # An attribute of the instance hides the method of its class.
            vars(layer)["through"] = _through(path, layer, watch, marks, keep=capture, training=training)
        yield watch
    finally:
        for _, layer in layers:
            vars(layer).pop("through", None)


def _through(
    path: str, layer: Recurrent, watch: Watch, marks: Marks | None, *, keep: bool, training: bool
) -> Callable[..., tuple[Tensor, State]]:
    names = tuple(dict.fromkeys((*layer.program.state, *layer.program.gates)))

    def through(
        scan: Scan, x: Tensor | Tokens | None, state: State | None = None, *, lengths: Any = None,
        capture: Captures | None = None, steps: int | None = None,
    ) -> tuple[Tensor, State]:  # fmt: skip
        if training and not torch.is_grad_enabled():
            return Recurrent.through(layer, scan, x, state, lengths=lengths, capture=capture, steps=steps)
        captures = Captures(*names) if keep else capture
        x = x.dense() if isinstance(x, Tokens) else x
        seen = len(watch.passages)
        way = scan if marks is None else _numbered(path, layer, marks, watch)
        outputs, after = Recurrent.through(layer, way, x, state, lengths=lengths, capture=captures, steps=steps)
        for passage in watch.passages[seen:] if training else ():
            for tensor in (tensor for kept in passage.states for tensor in kept):
                tensor.retain_grad()
        ends = None if lengths is None else torch.as_tensor(lengths)
        watch.visits.append(Visit(path, layer, x, state, ends, outputs, after, captures))
        return outputs, after

    return through


def _numbered(path: str, layer: Recurrent, marks: Marks, watch: Watch) -> Scan:
    """A way through all directions of all layers, one after the other, each of which knows its place."""
    directions = 1 + layer.bidirectional
    places = iter([Place(path, i // directions, i % directions == 1) for i in range(directions * len(layer.stack))])

    def scan(*arguments: Any, **options: Any) -> tuple[Tensor, Any]:
        return _marked(next(places), marks, watch.passages)(*arguments, **options)

    return scan


def _marked(place: Place, marks: Marks, found: list[Passage]) -> Scan:
    """`engine.scan` in pieces that end where a state is to be kept."""

    def scan(
        program: Program, weights: Weights, xs: Tensor | None, state: Any, *, steps: int | None,
        noise: Mapping[str, Tensor] | None, lengths: Tensor | None, reverse: bool, capture: Any, engine: str,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        count = int(xs.shape[1]) if xs is not None else steps or 0
        if count == 0:
            return _whole(program, weights, xs, state, steps, noise, lengths, reverse, engine)
        start, outputs, kept, states = state, [], [], []
        pieces = _pieces(count, marks(count, reverse), reverse)
        for first, last in pieces:
            part = slice(first, last)
            inside = None if lengths is None else (lengths - first).clamp(0, last - first)
            ys, state = _whole(
                program, weights, None if xs is None else xs[:, part], state, last - first, _at(program, noise, part),
                inside, reverse, engine,
            )  # fmt: skip
            state = program.state_type(*map(_own, state))
            mark = first if reverse else last - 1
            outputs.append(_joined(program, ys, state, None if lengths is None else mark < lengths, reverse))
            kept.append(mark)
            states.append(state)
        inputs = weights.W.new_zeros(len(start[0]), count, weights.W.shape[1]) if xs is None else xs
        found.append(Passage(place, program, weights, inputs, start, lengths, reverse, tuple(kept), tuple(states)))
        return torch.cat(outputs[::-1] if reverse else outputs, 1), state

    return scan


def _whole(
    program: Program, weights: Weights, xs: Tensor | None, state: Any, steps: int | None,
    noise: Mapping[str, Tensor] | None, lengths: Tensor | None, reverse: bool, name: str,
) -> tuple[Tensor, Any]:  # fmt: skip
    steps = steps if xs is None else None
    return engine.scan(
        program, weights, xs, state, steps=steps, noise=noise, lengths=lengths, reverse=reverse, engine=name
    )


def _pieces(steps: int, marks: Sequence[int], reverse: bool) -> list[tuple[int, int]]:
    """Stretches [first, last) in the order of reading, each of which ends with a mark; the last ends the sequence."""
    inside = {m for m in marks if 0 <= m < steps}
    if reverse:
        firsts = sorted(inside | {0})
        return list(zip(firsts, [*firsts[1:], steps], strict=True))[::-1]
    lasts = sorted({m + 1 for m in inside} | {steps})
    return list(zip([0, *lasts[:-1]], lasts, strict=True))


def _at(program: Program, noise: Mapping[str, Tensor] | None, part: slice) -> dict[str, Tensor] | None:
    if noise is None:
        return None
    return {name: n[:, part] if program.noise[name].frequency == "step" else n for name, n in noise.items()}


def _own(value: Tensor) -> Tensor:
    """A tensor of its own in the graph, so that its gradient is that of what is handed on."""
    if not torch.is_grad_enabled():
        return value
    return value.view_as(value) if value.requires_grad else value.detach().requires_grad_()


def _joined(program: Program, ys: Tensor, state: Any, alive: Tensor | None, reverse: bool) -> Tensor:
    """The outputs of a piece, whose last one is the state itself where the cell puts a state out."""
    if program.output not in program.next:
        return ys
    last = state[program.next.index(program.output)]
    last = (last if alive is None else last.where(alive[:, None], 0))[:, None]
    return torch.cat((last, ys[:, 1:]) if reverse else (ys[:, :-1], last), 1)
