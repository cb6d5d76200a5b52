"""Back-propagation through time over windows that may overlap (Williams and Peng 1990)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.layers.lengths import as_lengths
from unrolled.layers.recurrent import Recurrent
from unrolled.layers.state import State, map_state


@dataclass(frozen=True)
class TimeWindow:
    """What one window adds: `outputs` (B, n, D * O) of the steps `steps`, and the state after the last of them."""

    outputs: Tensor
    steps: slice
    state: State


def truncated(
    layer: Recurrent,
    x: Tensor,
    state: State | None = None,
    *,
    window: int,
    stride: int | None = None,
    lengths: Tensor | Sequence[int] | None = None,
) -> Iterator[TimeWindow]:
    """Read x (B, T, F) in windows of `window` steps that advance by `stride`; gradients end where a window begins.

    Every step is in the `outputs` of one window exactly: the first gives all its steps, each later one its last
    `stride`, from which the gradient goes back over at least `window` - `stride` + 1 steps, and over `window` at most.
    By default windows do not overlap. Compute a loss of `outputs`, go back and update before asking for the next.

        for part in truncated(layer, x, window=200, stride=50):
            loss(part.outputs, y[:, part.steps]).backward()
            optimiser.step(); optimiser.zero_grad()

    Raises ArgumentError for a bidirectional layer, and unless 1 <= `stride` <= `window`.
    """
    stride = window if stride is None else stride
    if not 1 <= stride <= window:
        raise ArgumentError(f"windows of {window} steps advance by {stride}; give a stride from 1 to {window}.")
    if layer.bidirectional:
        raise ArgumentError(
            "a bidirectional layer cannot be read in windows, because one direction starts at the sequence's end; "
            "build it with bidirectional=False, or give it memory='low'."
        )
    batch, total = x.shape[:2]
    ends = as_lengths(lengths, batch, total, x.device)
    return _windows(layer, x, state, window, stride, None if lengths is None else ends)


def _windows(
    layer: Recurrent, x: Tensor, state: State | None, window: int, stride: int, ends: Tensor | None
) -> Iterator[TimeWindow]:
    def read(part: slice, start: State | None) -> tuple[Tensor, State]:
        size = part.stop - part.start
        found: tuple[Tensor, State] = layer(
            x[:, part], start, lengths=None if ends is None else (ends - part.start).clamp(0, size)
        )
        return found

    total = x.shape[1]
    for first in range(0, max(1, total - window + stride), stride):
        last = min(first + window, total)
        middle = min(first + stride, last)
        outputs, state = read(slice(first, middle), state)
        after = state
        if middle < last:
            more, after = read(slice(middle, last), state)
            outputs = torch.cat((outputs, more), 1)
        steps = slice(first + window - stride if first else 0, last)
        yield TimeWindow(outputs[:, steps.start - first :], steps, after)
        state = map_state(Tensor.detach, state)
