from __future__ import annotations

import numpy as np
import pytest

from unrolled.data.seasons import find_seasons
from unrolled.data.windows import Line, LineScale, WindowBatches, Windows, seasonal
from unrolled.errors import ArgumentError


def line(values: np.ndarray, *, past: int = 0, known: int = 0, ahead: int = 0, begin: int = 0) -> Line:
    rng = np.random.default_rng(len(values))
    steps = len(values)
    return Line(
        "s",
        "y",
        values,
        rng.normal(size=(steps, past)).astype(np.float32),
        rng.normal(size=(steps + ahead, known)).astype(np.float32),
        LineScale.fit(values, 1),
        begin,
    )


@pytest.fixture
def lines() -> list[Line]:
    rng = np.random.default_rng(2)
    return [line(rng.normal(3, 5, size=n), past=2, known=1, ahead=4) for n in (30, 12)]


def test_a_window_is_what_its_line_holds(lines: list[Line]) -> None:
    windows = Windows(lines, context=6, horizon=4)
    block = windows.block(np.array([1, 0]), np.array([7, 20]))
    for row, (place, origin) in enumerate(((1, 7), (0, 20))):
        own = lines[place]
        scaled = (own.values - own.scale.mean) / own.scale.scale
        np.testing.assert_allclose(block.context[row], scaled[origin - 6 : origin], rtol=1e-6)
        np.testing.assert_allclose(block.truth[row], scaled[origin : origin + 4], rtol=1e-6)
        np.testing.assert_array_equal(block.past[row], own.past[origin - 6 : origin])
        np.testing.assert_array_equal(block.known[row], own.known[origin - 6 : origin + 4])
    assert block.seen.all()
    assert block.counts.all()


def test_past_the_ends_nothing_is_seen_and_nothing_counts(lines: list[Line]) -> None:
    windows = Windows(lines, context=6, horizon=4)
    block = windows.block(np.array([1, 1]), np.array([2, 12]))
    assert block.seen[0].tolist() == [False] * 4 + [True] * 2
    assert (block.context[0, :4] == block.context[0, 4]).all()
    assert not block.counts[1].any()
    np.testing.assert_array_equal(block.known[1, -4:], lines[1].known[12:16])


def test_unknown_values_lie_between_their_neighbours() -> None:
    values = np.random.default_rng(1).normal(size=20)
    values[[4, 11]] = np.nan
    windows = Windows([line(values)], context=5, horizon=3)
    block = windows.block(np.array([0, 0]), np.array([6, 10]))
    assert block.seen[0].tolist() == [True, True, True, False, True]
    assert block.context[0, 3] == pytest.approx((block.context[0, 2] + block.context[0, 4]) / 2, rel=1e-5)
    assert block.counts[1].tolist() == [True, False, True]
    assert np.isfinite(block.truth).all()


def test_origins_leave_a_context_before_and_a_horizon_after(lines: list[Line]) -> None:
    places, origins = Windows(lines, context=6, horizon=4).everything
    assert origins[places == 0].tolist() == list(range(6, 27))
    assert origins[places == 1].tolist() == list(range(6, 9))
    part = [lines[0].cut(20, 30)]
    assert Windows(part, 6, 4).origins()[1].tolist() == list(range(20, 27))
    assert Windows(part, 6, 4).origins(stride=4)[1].tolist() == [20, 24]
    assert len(Windows(lines, 6, 4).origins(most=5)[0]) <= 6


def test_short_lines_give_windows_too() -> None:
    windows = Windows([line(np.arange(7.0))], context=20, horizon=3)
    assert windows.everything[1].tolist() == [3, 4]


def test_scales_do_not_divide_by_zero_and_remember_what_is_never_negative() -> None:
    assert LineScale.fit(np.full(9, 4.0), 3) == LineScale(4.0, 1.0, 0.0, 0.0)
    assert LineScale.fit(np.full(9, 0.1), 3).scale == 1.0
    values = np.random.default_rng(0).normal(size=50)
    scale = LineScale.fit(values, 2)
    assert scale.least == -np.inf
    assert scale.seasonal == pytest.approx(np.abs(values[2:] - values[:-2]).mean())
    np.testing.assert_allclose(scale.restored((values - scale.mean) / scale.scale), values)
    positive = LineScale.fit(np.abs(values), 2)
    assert positive.restored(np.array([-100.0])).tolist() == [0.0]
    assert LineScale.fit(np.zeros(5), 1, counts=True).scale == 1.0
    counts = LineScale.fit(np.array([0.0, 2.0, 4.0]), 1, counts=True)
    assert (counts.mean, counts.scale) == (0.0, 2.0)


def test_the_seasonal_difference_of_lines_with_holes_or_too_short() -> None:
    assert seasonal(np.array([1.0, np.nan, 4.0, 2.0]), 2) == 3.0
    assert seasonal(np.array([1.0, 3.0]), 7) == 2.0
    assert seasonal(np.array([1.0]), 7) == 0.0


def test_epochs_are_functions_of_seed_and_number() -> None:
    source = WindowBatches(1000, 64, seed=3)
    whole = list(source.epoch(2))
    assert len(whole) == len(source)
    assert all((a == b).all() for a, b in zip(whole[5:], source.epoch(2, 5), strict=True))
    assert any((a != b).any() for a, b in zip(whole, source.epoch(3), strict=True))
    seen = np.concatenate(whole)
    counts = np.bincount(seen, minlength=1000)
    assert counts.max() - counts.min() <= 1
    big = WindowBatches(100_000, 64, seed=3)
    assert len(big) == 100
    drawn = np.concatenate(list(big.epoch(0)))
    assert len(set(drawn.tolist())) == len(drawn)
    assert {len(batch) for batch in WindowBatches(5, 64, 0).epoch(0)} == {5}
    with pytest.raises(ArgumentError, match="0 windows in batches of 64 make no batch"):
        WindowBatches(0, 64, 0)
    with pytest.raises(ArgumentError, match="outside an epoch"):
        next(source.epoch(0, 1000))


def test_seasons_are_found_where_there_are_some() -> None:
    rng = np.random.default_rng(6)
    places = np.arange(600)
    daily = np.sin(2 * np.pi * places / 24)
    weekly = 1.5 * (places // 24 % 7 >= 5)
    noise = [0.3 * rng.normal(size=600) for _ in range(4)]
    assert find_seasons([daily + one for one in noise]) == (24,)
    assert find_seasons([daily + weekly + 0.01 * places + one for one in noise]) == (24, 168)
    assert find_seasons([one.cumsum() for one in noise]) == ()
    assert find_seasons(noise) == ()
    assert find_seasons([np.full(100, 2.0), 3.0 * places]) == ()
    assert find_seasons([np.arange(5.0)]) == ()
    holed = daily + noise[0]
    holed[100:110] = np.nan
    assert find_seasons([holed]) == (24,)
