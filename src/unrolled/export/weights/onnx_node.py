"""One RNN, GRU or LSTM node of ONNX with all of its attributes, as cells and weights of ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled.cell import Cell, Program, trace
from unrolled.cell.layouts import LAYOUTS, Layout
from unrolled.engine import Weights, scan
from unrolled.errors import ArgumentError
from unrolled.export.weights import activated
from unrolled.export.weights.activated import FUNCTIONS, Activation
from unrolled.export.weights.stacked import Stacked, as_tensor, parameters, shaped

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_DEFAULTS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
_COMMON = {"activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "layout",
           "output_sequence"}  # fmt: skip
_OWN = {"RNN": set[str](), "GRU": {"linear_before_reset"}, "LSTM": {"input_forget"}}
_NAMES = {name.lower(): name for name in FUNCTIONS}


@dataclass(frozen=True)
class Node:
    """What a recurrent node computes: `activations` has those of each direction, f, g and h in this order."""

    kind: str
    direction: str
    activations: tuple[tuple[Activation, ...], ...]
    clip: float | None = None
    batch_first: bool = False
    reset_after: bool = False
    coupled: bool = False

    @property
    def layout(self) -> Layout:
        return LAYOUTS["onnx", self.kind]

    def cell(self, direction: int, *, peepholes: bool = False) -> Cell:
        """The cell of one direction: the library's own where it is one."""
        f, *others = self.activations[direction]
        if self.kind == "LSTM":
            return activated.lstm(f, *others, clip=self.clip, coupled=self.coupled, peepholes=peepholes)
        if self.kind == "GRU":
            return activated.gru(f, *others, clip=self.clip, reset_after=self.reset_after)
        return activated.rnn(f, clip=self.clip)

    def program(self, direction: int, given: Mapping[str, Any]) -> Program:
        """The program of one direction for the inputs that are there."""
        return replace(trace(self.cell(direction, peepholes="P" in given)), bias="B" in given)

    def weights(self, given: Mapping[str, Any]) -> list[Stacked]:
        """The weights of each direction; ArgumentError naming the input whose shape does not fit."""
        R = as_tensor("R", _input(given, "R"))
        count, gates = len(DIRECTIONS[self.direction]), len(self.layout.gates)
        if R.dim() != 3 or not R.shape[2]:
            raise ArgumentError(f"R has the shape {tuple(R.shape)}, but needs ({count}, {gates} H, H).")
        hidden = R.shape[2]
        rows = gates * hidden
        W = as_tensor("W", _input(given, "W"))
        W = shaped("W", W, (count, rows, W.shape[-1] if W.dim() else 0))
        R = shaped("R", R, (count, rows, hidden))
        B = shaped("B", given["B"], (count, 2 * rows)) if "B" in given else None
        P = shaped("P", given["P"], (count, 3 * hidden)) if "P" in given else None
        found = []
        for k in range(count):
            peepholes = {} if P is None else dict(zip(self.layout.peepholes, torch.split(P[k], hidden), strict=True))
            peepholes.pop("f" if self.coupled else "", None)
            b, c = (None, None) if B is None else torch.split(B[k], rows)
            found.append(Stacked(W[k], R[k], b, c, peepholes))
        return found

    def run(self, given: Mapping[str, Any], *, engine: str = "auto") -> dict[str, np.ndarray]:
        """Y, Y_h and, of an LSTM, Y_c from the inputs by name, as arrays of X's type.

        Raises ArgumentError for inputs that do not fit.
        """
        x, starts, lengths = self._read(given)
        outputs, last = [], []
        for k, stack in enumerate(self.weights(given)):
            program = self.program(k, given)
            weights = {name: v.to(x.dtype) for name, v in parameters(program, self.layout, stack).items()}
            start = program.state_type(*(s[k] for s in starts))
            reverse = DIRECTIONS[self.direction][k]
            ys, after = scan(
                program, Weights.from_dict(weights), x, start, lengths=lengths, reverse=reverse, engine=engine
            )
            outputs.append(ys)
            last.append(after)
        # (B, T, D, H), and (D, B, H) for each state
        Y = torch.stack(outputs, 2) if self.batch_first else torch.stack(outputs, 2).permute(1, 2, 0, 3)
        ends = [torch.stack(parts, 1 if self.batch_first else 0) for parts in zip(*last, strict=True)]
        kind = np.asarray(given["X"]).dtype
        named = zip(("Y", "Y_h", "Y_c"), (Y, *ends), strict=False)
        return {name: value.detach().numpy().astype(kind, copy=False) for name, value in named}

    def _read(self, given: Mapping[str, Any]) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """X as (B, T, F), the states as (D, B, H) each, lengths (B,) or None."""
        x = torch.as_tensor(_floating("X", _input(given, "X")))
        if x.dim() != 3:
            axes = "(batch, steps, features)" if self.batch_first else "(steps, batch, features)"
            raise ArgumentError(f"X has the shape {tuple(x.shape)}, but needs {axes}.")
        x = x if self.batch_first else x.transpose(0, 1)
        batch, count = x.shape[0], len(DIRECTIONS[self.direction])
        hidden = as_tensor("R", _input(given, "R")).shape[-1]
        shape = (batch, count, hidden) if self.batch_first else (count, batch, hidden)
        starts = []
        for name in ("initial_h", "initial_c")[: 2 if self.kind == "LSTM" else 1]:
            state = shaped(name, given[name], shape).to(x.dtype) if name in given else x.new_zeros(shape)
            starts.append(state.transpose(0, 1) if self.batch_first else state)
        lengths = None
        if "sequence_lens" in given:
            lengths = torch.as_tensor(np.asarray(given["sequence_lens"]).astype(np.int64))
            if tuple(lengths.shape) != (batch,):
                raise ArgumentError(f"sequence_lens has the shape {tuple(lengths.shape)}, but needs ({batch},).")
        return x, starts, lengths


def read_node(kind: str, attributes: Mapping[str, Any]) -> Node:
    """A node from its operator, RNN, GRU or LSTM, and its attributes as in ONNX's operator set 22 and before.

    Raises ArgumentError for another operator, an attribute that it does not have, or a value that makes no sense.
    """
    if kind not in _DEFAULTS:
        raise ArgumentError(f"the node is a {kind}, but weights are read from RNN, GRU and LSTM.")
    unknown = [name for name in attributes if name not in _COMMON | _OWN[kind]]
    if unknown:
        raise ArgumentError(f"{kind} has no attribute {unknown[0]!r}, but {', '.join(sorted(_COMMON | _OWN[kind]))}.")
    direction, clip = _text(attributes.get("direction", "forward")), attributes.get("clip")
    if direction not in DIRECTIONS:
        raise ArgumentError(f"direction is {direction!r}, but ONNX has {', '.join(DIRECTIONS)}.")
    if clip is not None and not clip > 0:
        raise ArgumentError(f"clip is {clip}, but it bounds what goes into an activation; give a number above 0.")
    return Node(
        kind,
        direction,
        _activations(kind, len(DIRECTIONS[direction]), attributes),
        None if clip is None else float(clip),
        batch_first=bool(attributes.get("layout", 0)),
        reset_after=bool(attributes.get("linear_before_reset", 0)),
        coupled=bool(attributes.get("input_forget", 0)),
    )


def run_onnx_node(node: Any, inputs: Sequence[Any], *, engine: str = "auto") -> list[np.ndarray]:
    """The outputs of an ONNX RNN, GRU or LSTM node (`onnx.NodeProto`), computed by our engine.

    `inputs` are the arrays of the inputs that the node names, in their order; the outputs are those that it names.
    Raises ArgumentError for a node or for inputs that do not fit.
    """
    if node.op_type not in _DEFAULTS:
        raise ArgumentError(f"the node is a {node.op_type}, but our engine runs RNN, GRU and LSTM.")
    there = [name for name, given in zip(INPUTS, node.input, strict=False) if given]
    if len(there) != len(inputs):
        raise ArgumentError(f"the node names the inputs {', '.join(there)}, but {len(inputs)} arrays were given.")
    found = read_node(node.op_type, node_attributes(node)).run(dict(zip(there, inputs, strict=True)), engine=engine)
    return [found[name] for name, wanted in zip(("Y", "Y_h", "Y_c"), node.output, strict=False) if wanted]


def node_attributes(node: Any) -> dict[str, Any]:
    """The attributes of an `onnx.NodeProto` by name."""
    from onnx.helper import get_attribute_value

    return {attribute.name: get_attribute_value(attribute) for attribute in node.attribute}


def _activations(kind: str, directions: int, attributes: Mapping[str, Any]) -> tuple[tuple[Activation, ...], ...]:
    """f, g and h of each direction; alpha and beta are consumed in their order by those that take one."""
    each = len(_DEFAULTS[kind])
    given = [_text(name) for name in attributes.get("activations", ())] or [*_DEFAULTS[kind]] * directions
    if kind == "RNN" and directions == 1 and len(given) == 2:
        given = given[:1]  # the operator's own default names two, for whichever direction
    if len(given) != each * directions:
        raise ArgumentError(
            f"activations has {len(given)} names, but {kind} needs {each} for each direction: {each * directions}."
        )
    alphas, betas = (list(attributes.get(f"activation_{name}", ())) for name in ("alpha", "beta"))
    count = len(alphas), len(betas)
    chosen = [_activation(name, alphas, betas) for name in given]
    for name, before, left in zip(("activation_alpha", "activation_beta"), count, (alphas, betas), strict=True):
        if left:
            raise ArgumentError(
                f"{name} has {before} numbers, but the activations {', '.join(given)} take {before - len(left)}."
            )
    return tuple(tuple(chosen[k : k + each]) for k in range(0, len(chosen), each))


def _activation(given: str, alphas: list[float], betas: list[float]) -> Activation:
    """One activation, which takes its numbers off the front of the lists."""
    name = _NAMES.get(given.lower())
    if name is None:
        raise ArgumentError(f"the activation {given!r} is none of ONNX's: {', '.join(FUNCTIONS)}.")
    numbers = []
    for what, default, left in zip(("alpha", "beta"), FUNCTIONS[name][1:], (alphas, betas), strict=True):
        value = 0.0 if default is None else left.pop(0) if left else default
        if math.isnan(value):
            raise ArgumentError(f"{name} needs an alpha and a beta, which have no defaults, but no {what} was given.")
        numbers.append(value)
    return Activation(name, *numbers)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _input(given: Mapping[str, Any], name: str) -> Any:
    if name not in given:
        raise ArgumentError(f"the input {name} is missing; X, W and R are needed.")
    return given[name]


def _floating(name: str, value: Any) -> np.ndarray:
    """An array in float32, or in float64 where it is that; half precision is computed in float32."""
    found = np.asarray(value)
    if found.dtype.kind not in "fV":
        raise ArgumentError(f"{name} holds {found.dtype}, but a recurrent node takes floating-point numbers.")
    return found if found.dtype == np.float64 else found.astype(np.float32)
