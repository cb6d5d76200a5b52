from __future__ import annotations

import time

from unrolled.bench.timing import LEAST_ROUNDS, Pace, Times, interleave


def test_contestants_take_turns_after_a_warm_up() -> None:
    order: list[str] = []
    times = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, Pace(rounds=3))
    assert order == ["a", "b"] * 4
    assert {name: len(found.seconds) for name, found in times.items()} == {"a": 3, "b": 3}


def test_who_takes_too_long_sits_the_other_rounds_out() -> None:
    pace = Pace(rounds=4, longest=0.03)
    times = interleave({"fast": lambda: None, "slow": lambda: time.sleep(0.02)}, pace)
    assert {name: len(found.seconds) for name, found in times.items()} == {"fast": 4, "slow": 2}


def test_no_round_begins_after_the_time_is_over() -> None:
    times = interleave({"a": lambda: time.sleep(0.01)}, Pace(rounds=1000, seconds=0.1))
    assert LEAST_ROUNDS <= len(times["a"].seconds) <= 11
    times = interleave({"a": lambda: time.sleep(0.01)}, Pace(rounds=1000, seconds=0.001))
    assert len(times["a"].seconds) == LEAST_ROUNDS


def test_a_turn_lasts_a_while() -> None:
    times = interleave({"a": lambda: time.sleep(0.005), "b": lambda: time.sleep(0.03)}, Pace(rounds=2, turn=0.02))
    assert 4 <= len(times["a"].seconds) <= 8
    assert len(times["b"].seconds) == 2


def test_least_and_median() -> None:
    times = Times((0.5, 0.1, 0.9))
    assert (times.least, times.median) == (0.1, 0.5)
