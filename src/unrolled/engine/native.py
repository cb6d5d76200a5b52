"""Torch's own fused LSTM, GRU and RNN (oneDNN on a CPU, cuDNN on a GPU), wherever a program equals one of them.

What torch computes is written here as cells, because an engine recognises a cell by its equations and not by its name.
"""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.cell import Cell, Program, correspondence, layouts, relu, sigmoid, state, tanh, trace
from unrolled.engine.plan import Plan
from unrolled.engine.weights import Weights
from unrolled.errors import EngineError

FUSED = "LSTM, LSTM with projection, GRU, tanh and relu RNN"


class _Plain(Cell):
    gates = ("h",)
    state = state(h="output")


class _Tanh(_Plain):
    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        h = tanh(x.h + u.h)
        return h, self.next(h=h)


class _Relu(_Plain):
    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        h = relu(x.h + u.h)
        return h, self.next(h=h)


class _GRU(Cell):
    gates = layouts.LAYOUTS["torch", "GRU"].gates
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        z, n = sigmoid(x.z + u.z), tanh(x.n + sigmoid(x.r + u.r) * u.n)
        h = (1 - z) * n + z * s.h
        return h, self.next(h=h)


class _GRUDifference(_GRU):
    """The same GRU in the form that torch's kernels compute."""

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        z, n = sigmoid(x.z + u.z), tanh(x.n + sigmoid(x.r + u.r) * u.n)
        h = n + z * (s.h - n)
        return h, self.next(h=h)


class _LSTM(Cell):
    gates = layouts.LAYOUTS["torch", "LSTM"].gates
    state = state(h="output", c="hidden")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        c = sigmoid(x.f + u.f) * s.c + sigmoid(x.i + u.i) * tanh(x.g + u.g)
        h = self.show(u, sigmoid(x.o + u.o) * tanh(c))
        return h, self.next(h=h, c=c)

    def show(self, u: Any, h: Any) -> Any:
        return h


class _ProjectedLSTM(_LSTM):
    products = {"p": ("hidden", "output")}

    def show(self, u: Any, h: Any) -> Any:
        return u("p", h)


@dataclass(frozen=True)
class Match:
    """Which of torch's functions a program is, and the order in which its gates and states go there."""

    function: str
    gates: tuple[int, ...]
    state: tuple[int, ...]


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[str, Program], ...]:
    cells = (("rnn_tanh", _Tanh()), ("rnn_relu", _Relu()), ("gru", _GRU()), ("gru", _GRUDifference()),
             ("lstm", _LSTM()), ("lstm", _ProjectedLSTM()))  # fmt: skip
    return tuple((function, trace(cell)) for function, cell in cells)


@lru_cache(maxsize=1024)
def match(program: Program) -> Match | None:
    """Which function of torch computes this program, or None."""
    for function, pattern in _patterns():
        found = correspondence(program, pattern)
        if found is not None:
            gates = layouts.order(program.gates, found.gates)
            return Match(function, gates, layouts.order(tuple(program.state), found.state))
    return None


def refuse(plan: Plan) -> str | None:
    """Why torch's fused functions cannot take this call; None where they can."""
    if plan.program.noise:
        return "torch's fused layers have no zoneout or recurrent dropout"
    if match(plan.program) is None:
        return f"{plan.program.name} is none of the cells that torch has fused ({FUSED})"
    if plan.transformed:
        return "vmap and forward-mode differentiation need the reference"
    if plan.capture:
        return "torch's fused layers do not show their gates and states at every step"
    if not plan.has_input:
        return "torch's fused layers need an input at every step"
    if plan.sizes.input == 0:
        return "torch's fused layers need at least one input feature"
    if plan.program.products and plan.sizes.hidden == plan.sizes.output:
        return "torch's LSTM takes a projection only to another width"
    return None


def scan(plan: Plan, weights: Weights, xs: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
    """Time-major: xs (T, B, F) -> outputs (T, B, O); see `unrolled.engine.scan`."""
    found = match(plan.program)
    if found is None:
        raise EngineError(f"the engine native cannot run {plan.program.name}: it is none of {FUSED}.")
    flat = _flat(plan.program, weights, found, plan.sizes.hidden)
    hx = [state[i].unsqueeze(0) for i in found.state]
    if lengths is not None:
        outputs, last = _ragged(found.function, xs, hx, flat, lengths, plan.reverse)
    else:
        outputs, last = _call(found.function, xs.flip(0) if plan.reverse else xs, hx, flat)
        outputs = outputs.flip(0) if plan.reverse else outputs
    back = [last[found.state.index(i)].squeeze(0) for i in range(len(found.state))]
    return outputs, plan.program.state_type(*back)


def _call(
    function: str, xs: Tensor, hx: list[Tensor], flat: list[Tensor], sizes: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Torch's function over (T, B, F), or over packed rows with `sizes` rows alive at each step."""
    run = getattr(torch, function)
    start: Any = hx if len(hx) > 1 else hx[0]
    biased = len(flat) > 3
    training = torch.is_grad_enabled()  # cuDNN keeps what the backward pass needs only when it is told that it trains
    # oneDNN knows no projection; that torch says so and takes its other path is no news to anybody
    with warnings.catch_warnings() if len(flat) % 2 else nullcontext():
        if len(flat) % 2:
            warnings.filterwarnings("ignore", "LSTM with projections")
        if sizes is None:
            outputs, *last = run(xs, start, flat, biased, 1, 0.0, training, False, False)
        else:
            outputs, *last = run(xs, sizes, start, flat, biased, 1, 0.0, training, False)
    return outputs, last


def _flat(program: Program, weights: Weights, found: Match, hidden: int) -> list[Tensor]:
    """Torch's order: w_ih, w_hh, b_ih, b_hh, and the projection."""

    def ordered(value: Tensor) -> Tensor:
        if found.gates == tuple(range(len(found.gates))):
            return value
        return torch.cat([value[g * hidden : (g + 1) * hidden] for g in found.gates])

    flat = [ordered(weights.W), ordered(weights.recurrent)]
    if weights.b is not None or weights.c is not None:
        zeros = weights.W.new_zeros(weights.W.shape[0])
        flat += [
            ordered(weights.b) if weights.b is not None else zeros,
            _recurrent_bias(program, weights, found, zeros, hidden),
        ]
    return [*flat, *weights.products.values()]


def _recurrent_bias(program: Program, weights: Weights, found: Match, zeros: Tensor, hidden: int) -> Tensor:
    """b_hh: our recurrent biases where torch has them, zeros elsewhere."""
    if weights.c is None:
        return zeros
    rows = {gate: weights.c[k * hidden : (k + 1) * hidden] for k, gate in enumerate(program.recurrent_biased)}
    return torch.cat([rows.get(program.gates[g], zeros[:hidden]) for g in found.gates])


def _ragged(
    function: str, xs: Tensor, hx: list[Tensor], flat: list[Tensor], lengths: Tensor, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    """Rows sorted by length and packed, so that finished rows cost nothing; rows of length 0 keep their state."""
    steps, batch = xs.shape[:2]
    order = torch.argsort(lengths, descending=True, stable=True)
    order = order[: int((lengths > 0).sum())]
    cut = lengths[order]
    if not len(cut):
        return xs.new_zeros(steps, batch, hx[0].shape[-1]), hx
    if reverse:
        xs = _turned(xs, lengths)
    packed = pack_padded_sequence(xs[:, order], cut.cpu())
    outputs, last = _call(function, packed.data, [h[:, order] for h in hx], flat, packed.batch_sizes)
    padded, _ = pad_packed_sequence(packed._replace(data=outputs), total_length=steps)
    full = padded.new_zeros(steps, batch, padded.shape[2]).index_copy(1, order, padded)
    states = [h.index_copy(1, order, n.to(h.dtype)) for h, n in zip(hx, last, strict=True)]
    return (_turned(full, lengths) if reverse else full), states


def _turned(xs: Tensor, lengths: Tensor) -> Tensor:
    """Each row back to front within its own length; what lies past it stays."""
    time = torch.arange(xs.shape[0], device=xs.device)[:, None]
    index = torch.where(time < lengths, lengths - 1 - time, time)
    return xs.gather(0, index.unsqueeze(-1).expand_as(xs))
