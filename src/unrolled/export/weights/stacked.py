"""The parameters of one direction as another library stacks them, and the one reorder that leads there and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled.cell import Initial, Program, trace
from unrolled.cell.layouts import Layout
from unrolled.cells import LSTM, ProjectedLSTM
from unrolled.errors import ArgumentError
from unrolled.export.weights.kinds import Kind, kind_of, without_dropout
from unrolled.layers import Recurrent, Structure


@dataclass(frozen=True)
class Stacked:
    """W (G*H, F), U (G*H, O), input and recurrent biases (G*H,), all in a library's order of the gates.

    `peepholes` maps gates to (H,); `projection` is (O, H).
    """

    W: Tensor
    U: Tensor
    b: Tensor | None = None
    c: Tensor | None = None
    peepholes: Mapping[str, Tensor] = field(default_factory=dict)
    projection: Tensor | None = None


def layer_kind(layer: Recurrent, library: str) -> Kind:
    """What the cell of a layer is elsewhere; ArgumentError where the library has no place for it or for the rest."""
    check_plain(layer, library)
    kind = kind_of(layer.program)
    if kind is None:
        raise ArgumentError(
            f"{library} has no cell with the equations of {layer.program.name}, only LSTM, GRU and plain networks; "
            "export the layer to ONNX instead."
        )
    return kind


def check_plain(layer: Recurrent, library: str) -> None:
    """ArgumentError where there is more to a layer than its cells."""
    extras = {
        "a learned start": layer.structure.learned_start,
        "layer normalisation": layer.regularisation.layer_norm,
        "residual sums": layer.structure.residual,
        "zoneout": bool(without_dropout(layer.program).noise),
    }
    for extra, there in extras.items():
        if there:
            raise ArgumentError(f"the layer has {extra}, for which the weights of a {library} layer have no place.")


def stacked(layer: Recurrent, layout: Layout, library: str) -> list[list[Stacked]]:
    """The parameters of each layer and direction in the order of a library."""
    kind = layer_kind(layer, library)
    return [[_stacked(d, kind, layout, library) for d in one.directions] for one in layer.stack]


def _stacked(direction: Any, kind: Kind, layout: Layout, library: str) -> Stacked:
    program: Program = direction.program
    hidden = direction.sizes.hidden
    named = {name: p.detach() for name, p in direction.named_parameters()}

    def rows(name: str, gates: Sequence[str]) -> dict[str, Tensor]:
        return dict(zip(gates, torch.split(named[name], hidden), strict=True)) if name in named else {}

    W, U = rows("W", program.gates), rows("U", tuple(program.recurrent))
    b, c = rows("b", program.gates), rows("c", program.recurrent_biased)
    order = [kind.gates[gate] for gate in layout.gates]
    zero = named["W"].new_zeros(hidden)
    inputs = recurrent = None
    if b:
        if c and layout.biases in ("one", "recurrent") and any(bool(row.any()) for row in c.values()):
            raise ArgumentError(
                f"the layer has a recurrent bias that is not 0, but {library} has one bias a gate; "
                "set the parameters c of the layer to 0 and train on, or export to a library that has two."
            )
        inputs = torch.cat([b[gate] for gate in order])
        recurrent = torch.cat([c.get(gate, zero) for gate in order])
        if layout.biases == "recurrent":
            inputs, recurrent = torch.zeros_like(inputs), inputs
    return Stacked(
        torch.cat([W[gate] for gate in order]),
        torch.cat([U[gate] for gate in order]),
        inputs,
        recurrent,
        projection=named[f"products.{kind.projection}"] if kind.projection else None,
    )


def recurrent(program: Program, layout: Layout, parts: Sequence[Sequence[Stacked]]) -> Recurrent:
    """A layer of the program with these weights; two biases are summed where the program has one."""
    first, projection = parts[0][0], parts[0][0].projection
    hidden = [len(layer[0].W) // len(layout.gates) for layer in parts]
    layer = Recurrent(
        program,
        first.W.shape[1],
        hidden,
        bidirectional=len(parts[0]) == 2,
        structure=Structure(output_size=None if projection is None else [len(of[0].U.T) for of in parts]),
        initial=Initial(orthogonal=False),
    ).to(_dtype(parts))
    with torch.no_grad():
        for to, of in zip(layer.stack, parts, strict=True):
            for direction, stack in zip(to.directions, of, strict=True):
                values = parameters(program, layout, stack)
                for name, parameter in direction.named_parameters():
                    parameter.copy_(values[name])
    return layer


def parameters(program: Program, layout: Layout, stack: Stacked) -> dict[str, Tensor]:
    """The parameters of a direction under the names of `Program.parameters`."""
    hidden = len(stack.W) // len(layout.gates)
    zero = stack.W.new_zeros(hidden)

    def rows(value: Tensor | None) -> dict[str, Tensor]:
        blocks = torch.split(value, hidden) if value is not None else [zero] * len(layout.gates)
        return dict(zip(layout.gates, blocks, strict=True))

    W, U, b, c = rows(stack.W), rows(stack.U), rows(stack.b), rows(stack.c)
    apart = program.recurrent_biased
    values = {"W": torch.cat([W[g] for g in program.gates]), "U": torch.cat([U[g] for g in program.recurrent])}
    if program.bias:
        values["b"] = torch.cat([b[g] if g in apart else b[g] + c[g] for g in program.gates])
    if apart:
        values["c"] = torch.cat([c[g] for g in apart])
    values |= {f"vectors.peep_{gate}": value for gate, value in stack.peepholes.items()}
    if stack.projection is not None:
        values |= {f"products.{name}": stack.projection for name in program.products}
    return values


def _dtype(parts: Sequence[Sequence[Stacked]]) -> torch.dtype:
    """The widest type among the weights, in which all of them are exact."""
    found = parts[0][0].W.dtype
    for stack in (stack for layer in parts for stack in layer):
        for value in (stack.W, stack.U, stack.b, stack.c):
            found = found if value is None else torch.promote_types(found, value.dtype)
    return found


def lstm_program(projected: bool) -> Program:
    """The program of an LSTM with or without projection."""
    return trace(ProjectedLSTM() if projected else LSTM())


def as_tensor(name: str, value: Any) -> Tensor:
    """An array or tensor of floating-point numbers as a tensor; ArgumentError naming the parameter otherwise."""
    try:
        tensor = value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.array(value))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name} is not an array of numbers ({error}).") from None
    if not tensor.is_floating_point():
        raise ArgumentError(f"{name} holds {tensor.dtype}, but weights are floating-point numbers.")
    return tensor


def shaped(name: str, value: Any, shape: Sequence[int]) -> Tensor:
    """`as_tensor` with exactly this shape; ArgumentError naming the parameter otherwise."""
    tensor = as_tensor(name, value)
    if tuple(tensor.shape) != tuple(shape):
        raise ArgumentError(f"{name} has the shape {tuple(tensor.shape)}, but its neighbours need {tuple(shape)}.")
    return tensor


def arrays(tensor: Tensor) -> np.ndarray:
    """A tensor as a NumPy array of its own; NumPy has no bfloat16, so that becomes float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).contiguous().numpy().copy()
