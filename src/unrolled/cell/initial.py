"""Initial values that a practitioner expects, per gate, from a program and a random generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrolled.cell.program import Program
from unrolled.cell.protocol import Sizes
from unrolled.errors import ArgumentError

# The gate that decides what is kept, by the names that the literature gives it.
FORGET, INPUT = "f", "i"


@dataclass(frozen=True)
class Initial:
    """How weights start.

    Input weights are Glorot uniform (Glorot & Bengio 2010), recurrent ones orthogonal for each gate and head
    (Saxe et al. 2014), biases 0 but for the forget gate f (Jozefowicz et al. 2015). `chrono` is the longest dependency
    in steps: then b_f = log(uniform(1, chrono - 1)) and b_i = -b_f (Tallec & Ollivier 2018), f being whichever gate
    keeps the state; where it is kept as (1 - g) s, the sign of its bias is turned.
    """

    forget_bias: float = 1.0
    orthogonal: bool = True
    gain: float = 1.0
    chrono: int | None = None

    def __post_init__(self) -> None:
        if self.chrono is not None and self.chrono < 3:
            raise ArgumentError(
                f"chrono is {self.chrono} steps, but it must be at least 3; give the longest dependency."
            )


def initial_values(
    program: Program, sizes: Sizes, generator: np.random.Generator, rule: Initial | None = None
) -> dict[str, np.ndarray]:
    """A float64 array for every parameter of the program, by name (shapes as in `Program.parameters`)."""
    rule = rule or Initial()
    shapes = program.parameters(sizes)
    values = {name: np.zeros(shape) for name, shape in shapes.items()}
    hidden = sizes.hidden
    for g in range(len(program.gates)):
        values["W"][g * hidden : (g + 1) * hidden] = glorot(generator, hidden, sizes.input)
    for k in range(len(program.recurrent)):
        block, width = hidden // program.heads, shapes["U"][1]
        for head in range(program.heads):
            start = k * hidden + head * block
            values["U"][start : start + block] = _recurrent(generator, block, width, rule)
    if "b" in values:
        _biases(program, hidden, values["b"], generator, rule)
    for name, vector in program.vectors.items():
        values[f"vectors.{name}"][:] = vector.start
    for name in program.products:
        to, of = shapes[f"products.{name}"]
        values[f"products.{name}"][:] = glorot(generator, to, of)
    return values


def _biases(program: Program, hidden: int, bias: np.ndarray, generator: np.random.Generator, rule: Initial) -> None:
    rows = {gate: bias[g * hidden : (g + 1) * hidden] for g, gate in enumerate(program.gates)}
    keep = {FORGET: 1} | keeping_gates(program) if FORGET in rows else keeping_gates(program)
    if FORGET in rows:
        rows[FORGET][:] = keep[FORGET] * rule.forget_bias
    if rule.chrono is not None:
        for gate, sign in keep.items():
            rows[gate][:] = sign * np.log(generator.uniform(1.0, rule.chrono - 1.0, hidden))
        if FORGET in rows and INPUT in rows:
            rows[INPUT][:] = -rows[FORGET]


def keeping_gates(program: Program) -> dict[str, int]:
    """Gates that say how much of a state is kept: 1 where it is kept as g * s, -1 where it is kept as (1 - g) * s."""
    nodes = program.nodes
    gates = {i: gate for gate, i in program.gate_values.items() if nodes[i].operation == "sigmoid"}
    found: dict[str, int] = {}

    def terms(i: int) -> list[int]:
        return [t for a in nodes[i].arguments for t in terms(a)] if nodes[i].operation == "add" else [i]

    for state, after in zip(program.state, program.next, strict=True):
        for factors in (nodes[t].arguments for t in terms(after) if nodes[t].operation == "mul"):
            if not any(nodes[a].operation == "state" and nodes[a].name == state for a in factors):
                continue
            for a in factors:
                if a in gates:
                    found[gates[a]] = 1
                elif nodes[a].operation == "sub" and nodes[a].arguments[1] in gates:
                    found[gates[nodes[a].arguments[1]]] = -1
    return found


def _recurrent(generator: np.random.Generator, rows: int, columns: int, rule: Initial) -> np.ndarray:
    return orthogonal(generator, rows, columns) * rule.gain if rule.orthogonal else glorot(generator, rows, columns)


def glorot(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Uniform in +-sqrt(6 / (rows + columns))."""
    bound = np.sqrt(6.0 / max(rows + columns, 1))
    return generator.uniform(-bound, bound, (rows, columns))


def orthogonal(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A random matrix with orthonormal rows or columns, whichever are fewer."""
    tall = generator.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))  # without the signs the distribution would not be uniform
    return q if rows >= columns else q.T
