from __future__ import annotations

import math

import pytest
import torch

from unrolled.errors import ArgumentError
from unrolled.models.distributions import Gaussian, Head, NegativeBinomial, Point, Quantiles, StudentT, head_of

LEVELS = (0.1, 0.5, 0.9)
HEADS: dict[str, Head] = {
    "quantiles": Quantiles(LEVELS),
    "gaussian": Gaussian(),
    "student-t": StudentT(),
    "negative-binomial": NegativeBinomial(torch.tensor(3.0)),
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(3)


@pytest.mark.parametrize("name", HEADS)
def test_quantiles_ascend_and_draws_keep_to_them(name: str) -> None:
    head = HEADS[name]
    parameters = torch.randn(6, 4, head.size)
    found = head.quantiles(parameters, LEVELS)
    assert found.shape == (6, 4, 3)
    assert (found.diff(dim=-1) >= 0).all()
    ranks = torch.rand(3000, 6, 4) * 0.998 + 0.001
    draws = head.draw(parameters.expand(3000, -1, -1, -1), ranks)
    below = (draws <= found[..., 1]).float().mean(0)
    slack = 0.25 if name == "negative-binomial" else 0.05  # counts below and at the median are more than half
    assert ((below - 0.5).abs() < slack).all()


@pytest.mark.parametrize("name", HEADS)
def test_the_loss_is_least_at_the_truth(name: str) -> None:
    """Parameters fitted to draws of a distribution give its median back."""
    head = HEADS[name]
    truth = torch.randn(2000) * 0.5 + 2
    if name == "negative-binomial":
        truth = torch.poisson(truth.clamp(min=0) * 6) / 3
    parameters = torch.zeros(head.size, requires_grad=True)
    optimiser = torch.optim.Adam([parameters], lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        head.loss(parameters.expand(2000, -1), truth).mean().backward()
        optimiser.step()
    centre = head.centre(parameters.detach()[None])
    assert centre.item() == pytest.approx(truth.mean().item() if name[0] in "gn" else truth.median().item(), abs=0.1)
    outer = head.quantiles(parameters.detach()[None], (0.1, 0.9))[0]
    assert (truth < outer[0]).float().mean() == pytest.approx(0.1, abs=0.06)
    assert (truth > outer[1]).float().mean() == pytest.approx(0.1, abs=0.06)


def test_losses_are_those_of_torchs_distributions() -> None:
    parameters, truth = torch.randn(50, 3, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    scale = torch.nn.functional.softplus(parameters[:, 1]) + 1e-4
    normal = torch.distributions.Normal(parameters[:, 0], scale)
    torch.testing.assert_close(Gaussian().loss(parameters[:, :2], truth), -normal.log_prob(truth))
    freedom = 2.01 + torch.nn.functional.softplus(parameters[:, 2])
    student = torch.distributions.StudentT(freedom, parameters[:, 0], scale)
    torch.testing.assert_close(StudentT().loss(parameters, truth), -student.log_prob(truth))
    counts = torch.poisson(torch.full((50,), 4.0, dtype=torch.float64))
    mean, spread = (torch.nn.functional.softplus(parameters[:, k]) + 1e-4 for k in range(2))
    number = 1 / spread
    binomial = torch.distributions.NegativeBinomial(number, logits=(mean / number).log())
    torch.testing.assert_close(NegativeBinomial().loss(parameters[:, :2], counts), -binomial.log_prob(counts))
    torch.testing.assert_close(Point().loss(parameters[:, :1], truth), 0.5 * (truth - parameters[:, 0]) ** 2)


def test_students_quantiles_are_the_published_ones() -> None:
    """t tables: 97.5 % at 3, 5, 10 and 1000 degrees of freedom."""
    for freedom, published in ((3.0, 3.182), (5.0, 2.571), (10.0, 2.228), (1000.0, 1.962)):
        raw = math.log(math.expm1(freedom - 2.01)) if freedom < 500 else freedom - 2.01
        parameters = torch.tensor([[0.0, math.log(math.expm1(1 - 1e-4)), raw]])
        assert StudentT().quantiles(parameters, (0.975,)).item() == pytest.approx(published, abs=0.02)


def test_quantiles_between_and_beyond_those_learnt_lie_on_straight_lines() -> None:
    head = Quantiles((0.2, 0.4, 0.8))
    parameters = torch.tensor([[1.0, 2.0, 4.0]])
    assert head.quantiles(parameters, (0.1, 0.3, 0.6, 0.9)).tolist()[0] == pytest.approx([0.5, 1.5, 3.0, 4.5])
    assert head.centre(parameters).item() == pytest.approx(2.5)
    assert Quantiles((0.5,)).quantiles(parameters[:, :1], (0.1, 0.9)).tolist() == [[1.0, 1.0]]


def test_refusals() -> None:
    for levels in ((), (0.5, 0.5), (0.9, 0.1), (0.0, 0.5)):
        with pytest.raises(ArgumentError, match="must ascend between 0 and 1, each once"):
            head_of("quantiles", levels)
    with pytest.raises(ArgumentError, match="distribution='normal' is not known; choose quantiles, point, gaussian"):
        head_of("normal", LEVELS)
