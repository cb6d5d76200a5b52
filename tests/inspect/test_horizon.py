"""How far back an input matters, on layers whose memory is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unrolled import cells
from unrolled.errors import ArgumentError
from unrolled.inspect.horizon import compare_horizons, memory_horizon
from unrolled.layers import Recurrent


def leaky(keep: list[float], steps: int = 60, *, bidirectional: bool = False) -> tuple[Recurrent, torch.Tensor]:
    """h_t = keep * h_{t-1} + x_t, nearly: an independent relu network whose state is never negative."""
    layer = Recurrent(cells.IndRNN(), 1, len(keep), bidirectional=bidirectional).eval()
    with torch.no_grad():
        for direction in layer.stack[0].directions:
            (name,) = direction.vectors
            direction.vectors[name].copy_(torch.tensor(keep))
            direction.W.fill_(1.0)
            direction.b.zero_()  # type: ignore[union-attr]  # it has a bias
    torch.manual_seed(2)
    return layer, torch.rand(24, steps, 1)


@pytest.mark.parametrize("by", ["perturbation", "gradient"])
def test_the_curve_of_a_leaky_memory_is_its_powers(by: str) -> None:
    layer, x = leaky([0.5, 0.8])
    (found,) = memory_horizon(layer, x, by=by)  # type: ignore[arg-type]  # one of the two
    # A change of x by one shows as keep^d, beside a spread of sum of keep^2d: sqrt(1 - keep^2) keep^d.
    for unit, keep in enumerate((0.5, 0.8)):
        wanted = np.sqrt(1 - keep**2) * keep ** found.distances[:10]
        np.testing.assert_allclose(found.units[:10, unit], wanted, rtol=0.6)
        furthest = np.log(0.01 / np.sqrt(1 - keep**2)) / np.log(keep)
        assert abs(found.unit_horizons[unit] - furthest) < 0.25 * furthest
    assert found.horizon >= found.unit_horizons[0]
    assert not found.open_end
    assert found.words.endswith("steps")


def test_a_memory_without_end_is_said_to_be_open() -> None:
    layer, x = leaky([1.0], steps=40)
    (found,) = memory_horizon(layer, x)
    assert found.horizon == 39
    assert found.words == "at least 39 steps"


def test_no_memory_at_all() -> None:
    layer, x = leaky([0.0])
    (found,) = memory_horizon(layer, x)
    assert found.horizon == 0
    (nothing,) = memory_horizon(layer, torch.full_like(x, -1.0))
    assert nothing.horizon == -1
    assert nothing.words == "none"


def test_a_single_distance_is_no_memory() -> None:
    layer = Recurrent(cells.Elman(), 1, 3).eval()
    with torch.no_grad():
        # The sign of the first input decides for ever, and nothing after it can turn that over.
        layer.stack[0].forwards.W.fill_(1.0)
        layer.stack[0].forwards.U.copy_(20 * torch.eye(3))  # type: ignore[union-attr]  # it has U
        layer.stack[0].forwards.b.zero_()  # type: ignore[union-attr]  # and a bias
    torch.manual_seed(0)
    (found,) = memory_horizon(layer, torch.randn(64, 40, 1))
    assert found.curve[-1] > 0.1
    assert found.horizon < 10


def test_directions_look_their_own_way_and_rows_end_early() -> None:
    layer, x = leaky([0.5], steps=30, bidirectional=True)
    lengths = torch.randint(8, 31, (24,))
    lengths[0] = 30
    forward, backward = memory_horizon(layer, x, lengths)
    assert [forward.place.backward, backward.place.backward] == [False, True]
    assert 3 <= forward.horizon <= 9
    assert 3 <= backward.horizon <= 9
    by_gradient = memory_horizon(layer, x, lengths, by="gradient")
    np.testing.assert_allclose(by_gradient[1].curve[:5], backward.curve[:5], rtol=0.5)


def test_what_lies_past_a_rows_end_counts_for_nothing() -> None:
    layer, x = leaky([0.7], steps=30)
    lengths = torch.randint(5, 31, (24,))
    lengths[3] = 30
    dirty = x.masked_fill(torch.arange(30)[None, :, None] >= lengths[:, None, None], 1e6)
    np.testing.assert_array_equal(
        memory_horizon(layer, dirty, lengths)[0].curve, memory_horizon(layer, x, lengths)[0].curve
    )


def test_cells_are_compared_in_words() -> None:
    found = {}
    for name, keep in (("short", 0.3), ("long", 0.9)):
        layer, x = leaky([keep])
        (found[name],) = memory_horizon(layer, x)
    lines = compare_horizons(found)
    assert lines[0].startswith("long ")
    assert lines[-1].startswith("long remembers further back than short")
    assert compare_horizons({"a": found["long"], "b": found["long"]})[-1].startswith("They remember equally")


def test_one_sequence_is_too_few() -> None:
    layer, x = leaky([0.5])
    with pytest.raises(ArgumentError, match="needs two sequences of two steps"):
        memory_horizon(layer, x[:1])
