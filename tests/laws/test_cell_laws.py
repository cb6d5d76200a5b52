from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from batteries import CELL_LAWS, check_cell
from unrolled import cells
from unrolled.cell import Cell, ProgramCell, recurrent_dropout, state, trace, vector, zoneout

VARIANTS = {
    **{name: cells.by_name(name) for name in cells.names()},
    "slstm-3-heads": cells.SLSTM(heads=3),
    "slstm-exponential": cells.SLSTM(exponential_forget=True),
    "lstm-layernorm-alone": cells.LayerNormLSTM(together=False),
    "gru-layernorm-together": cells.LayerNormGRU(together=True),
    "jordan-sigmoid": cells.Jordan("relu", "sigmoid"),
    "lstm-zoneout": ProgramCell(zoneout(trace(cells.LSTM()), {"h": 0.1, "c": 0.4})),
    "gru-before-dropout": ProgramCell(recurrent_dropout(trace(cells.GRUResetBefore()), 0.3)),
    "projected-dropout-a-step": ProgramCell(recurrent_dropout(trace(cells.ProjectedLSTM()), 0.3, frequency="step")),
    **{
        f"elman-{name}": cells.Elman(name)
        for name in ("softplus", "silu", "elu", "gelu", "hard_sigmoid", "softsign", "sin")
    },
}


@pytest.mark.parametrize("law", CELL_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", VARIANTS)
def test_law(law: Callable[[Cell], None], name: str) -> None:
    law(VARIANTS[name])


@dataclass(frozen=True)
class Own(Cell):
    """A cell as a user writes it, with torch's own functions."""

    slope: float = 0.5
    gates = ("a", "b")
    state = state(h="output", m="hidden")
    vectors = {"v": vector(0.2)}

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        a = torch.sigmoid(x.a + u.a)
        m = a * s.m + torch.where(x.b > 0, torch.tanh(x.b), self.slope * x.b)
        h = torch.maximum(m, p.v * u("b", torch.relu(s.m))) ** 2
        return h, self.next(h=h, m=m)


def test_users_own_cell_keeps_every_law() -> None:
    check_cell(Own())
