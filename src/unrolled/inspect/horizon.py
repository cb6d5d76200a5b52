"""Memory horizon: how many steps back an input still changes what the network holds at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.inspect.arrays import Floats, Ints, Shown
from unrolled.inspect.gradient import log_spaced
from unrolled.layers import Recurrent
from unrolled.layers.lengths import as_lengths
from unrolled.layers.probe import Place

By = Literal["perturbation", "gradient"]

# A change that comes to less than this share of how much the outcome differs from sequence to sequence is none.
THRESHOLD = 0.01
_AT_ONCE = 512


@dataclass(frozen=True)
class Horizon(Shown):
    """What one input, `distances` (D,) steps before the end, still does to the last h of one layer and direction.

    `curve` (D,): the change, as a share of how much the last h differs between two sequences of the data; `units`
    (D, H) the same for each unit beside its own differences. `horizon`: the largest distance at which the curve reaches
    `threshold`, as it does over at least half of the steps from there to the end; -1 where it never does.
    `unit_horizons` (H,): likewise. `open_end`: the horizon is as far as was looked, so the memory reaches at least that
    far.
    """

    place: Place
    by: By
    distances: Ints
    curve: Floats
    units: Floats
    horizon: int
    unit_horizons: Ints
    threshold: float

    @property
    def open_end(self) -> bool:
        return self.horizon == int(self.distances[-1])

    @property
    def words(self) -> str:
        """The horizon for a reader."""
        if self.horizon < 0:
            return "none"
        steps = "step" if self.horizon == 1 else "steps"
        return f"at least {self.horizon} {steps}" if self.open_end else f"{self.horizon} {steps}"


def memory_horizon(
    layer: Recurrent,
    x: Tensor,
    lengths: Tensor | Sequence[int] | None = None,
    *,
    by: By = "perturbation",
    threshold: float = THRESHOLD,
    network: str = "",
    seed: int = 0,
) -> list[Horizon]:
    """The horizon of every layer and direction, from sequences x (B, T, F) of the user's data, B at least 2.

    - `perturbation`: the input of one step is replaced by another one drawn from x, and the layer is run again.
    - `gradient`: to first order, |dh/dx_t| times the spread of each feature of x.

    Distances are counted from where a direction ends: the last step forwards, the first step backwards. Raises
    ArgumentError for fewer than two sequences or steps.
    """
    batch, steps = int(x.shape[0]), int(x.shape[1])
    if batch < 2 or steps < 2:
        raise ArgumentError(
            f"a memory horizon needs two sequences of two steps or more, and x is {tuple(x.shape)}; give more data."
        )
    look = _Look(layer, x.detach(), as_lengths(lengths, batch, steps, x.device), seed)
    distances = np.array(log_spaced(int(look.lengths.max()) - 1, 16, 6))
    changes = look.perturbed(distances) if by == "perturbation" else look.differentiated(distances)
    found = []
    for i, (change, spread) in enumerate(zip(changes, look.spreads, strict=True)):
        directions = 1 + layer.bidirectional
        place = Place(network, i // directions, i % directions == 1)
        found.append(_horizon(place, by, distances, change, spread, threshold))
    return found


class _Look:
    """A layer in evaluation over sequences, and what its last states are without any change."""

    def __init__(self, layer: Recurrent, x: Tensor, lengths: Tensor, seed: int) -> None:
        self.layer, self.x, self.lengths = layer, x, lengths
        self.random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.last = self._last(x, lengths)
        # The difference between two sequences taken by chance has sqrt(2) times the deviation of one.
        self.spreads = [np.sqrt(2 * h.double().var(0, unbiased=True).cpu().numpy()) for h in self.last]

    def _last(self, x: Tensor, lengths: Tensor) -> list[Tensor]:
        """The first state of each layer and direction after the last step: [(B, H)]."""
        training = self.layer.training
        self.layer.eval()
        try:
            _, after = self.layer(x, lengths=lengths)
        finally:
            self.layer.train(training)
        return [direction[0] for layer in after for direction in layer]

    def _steps(self, distance: int, backward: bool) -> Tensor:
        return torch.full_like(self.lengths, distance) if backward else self.lengths - 1 - distance

    @torch.no_grad()
    def perturbed(self, distances: Ints) -> list[Floats]:
        """Mean squared changes (D, H) of each layer and direction."""
        found = [np.zeros((len(distances), h.shape[1])) for h in self.last]
        for backward in (False, True)[: 1 + self.layer.bidirectional]:
            whiches = [i for i in range(len(found)) if (i % (1 + self.layer.bidirectional) == 1) == backward]
            per = max(1, _AT_ONCE // len(self.x))
            for first in range(0, len(distances), per):
                part = distances[first : first + per]
                for k, squares in enumerate(self._changes(part, backward, whiches)):
                    found[whiches[k]][first : first + per] = squares
        return found

    def _changes(self, distances: Ints, backward: bool, whiches: Sequence[int]) -> list[Floats]:
        count, batch = len(distances), len(self.x)
        rows = torch.arange(batch)
        x = self.x.repeat(count, 1, 1).view(count, *self.x.shape)
        for k, distance in enumerate(distances.tolist()):
            long = self.lengths > distance
            x[k, rows[long], self._steps(distance, backward)[long]] = self._drawn(int(long.sum()))
        changed = self._last(x.flatten(0, 1), self.lengths.repeat(count))
        reached = torch.stack([self.lengths > d for d in distances.tolist()]).double()
        squares = []
        for i in whiches:
            change = (changed[i].view(count, batch, -1) - self.last[i]).double().pow(2)
            mean = (change * reached[..., None]).sum(1) / reached.sum(1).clamp(min=1)[:, None]
            squares.append(mean.cpu().numpy())
        return squares

    def _drawn(self, count: int) -> Tensor:
        """Inputs (N, F) of other steps, each real step of the data being equally likely."""
        pool = torch.arange(self.x.shape[1], device=self.x.device) < self.lengths[:, None]
        values = self.x[pool]
        return values[torch.randint(len(values), (count,), generator=self.random)]

    def differentiated(self, distances: Ints) -> list[Floats]:
        """The same to first order: sum_f (dh_u/dx_tf)^2 times the squared difference of two inputs in feature f."""
        pool = torch.arange(self.x.shape[1], device=self.x.device) < self.lengths[:, None]
        spread = 2 * self.x[pool].double().var(0, unbiased=True)
        with torch.enable_grad():
            x = self.x.clone().requires_grad_()
            last = self._last(x, self.lengths)
        found = []
        for i, h in enumerate(last):
            backward = self.layer.bidirectional and i % 2 == 1
            squares = np.zeros((len(distances), h.shape[1]))
            for unit in range(h.shape[1]):
                (gradient,) = torch.autograd.grad(h[:, unit].sum(), x, retain_graph=True)
                squares[:, unit] = self._at(gradient.double().pow(2) @ spread, distances, backward)
            found.append(squares)
        return found

    def _at(self, sizes: Tensor, distances: Ints, backward: bool) -> list[float]:
        """Means over rows of sizes (B, T) at each distance."""
        means = []
        for distance in distances.tolist():
            long = self.lengths > distance
            chosen = sizes[torch.arange(len(sizes))[long], self._steps(distance, backward)[long]]
            means.append(float(chosen.mean()))
        return means


def _horizon(place: Place, by: By, distances: Ints, squares: Floats, spread: Floats, threshold: float) -> Horizon:
    size = float(np.sqrt((spread**2).mean()))
    curve = np.sqrt(squares.mean(1)) / size if size > 0 else np.zeros(len(distances))
    # A unit that is the same for all sequences holds nothing, and rounding must not make a memory of it.
    alive = spread > 1e-6 * max(size, 1e-30)
    units = np.where(alive, np.sqrt(squares) / np.where(alive, spread, 1.0), 0.0)
    unit_horizons = np.array([_furthest(distances, units[:, u], threshold) for u in range(units.shape[1])])
    return Horizon(place, by, distances, curve, units, _furthest(distances, curve, threshold), unit_horizons, threshold)


def _furthest(distances: Ints, curve: Floats, threshold: float) -> int:
    """The largest distance that reaches the threshold, as do half of the steps from there to the end."""
    reached = curve >= threshold
    # The very first inputs move a state of zeros, and may decide for ever where a network goes that else forgets.
    sizes = np.diff(distances, prepend=distances[0] - 1)
    held = np.flatnonzero(reached & (2 * np.cumsum(sizes * reached) >= np.cumsum(sizes)))
    return int(distances[held[-1]]) if len(held) else -1


def compare_horizons(named: Mapping[str, Horizon]) -> list[str]:
    """Lines that say which of several networks remembers how far, the furthest first."""
    ordered = sorted(named.items(), key=lambda item: -item[1].horizon)
    wide = max(len(name) for name in named)
    lines = [f"{name:<{wide}}  looks back {horizon.words}" for name, horizon in ordered]
    (far, a), (near, b) = ordered[0], ordered[-1]
    if a.horizon > b.horizon:
        lines.append(f"{far} remembers further back than {near}: {a.words} against {b.words}.")
    elif len(ordered) > 1:
        lines.append("They remember equally far back, as far as this was looked at.")
    return lines


def shown(horizon: Horizon) -> dict[str, Any]:
    """The number with what it rests on, without the curves."""
    return {"place": str(horizon.place), "by": horizon.by, "horizon": horizon.horizon, "open_end": horizon.open_end}
