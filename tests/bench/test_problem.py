from __future__ import annotations

import numpy as np
import pytest

from unrolled.bench.problem import Problem, Shape
from unrolled.cells import by_name
from unrolled.errors import ArgumentError


def test_a_shape_is_read_as_it_is_written() -> None:
    shape = Shape(100, 32, 64, 128)
    assert Shape.parse("100x32x64x128") == shape
    assert Shape.parse(shape.short) == shape
    assert str(shape) == "T=100 B=32 F=64 H=128"


@pytest.mark.parametrize("text", ["100x32x64", "100x0x64x128", "a", "100x32x64x128x2", "-1x2x3x4", ""])
def test_what_is_no_shape_is_named(text: str) -> None:
    with pytest.raises(ArgumentError, match="write steps x rows x inputs x units"):
        Shape.parse(text)


def test_random_values_of_every_parameter() -> None:
    shape = Shape(5, 3, 4, 7)
    problem = Problem.random("gru", by_name("gru"), shape)
    assert {name: value.shape for name, value in problem.values.items()} == {
        "W": (21, 4), "U": (21, 7), "b": (21,), "c": (7,)
    }  # fmt: skip
    assert problem.xs.shape == (3, 5, 4)
    assert all(value.dtype == np.float32 and value.std() > 0 for value in (*problem.values.values(), problem.xs))
    again = Problem.random("gru", by_name("gru"), shape)
    np.testing.assert_array_equal(again.xs, problem.xs)


def test_products_are_counted() -> None:
    problem = Problem.random("lstm", by_name("lstm"), Shape(5, 3, 4, 7))
    # Four gates, each a product with the input and one with the state; a multiplication and an addition count as two.
    assert problem.flops("forward") == 2 * 5 * 3 * 4 * 7 * (4 + 7)
    assert problem.flops("training") == 3 * problem.flops("forward")
