"""What every engine must hold to: outputs, last state and all gradients of the reference, at awkward sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from batteries.random_case import assert_close, gradients, random_case
from unrolled.cell import Cell


@dataclass(frozen=True)
class Case:
    """Sizes of one comparison; `ragged` rows end early, one of them at 0."""

    batch: int
    steps: int
    inputs: int
    hidden: int
    output: int = 5
    ragged: bool = False
    reverse: bool = False


ENGINE_CASES = (
    Case(1, 1, 1, 1, 2),
    Case(1, 9, 3, 17),
    Case(7, 4, 5, 33, 11),
    Case(3, 5, 4, 8, ragged=True),
    Case(5, 6, 2, 17, 3, ragged=True, reverse=True),
    Case(2, 3, 7, 9, reverse=True),
)


def check_engine(engine: str, cell: Cell, case: Case, dtype: torch.dtype = torch.float64) -> None:
    """The engine against the reference in float64: 1e-12, or in float32 5 times the reference's own error there."""
    sizes = {
        "batch": case.batch,
        "steps": case.steps,
        "inputs": case.inputs,
        "hidden": case.hidden,
        "output": case.output,
    }
    seed = hash(case) % 1000
    lengths = None
    if case.ragged:
        lengths = torch.randint(0, case.steps + 1, (case.batch,), generator=torch.Generator().manual_seed(seed))
        lengths[-1], lengths[1], lengths[0] = 0, case.steps - 1, case.steps

    def results(kind: torch.dtype, name: str) -> list[torch.Tensor]:
        made = random_case(cell, dtype=kind, seed=seed, **sizes)
        outputs, last = made.scan(engine=name, lengths=lengths, reverse=case.reverse)
        return [v.detach().double() for v in (outputs, *last, *gradients(outputs, last, made.leaves()))]

    exact = results(torch.float64, "reference")
    if dtype == torch.float64:
        assert_close(results(dtype, engine), exact, 1e-12)
        return
    for got, plain, want in zip(results(dtype, engine), results(dtype, "reference"), exact, strict=True):
        scale = float(want.abs().max()) if want.numel() else 0.0
        error = float((plain - want).abs().max()) if want.numel() else 0.0
        assert_close([got], [want], max(5 * error / max(scale, 1.0), 1e-6))
