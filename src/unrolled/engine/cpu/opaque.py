"""The compiled kernels as operations of torch's dispatcher, which `torch.compile` and `torch.export` take whole.

Everything that is no tensor travels as text, so an exported program needs nothing but this package to run. The results
of `scan` are outputs (T, B, O), the last state and, in training, what `scan_backward` reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from unrolled.cell import Program
from unrolled.engine.cpu.call import Call, planned
from unrolled.engine.cpu.compiler import Compiled, compiled
from unrolled.engine.cpu.gradients import Gradients
from unrolled.engine.cpu.large import DTYPES
from unrolled.engine.cpu.memory import Memory
from unrolled.engine.plan import Plan, plan_of
from unrolled.engine.weights import Weights
from unrolled.errors import ArgumentError


def tracing(tensor: Tensor) -> bool:
    """Whether a tracer asks: there are shapes, but no numbers yet."""
    return torch.compiler.is_compiling() or type(tensor).__name__ in ("FakeTensor", "FunctionalTensor")


def scan(
    plan: Plan, program: Program, weights: Weights, xs: Tensor, state: Any, lengths: Tensor | None,
    noise: Mapping[str, Tensor],
) -> tuple[Tensor, Any]:  # fmt: skip
    """`operation.scan` through the dispatcher."""
    named = weights.as_dict()
    found = torch.ops.unrolled.scan(
        _text(program), ",".join(named), ",".join(noise), xs, list(state), list(named.values()), list(noise.values()),
        lengths, plan.reverse, plan.gradient,
    )  # fmt: skip
    return found[0], program.state_type(*found[1 : 1 + len(program.state)])


@lru_cache(maxsize=256)
def _text(program: Program) -> str:
    return json.dumps(program.to_json())


@lru_cache(maxsize=256)
def _program(text: str) -> Program:
    return Program.from_json(json.loads(text))


class _Request:
    """The arguments of an operation, put together again."""

    def __init__(
        self, text: str, names: str, noise_names: str, xs: Tensor, weights: Sequence[Tensor], noise: Sequence[Tensor],
        ragged: bool, reverse: bool, train: bool,
    ) -> None:  # fmt: skip
        self.program = _program(text)
        self.named = dict(zip(names.split(","), weights, strict=True))
        self.noise = dict(zip(noise_names.split(",") if noise_names else (), noise, strict=True))
        self.code: Compiled = compiled(self.program, DTYPES[xs.dtype])
        sizes = Weights.from_dict(self.named).sizes(self.program)
        made = Plan if tracing(xs) else plan_of
        self.plan = made(self.program, sizes, xs.shape[1], xs.shape[0], xs.dtype, xs.device, True, ragged, reverse,
                         train, bool(noise))  # fmt: skip

    def call(self, lengths: Tensor | None) -> Call:
        return planned(self.plan, self.program, self.code, lengths, self.noise, tuple(self.named))

    def kept(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every buffer that the backward pass reads again; packed ones as long as they can get."""
        plan, program, lanes = self.plan, self.program, self.code.lanes
        steps: tuple[int, ...] = (plan.steps, plan.batch)
        blocks: tuple[int, ...] = (plan.steps + 1, plan.batch)
        if plan.ragged:
            steps, blocks = (plan.steps * plan.batch,), (plan.steps * plan.batch + plan.batch + 1,)

        def padded(width: str) -> int:
            return -(-plan.sizes.of(width) // lanes) * lanes

        shapes = {"x": (*steps, len(program.gates) * padded("hidden"))}
        shapes |= {f"s.{k}": (*blocks, padded(w)) for k, w in program.state.items()}
        shapes |= {
            p.buffer: (*steps, padded(p.width) * p.slots) for p in self.code.train.places if p.buffer.startswith("v")
        }
        return {name: shapes[name] for name in sorted(shapes) if name in self.code.kept}


def _filled_up(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A packed buffer with the length that its fake had: how many steps there are is known only when it runs."""
    if tuple(tensor.shape) == shape:
        return tensor
    found = tensor.new_empty(shape)
    found[: len(tensor)] = tensor
    return found


@torch.library.custom_op("unrolled::scan", mutates_args=())
def _scan(
    program: str, names: str, noise_names: str, xs: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor],
    noise: Sequence[Tensor], lengths: Tensor | None, reverse: bool, train: bool,
) -> list[Tensor]:  # fmt: skip
    if lengths is not None and xs.shape[1] and not 0 <= int(lengths.min()) <= int(lengths.max()) <= xs.shape[0]:
        raise ArgumentError(
            f"lengths go from {int(lengths.min())} to {int(lengths.max())}, but the input has {xs.shape[0]} steps."
        )
    request = _Request(program, names, noise_names, xs, weights, noise, lengths is not None, reverse, train)
    call = request.call(lengths)
    memory = Memory(call, request.named)
    step = call.forward(train=train)
    memory.start(step, xs, tuple(state))
    memory.run(step, ascending=not reverse)
    outputs, last = memory.results()
    # an operation's results must not share memory, and the outputs are a view of a state
    kept = [_filled_up(memory.tensors[name], shape) for name, shape in request.kept().items()] if train else []
    return [outputs.clone(), *last, *kept]


@_scan.register_fake
def _(
    program: str, names: str, noise_names: str, xs: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor],
    noise: Sequence[Tensor], lengths: Tensor | None, reverse: bool, train: bool,
) -> list[Tensor]:  # fmt: skip
    request = _Request(program, names, noise_names, xs, weights, noise, lengths is not None, reverse, train)
    width = request.plan.sizes.of(request.program.output_width)
    outputs = xs.new_empty(request.plan.steps, request.plan.batch, width)
    kept = [xs.new_empty(*shape) for shape in request.kept().values()] if train else []
    return [outputs, *(torch.empty_like(s) for s in state), *kept]


@torch.library.custom_op("unrolled::scan_backward", mutates_args=())
def _scan_backward(
    program: str, names: str, noise_names: str, xs: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor],
    noise: Sequence[Tensor], lengths: Tensor | None, reverse: bool, kept: Sequence[Tensor], gradients: Sequence[Tensor],
) -> list[Tensor]:  # fmt: skip
    request = _Request(program, names, noise_names, xs, weights, noise, lengths is not None, reverse, True)
    call = request.call(lengths)
    memory = Memory(call, request.named)
    memory.tensors = dict(zip(request.kept(), kept, strict=True))
    memory.start_backward(gradients[0], tuple(gradients[1:]))
    memory.run(call.code.back, ascending=reverse)
    found = Gradients(memory)(xs, inputs=True)
    every = [found["xs"], *(found[f"D.{k}"] for k in request.program.state), *(found[n] for n in call.names)]
    return [value.clone() for value in every if value is not None]


@_scan_backward.register_fake
def _(
    program: str, names: str, noise_names: str, xs: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor],
    noise: Sequence[Tensor], lengths: Tensor | None, reverse: bool, kept: Sequence[Tensor], gradients: Sequence[Tensor],
) -> list[Tensor]:  # fmt: skip
    return [torch.empty_like(v, memory_format=torch.contiguous_format) for v in (xs, *state, *weights)]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    program, names, noise_names, xs, state, weights, noise, lengths, reverse, _ = inputs
    kept = output[1 + len(state) :]
    ctx.save_for_backward(xs, *state, *weights, *noise, *([] if lengths is None else [lengths]), *kept)
    ctx.counts = (1, len(state), len(weights), len(noise), int(lengths is not None), len(kept))
    ctx.texts, ctx.reverse = (program, names, noise_names), reverse


def _differentiate(ctx: Any, gradients: list[Tensor]) -> tuple[Any, ...]:
    saved = iter(ctx.saved_tensors)
    (xs,), state, weights, noise, lengths, kept = ([next(saved) for _ in range(n)] for n in ctx.counts)
    incoming = gradients[: 1 + len(state)]
    found = torch.ops.unrolled.scan_backward(
        *ctx.texts, xs, state, weights, noise, lengths[0] if lengths else None, ctx.reverse, kept, incoming
    )
    states = 1 + len(state)
    nothing = [None] * len(noise)
    return None, None, None, found[0], found[1:states], found[states:], nothing, None, None, None


_scan.register_autograd(_differentiate, setup_context=_remember)
