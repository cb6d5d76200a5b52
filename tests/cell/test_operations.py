from __future__ import annotations

import pytest
import torch

from unrolled.cell import OPERATIONS
from unrolled.cell.functions import NUMBERS, apply
from unrolled.engine.reference import TORCH

# Gradients that are zero or undefined nearly everywhere are checked elsewhere.
SMOOTH = sorted(set(OPERATIONS) - {"greater"})


def operands(arity: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(arity)
    return [torch.rand(3, 4, generator=generator, dtype=torch.float64).add(0.1).requires_grad_() for _ in range(arity)]


@pytest.mark.parametrize("table", [NUMBERS, TORCH], ids=["numbers", "torch"])
def test_every_map_covers_the_table(table: dict[str, object]) -> None:
    assert set(table) == set(OPERATIONS)


@pytest.mark.parametrize("name", SMOOTH)
def test_derivative_of_each_row(name: str) -> None:
    row = OPERATIONS[name]
    arguments = operands(row.arity)
    value = apply(name, *arguments)
    seed = torch.rand(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    wanted = torch.autograd.grad(value, arguments, seed, allow_unused=True)
    found = row.gradient(seed, value, *arguments)
    for got, want in zip(found, wanted, strict=True):
        if want is None:
            assert got is None
        else:
            torch.testing.assert_close(torch.as_tensor(got), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"mean", "where", "greater"}))
def test_numbers_equal_tensors(name: str) -> None:
    arguments = operands(OPERATIONS[name].arity)
    plain = NUMBERS[name](*(float(a[1, 2].detach()) for a in arguments))
    assert plain == pytest.approx(float(TORCH[name](*arguments)[1, 2].detach()), rel=1e-12)


def test_ties_share_their_gradient_as_in_torch() -> None:
    a = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64, requires_grad=True)
    for name in ("maximum", "minimum"):
        want = torch.autograd.grad(TORCH[name](a, b).sum(), (a, b))
        got = OPERATIONS[name].gradient(torch.ones(3, dtype=torch.float64), None, a, b)
        for g, w in zip(got, want, strict=True):
            assert torch.equal(g, w)
