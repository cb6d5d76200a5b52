from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import LengthBatches, pad_ids, pad_numbers
from unrolled.errors import ArgumentError

LENGTHS = st.lists(st.integers(0, 50), min_size=1, max_size=60)


@given(LENGTHS, st.integers(1, 20), st.integers(0, 2**32), st.integers(0, 5), st.booleans())
def test_every_row_is_in_one_batch(lengths: list[int], size: int, seed: int, number: int, shuffle: bool) -> None:
    batches = LengthBatches(lengths, size, seed, shuffle=shuffle)
    epoch = list(batches.epoch(number))
    assert len(epoch) == len(batches)
    assert sorted(np.concatenate(epoch).tolist()) == list(range(len(lengths)))
    assert sum(len(batch) != size for batch in epoch) <= 1


@given(LENGTHS, st.integers(1, 20), st.integers(1, 300), st.integers(0, 5), st.booleans())
def test_long_rows_meet_in_smaller_batches(
    lengths: list[int], size: int, steps: int, number: int, shuffle: bool
) -> None:
    batches = LengthBatches(lengths, size, 1, shuffle=shuffle, steps=steps)
    epoch = list(batches.epoch(number))
    assert len(epoch) == len(batches)
    assert sorted(np.concatenate(epoch).tolist()) == list(range(len(lengths)))
    for batch in epoch:
        assert len(batch) <= size
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= steps


def test_a_bound_holds_whatever_the_order_of_an_epoch() -> None:
    lengths = np.random.default_rng(0).integers(800, 1200, 2000)
    batches = LengthBatches(lengths, 100, 0, steps=20_000)
    for number in range(3):
        assert max(len(batch) * lengths[batch].max() for batch in batches.epoch(number)) <= 20_000
    assert len(batches) < 150


def test_a_bound_that_is_never_met_changes_nothing() -> None:
    lengths = np.random.default_rng(0).integers(1, 90, 100)
    bound, free = (list(LengthBatches(lengths, 16, 2, steps=steps).epoch(3)) for steps in (10_000, None))
    for one, other in zip(bound, free, strict=True):
        np.testing.assert_array_equal(one, other)


@given(LENGTHS, st.integers(1, 20), st.integers(0, 5), st.data())
def test_an_epoch_goes_on_where_it_stopped(lengths: list[int], size: int, number: int, data: st.DataObject) -> None:
    whole = list(LengthBatches(lengths, size, 3).epoch(number))
    start = data.draw(st.integers(0, len(whole)))
    rest = list(LengthBatches(lengths, size, 3).epoch(number, start))
    assert len(rest) == len(whole) - start
    for one, other in zip(rest, whole[start:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_epochs_and_seeds_differ() -> None:
    lengths = np.random.default_rng(0).integers(1, 90, 400)
    orders = [
        np.concatenate(list(LengthBatches(lengths, 16, seed).epoch(number)))
        for seed, number in [(1, 0), (1, 1), (2, 0)]
    ]
    for place, one in enumerate(orders):
        for other in orders[:place]:
            assert not np.array_equal(one, other)
    plain = LengthBatches(lengths, 16, 1, shuffle=False)
    np.testing.assert_array_equal(np.concatenate(list(plain.epoch(0))), np.concatenate(list(plain.epoch(7))))


def test_rows_of_all_lengths_meet() -> None:
    lengths = np.repeat([5, 40], 300)
    for batch in LengthBatches(lengths, 32, 0).epoch(0):
        assert 0.1 < (lengths[batch] == 5).mean() < 0.9


def test_rows_far_longer_than_the_others_are_with_their_like() -> None:
    lengths = np.concatenate((np.random.default_rng(0).integers(10, 40, 1000), np.full(16, 3000)))
    epoch = list(LengthBatches(lengths, 16, 0).epoch(0))
    padded = sum(len(batch) * lengths[batch].max() for batch in epoch)
    assert padded < 2 * lengths.sum()
    assert abs(np.corrcoef(np.arange(len(epoch)), [lengths[batch].max() for batch in epoch])[0, 1]) < 0.3


def test_companions_change_from_epoch_to_epoch() -> None:
    for lengths in (np.arange(1, 401), np.append(np.ones(4000, dtype=int), np.arange(300, 400))):
        batches = LengthBatches(lengths, 8, 0)
        sets = [{frozenset(batch.tolist()) for batch in batches.epoch(number)} for number in (0, 1)]
        assert len(sets[0] & sets[1]) < 10


@pytest.mark.parametrize(
    ("lengths", "size", "sentence"),
    [
        ([], 4, r"lengths of shape \(0,\) make no batches"),
        ([[[1, 2]]], 4, r"lengths of shape \(1, 1, 2\) make no batches"),
        ([1, 2], 0, "batch_size=0 makes no batches; give at least 1"),
    ],
)
def test_bad_arguments_are_refused(lengths: list[int], size: int, sentence: str) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        LengthBatches(lengths, size, 0)


def test_a_start_outside_the_epoch_is_refused() -> None:
    with pytest.raises(ArgumentError, match="start=3 is outside an epoch of 2 steps; give 0 to 2"):
        next(LengthBatches([1, 2, 3], 2, 0).epoch(0, 3))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9))
def test_padding_of_ids(lengths: list[int]) -> None:
    rng = np.random.default_rng(1)
    rows = [rng.integers(1, 1000, length) for length in lengths]
    ids, counts = pad_ids(rows)
    assert ids.shape == (len(rows), max(lengths))
    assert ids.dtype == counts.dtype == np.int64
    assert counts.tolist() == lengths
    for row, padded in zip(rows, ids, strict=True):
        assert padded.tolist() == row.tolist() + [0] * (max(lengths) - len(row))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.integers(1, 4))
def test_padding_of_numbers(lengths: list[int], width: int) -> None:
    rng = np.random.default_rng(1)
    rows = [rng.normal(size=(length, width)).astype(np.float32) for length in lengths]
    numbers, counts = pad_numbers(rows)
    assert numbers.shape == (len(rows), max(lengths), width)
    assert numbers.dtype == np.float32
    assert counts.tolist() == lengths
    for row, padded in zip(rows, numbers, strict=True):
        np.testing.assert_array_equal(padded[: len(row)], row)
        assert not padded[len(row) :].any()


def test_what_cannot_be_padded_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no sequence was given to be padded"):
        pad_ids([])
    with pytest.raises(ArgumentError, match=r"sequence 1 has shape \(2, 2\); give arrays of 1 dimension"):
        pad_ids([np.ones(2, dtype=np.int64), np.ones((2, 2), dtype=np.int64)])
    with pytest.raises(ArgumentError, match=r"sequences of \[1, 3\] features cannot share a batch"):
        pad_numbers([np.ones((2, 3), dtype=np.float32), np.ones((2, 1), dtype=np.float32)])


def test_sides_that_are_padded_apart_both_fit() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(1, 30, 4000)
    lengths = np.stack([first, first + rng.integers(0, 12, 4000)], 1)
    batches = LengthBatches(lengths, 32, 0)
    epoch = list(batches.epoch(0))
    assert sorted(np.concatenate(epoch).tolist()) == list(range(4000))
    padded = sum(len(batch) * lengths[batch].max(0) for batch in epoch)
    assert (lengths.sum(0) / padded > 0.85).all()
    assert not any(np.array_equal(one, other) for one, other in zip(epoch, batches.epoch(1), strict=True))
    plain = np.concatenate(list(LengthBatches(lengths, 32, 0, shuffle=False).epoch(0)))
    assert lengths[plain].tolist() == sorted(lengths.tolist())
