from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import TokenStreams, Window
from unrolled.errors import ArgumentError, DataError

SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(lambda sizes: max(sizes) > 1)
STREAMS = st.integers(1, 9)
WINDOWS = st.integers(1, 12)
SEEDS = st.integers(0, 2**32)


def numbered(sizes: Iterable[int]) -> list[np.ndarray]:
    """Documents whose tokens are all different: document k has k * 1000 + 1, k * 1000 + 2, ..."""
    return [np.arange(1, size + 1, dtype=np.int64) + 1000 * (place + 1) for place, size in enumerate(sizes)]


def real(window: Window) -> list[tuple[list[int], list[int]]]:
    """Inputs and targets of each row, without the padding."""
    rows = zip(window.inputs, window.targets, window.lengths, strict=True)
    return [(inputs[:length].tolist(), targets[:length].tolist()) for inputs, targets, length in rows]


@given(SIZES, STREAMS, WINDOWS, SEEDS, st.integers(0, 3), st.booleans())
def test_every_token_but_a_documents_first_is_a_target_once(
    sizes: list[int], streams: int, window: int, seed: int, number: int, shuffle: bool
) -> None:
    documents = numbered(sizes)
    source = TokenStreams(documents, streams, window, seed, shuffle=shuffle)
    targets = [token for step in source.epoch(number) for _, row in real(step) for token in row]
    wanted = [token for document in documents for token in document[1:].tolist()]
    assert sorted(targets) == wanted
    assert source.targets == len(wanted)


@given(SIZES, STREAMS, WINDOWS, SEEDS, st.integers(0, 3))
def test_no_window_crosses_a_documents_end(sizes: list[int], streams: int, window: int, seed: int, number: int) -> None:
    for step in TokenStreams(numbered(sizes), streams, window, seed).epoch(number):
        for inputs, targets in real(step):
            # Tokens of one document are successive numbers, and documents are 1000 apart.
            assert targets == [token + 1 for token in inputs]
            assert inputs == list(range(inputs[0], inputs[0] + len(inputs))) if inputs else True


@given(SIZES, STREAMS, WINDOWS, SEEDS, st.integers(0, 3), st.booleans())
def test_a_row_is_fresh_unless_it_goes_on(
    sizes: list[int], streams: int, window: int, seed: int, number: int, shuffle: bool
) -> None:
    last: list[int | None] = [None] * streams
    shares_begun = 0
    documents_begun = 0
    for step in TokenStreams(numbered(sizes), streams, window, seed, shuffle=shuffle).epoch(number):
        for row, (inputs, targets) in enumerate(real(step)):
            if not inputs:
                assert not step.fresh[row]
                continue
            assert step.fresh[row] == (inputs[0] != last[row])
            if step.fresh[row]:
                begins = inputs[0] % 1000 == 1
                documents_begun += begins
                shares_begun += not begins
            last[row] = targets[-1]
    assert documents_begun == sum(size > 1 for size in sizes)
    # A document is only divided where a stream's share begins.
    assert shares_begun <= streams - 1


@given(SIZES, STREAMS, WINDOWS, SEEDS, st.integers(0, 3))
def test_shapes_padding_and_balance(sizes: list[int], streams: int, window: int, seed: int, number: int) -> None:
    source = TokenStreams(numbered(sizes), streams, window, seed)
    steps = list(source.epoch(number))
    assert len(steps) == len(source)
    for step in steps:
        assert step.inputs.shape == step.targets.shape == (streams, window)
        assert step.inputs.dtype == step.targets.dtype == step.lengths.dtype == np.int64
        assert step.fresh.dtype == np.bool_
        outside = np.arange(window) >= step.lengths[:, None]
        assert not step.inputs[outside].any() and not step.targets[outside].any()
        assert step.inputs[~outside].all()
    windows = np.array([step.lengths > 0 for step in steps]).sum(0)
    assert windows.max() - windows.min() <= 1


@given(SIZES, STREAMS, WINDOWS, SEEDS, st.integers(0, 3), st.data())
def test_an_epoch_goes_on_where_it_stopped(
    sizes: list[int], streams: int, window: int, seed: int, number: int, data: st.DataObject
) -> None:
    whole = list(TokenStreams(numbered(sizes), streams, window, seed).epoch(number))
    start = data.draw(st.integers(0, len(whole)))
    rest = list(TokenStreams(numbered(sizes), streams, window, seed).epoch(number, start))
    assert len(rest) == len(whole) - start
    for one, other in zip(rest, whole[start:], strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)


def test_one_long_document_is_read_in_contiguous_shares() -> None:
    (document,) = numbered([901])
    steps = list(TokenStreams([document], 3, 50, 0).epoch(4))
    assert len(steps) == 6
    for row in range(3):
        read = np.concatenate([step.inputs[row, : step.lengths[row]] for step in steps])
        np.testing.assert_array_equal(read, document[row * 300 : (row + 1) * 300])
    assert [step.fresh.tolist() for step in steps] == [[True] * 3] + [[False] * 3] * 5


def test_documents_come_in_another_order_each_epoch_and_seed() -> None:
    def order(seed: int, number: int, shuffle: bool = True) -> list[int]:
        steps = TokenStreams(numbered([30] * 40), 2, 7, seed, shuffle=shuffle).epoch(number)
        return [int(step.inputs[0, 0]) for step in steps if step.fresh[0]]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert sorted(order(0, 0)) == sorted(order(0, 1))
    assert sorted(order(0, 0)) != sorted(order(1, 0))
    assert order(0, 0, shuffle=False) == order(3, 9, shuffle=False) == [1000 * (k + 1) + 1 for k in range(20)]


def test_small_integers_are_read_as_wide_ones() -> None:
    document = np.arange(1, 60, dtype=np.uint8)
    window = next(TokenStreams([document], 2, 5, 0).epoch(0))
    assert window.inputs.dtype == window.targets.dtype == np.int64


@pytest.mark.parametrize(("streams", "window"), [(0, 5), (5, 0)])
def test_bad_arguments_are_refused(streams: int, window: int) -> None:
    with pytest.raises(ArgumentError, match=f"streams={streams} and window={window} read nothing"):
        TokenStreams(numbered([9]), streams, window, 0)


def test_a_start_outside_the_epoch_is_refused() -> None:
    with pytest.raises(ArgumentError, match="start=4 is outside an epoch of 2 steps; give 0 to 2"):
        next(TokenStreams(numbered([11]), 1, 5, 0).epoch(0, 4))


@pytest.mark.parametrize("sizes", [[], [0], [1, 1, 0]])
def test_documents_without_a_target_are_said(sizes: list[int]) -> None:
    with pytest.raises(DataError, match="no document has two tokens"):
        TokenStreams(numbered(sizes), 2, 5, 0)


@given(SIZES, STREAMS, st.integers(2, 12), st.integers(1, 12), SEEDS, st.booleans())
def test_overlapping_windows_have_each_target_once_and_advance_by_the_stride(
    sizes: list[int], streams: int, window: int, stride: int, seed: int, shuffle: bool
) -> None:
    stride = min(stride, window)
    documents = numbered(sizes)
    source = TokenStreams(documents, streams, window, seed, shuffle=shuffle, stride=stride)
    found: list[int] = []
    before: list[list[int]] = [[] for _ in range(streams)]
    for step in source.epoch(1):
        assert step.stride == stride
        counted = 0
        for row, (inputs, targets) in enumerate(real(step)):
            new = targets[step.context[row] :]
            found += new
            counted += len(new)
            assert targets == [token + 1 for token in inputs]
            if inputs and not step.fresh[row]:
                assert inputs[0] == before[row][0] + stride
            if inputs and step.context[row]:
                assert step.context[row] == window - stride
                assert new
            before[row] = inputs
        assert step.targets_in == counted
    assert sorted(found) == [token for document in documents for token in document[1:].tolist()]
    assert source.targets == len(found)


def test_a_stride_that_leaves_steps_out_is_refused() -> None:
    for stride in (0, 6):
        with pytest.raises(ArgumentError, match=f"windows of 5 steps advance by {stride}; give a stride from 1 to 5"):
            TokenStreams(numbered([9]), 2, 5, 0, stride=stride)
