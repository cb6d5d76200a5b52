from __future__ import annotations

import pytest
import torch

from batteries import ENGINE_CASES, Case, check_engine
from unrolled import cells
from unrolled.cell import Cell, ProgramCell, recurrent_dropout, trace, zoneout
from unrolled.engine.cpu import memory

CELLS: dict[str, Cell] = {
    **{name: cells.by_name(name) for name in cells.names()},
    "slstm-3-heads": cells.SLSTM(heads=3),
    "lstm-zoneout": ProgramCell(zoneout(trace(cells.LSTM()), {"h": 0.1, "c": 0.4})),
    "gru-before-dropout": ProgramCell(recurrent_dropout(trace(cells.GRUResetBefore()), 0.3)),
    "projected-dropout-a-step": ProgramCell(recurrent_dropout(trace(cells.ProjectedLSTM()), 0.3, frequency="step")),
}


@pytest.fixture(autouse=True)
def poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def poisoned(*shape: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.full(shape, float("nan"), dtype=dtype)

    monkeypatch.setattr(memory, "empty", poisoned)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", ENGINE_CASES, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_compiled_equals_reference(name: str, case: Case, dtype: torch.dtype) -> None:
    check_engine("compiled", CELLS[name], case, dtype)
