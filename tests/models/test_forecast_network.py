from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unrolled import cells
from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent
from unrolled.models.distributions import Head, head_of
from unrolled.models.forecast import ForecastNetwork, Window
from unrolled.models.shapes import ForecastShape

SHAPE = ForecastShape(context=12, horizon=5, segment=3, past=2, known=1, seasons=(4,))
LEVELS = (0.1, 0.5, 0.9)


def window(rows: int = 4, shape: ForecastShape = SHAPE) -> Window:
    steps, ahead = shape.context, shape.horizon
    return Window(
        torch.randn(rows, steps),
        torch.ones(rows, steps),
        torch.randn(rows, steps, shape.past),
        torch.randn(rows, steps + ahead, shape.known),
        torch.randn(rows, ahead),
        torch.ones(rows, ahead),
        torch.full((rows, 1), 2.0),
        torch.full((rows, 1), 3.0),
    )


def network(shape: ForecastShape = SHAPE, head: Head | None = None, *, bidirectional: bool = False) -> ForecastNetwork:
    recurrent = Recurrent(cells.GRU(), 6, 8, bidirectional=bidirectional)
    return ForecastNetwork(recurrent, shape, head or head_of("quantiles", LEVELS)).eval()


RECURSIVE = replace(SHAPE, past=0, recursive=True)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(1)


@pytest.mark.parametrize(
    "shape", [SHAPE, replace(SHAPE, attention="additive"), RECURSIVE, replace(RECURSIVE, segment=1)]
)
@pytest.mark.parametrize("kind", ["quantiles", "point", "gaussian", "student-t", "negative-binomial"])
def test_every_head_learns_and_forecasts(shape: ForecastShape, kind: str) -> None:
    net, x = network(shape, head_of(kind, LEVELS)), window(shape=shape)
    if kind == "negative-binomial":
        x = x._replace(context=x.context.abs(), truth=x.truth.abs(), centre=torch.zeros(4, 1))
    judged = net(x)
    assert judged.parameters.shape[:2] == judged.truth.shape == judged.counts.shape
    head = net.head.at(judged.scale * x.unit)
    head.loss(judged.parameters, judged.truth).mean().backward()
    unused = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert unused == []
    centre, quantiles = net.forecast(x, LEVELS, paths=20)
    assert centre.shape == (4, 5)
    assert quantiles.shape == (4, 5, 3)
    assert (quantiles.diff(dim=-1) >= 0).all()


def test_a_direct_forecast_reads_everything_but_the_truth() -> None:
    net, x = network(), window()
    before = net.forecast(x, LEVELS)[0]
    assert torch.equal(net.forecast(x._replace(truth=torch.randn(4, 5)), LEVELS)[0], before)
    for name in ("context", "past", "known"):
        changed = getattr(x, name).clone()
        changed[0, 3] += 1
        after = net.forecast(x._replace(**{name: changed}), LEVELS)[0]
        assert not torch.equal(after[0], before[0]), name
        assert torch.equal(after[1:], before[1:]), name
    ahead = x.known.clone()
    ahead[0, -1] += 1
    assert not torch.equal(net.forecast(x._replace(known=ahead), LEVELS)[0][0], before[0])


@pytest.mark.parametrize("shape", [SHAPE, RECURSIVE])
def test_a_series_moved_and_stretched_has_its_forecast_moved_and_stretched(shape: ForecastShape) -> None:
    net, x = network(shape), window(shape=shape)
    x = x._replace(context=20 * x.context)  # far above the floor of the deviation
    before = net.forecast(x, LEVELS)[0]
    after = net.forecast(x._replace(context=10 * x.context + 7), LEVELS)[0]
    torch.testing.assert_close(after, 10 * before + 7, rtol=0.02, atol=0.5)


def test_a_constant_window_is_forecast_without_dividing_by_zero() -> None:
    for shape in (SHAPE, RECURSIVE):
        x = window(shape=shape)
        centre, quantiles = network(shape).forecast(x._replace(context=torch.full((4, 12), 0.3)), LEVELS)
        assert centre.isfinite().all()
        assert quantiles.isfinite().all()


def test_it_starts_as_the_seasonal_naive_forecast() -> None:
    net = network()
    found = net.linear.weight
    assert found.argmax(1).tolist() == [8, 9, 10, 11, 8]
    assert (found.max(1).values > 0.9).all()


def test_it_may_start_as_a_map_of_what_the_window_is_above_its_last_value() -> None:
    net, x, matrix = network(), window(), torch.randn(12, 5)
    net.start_from(matrix)
    for part in (net.output.weight, net.output.bias, net.linear.bias):
        torch.nn.init.zeros_(part)
    last = x.context[:, -1:]
    torch.testing.assert_close(net.forecast(x, LEVELS)[0], last + (x.context - last) @ matrix)


def test_counts_and_outputs_fed_back_have_no_map_to_start_from() -> None:
    counts, fed_back = network(head=head_of("negative-binomial", LEVELS)), network(RECURSIVE)
    for net in (counts, fed_back):
        before = [p.clone() for p in net.parameters()]
        net.start_from(torch.randn(12, 5))
        assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_teacher_forcing_sees_only_what_came_before() -> None:
    net, x = network(RECURSIVE), window(shape=RECURSIVE)
    before = net(x)
    later = x.truth.clone()
    later[:, 2:] += 1  # of the horizon's first segment the last step, and all after it
    after = net(x._replace(truth=later))
    same = 12 - 3 + 3  # from the second segment of the context to the first of the horizon
    torch.testing.assert_close(after.parameters[:, :same], before.parameters[:, :same])
    assert not torch.equal(after.parameters[:, same:], before.parameters[:, same:])


def test_a_point_fed_back_is_the_repeated_step() -> None:
    shape = replace(RECURSIVE, segment=1, known=0)
    net, x = network(shape, head_of("point", LEVELS)), window(shape=shape)
    centre, _ = net.forecast(x, LEVELS)
    level, scale = net.normal(x)
    values = (x.context - level) / scale
    for _ in range(5):
        seen = torch.ones_like(values)
        outputs, _ = net.recurrent(net._inputs(values, seen, x.known.new_zeros(4, values.shape[1] + 1, 0)))
        values = torch.cat([values, net._next(outputs[:, -1:], values[:, -1:])[..., 0]], 1)
    torch.testing.assert_close(centre, values[:, 12:] * scale + level, rtol=1e-4, atol=1e-5)


def test_unseen_values_do_not_set_the_scale() -> None:
    x = window()
    seen = x.seen.clone()
    seen[:, :3] = 0
    context = x.context.clone()
    context[:, :3] = 1000.0
    x = x._replace(context=context, seen=seen)
    assert (network().normal(x)[1] < 5).all()


def test_refusals() -> None:
    for name in ("context", "horizon", "segment"):
        with pytest.raises(ArgumentError, match=f"{name}=0 must be at least 1"):
            replace(SHAPE, **{name: 0})
    with pytest.raises(ArgumentError, match="context=12 is not made of whole segments of 5 steps"):
        replace(SHAPE, segment=5)
    with pytest.raises(ArgumentError, match="covariates of the past are not known while outputs are fed back"):
        replace(SHAPE, recursive=True)
    with pytest.raises(ArgumentError, match="attention needs a direct forecast"):
        replace(RECURSIVE, attention="additive")
    with pytest.raises(ArgumentError, match="outputs can only be fed back forwards"):
        network(RECURSIVE, bidirectional=True)
