"""Where in the recurrent layers of a network numbers stop being finite: which gate of which layer at which step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from unrolled import engine
from unrolled.cell import Program
from unrolled.engine import Weights
from unrolled.layers.drawn import noise_at
from unrolled.layers.probe import Place, Visit, watching
from unrolled.layers.recurrent import Recurrent
from unrolled.layers.state import State

# Looking at every gate of a longer sequence would take more time and memory than the answer is worth.
_MOST_STEPS = 20_000


def blame(module: nn.Module, again: Callable[[], Tensor], backward: bool) -> str | None:
    """Words for the first gate or state that is not finite, or on the way back (`backward`) its gradient.

    `again` is the same forward pass, to the loss. None where the recurrent layers are not where it began.
    """
    return _first_gradient(module, again) if backward else _first_value(module, again)


def _first_value(module: nn.Module, again: Callable[[], Tensor]) -> str | None:
    if _longest(module, again) > _MOST_STEPS:
        return None
    with torch.no_grad(), watching(module, capture=True) as watch:
        again()
    for visit in watch.visits:
        if visit.x is not None and not torch.isfinite(visit.x).all():
            return None
        for number in range(len(visit.layer.stack)):
            for backwards in range(1 + visit.layer.bidirectional):
                found = _earliest(_captured(visit, number, backwards), reverse=bool(backwards))
                if found is not None:
                    place = Place(visit.network, number, bool(backwards))
                    return (
                        f"{_named(visit.layer.program, found[0])} of {place} at time step {found[1] + 1} is the first"
                    )
    return None


def _captured(visit: Visit, layer: int, direction: int) -> dict[str, Tensor]:
    """Gates first, because a step computes them first; values (B, T, H)."""
    assert visit.captures is not None  # noqa: S101  # they were asked for
    program = visit.layer.program
    names = [*(gate for gate in program.gates if gate not in program.state), *program.state]
    return {name: visit.captures[name][layer][direction] for name in names}


def _earliest(values: Mapping[str, Tensor], *, reverse: bool) -> tuple[str, int] | None:
    """The first step in the order of reading at which one of the values is not finite, and which."""
    bad = {name: (~torch.isfinite(value)).any(2).any(0) for name, value in values.items()}
    steps = torch.stack(list(bad.values())).any(0).nonzero()
    if not len(steps):
        return None
    step = int(steps.max() if reverse else steps.min())
    return next(name for name, at in bad.items() if at[step]), step


def _named(program: Program, name: str) -> str:
    return f"{'state' if name in program.state else 'gate'} {name}"


@dataclass(frozen=True)
class _Pass:
    """One direction of one layer: what was added to the gates' inputs, (B, T, G * H) zeros, and its outputs."""

    place: Place
    program: Program
    added: Tensor
    outputs: Tensor
    reverse: bool


def _first_gradient(module: nn.Module, again: Callable[[], Tensor]) -> str | None:
    if _longest(module, again) > _MOST_STEPS:
        return None
    passes: list[_Pass] = []
    with _instead(module, lambda place, *given, **more: _added(passes, place, *given, **more)):
        loss = again()
    wanted = [tensor for one in passes for tensor in (one.added, one.outputs)]
    found: Sequence[Tensor | None] = torch.autograd.grad(loss, wanted, allow_unused=True) if wanted else ()
    # the way back begins with what was computed last
    for number in reversed(range(len(passes))):
        one, added, outputs = passes[number], *found[2 * number : 2 * number + 2]
        place = None if added is None else _earliest({"": added}, reverse=not one.reverse)
        if place is None:
            continue
        step = place[1]
        if outputs is not None and not torch.isfinite(outputs[:, step]).all():
            return None  # it came from above
        gate = _gate(module, again, number, step)
        return f"the gradient of gate {gate} of {one.place} at time step {step + 1} is the first on the way back"
    return None


def _gate(module: nn.Module, again: Callable[[], Tensor], number: int, step: int) -> str:
    """Which gate of a pass has a gradient that is not finite at a step."""
    biases: list[Tensor] = []
    names: list[str] = []
    count = iter(range(number + 1))

    def scan(place: Place, program: Program, weights: Weights, *given: Any, **more: Any) -> tuple[Tensor, Any]:
        if next(count, None) != number:
            return engine.scan(program, weights, *given, **more)
        names[:] = program.gates
        bias = weights.W.new_zeros(len(weights.W)) if weights.b is None else weights.b.detach().clone()
        biases.append(bias.requires_grad_())
        return _split(step, replace(weights, b=biases[0]), program, weights, *given, **more)

    with _instead(module, scan):
        loss = again()
    (gradient,) = torch.autograd.grad(loss, biases)
    return next(
        name for name, part in zip(names, gradient.chunk(len(names)), strict=True) if not torch.isfinite(part).all()
    )


def _split(
    at: int, own: Weights, program: Program, weights: Weights, xs: Tensor | None, state: Any, *, steps: int | None,
    noise: Mapping[str, Tensor] | None, lengths: Tensor | None, reverse: bool, **more: Any,
) -> tuple[Tensor, Any]:  # fmt: skip
    """`engine.scan` with other weights at one step: a bias that is used there alone has the gradient of that step.

    A gradient by an input would mix the gates, because NaN times 0 is NaN.
    """
    count = steps if xs is None else xs.shape[1]
    parts = [part for part in (slice(0, at), slice(at, at + 1), slice(at + 1, count)) if part.start != part.stop]
    outputs: list[Tensor] = []
    for part in reversed(parts) if reverse else parts:
        size = part.stop - part.start
        ys, state = engine.scan(
            program, own if part.start == at else weights, None if xs is None else xs[:, part], state,
            steps=size if xs is None else None, noise=None if noise is None else noise_at(program, noise, part),
            lengths=None if lengths is None else (lengths - part.start).clamp(0, size), reverse=reverse, **more,
        )  # fmt: skip
        outputs.append(ys)
    return torch.cat(outputs[::-1] if reverse else outputs, 1), state


def _added(
    passes: list[_Pass], place: Place, program: Program, weights: Weights, xs: Tensor | None, state: Any, *,
    steps: int | None, reverse: bool, **more: Any,
) -> tuple[Tensor, Any]:  # fmt: skip
    """`engine.scan` with zeros added to the inputs of all gates, whose gradients are those of the gates' inputs."""
    W = weights.W
    shape = (len(state[0]), steps or 0 if xs is None else xs.shape[1])
    inputs = W.new_zeros(*shape, W.shape[1]) if xs is None else xs
    added = W.new_zeros(*shape, len(W), requires_grad=True)
    wider = replace(weights, W=torch.cat((W, torch.eye(len(W), dtype=W.dtype, device=W.device)), 1))
    outputs, after = engine.scan(
        program, wider, torch.cat((inputs, added), 2), state, steps=None, reverse=reverse, **more
    )
    passes.append(_Pass(place, program, added, outputs, reverse))
    return outputs, after


@contextmanager
def _instead(module: nn.Module, scan: Callable[..., tuple[Tensor, Any]]) -> Iterator[None]:
    """Directions of recurrent layers go along their sequences by `scan(place, ...)`."""
    layers = [(path, part) for path, part in module.named_modules() if isinstance(part, Recurrent)]
    try:
        for path, layer in layers:
            vars(layer)["through"] = _through(path, layer, scan)
        yield
    finally:
        for _, layer in layers:
            vars(layer).pop("through", None)


def _through(path: str, layer: Recurrent, scan: Callable[..., Any]) -> Callable[..., tuple[Tensor, State]]:
    def through(way: Any, x: Any, *arguments: Any, **given: Any) -> tuple[Tensor, State]:
        directions = 1 + layer.bidirectional
        places = iter([Place(path, i // directions, i % directions == 1) for i in range(directions * len(layer.stack))])
        x = x.dense() if isinstance(x, engine.Tokens) else x
        return Recurrent.through(layer, lambda *a, **k: scan(next(places), *a, **k), x, *arguments, **given)

    return through


def _longest(module: nn.Module, again: Callable[[], Tensor]) -> int:
    """Steps of the longest call of a recurrent layer."""
    with torch.no_grad(), watching(module) as watch:
        again()
    return max((visit.outputs.shape[1] for visit in watch.visits), default=0)
