"""Every hidden unit, state and gate over each step of one input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from unrolled.errors import ArgumentError
from unrolled.inspect.arrays import Floats, Shown
from unrolled.layers.probe import Place, Visit, watching

Kind = Literal["state", "gate"]


@dataclass(frozen=True)
class Unit(Shown):
    """One unit of one trace: where it is, the name of its state or gate, its number from 0."""

    place: Place
    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.place} {self.name}[{self.number}]"


@dataclass(frozen=True)
class Trace(Shown):
    """The values (T, H) of one state or gate of one layer and direction; a gate's are those after its function."""

    place: Place
    name: str
    kind: Kind
    values: npt.NDArray[np.float32]
    squashed: bool = False
    """Whether a sigmoid makes it, so that it lies between 0 and 1."""

    def __str__(self) -> str:
        return f"{self.place} {self.name}"


@dataclass(frozen=True)
class States(Shown):
    """All traces of one input of T steps; `labels` (T,) are the steps as they are shown: characters, words, times.

    Where a network reads in several places (an encoder and a decoder), each has `States` of its own.
    """

    network: str
    labels: tuple[str, ...]
    traces: tuple[Trace, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def trace(self, name: str = "h", layer: int = -1, backward: bool = False) -> Trace:
        """One trace by its name and layer, by default of the last layer; raises ArgumentError where there is none."""
        layers = 1 + max(t.place.layer for t in self.traces)
        wanted = (name, range(layers)[layer] if -layers <= layer < layers else None, backward)
        for trace in self.traces:
            if (trace.name, trace.place.layer, trace.place.backward) == wanted:
                return trace
        there = ", ".join(dict.fromkeys(t.name for t in self.traces))
        raise ArgumentError(f"there is no {name!r} in layer {layer} of {layers}; choose one of {there}.")

    def values(self, unit: Unit) -> npt.NDArray[np.float32]:
        """The activity (T,) of one unit."""
        for trace in self.traces:
            if (trace.place, trace.name) == (unit.place, unit.name):
                return trace.values[:, unit.number]
        raise ArgumentError(f"there is no {unit} in these states; take a unit that was found in the same network.")

    def stacked(self, kind: Kind = "state") -> tuple[Floats, list[Unit]]:
        """All units of a kind side by side, (T, N), and which they are."""
        chosen = [t for t in self.traces if t.kind == kind]
        units = [Unit(t.place, t.name, k) for t in chosen for k in range(t.values.shape[1])]
        return np.concatenate([t.values for t in chosen], 1).astype(np.float64), units


def record(
    module: nn.Module, run: Callable[[], object], labels: Mapping[str, Sequence[str]] | None = None, *, row: int = 0
) -> list[States]:
    """What happens in every `Recurrent` of `module` while `run()` reads one input; one `States` for each call of one.

    `labels`: the steps by the path of the network; where they do not fit the steps read, these are numbered. Raises
    ArgumentError where nothing recurrent runs.
    """
    training = module.training
    module.eval()
    try:
        with watching(module, capture=True) as watch, torch.no_grad():
            run()
    finally:
        module.train(training)
    if not watch.visits:
        raise ArgumentError(f"{type(module).__name__} ran through no recurrent layer; give a module that has one.")
    return [_states(visit, dict(labels or {}), row) for visit in watch.visits]


def _states(visit: Visit, labels: dict[str, Sequence[str]], row: int) -> States:
    steps = int(visit.outputs.shape[1]) if visit.lengths is None else int(visit.lengths[row])
    given = labels.get(visit.network, ())
    named = tuple(given) if len(given) == steps else tuple(str(t + 1) for t in range(steps))
    return States(visit.network, named, tuple(_traces(visit, row, steps)))


def _traces(visit: Visit, row: int, steps: int) -> list[Trace]:
    program, captures = visit.layer.program, visit.captures
    found: list[Trace] = []
    if captures is None:
        return found
    for layer, part in enumerate(visit.layer.stack):
        for name in captures.names:
            for d in range(len(part.directions)):
                values = captures[name][layer][d][row, :steps].float().cpu().numpy()
                # A state named like a gate comes before it.
                kind: Kind = "state" if name in program.state else "gate"
                node = program.gate_values.get(name, -1) if kind == "gate" else -1
                squashed = node >= 0 and program.nodes[node].operation == "sigmoid"
                found.append(Trace(Place(visit.network, layer, d == 1), name, kind, values, squashed))
    return found


@dataclass(frozen=True)
class Path(Shown):
    """The path of one state in two dimensions: `points` (T, 2), the share of the variance that each explains (2,).

    points = (h - mean) axes^T, with the principal axes (2, H) in rows (Pearson 1901).
    """

    place: Place
    name: str
    points: Floats
    explained: Floats
    axes: Floats
    mean: Floats

    def project(self, values: npt.NDArray[np.floating]) -> Floats:
        """States (N, H) of another input in the same plane."""
        found: Floats = (values - self.mean) @ self.axes.T
        return found


def path(trace: Trace) -> Path:
    """The first two principal components of a trace; a direction that is not there is zero."""
    values = trace.values.astype(np.float64)
    mean = values.mean(0)
    _, sizes, axes = np.linalg.svd(values - mean, full_matrices=False)
    count, width = min(2, len(sizes)), values.shape[1]
    plane = np.zeros((2, width))
    # The sign of an axis is free: its largest entry is made positive, so that a path is drawn the same way again.
    plane[:count] = axes[:count] * np.sign(axes[np.arange(count), np.abs(axes[:count]).argmax(1)])[:, None]
    total = float((sizes**2).sum())
    explained = np.zeros(2)
    explained[:count] = sizes[:count] ** 2 / total if total > 0 else 0.0
    return Path(trace.place, trace.name, (values - mean) @ plane.T, explained, plane, mean)


def last_values(trace: Trace) -> npt.NDArray[np.float32]:
    """The values (H,) where the direction ends."""
    values: npt.NDArray[np.float32] = trace.values[0 if trace.place.backward else -1]
    return values
