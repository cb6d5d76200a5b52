"""Laws of the learning rate and of the plan of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unrolled.errors import ArgumentError
from unrolled.train import Plan, TrainSettings, decay_scale, rate_scale, warmup_scale
from unrolled.train.planning import Stopwatch, fixed_plan, timed_plan

steps = st.integers(0, 5000)
totals = st.integers(1, 5000)
parts = st.floats(0, 1)
decays = st.sampled_from(["cosine", "linear", "constant"])


@given(steps, st.integers(0, 500))
def test_warmup_rises_to_one_and_never_is_zero(step, warmup):
    here, next_one = warmup_scale(step, warmup), warmup_scale(step + 1, warmup)
    assert 0 < here <= next_one <= 1
    assert warmup_scale(max(0, warmup - 1), warmup) == 1


@given(steps, st.integers(0, 100), totals, decays, parts)
def test_decay_falls_from_one_to_the_final_fraction(step, start, total, decay, part):
    here, next_one = (decay_scale(s, start, total, decay, part) for s in (step, step + 1))
    assert part - 1e-12 <= next_one <= here <= 1
    if step <= start and total - 1 > start:
        assert here == 1
    if decay != "constant" and step >= total - 1 and total - 1 > start:
        assert here == pytest.approx(part)


def test_linear_and_cosine_meet_half_way():
    for decay in ("linear", "cosine"):
        assert decay_scale(60, 20, 101, decay, 0.2) == pytest.approx(0.6)
    assert decay_scale(40, 20, 101, "cosine", 0.2) > decay_scale(40, 20, 101, "linear", 0.2)


@given(steps, st.integers(1, 200), totals)
def test_before_and_after_the_plan_warmup_is_the_same(step, warmup, total):
    plan = Plan(total, warmup, 0, 10, None, None)
    if step < warmup:
        assert rate_scale(step, plan, 7, "cosine", 0.1) == rate_scale(step, None, warmup, "cosine", 0.1)


def test_the_rate_falls_from_where_the_plan_was_made():
    plan = Plan(total_steps=1000, warmup=10, decay_from=200, evaluate_every=10, max_time=9.0, epochs=None)
    assert rate_scale(200, plan, 10, "linear", 0.0) == 1
    assert rate_scale(999, plan, 10, "linear", 0.0) == 0


@pytest.mark.parametrize(
    ("options", "total", "warmup", "every"),
    [
        ({"epochs": 3}, 60, 100, 20),
        ({"epochs": 3, "total_steps": 50, "warmup": 7, "evaluate_every": 9}, 50, 7, 9),
        ({"total_steps": 500, "warmup": 0.1}, 500, 50, 20),
    ],
)
def test_fixed_plan(options, total, warmup, every):
    plan = fixed_plan(TrainSettings(**options), 20)
    assert (plan.total_steps, plan.warmup, plan.evaluate_every) == (total, warmup, every)


@given(
    limit=st.floats(1, 1e5),
    step=st.integers(1, 100),
    seconds=st.floats(1e-4, 0.01),
    evaluation=st.floats(1e-4, 0.1),
    every=st.none() | st.integers(1, 1000),
)
def test_a_timed_plan_ends_before_the_limit_and_uses_most_of_it(limit, step, seconds, evaluation, every):
    settings = TrainSettings(max_time=limit, evaluate_every=every)
    elapsed = step * seconds + evaluation
    plan = timed_plan(settings, 50, step=step, elapsed=elapsed, step_seconds=seconds, evaluation=evaluation)
    more = plan.total_steps - step
    evaluations = more // plan.evaluate_every + 1 if more else 0
    end = elapsed + more * seconds + evaluations * evaluation
    assert end <= max(limit - evaluation if more else limit, elapsed)
    if limit > 20:
        assert end >= 0.85 * limit - 3 * evaluation - seconds


def test_epochs_bound_a_timed_plan():
    settings = TrainSettings(max_time=1000.0, epochs=2)
    plan = timed_plan(settings, 50, step=10, elapsed=1.0, step_seconds=0.1, evaluation=0.1)
    assert plan.total_steps == 100


def test_warmup_shrinks_in_a_short_run():
    settings = TrainSettings(max_time=10.0, warmup=100)
    plan = timed_plan(settings, 50, step=6, elapsed=1.0, step_seconds=0.1, evaluation=0.1)
    assert plan.warmup < plan.total_steps / 4


def test_a_longer_run_keeps_its_warmup():
    before = Plan(200, 20, 11, 5, 10.0, None)
    settings = TrainSettings(max_time=100.0)
    plan = timed_plan(settings, 50, step=210, elapsed=10.0, step_seconds=0.1, evaluation=0.1, before=before)
    assert plan == replace(before, total_steps=plan.total_steps, evaluate_every=plan.evaluate_every, max_time=100.0)
    assert 900 < plan.total_steps < 1110


def test_compilation_does_not_slow_the_estimate():
    watch = Stopwatch(60.0)
    for seconds in (2.5, 0.4, *([0.1] * 10)):
        assert not watch.ready or len(watch.steps) >= 5
        watch.add(seconds)
    assert watch.ready
    assert watch.step_seconds == pytest.approx(0.1)


def test_a_busy_moment_does_not_slow_the_estimate_but_long_batches_count():
    watch = Stopwatch(60.0)
    for seconds in (*([0.1] * 10), 4.0, *([0.1] * 3), 0.2, 0.2):
        watch.add(seconds)
    assert watch.step_seconds == pytest.approx((5 * 0.1 + 2 * 0.2) / 7)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "nothing says when training ends; give epochs, max_time or total_steps"),
        ({"epochs": 0}, "epochs=0 must be above zero"),
        ({"epochs": 1, "learning_rate": float("nan")}, "learning_rate=nan must be above zero"),
        ({"epochs": 1, "ema": 1.5}, "ema=1.5 must be from 0 to 1"),
        ({"epochs": 1, "weight_decay": -1.0}, "weight_decay=-1.0 must be at least 0"),
        ({"epochs": 1, "optimiser": "adam"}, "optimiser='adam' is not known; choose adamw or sgd"),
        ({"epochs": 1, "decay": "step"}, "decay='step' is not known; choose cosine, linear or constant"),
    ],
)
def test_settings_out_of_range(options, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        TrainSettings(**options)


def test_known_metrics_know_which_way_is_better():
    assert TrainSettings(epochs=1, metric="macro_f1").larger_is_better
    assert not TrainSettings(epochs=1, metric="perplexity").larger_is_better
    assert TrainSettings(epochs=1, metric="mine", mode="max").larger_is_better


def test_weight_decay_is_for_matrices_only():
    from unrolled.train.optimiser import make_optimiser

    module = nn.Linear(3, 2)
    optimiser = make_optimiser(module, TrainSettings(epochs=1, weight_decay=0.5, learning_rate=0.1))
    before = [p.detach().clone() for p in module.parameters()]
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    torch.testing.assert_close(module.weight.detach(), before[0] * 0.95)
    torch.testing.assert_close(module.bias.detach(), before[1])


def test_a_network_without_parameters_is_refused():
    from unrolled.train.optimiser import make_optimiser

    with pytest.raises(ArgumentError, match="no trainable parameter"):
        make_optimiser(nn.ReLU(), TrainSettings(epochs=1))
