"""The Jacobian of a step, J_t = ds_t / ds_{t-1}: singular values, spectral radius, Lyapunov exponents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled import engine
from unrolled.inspect.arrays import Floats, Shown
from unrolled.layers.probe import Passage, Place, every_step

# With states wider than this in all, only the largest values are found, by power iteration.
_EXACT = 256
_ITERATIONS = 60
_LEADING = 8
# Largest entries of (T, S, S) that are held at once.
_MOST_NUMBERS = 40_000_000


@dataclass(frozen=True)
class Spectrum(Shown):
    """The step's Jacobian along one sequence of T steps; S is the width of all states together.

    - `singular` (T, K): the K largest singular values of each J_t, descending; all S where `exact`.
    - `radius` (T,): the spectral radius, the largest |eigenvalue| of each J_t.
    - `lyapunov` (K,): exponents lim 1/T log ||J_T ... J_1 v||, a step, descending (Benettin et al. 1980): above 0 small
      differences grow, below 0 they die out.
    - `exact`: from the whole matrices; else by power iteration, K of the exponents.
    """

    place: Place
    singular: Floats
    radius: Floats
    lyapunov: Floats
    exact: bool

    @property
    def sentence(self) -> str:
        """What the exponents say."""
        largest = float(self.lyapunov[0])
        kind = "grow" if largest > 0 else "die out"
        return (
            f"small differences {kind} by a factor of {np.exp(largest):.3f} a step (Lyapunov exponent {largest:+.3f}); "
            f"spectral radius {np.median(self.radius):.3f}, largest singular value {np.median(self.singular[:, 0]):.3f}"
        )


def step_jacobians(passage: Passage, row: int = 0) -> Floats:
    """J_t of every step of one row in the order of reading, (T, S, S) float64: row i, column j is ds_t,i / ds_{t-1},j.

    States stand side by side in the order of the cell's declaration.
    """
    steps = _Steps(passage, row)
    before, after = steps.linked()
    rows = [torch.autograd.grad(after[:, i].sum(), before, retain_graph=True)[0] for i in range(steps.width)]
    return torch.stack(rows, 1).numpy()


def spectrum(passage: Passage, row: int = 0, *, exact: bool | None = None) -> Spectrum:
    """Singular values, spectral radius and Lyapunov exponents along one row of a passage.

    `exact=None`: from the whole matrices where the states are at most 256 wide in all, else by power iteration.
    """
    steps = _Steps(passage, row)
    if exact is None:
        exact = steps.width <= _EXACT and len(steps) * steps.width**2 <= _MOST_NUMBERS
    if not exact:
        return _powers(steps)
    matrices = step_jacobians(passage, row)
    singular: Floats = np.linalg.svd(matrices, compute_uv=False).astype(np.float64)
    radius: Floats = np.abs(np.linalg.eigvals(matrices)).max(1).astype(np.float64)
    exponents = _exponents(len(steps), np.eye(steps.width), lambda t, q: matrices[t] @ q)
    return Spectrum(passage.place, singular, radius, exponents, True)


class _Steps:
    """All steps of one row side by side, as a batch of independent steps, in float64."""

    def __init__(self, passage: Passage, row: int) -> None:
        length = int(passage.ends[row])
        single = Passage(
            passage.place, passage.program, passage.weights, passage.xs[row : row + 1, :length],
            passage.program.state_type(*(part[row : row + 1] for part in passage.start)), None, passage.reverse,
        ).detached(torch.float64)  # fmt: skip
        with torch.no_grad():
            states = single.again(every_step, "reference").states
        self.program, self.place, self.weights = single.program, passage.place, single.weights
        self.sizes = [part.shape[1] for part in single.start]
        self.xs = single.xs[0].flip(0) if passage.reverse else single.xs[0]
        self.before = torch.cat([_flat(state) for state in (single.start, *states[:-1])])

    def __len__(self) -> int:
        return len(self.before)

    @property
    def width(self) -> int:
        """S."""
        return sum(self.sizes)

    def linked(self, chosen: Any = slice(None)) -> tuple[Tensor, Tensor]:
        """The states (N, S) before some steps, wanting gradients, and those after them."""
        before = self.before[chosen].detach().requires_grad_()
        return before, self.step(self.xs[chosen], before)

    def step(self, xs: Tensor, before: Tensor) -> Tensor:
        """(N, S) -> (N, S)."""
        state = self.program.state_type(*torch.split(before, self.sizes, 1))
        with torch.enable_grad():
            return _flat(engine.step(self.program, self.weights, xs, state, engine="reference")[1])


def _flat(state: Any) -> Tensor:
    return torch.cat(tuple(state), 1)


def _powers(steps: _Steps) -> Spectrum:
    """The largest values of a sample of steps by power iteration, the leading exponents along all of them."""
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), 32)).astype(int))
    before, after = steps.linked(torch.from_numpy(chosen))
    forward = _forward(before, after)

    def backward(v: Tensor) -> Tensor:
        return torch.autograd.grad(after, before, v, retain_graph=True)[0]

    random = torch.Generator().manual_seed(0)
    v = torch.randn(before.shape, dtype=torch.float64, generator=random)
    for _ in range(_ITERATIONS):
        v = backward(forward(v))
        v = v / v.norm(dim=1, keepdim=True).clamp(min=1e-300)
    largest = forward(v).norm(dim=1)
    w = torch.randn(before.shape, dtype=torch.float64, generator=random)
    logs = []
    for _ in range(2 * _ITERATIONS):
        w = forward(w)
        length = w.norm(dim=1, keepdim=True).clamp(min=1e-300)
        logs.append(length[:, 0].log())
        w = w / length
    # ||J^n v||^(1/n) tends to the spectral radius (Gelfand), and the first half only turns v towards its direction.
    radius = torch.stack(logs[_ITERATIONS:]).mean(0).exp()
    start = np.linalg.qr(np.random.default_rng(0).standard_normal((steps.width, min(_LEADING, steps.width))))[0]

    def advance(t: int, q: Floats) -> Floats:
        rows = torch.full((q.shape[1],), t)
        moved = _forward(*steps.linked(rows))(torch.from_numpy(q.T.copy()))
        turned: Floats = moved.numpy().T
        return turned

    exponents = _exponents(len(steps), start, advance)
    return Spectrum(steps.place, largest.numpy()[:, None], radius.numpy(), exponents, False)


def _forward(before: Tensor, after: Tensor) -> Any:
    """The map of v (N, S) to J v, as the derivative of u -> J^T u, which is linear in u."""
    u = torch.zeros_like(after, requires_grad=True)
    (transposed,) = torch.autograd.grad(after, before, u, create_graph=True)
    return lambda v: torch.autograd.grad(transposed, u, v, retain_graph=True)[0].detach()


def _exponents(count: int, q: Floats, advance: Any) -> Floats:
    """Exponents from the growth of an orthonormal frame, made orthonormal again after every step."""
    total = np.zeros(q.shape[1])
    for t in range(count):
        q, r = np.linalg.qr(advance(t, q))
        with np.errstate(divide="ignore"):  # a direction that is lost altogether has the exponent -inf
            total += np.log(np.abs(np.diag(r)))
    found: Floats = np.sort(total / max(1, count))[::-1]
    return found
