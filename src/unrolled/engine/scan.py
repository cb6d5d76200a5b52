"""`scan`: a cell over sequences by the engine that fits; `step`: one time step; `explain`: which engine and why."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from unrolled.cell import Cell, Program, ProgramCell, trace
from unrolled.engine import native, reference
from unrolled.engine.cpu import opaque, operation, stepper
from unrolled.engine.packed import Packed, part_of
from unrolled.engine.plan import Capture, Plan, looked_into, plan_of
from unrolled.engine.segments import MEMORIES, Job, in_segments
from unrolled.engine.tokens import Tokens, dense
from unrolled.engine.weights import Weights, check_state, initial_state
from unrolled.errors import ArgumentError, EngineError

# In the order in which "auto" asks them; the reference takes everything.
ENGINES = {"compiled": operation.refuse, "native": native.refuse, "reference": reference.refuse}
_log = logging.getLogger("unrolled.engine")


@dataclass(frozen=True)
class Explanation:
    """Which engine a call runs on, and why the others do not."""

    engine: str
    refusals: Mapping[str, str]
    plan: Plan

    def __str__(self) -> str:
        p = self.plan
        outputs = f" -> {p.sizes.output}" if p.sizes.output != p.sizes.hidden else ""
        kind = f"{str(p.dtype).removeprefix('torch.')} on {p.device}"
        what = f"{p.program.name}, {p.batch} rows x {p.steps} steps, {p.sizes.input} -> {p.sizes.hidden} units{outputs}"
        first = f"{what}, {kind}, {'with' if p.gradient else 'without'} gradients: engine {self.engine}"
        return "\n".join([first, *(f"  not {name}: {why}" for name, why in self.refusals.items())])


def scan(
    cell: Cell | Program,
    weights: Weights,
    xs: Tensor | Tokens | None,
    state: Any = None,
    *,
    steps: int | None = None,
    noise: Mapping[str, Tensor | Packed] | None = None,
    lengths: Tensor | None = None,
    reverse: bool = False,
    capture: Capture | None = None,
    engine: str = "auto",
    memory: str = "full",
) -> tuple[Tensor, Any]:
    """Run a cell over sequences: xs (B, T, F) -> outputs (B, T, O) and the last state, a named tuple of (B, size).

    `xs` may be `Tokens`, rows of a table; `xs=None, steps=T` runs without input. Past its length (B,) a row's state is
    frozen and its output 0. `reverse` reads from the end; outputs stay in the order of time. `noise` gives values to
    the noise operands (left out: their mean). `capture` is filled with gates and states at every step. `engine` is
    "auto", "compiled", "native" or "reference". `memory="low"` computes the steps a second time in the backward pass
    instead of keeping them: exact gradients in memory of about the square root of T beside inputs, outputs and their
    gradients.

    Raises ArgumentError where shapes do not fit, EngineError where the named engine cannot take the call.
    """
    simple = engine in ("auto", "compiled") and memory == "full" and lengths is None and capture is None and not noise
    plain = _plain_input(xs, steps) if simple else None
    known = None if plain is None else operation.known(trace(cell), weights, plain, state, reverse=reverse)
    if known is not None:
        return known
    plan, state = _planned(cell, weights, xs, state, steps, noise, lengths, reverse, capture)
    if memory not in MEMORIES:
        raise ArgumentError(f"memory is {memory!r}; give {' or '.join(MEMORIES)}.")
    if memory == "low" and plan.steps and plan.batch:
        return _in_segments(cell, plan, weights, dense(xs), state, noise or {}, lengths, engine)
    if plan.steps == 0 or plan.batch == 0:
        empty = weights.W.new_zeros(plan.batch, plan.steps, plan.sizes.of(plan.program.output_width))
        for name in capture or ():
            capture.values[name] = empty.new_zeros(plan.batch, plan.steps, plan.sizes.hidden)  # type: ignore[union-attr]  # not None
        return empty, state
    chosen = _engine(plan, engine)
    drawn = {name: part_of(value, slice(None)) for name, value in (noise or {}).items()}
    few = operation.in_few_rows(plan, xs) if chosen == "compiled" and isinstance(xs, Tokens) else None
    if few is not None:
        return _compiled(plan, weights, few, state, lengths, drawn)
    xs = dense(xs)
    if chosen == "compiled":
        if plain is not None:
            operation.prepare(plan, weights, plain)
        return _compiled(plan, weights, xs, state, lengths, drawn)
    inputs = None if xs is None else xs.transpose(0, 1)
    if chosen == "native" and inputs is not None:
        outputs, state = native.scan(plan, weights, inputs, state, lengths)
    else:
        outputs, state = reference.scan(
            _as_cell(cell), plan, weights, inputs, state, lengths, drawn, capture or Capture()
        )
    return outputs.transpose(0, 1), state


def _plain_input(xs: Tensor | Tokens | None, steps: int | None) -> Tensor | None:
    """The input of a call that no transformation looks into; None where there is more to it."""
    if not isinstance(xs, Tensor) or torch.is_autocast_enabled("cpu"):
        return None
    seen = looked_into(()) or opaque.tracing(xs) or steps not in (None, xs.shape[1])
    return None if seen else xs


def _compiled(*arguments: Any) -> tuple[Tensor, Any]:
    """The kernels know no mixed types, so under autocast their products stay in the type of the weights."""
    if not torch.is_autocast_enabled("cpu"):
        return operation.scan(*arguments)
    with torch.autocast("cpu", enabled=False):
        return operation.scan(*arguments)


def _in_segments(
    cell: Cell | Program, plan: Plan, weights: Weights, xs: Tensor | None, state: Any,
    noise: Mapping[str, Tensor | Packed], lengths: Tensor | None, engine: str,
) -> tuple[Tensor, Any]:  # fmt: skip
    """`scan` with memory="low"."""
    if plan.capture:
        raise ArgumentError("capture asks for every step, which memory='low' does not keep; use memory='full'.")
    names, program = tuple(weights.named), plan.program

    def run(
        part: slice, x: Tensor | None, start: tuple[Tensor, ...], values: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        size = part.stop - part.start
        each = {k: part_of(v, part) if program.noise[k].frequency == "step" else v for k, v in noise.items()}
        inside = None if lengths is None else (lengths - part.start).clamp(0, size)
        return scan(
            cell, Weights.from_dict(dict(zip(names, values, strict=True))), x, program.state_type(*start),
            steps=size if x is None else None, noise=each, lengths=inside, reverse=plan.reverse, engine=engine,
        )  # fmt: skip

    job = Job(run, plan.steps, plan.sizes.of(program.output_width), len(program.state), plan.reverse)
    outputs, last = in_segments(job, xs, tuple(state), tuple(weights.named.values()))
    return outputs, program.state_type(*last)


def step(
    cell: Cell | Program,
    weights: Weights,
    x: Tensor | None,
    state: Any = None,
    *,
    noise: Mapping[str, Tensor] | None = None,
    capture: Capture | None = None,
    engine: str = "auto",
) -> tuple[Tensor, Any]:
    """One time step: x (B, F) -> output (B, O) and the next state; folding it over a sequence equals `scan`."""
    plain = engine in ("auto", "compiled") and x is not None and state is not None and not noise and capture is None
    if plain and x is not None and not torch.is_grad_enabled() and not looked_into(()) and not opaque.tracing(x):
        known = stepper.find(trace(cell), weights, x, state)
        if known is not None:
            return known(x, state)
        plan, state = _planned(cell, weights, x.unsqueeze(1), state, None, None, None, False, None)
        if choose(plan, engine).engine == "compiled":
            stepper.prepare(plan, weights, x)
    xs = None if x is None else x.unsqueeze(1)
    each = {k: v.unsqueeze(1) if trace(cell).noise[k].frequency == "step" else v for k, v in (noise or {}).items()}
    outputs, state = scan(
        cell, weights, xs, state, steps=1 if x is None else None, noise=each, capture=capture, engine=engine
    )
    return outputs[:, 0], state


def ready_step(program: Program, weights: Weights, x: Tensor, state: Any) -> Callable[[Tensor, Any], Any] | None:
    """`step` as an earlier call like this one laid it out; None where none did or gradients are wanted."""
    if torch.is_grad_enabled() or looked_into(()) or opaque.tracing(x):
        return None
    return stepper.find(program, weights, x, state)


def explain(
    cell: Cell | Program,
    weights: Weights,
    xs: Tensor | None,
    state: Any = None,
    *,
    steps: int | None = None,
    noise: Mapping[str, Tensor] | None = None,
    lengths: Tensor | None = None,
    reverse: bool = False,
    capture: Capture | None = None,
    engine: str = "auto",
) -> Explanation:
    """Which engine `scan` would take with the same arguments, and why not the others; nothing is computed."""
    plan, _ = _planned(cell, weights, xs, state, steps, noise, lengths, reverse, capture)
    return choose(plan, engine)


def choose(plan: Plan, engine: str = "auto") -> Explanation:
    """The first engine that takes the plan, or the one asked for; EngineError with its reason where it cannot."""
    if engine not in (*ENGINES, "auto"):
        raise EngineError(f"there is no engine {engine!r}, but auto, {', '.join(ENGINES)}.")
    reasons = {name: refuse(plan) for name, refuse in ENGINES.items()}
    if engine == "auto":
        chosen = next(name for name, reason in reasons.items() if reason is None)
        passed = [f"not {n}: {why}" for n, why in reasons.items() if why is not None]
        if chosen == "reference":
            _tell(chosen, plan.program.name, "; ".join(passed))
        other = f"{chosen} comes before it"
    else:
        chosen, other = engine, f"{engine} was asked for"
        if (reason := reasons[engine]) is not None:
            raise EngineError(f"the engine {engine} cannot run this: {reason}; use engine='auto'.")
    return Explanation(chosen, {n: why or other for n, why in reasons.items() if n != chosen}, plan)


def _engine(plan: Plan, engine: str) -> str:
    """The name that `choose` finds, asking no engine more than it must unless there is something to tell."""
    candidates = ENGINES if engine == "auto" else {engine} & ENGINES.keys()
    chosen = next((name for name in candidates if ENGINES[name](plan) is None), None)
    return choose(plan, engine).engine if chosen in (None, "reference") else chosen


@lru_cache(maxsize=256)
def _tell(engine: str, cell: str, reasons: str) -> None:
    """Say once for each reason that a faster engine was passed over."""
    _log.info("%s runs on the engine %s (%s)", cell, engine, reasons)


def _as_cell(cell: Cell | Program) -> Cell:
    return ProgramCell(cell) if isinstance(cell, Program) else cell


def _planned(
    cell: Cell | Program, weights: Weights, xs: Tensor | Tokens | None, state: Any, steps: int | None,
    noise: Mapping[str, Tensor | Packed] | None, lengths: Tensor | None, reverse: bool, capture: Capture | None,
) -> tuple[Plan, Any]:  # fmt: skip
    """Check the arguments of a call and say in a plan what they ask for."""
    program = trace(cell)
    sizes = weights.sizes(program)
    batch, count = _extent(sizes.input, xs, state, steps, lengths)
    like = xs.table if isinstance(xs, Tokens) else weights.W if xs is None else xs
    if like.dtype != weights.W.dtype or like.device != weights.W.device:
        raise ArgumentError(
            f"the input is {like.dtype} on {like.device}, but the weights are {weights.W.dtype} on {weights.W.device}; "
            "move one to the other."
        )
    if state is None:
        state = initial_state(program, sizes, batch, like.dtype, like.device)
    else:
        state = check_state(program, sizes, state, batch)
    if lengths is not None and (tuple(lengths.shape) != (batch,) or lengths.is_floating_point()):
        raise ArgumentError(
            f"lengths has the shape {tuple(lengths.shape)}, but needs a whole number for each of {batch} rows."
        )
    if (
        lengths is not None
        and batch
        and not opaque.tracing(lengths)
        and not 0 <= int(lengths.min()) <= int(lengths.max()) <= count
    ):
        raise ArgumentError(
            f"lengths go from {int(lengths.min())} to {int(lengths.max())}, but the input has {count} steps."
        )
    for name in noise or {}:
        if name not in program.noise:
            raise ArgumentError(
                f"noise was given for {name!r}, but {program.name} has {', '.join(program.noise) or 'none'}."
            )
    if capture is not None:
        capture.nodes(program)
    ragged = lengths is not None
    tensors = (like, *weights.named.values(), *state)
    gradient = torch.is_grad_enabled() and any(v.requires_grad for v in tensors)
    # a tracer's sizes are symbols, which no table can be looked up by
    made = Plan if opaque.tracing(like) else plan_of
    plan = made(program, sizes, batch, count, like.dtype, like.device, xs is not None, ragged, reverse, gradient,
                bool(noise), looked_into(tensors), capture.names if capture else ())  # fmt: skip
    return plan, state


def _extent(
    features: int, xs: Tensor | Tokens | None, state: Any, steps: int | None, lengths: Tensor | None
) -> tuple[int, int]:
    """Rows and steps of a call."""
    if xs is None:
        if steps is None or steps < 0:
            raise ArgumentError("scan was given neither an input nor a number of steps; give xs (B, T, F) or steps=T.")
        rows = state[0].shape[0] if state is not None else lengths.shape[0] if lengths is not None else 1
        return rows, steps
    if xs.dim() != 3 or xs.shape[2] != features:
        raise ArgumentError(f"the input has the shape {tuple(xs.shape)}, but it must be (B, T, {features}).")
    if steps is not None and steps != xs.shape[1]:
        raise ArgumentError(f"steps is {steps}, but the input has {xs.shape[1]} steps; leave steps out.")
    return xs.shape[0], xs.shape[1]
