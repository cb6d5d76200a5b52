"""torch.nn's own LSTM, GRU and RNN, and the cells of the same names for single steps."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.bench.contestants.library import Answer, Contestant, Library, Stepper
from unrolled.bench.contestants.tensors import Tensors, arrays, contestant, lengths_of
from unrolled.bench.contestants.twin import Twin, refuse, twin
from unrolled.bench.problem import Problem


def module_of(found: Twin, name: str, **options: Any) -> nn.Module:
    """`torch.nn.NAME` with the weights of the problem."""
    if found.kind == "RNN":
        options["nonlinearity"] = found.function.removeprefix("rnn_")
    module: nn.Module = getattr(nn, name)(found.problem.shape.input, found.problem.shape.hidden, **options)
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), found.weights(), strict=True):
            parameter.copy_(torch.from_numpy(value))
    return module


def _build(problem: Problem) -> Contestant:
    found = _twin(problem)
    module = module_of(found, found.kind, batch_first=True)
    xs = torch.tensor(problem.xs, requires_grad=True)

    def read(answer: Tensors) -> Answer:
        outputs, *gradients = arrays(answer)
        if not gradients:
            return (outputs,)
        named = found.gradients(gradients[1:])
        return (outputs, gradients[0], *(named[name] for name in problem.values))

    run = partial(_run, module, xs, lengths_of(problem))
    return contestant(problem, run, [xs, *module.parameters()], read)


def _run(module: nn.Module, xs: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        outputs: Tensor = module(xs)[0]
        return outputs
    packed, _ = module(pack_padded_sequence(xs, lengths, batch_first=True, enforce_sorted=False))
    return pad_packed_sequence(packed, batch_first=True, total_length=xs.shape[1])[0]


def _stepper(problem: Problem) -> Stepper:
    found = _twin(problem)
    cell = module_of(found, f"{found.kind}Cell")
    x = torch.tensor(problem.xs)[:1, 0]

    def steps(count: int) -> Tensor:
        zeros = x.new_zeros(1, problem.shape.hidden)
        state: Any = (zeros, zeros) if found.kind == "LSTM" else zeros
        with torch.no_grad():
            for _ in range(count):
                state = cell(x, state)
        last: Tensor = state[0] if found.kind == "LSTM" else state
        return last

    return steps


def _twin(problem: Problem) -> Twin:
    found = twin(problem)
    assert found is not None  # noqa: S101  # for the type checker: `refuse` was asked first
    return found


LIBRARY = Library(refuse, _build, _stepper)
