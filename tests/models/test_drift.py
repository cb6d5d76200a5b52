from __future__ import annotations

import pytest
import torch

from unrolled.errors import ArgumentError
from unrolled.models import Drift


def numbers(rows: int = 400, steps: int = 5, features: int = 4) -> torch.Tensor:
    return torch.randn(rows, steps, features, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def test_levels_are_shifted_as_far_as_is_said_and_the_same_at_all_steps() -> None:
    torch.manual_seed(1)
    x = 0.2 * numbers()
    shift = torch.atanh(Drift([0.1, 0.5, 0.0])(x)) - x
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift))
    found = shift[:, 0].std(0)
    assert found[0] == pytest.approx(0.1, rel=0.2)
    assert found[1] == pytest.approx(0.5, rel=0.2)
    assert found[2:].tolist() == pytest.approx([0, 0], abs=1e-12)
    assert abs(float(torch.corrcoef(shift[:, 0, :2].T)[0, 1])) < 0.3


def test_nothing_is_shifted_in_evaluation() -> None:
    x = numbers()
    torch.testing.assert_close(Drift([0.5] * 4).eval()(x), torch.tanh(x))


@pytest.mark.parametrize("deviation", [-0.1, float("nan"), float("inf")])
def test_what_is_no_deviation_is_refused(deviation: float) -> None:
    with pytest.raises(ArgumentError, match=r"drift=.* is no standard deviation; give a number from 0"):
        Drift([0.5, deviation])
