from __future__ import annotations

import time

from unrolled.bench.timing import Times, interleave


def test_contestants_take_turns_after_a_warm_up() -> None:
    order: list[str] = []
    times = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=3)
    assert order == ["a", "b"] * 4
    assert {name: len(found.seconds) for name, found in times.items()} == {"a": 3, "b": 3}


def test_who_takes_too_long_sits_the_other_rounds_out() -> None:
    times = interleave({"fast": lambda: None, "slow": lambda: time.sleep(0.02)}, rounds=4, longest=0.03)
    assert {name: len(found.seconds) for name, found in times.items()} == {"fast": 4, "slow": 2}


def test_least_and_median() -> None:
    times = Times((0.5, 0.1, 0.9))
    assert (times.least, times.median) == (0.1, 0.5)
