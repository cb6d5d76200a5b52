"""torch.compile of one step in a loop over time: what PyTorch offers for a cell of one's own."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from unrolled.bench.contestants.library import Contestant, Library
from unrolled.bench.contestants.tensors import contestant, leaves
from unrolled.bench.problem import Problem
from unrolled.cell import Cell, trace
from unrolled.engine import Weights, initial_state
from unrolled.engine.reference import Step
from unrolled.errors import EngineError

BACKEND = "inductor"
LONGEST_REASON = 200  # characters; what follows is for torch's own developers
COMPILERS = {"win32": "cl", "darwin": "clang++"}


def _refuse(problem: Problem) -> str | None:
    compiler = os.environ.get("CXX") or COMPILERS.get(sys.platform, "g++")
    if BACKEND == "inductor" and shutil.which(compiler) is None:
        return f"it needs a C++ compiler, and there is no {compiler} here"
    if problem.lengths is not None:
        return "rows of different lengths are not written for it here"
    if problem.program.noise:
        return "its step is timed without noise only"
    return None


def _build(problem: Problem) -> Contestant:
    xs, named = leaves(problem)
    weights = Weights.from_dict(named)
    start = initial_state(problem.program, weights.sizes(problem.program), problem.shape.batch, xs.dtype, xs.device)
    first = functional.linear(xs[:, 0], weights.W, weights.b)
    step = _compiled(problem.cell, list(named), (first, *start, *named.values()))

    def run() -> Tensor:
        gates = functional.linear(xs.transpose(0, 1), weights.W, weights.b)
        # a start with gradients, as the states that follow have; otherwise there would be two versions of the step
        state = [part.detach().requires_grad_(torch.is_grad_enabled()) for part in start]
        outputs = []
        with _spoken_for():
            for t in range(problem.shape.steps):
                output, *state = step(gates[t], *state, *named.values())
                outputs.append(output)
        return torch.stack(outputs, 1)

    return contestant(problem, run, [xs, *named.values()])


def _compiled(cell: Cell, names: Sequence[str], example: tuple[Tensor, ...]) -> Callable[..., tuple[Tensor, ...]]:
    """The step: gates (B, G*H), the states and the parameters of those `names` -> the output and the next states."""
    program = trace(cell)
    states = len(program.state)

    def step(gates: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        weights = Weights.from_dict(dict(zip(names, rest[states:], strict=True)))
        output, following = Step(cell, program, weights)(gates, program.state_type(*rest[:states]), {})
        return (output, *following)

    # the operations alone, as whoever writes the step by hand would have them: torch.compile cannot read our tables
    graph = make_fx(step)(*(tensor.detach() for tensor in example))
    torch._dynamo.reset()  # a comparison compiles two versions, but a table more than torch keeps
    return torch.compile(graph, fullgraph=True, dynamic=False, backend=BACKEND)


@contextmanager
def _spoken_for() -> Iterator[None]:
    """What torch's compiler remarks on while it works is no news; that it fails is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join(str(error).strip().partition("\n\n")[0].split())[:LONGEST_REASON]
            raise EngineError(f"torch.compile failed here ({reason})") from error


LIBRARY = Library(_refuse, _build, compiles=True)
