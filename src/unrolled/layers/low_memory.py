"""A stack of layers read in segments: what lies between their borders is computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from unrolled.engine import Job, in_segments, scan
from unrolled.layers.direction import Call
from unrolled.layers.drawn import Drawn, draw_mask, mask_at, masked
from unrolled.layers.state import State

if TYPE_CHECKING:
    from unrolled.layers.layer import Layer
    from unrolled.layers.recurrent import Recurrent

Tensors = tuple[Tensor, ...]

# A bidirectional layer needs the whole of the one below it, so there each direction has segments of its own.
by_direction = partial(scan, memory="low")


def through(
    layer: Recurrent, x: Tensor | None, state: State, lengths: Tensor | None, batch: int, steps: int
) -> tuple[Tensor, State]:
    """`Recurrent.through` for one direction: exact gradients in memory of about the square root of the length.

    Chance is drawn in the order in which a pass that keeps everything draws it, so the same seed gives the same masks.
    """
    rates, like = layer.regularisation, layer.stack[0].forwards.W
    draw = partial(draw_mask, batch, steps, like=like, variational=rates.variational, packed=True)
    given = rates.input_dropout if layer.training and x is not None else 0.0
    before = draw(layer.input_size, given)
    drawn = [_with_norm(one, one.draw(batch, steps, packed=True)) for one in layer.stack]
    after = draw(layer.output_size, rates.output_dropout if layer.training else 0.0)
    program, width = layer.program, len(layer.program.state)

    def parted(values: Tensors) -> Iterator[Any]:
        return (program.state_type(*values[i : i + width]) for i in range(0, len(values), width))

    def run(part: slice, xs: Tensor | None, start: Tensors, values: Tensors) -> tuple[Tensor, Tensors]:
        size, rest = part.stop - part.start, iter(values)
        call = Call(scan, layer.engine, size, None if lengths is None else (lengths - part.start).clamp(0, size))
        outputs: Any = xs if xs is None else masked(xs, mask_at(before, part))
        last: list[Tensor] = []
        for one, own, here in zip(layer.stack, drawn, parted(start), strict=True):
            outputs, (reached,) = one.run(call, own.at(program, part).filled(rest), outputs, (here,), (None,))
            last += reached
        return masked(outputs, mask_at(after, part)), tuple(last)

    flat = tuple(value for (only,) in state for value in only)
    values = tuple(tensor for own in drawn for tensor in own.tensors())
    outputs, last = in_segments(Job(run, steps, layer.output_size, len(flat)), x, flat, values)
    return outputs, tuple((one,) for one in parted(last))


def _with_norm(one: Layer, drawn: Drawn) -> Drawn:
    """Parameters of the normalisation by name, so that a second pass computes with the same ones."""
    return drawn if one.norm is None else replace(drawn, norm=dict(one.norm.named_parameters()))
