"""What a training pass keeps for backward, measured: `python -m unrolled.bench.kept` prints the table of the manual."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unrolled import cells
from unrolled.cell import Cell, Sizes, initial_values, trace
from unrolled.engine import Weights, explain, scan
from unrolled.errors import EngineError

STEPS, ROWS, UNITS = 64, 8, 64


def kept_bytes(cell: Cell, engine: str) -> float | None:
    """Float32 bytes kept for each time step, row and hidden unit, inputs and weights apart; None if it cannot run.

    Every storage that autograd holds counts once; `engine` is "compiled", "native" (torch's own layer) or "reference"
    (a loop of torch operations).
    """
    sizes = Sizes(UNITS, UNITS, UNITS)
    named = initial_values(trace(cell), sizes, np.random.default_rng(0))
    weights = Weights.from_dict({k: torch.from_numpy(v).float().requires_grad_() for k, v in named.items()})
    xs = torch.randn(ROWS, STEPS, UNITS)
    try:
        explain(cell, weights, xs, engine=engine)
    except EngineError:
        return None
    given = {_storage(v) for v in (xs, *weights.as_dict().values())}
    held: dict[int, tuple[int, Tensor]] = {}

    def hold(tensor: Tensor) -> Tensor:
        # the tensor itself is kept too, or its memory would be given to the next one
        held[_storage(tensor)] = (tensor.untyped_storage().nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        scan(cell, weights, xs, engine=engine)
    return sum(size for where, (size, _) in held.items() if where not in given) / (STEPS * ROWS * UNITS)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def table() -> str:
    """One line a cell, as Markdown."""
    lines = ["| cell | compiled | torch's own layer | loop of torch operations |", "|---|---|---|---|"]
    for name in cells.names():
        cell = cells.by_name(name)
        found = [kept_bytes(cell, engine) for engine in ("compiled", "native", "reference")]
        shown = " | ".join("" if value is None else f"{value:.0f}" for value in found)
        lines.append(f"| `{name}` | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())  # noqa: T201  # this module is a command
