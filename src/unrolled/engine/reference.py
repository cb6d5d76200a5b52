"""The reference: the cell's own `update` called with tensors in a Python loop. Every other engine is held to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from unrolled.cell import Cell, Leaves, Products, Program, register_evaluator, run
from unrolled.engine.plan import Capture, Plan
from unrolled.engine.weights import Weights


def _tensor(value: Any, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=like.dtype, device=like.device)


def _two(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], Tensor]:
    """Torch's maximum takes tensors only; the table's also takes a number."""

    def both(a: Any, b: Any) -> Tensor:
        like = a if isinstance(a, Tensor) else b
        return function(_tensor(a, like), _tensor(b, like))

    return both


def _where(condition: Any, a: Any, b: Any) -> Tensor:
    like = next(v for v in (condition, a, b) if isinstance(v, Tensor))
    return torch.where(_tensor(condition, like) != 0, _tensor(a, like), _tensor(b, like))


def _greater(a: Any, b: Any) -> Tensor:
    like = a if isinstance(a, Tensor) else b
    return (_tensor(a, like) > _tensor(b, like)).to(like.dtype)


def _softplus(a: Tensor) -> Tensor:
    # torch's softplus becomes the identity above a threshold, which costs precision in float64
    return torch.clamp(a, min=0) + torch.log1p(torch.exp(-a.abs()))


TORCH: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "abs": torch.abs,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "softplus": _softplus,
    "maximum": _two(torch.maximum),
    "minimum": _two(torch.minimum),
    "greater": _greater,
    "where": _where,
    "mean": lambda a: a.mean(-1, keepdim=True).expand_as(a),
}

register_evaluator(Tensor, TORCH)


def refuse(plan: Plan) -> str | None:
    """The reference takes everything."""
    return None


class Step:
    """One time step of a cell with its weights: gates already projected, states in, output and next state out."""

    def __init__(self, cell: Cell, program: Program, weights: Weights) -> None:
        self.cell, self.program, self.weights = cell, program, weights
        hidden = weights.W.shape[0] // len(program.gates)
        self.hidden = hidden
        self.place = {gate: k for k, gate in enumerate(program.recurrent)}
        self.biases = {gate: k for k, gate in enumerate(program.recurrent_biased)}
        direct = [self.place[g] for g in program.direct]
        # one product serves every gate that reads the first state, where they stand side by side in U
        self.joined = len(direct) > 1 and direct == list(range(direct[0], direct[0] + len(direct)))

    def rows(self, place: int, count: int = 1) -> slice:
        return slice(place * self.hidden, (place + count) * self.hidden)

    def gate_inputs(self, x: Tensor) -> Leaves:
        """x.k for every gate, from the stacked W x + b (..., G*H)."""
        return Leaves(
            self.program.name, "x", dict(zip(self.program.gates, x.chunk(len(self.program.gates), -1), strict=True))
        )

    def products(self, first: Tensor) -> Products:
        names = (*self.program.gates, *self.program.products)
        done: dict[str, Tensor] = {}

        def multiply(name: str, operand: Tensor) -> Tensor:
            if self.joined and operand is first and name in self.program.direct:
                if not done:
                    done.update(self._joined(first))
                return done[name]
            return self._multiply(name, operand)

        return Products(self.program.name, names, first, multiply)

    def _joined(self, first: Tensor) -> dict[str, Tensor]:
        direct = self.program.direct
        product = self._times(self.rows(self.place[direct[0]], len(direct)), first, len(direct))
        return {g: self._biased(g, v) for g, v in zip(direct, product.chunk(len(direct), -1), strict=True)}

    def _multiply(self, name: str, operand: Tensor) -> Tensor:
        if name in self.program.products:
            return functional.linear(operand, self.weights.products[name])
        return self._biased(name, self._times(self.rows(self.place[name]), operand, 1))

    def _times(self, rows: slice, operand: Tensor, gates: int) -> Tensor:
        matrix = self.weights.recurrent
        heads = self.program.heads
        if heads == 1:
            return functional.linear(operand, matrix[rows])
        blocks = matrix[rows].reshape(gates, heads, -1, matrix.shape[1])
        parts = operand.reshape(*operand.shape[:-1], heads, -1)
        return torch.einsum("ghij,...hj->...ghi", blocks, parts).reshape(*operand.shape[:-1], -1)

    def _biased(self, gate: str, value: Tensor) -> Tensor:
        if gate not in self.biases or self.weights.c is None:
            return value
        return value + self.weights.c[self.rows(self.biases[gate])]

    def parameters(self, noise: Mapping[str, Any]) -> Leaves:
        """p: the vectors, and the noise of this step."""
        return Leaves(self.program.name, "p", {**self.weights.vectors, **noise})

    def __call__(self, x: Tensor, state: Any, noise: Mapping[str, Any]) -> tuple[Tensor, Any]:
        output, following = self.cell.update(
            self.gate_inputs(x), self.products(state[0]), state, self.parameters(noise)
        )
        return output, self.program.state_type(*(_full(v, old) for v, old in zip(following, state, strict=True)))

    def values(self, x: Tensor, state: Any, noise: Mapping[str, Any]) -> list[Any]:
        """Every node of the program in this step, for capture."""
        return run(self.program, self.gate_inputs(x), self.products(state[0]), state, self.parameters(noise))


def _full(value: Any, like: Tensor) -> Tensor:
    """A next state that is a plain number, or one vector for all rows, becomes a tensor like the old one."""
    return value.expand_as(like) if isinstance(value, Tensor) else torch.full_like(like, float(value))


def scan(
    cell: Cell, plan: Plan, weights: Weights, xs: Tensor | None, state: Any, lengths: Tensor | None,
    noise: Mapping[str, Tensor], capture: Capture,
) -> tuple[Tensor, Any]:  # fmt: skip
    """Time-major: xs (T, B, F) -> outputs (T, B, O); see `unrolled.engine.scan`."""
    step = Step(cell, plan.program, weights)
    gates = project(plan, weights, xs, lengths)
    fixed = {name: n.mean for name, n in plan.program.noise.items() if name not in noise}
    wanted = capture.nodes(plan.program)
    kept: dict[str, list[Tensor]] = {name: [] for name in wanted}
    outputs: list[Tensor] = []
    for t in reversed(range(plan.steps)) if plan.reverse else range(plan.steps):
        factors = {k: v[:, t] if v.dim() == 3 else v for k, v in noise.items()}
        if wanted:
            values = step.values(gates[t], state, fixed | factors)
            output = values[plan.program.output]
            following = plan.program.state_type(
                *(_full(values[i], old) for i, old in zip(plan.program.next, state, strict=True))
            )
        else:
            output, following = step(gates[t], state, fixed | factors)
        alive = None if lengths is None else (t < lengths).unsqueeze(-1)
        for name, index in wanted.items():
            value = values[index] if isinstance(values[index], Tensor) else torch.full_like(state[0], values[index])
            kept[name].append(value if alive is None else torch.where(alive, value, 0.0))
        if alive is not None:
            output = torch.where(alive, output, 0.0)
            following = type(following)(*(torch.where(alive, n, o) for n, o in zip(following, state, strict=True)))
        state = following
        outputs.append(output)
    for name, parts in kept.items():
        capture.values[name] = torch.stack(parts[::-1] if plan.reverse else parts).transpose(0, 1)
    return torch.stack(outputs[::-1] if plan.reverse else outputs), state


def project(plan: Plan, weights: Weights, xs: Tensor | None, lengths: Tensor | None) -> Tensor:
    """W x_t + b for all steps in one product: (T, B, G*H)."""
    if xs is None:
        bias = weights.b if weights.b is not None else weights.W.new_zeros(weights.W.shape[0])
        return bias.expand(plan.steps, plan.batch, -1)
    if lengths is not None:
        # what lies past a row's end may be anything, also NaN, whose gradient would not stay there
        ended = torch.arange(plan.steps, device=xs.device)[:, None] >= lengths
        xs = xs.masked_fill(ended.unsqueeze(-1), 0.0)
    return functional.linear(xs, weights.W, weights.b)
