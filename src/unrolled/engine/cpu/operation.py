"""The one torch operation around the compiled kernels, with every gradient and a second derivative."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unrolled.cell import Cell, Program, ProgramCell, without_noise
from unrolled.engine import reference
from unrolled.engine.cpu import kept, opaque
from unrolled.engine.cpu.call import Call, planned
from unrolled.engine.cpu.chunk import Chunk, is_short
from unrolled.engine.cpu.compiler import compiled
from unrolled.engine.cpu.gradients import Gradients
from unrolled.engine.cpu.large import DTYPES
from unrolled.engine.cpu.lesson import Lesson
from unrolled.engine.cpu.memory import Memory
from unrolled.engine.plan import Capture, Plan
from unrolled.engine.tokens import Tokens
from unrolled.engine.weights import Weights

# Below this a call costs what Python costs, and looking for what is read twice costs more than it saves.
FEWEST_ROWS = 128


def refuse(plan: Plan) -> str | None:
    """Why the compiled kernels cannot take this call; None where they can."""
    if plan.device.type != "cpu":
        return f"the compiled kernels run on a CPU and this is on {plan.device}"
    if plan.dtype not in DTYPES:
        return f"the compiled kernels know float32 and float64, and this is {str(plan.dtype).removeprefix('torch.')}"
    if plan.transformed:
        return "vmap and forward-mode differentiation need the reference, whose operations torch can see"
    if plan.capture:
        return "the compiled kernels do not show their gates at every step"
    return None


def in_few_rows(plan: Plan, tokens: Tokens) -> Tokens | None:
    """Tokens of so few rows that their product with W, and one of them for each step, cost less than the steps'."""
    most = plan.batch * plan.steps // 2
    if opaque.tracing(tokens.table) or most < FEWEST_ROWS:
        return None
    if len(tokens.table) > most:
        tokens = tokens.fewer()
    return tokens if len(tokens.table) <= most else None


def scan(
    plan: Plan, weights: Weights, xs: Tensor | Tokens | None, state: Any, lengths: Tensor | None,
    noise: Mapping[str, Tensor],
) -> tuple[Tensor, Any]:  # fmt: skip
    """Xs (B, T, F), or tokens as they are, -> outputs (B, T, O); see `unrolled.engine.scan`."""
    program = without_noise(plan.program, [name for name in plan.program.noise if name not in noise])
    if opaque.tracing(weights.W) and not isinstance(xs, Tokens):
        dense = plan_input(plan, weights, xs).transpose(0, 1)
        found, after = opaque.scan(plan, program, weights, dense, state, lengths, noise)
        return found.transpose(0, 1), after
    ids = None
    if isinstance(xs, Tokens):
        ids, xs = xs.ids, xs.table
    names = tuple(weights.named)
    call = planned(plan, program, compiled(program, DTYPES[plan.dtype]), lengths, dict(noise), names, ids)
    inputs = [plan_input(plan, weights, xs), *state, *weights.named.values()]
    if plan.gradient:
        outputs, *last = _Scan.apply(call, *inputs)  # type: ignore[no-untyped-call]  # torch does not type it
    else:
        outputs, *last = _forward(call, *inputs)[0]
    return outputs, plan.program.state_type(*last)


def known(program: Program, weights: Weights, xs: Tensor, state: Any, *, reverse: bool) -> tuple[Tensor, Any] | None:
    """A call without lengths and noise as an earlier one like it laid it out; None where none did."""
    if not isinstance(state, tuple | None):
        return None
    key = program, xs.shape, reverse
    if not torch.is_grad_enabled():
        chunk = kept.find(weights, Chunk, key)
        return chunk(xs, state) if chunk is not None and kept.takes(chunk, weights, xs, state) else None
    lesson = kept.find(weights, Lesson, key)
    if lesson is None or not kept.takes(lesson, weights, xs, state):
        return None
    if not any(t.requires_grad for t in (xs, *weights.named.values(), *(state or ()))):
        return None
    inputs = (xs, *(lesson.zeros if state is None else state), *weights.named.values())
    outputs, *last = _Scan.apply(lesson.call, *inputs)  # type: ignore[no-untyped-call]  # torch does not type it
    return outputs, program.state_type(*last)


def prepare(plan: Plan, weights: Weights, xs: Tensor) -> None:
    """Lay calls like this one out, unless they are long or that needs copies."""
    kind: type[Lesson | Chunk] = Lesson if plan.gradient else Chunk
    key = plan.program, xs.shape, plan.reverse
    if kept.wanted(weights, kind, key):
        able = is_short(plan, weights) and kept.without_copies(plan, weights)
        kept.remember(weights, kind, key, lambda: kept.fitting(kind(plan, weights)) if able else None)


def plan_input(plan: Plan, weights: Weights, xs: Tensor | None) -> Tensor:
    """Without input, W x is W times nothing."""
    return weights.W.new_zeros(plan.batch, plan.steps, plan.sizes.input) if xs is None else xs


class _Scan(torch.autograd.Function):
    """Forward and backward through time in the kernels; a second derivative goes through the reference."""

    @staticmethod
    def forward(ctx: Any, call: Call, xs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        if call.lesson is not None:
            found, tensors = call.lesson.forward(xs, rest[: len(call.program.state)])
        else:
            found, tensors = _forward(call, xs, *rest)
        kept = {name: tensor for name, tensor in tensors.items() if name in call.code.kept}
        ctx.save_for_backward(xs, *rest, *kept.values())
        ctx.set_materialize_grads(False)
        ctx.call, ctx.kept = call, tuple(kept)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        call: Call = ctx.call
        states, count = len(call.program.state), 1 + len(call.program.state) + len(call.names)
        saved = ctx.saved_tensors
        inputs, kept = saved[:count], dict(zip(ctx.kept, saved[count:], strict=True))
        if torch.is_grad_enabled():
            return None, *_through_reference(call, inputs, gradients, ctx.needs_input_grad[1:])
        if call.lesson is not None and call.lesson.thread == threading.get_ident():
            found = call.lesson.backward(inputs[0], kept, gradients, inputs=ctx.needs_input_grad[1])
        else:
            memory = Memory(call, dict(zip(call.names, inputs[1 + states :], strict=True)))
            memory.tensors = kept
            memory.start_backward(None if gradients[0] is None else gradients[0].transpose(0, 1), gradients[1:])
            memory.run(call.code.back, ascending=call.plan.reverse)
            found = Gradients(memory)(_time_major(call, inputs[0]), inputs=ctx.needs_input_grad[1])
        adjoint = found["xs"] if found["xs"] is None else _time_major(call, found["xs"])
        return None, adjoint, *(found[f"D.{k}"] for k in call.program.state), *(found.get(n) for n in call.names)


def _forward(call: Call, xs: Tensor, *rest: Tensor) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Outputs and last state, and the buffers that a backward pass reads."""
    states, train = len(call.program.state), call.plan.gradient
    memory = Memory(call, dict(zip(call.names, rest[states:], strict=True)))
    step = call.forward(train=train)
    memory.start(step, _time_major(call, xs), rest[:states])
    memory.run(step, ascending=not call.plan.reverse)
    outputs, last = memory.results()
    return (outputs.transpose(0, 1), *last), memory.tensors


def _time_major(call: Call, xs: Tensor) -> Tensor:
    """Steps before rows, as the kernels have them, and back; a table has neither."""
    return xs if call.tokens is not None else xs.transpose(0, 1)


def _through_reference(
    call: Call, inputs: tuple[Tensor, ...], gradients: tuple[Tensor | None, ...], wanted: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """The first derivative as a graph of its own, so that it can be differentiated again."""
    states = len(call.program.state)
    named = dict(zip(call.names, inputs[1 + states :], strict=True))
    cell: Cell = ProgramCell(call.plan.program)
    state = call.plan.program.state_type(*inputs[1 : 1 + states])
    with torch.enable_grad():
        xs = inputs[0] if call.tokens is None else Tokens(call.tokens, inputs[0]).dense()
        outputs, last = reference.scan(
            cell, call.plan, Weights.from_dict(named), xs.transpose(0, 1), state, call.lengths, call.noise, Capture()
        )
        outputs = outputs.transpose(0, 1)
    pairs = [(v, g) for v, g in zip((outputs, *last), gradients, strict=True) if g is not None and v.requires_grad]
    needed = [v for v, w in zip(inputs, wanted, strict=True) if w]
    found = iter(
        torch.autograd.grad([v for v, _ in pairs], needed, [g for _, g in pairs], create_graph=True, allow_unused=True)
    )
    return tuple(next(found) if w else None for w in wanted)
