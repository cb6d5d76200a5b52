"""The gradient through time: how much of it is left so many steps before the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.cell.initial import keeping_gates
from unrolled.errors import ArgumentError
from unrolled.inspect.arrays import Floats, Ints, Shown
from unrolled.inspect.verdict import Verdict, judge
from unrolled.layers.probe import Marks, Passage, Place, every_step, watching

# With this many outputs or fewer the Jacobian of the whole way is taken row by row, else by random vectors.
_EXACT = 32
_PROBES = 16


@dataclass(frozen=True)
class TimeGradient(Shown):
    """Sizes against the distance from the loss, in one direction of one layer.

    - `distances` (D,): steps between the state and the last one, in the order of reading.
    - `loss`: for each state s, the root mean square over rows of ||dL/ds_t||; empty without a loss.
    - `chain`: for each state s, that of ||dh_T/ds_t||_F / sqrt(O), h being the first state: how much of a small random
      change at step t is left, or what has become of it, at the last step.
    - `rows` (D,): sequences long enough to have this distance.

    What is differentiated is what a step hands on, to the next step and, where it is the output, to the outside.
    """

    place: Place
    cell: str
    gated: bool
    distances: Ints
    loss: Mapping[str, Floats]
    chain: Mapping[str, Floats]
    rows: Ints

    @property
    def reach(self) -> Floats:
        """The sizes of `chain` of all states together: sqrt(sum_s ||dh_T/ds_t||_F^2 / O), (D,)."""
        found: Floats = np.sqrt(np.sum([size**2 for size in self.chain.values()], 0))
        return found

    @property
    def verdict(self) -> Verdict:
        """Whether the gradient vanishes, explodes or stays, from which step on, and what to try."""
        return judge(self.distances, self.reach, gated=self.gated, first=1.0)


def spaced(steps: int, reverse: bool) -> Sequence[int]:
    """Marks at the distances 0, 1, ..., 16 and then each a sixth further, for long sequences."""
    distances = log_spaced(steps - 1, 16, 6)
    return [d if reverse else steps - 1 - d for d in distances]


def log_spaced(last: int, dense: int, per: int) -> list[int]:
    """0, 1, ..., `dense`, then each 1 / `per` further than the one before, up to `last`."""
    found = list(range(min(dense, last) + 1))
    while found[-1] < last:
        found.append(min(last, found[-1] + max(1, found[-1] // per)))
    return found


def gradient_through_time(
    module: nn.Module, loss: Callable[[], Tensor], *, marks: Marks = every_step, probes: int | None = None
) -> list[TimeGradient]:
    """dL/ds_t and dh_T/ds_t for every layer and direction of every `Recurrent` in `module`.

    `loss()` runs the module on the user's data and returns a scalar. `marks` chooses the steps to look at, by default
    all. `probes`: random vectors that dh_T/ds_t is estimated with; 0 asks for the exact Jacobian, None takes it where h
    is at most 32 wide. Raises ArgumentError where the module has no recurrent layer or the loss does not depend on it.
    """
    with watching(module, marks=marks) as watch, torch.enable_grad():
        value = loss()
    if not watch.passages:
        raise ArgumentError(f"{type(module).__name__} ran through no recurrent layer; give a module that has one.")
    if value.numel() != 1 or not value.requires_grad:
        raise ArgumentError("the loss must be one number that depends on the module's weights; return it undetached.")
    states = [tensor for passage in watch.passages for state in passage.states for tensor in state]
    found: tuple[Tensor | None, ...] = torch.autograd.grad(value.sum(), states, allow_unused=True)
    parts = iter(torch.zeros_like(s) if g is None else g for g, s in zip(found, states, strict=True))
    return [
        measured(passage, [[next(parts) for _ in state] for state in passage.states], probes=probes, marks=marks)
        for passage in watch.passages
    ]


def measured(
    passage: Passage,
    gradients: Sequence[Sequence[Tensor]],
    *,
    probes: int | None,
    marks: Marks,
    rows: int | None = None,
) -> TimeGradient:
    """The sizes of one passage, or of its first rows; `gradients` are dL/ds_t for each mark and state."""
    names = tuple(passage.program.state)
    squares = [[g[:rows].double().pow(2).sum(1).cpu() for g in state] for state in gradients]
    _, losses, _ = by_distance(passage, names, squares)
    again, squares = chain_squares(passage.detached(rows=rows), marks, probes)
    distances, chain, counts = by_distance(again, names, squares)
    gated = bool(keeping_gates(passage.program))
    return TimeGradient(passage.place, passage.program.name, gated, distances, losses, chain, counts)


def chain_squares(passage: Passage, marks: Marks, probes: int | None) -> tuple[Passage, list[list[Tensor]]]:
    """For each mark and state, ||dh_T/ds_t||_F^2 / O of each row (B,), float64; with the passage that was run."""
    with torch.enable_grad():
        seen = passage.again(marks)
        ended = seen.states[-1][0]
    width = int(ended.shape[1])
    exact = probes == 0 or (probes is None and width <= _EXACT)
    count = width if exact else probes or _PROBES
    states = [tensor for state in seen.states for tensor in state]
    total = [torch.zeros(len(ended), dtype=torch.float64) for _ in states]
    random = torch.Generator().manual_seed(0)
    for k in range(count):
        seed = _unit(ended, k) if exact else _signs(ended, random)
        found = torch.autograd.grad(ended, states, seed, retain_graph=k + 1 < count, allow_unused=True)
        for place, gradient in enumerate(found):
            if gradient is not None:
                total[place] += gradient.double().pow(2).sum(1).cpu()
    # E ||J^T v||^2 = ||J||_F^2 for random signs v, and the sum over unit vectors is ||J||_F^2 itself.
    scale = 1 / width if exact else 1 / (width * count)
    parts = iter(scale * t for t in total)
    return seen, [[next(parts) for _ in state] for state in seen.states]


def _unit(like: Tensor, place: int) -> Tensor:
    seed = torch.zeros_like(like)
    seed[:, place] = 1
    return seed


def _signs(like: Tensor, random: torch.Generator) -> Tensor:
    return (2 * torch.randint(2, like.shape, generator=random) - 1).to(like)


def by_distance(
    passage: Passage, names: Iterable[str], squares: Sequence[Sequence[Tensor]]
) -> tuple[Ints, dict[str, Floats], Ints]:
    """Root mean square over rows for each distance from a row's own last step: distances, sizes by state, rows."""
    rows = len(squares[0][0])
    steps = torch.stack([passage.distances(mark)[:rows] for mark in passage.marks]).flatten().numpy()
    inside = steps >= 0
    distances, place = np.unique(steps[inside], return_inverse=True)
    counts = np.bincount(place, minlength=len(distances))
    sizes = {}
    for i, name in enumerate(names):
        values = torch.stack([state[i] for state in squares]).flatten().numpy()[inside]
        sizes[name] = np.sqrt(np.bincount(place, values, minlength=len(distances)) / np.maximum(counts, 1))
    return distances.astype(np.int64), sizes, counts.astype(np.int64)
