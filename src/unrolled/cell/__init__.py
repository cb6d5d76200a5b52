"""What a cell is: equations as data. Nothing here knows torch."""

from __future__ import annotations

from unrolled.cell import layouts
from unrolled.cell.derivative import Pullback, pullback
from unrolled.cell.functions import (
    ACTIVATIONS,
    absolute,
    clamp,
    cos,
    elu,
    erf,
    exp,
    gelu,
    greater,
    hard_sigmoid,
    hard_tanh,
    identity,
    layer_norm,
    leaky_relu,
    log,
    maximum,
    mean,
    minimum,
    register_evaluator,
    relu,
    sigmoid,
    silu,
    sin,
    softplus,
    softsign,
    sqrt,
    square,
    tanh,
    where,
)
from unrolled.cell.initial import Initial, initial_values
from unrolled.cell.interpret import ProgramCell, run
from unrolled.cell.match import Correspondence, correspondence
from unrolled.cell.operations import OPERATIONS, Operation
from unrolled.cell.printing import to_latex, to_text
from unrolled.cell.program import Program
from unrolled.cell.protocol import Cell, Noise, Sizes, Vector, state, vector
from unrolled.cell.symbol import Node
from unrolled.cell.trace import Leaves, Products, trace
from unrolled.cell.transforms import recurrent_dropout, without_noise, zoneout

__all__ = [
    "ACTIVATIONS",
    "OPERATIONS",
    "Cell",
    "Correspondence",
    "Initial",
    "Leaves",
    "Node",
    "Noise",
    "Operation",
    "Products",
    "Program",
    "ProgramCell",
    "Pullback",
    "Sizes",
    "Vector",
    "absolute",
    "clamp",
    "correspondence",
    "cos",
    "elu",
    "erf",
    "exp",
    "gelu",
    "greater",
    "hard_sigmoid",
    "hard_tanh",
    "identity",
    "initial_values",
    "layer_norm",
    "layouts",
    "leaky_relu",
    "log",
    "maximum",
    "mean",
    "minimum",
    "pullback",
    "recurrent_dropout",
    "register_evaluator",
    "relu",
    "run",
    "sigmoid",
    "silu",
    "sin",
    "softplus",
    "softsign",
    "sqrt",
    "square",
    "state",
    "tanh",
    "to_latex",
    "to_text",
    "trace",
    "vector",
    "where",
    "without_noise",
    "zoneout",
]
