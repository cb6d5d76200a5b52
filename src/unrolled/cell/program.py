"""A cell's equations as data: a short straight-line program of one time step."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from unrolled.cell.operations import OPERATIONS
from unrolled.cell.protocol import WIDTHS, Noise, Sizes, Vector, state_type
from unrolled.cell.symbol import Node
from unrolled.errors import CellError

# Leaves have a name; a product has a name and one argument. `transposed` and `adjoint` occur in derivatives only.
LEAVES: tuple[str, ...] = ("gate", "state", "parameter", "noise", "adjoint")
PRODUCTS: tuple[str, ...] = ("product", "transposed")
FORMAT = 1


@dataclass(frozen=True)
class Program:
    """What a cell does in one step; equal programs compute the same thing, whatever the cell's class is called."""

    gates: tuple[str, ...]
    state: dict[str, str]
    nodes: tuple[Node, ...]
    output: int
    next: tuple[int, ...]
    vectors: dict[str, Vector] = field(default_factory=dict)
    products: dict[str, tuple[str, str]] = field(default_factory=dict)
    noise: dict[str, Noise] = field(default_factory=dict)
    heads: int = 1
    bias: bool = True
    name: str = field(default="Cell", compare=False)
    labels: tuple[tuple[int, str], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        check(self)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.gates, self.nodes, self.output, self.next, tuple(self.state), self.heads))

    @cached_property
    def state_type(self) -> type[Any]:
        return state_type(tuple(self.state))

    @cached_property
    def widths(self) -> tuple[str, ...]:
        """The width of each node: "hidden", "output" (only in a cell that projects), or "any" for a constant."""
        widths = _widths(self)
        return widths if self.projects else tuple("any" if w == "any" else "hidden" for w in widths)

    @cached_property
    def projects(self) -> bool:
        """Whether H and O may differ: some product leads from one to the other."""
        return any(set(ends) == {"hidden", "output"} for ends in self.products.values())

    @cached_property
    def output_width(self) -> str:
        return "output" if self.widths[self.output] == "any" else self.widths[self.output]

    @cached_property
    def recurrent(self) -> dict[str, int]:
        """Gates that have a recurrent product, in the order of the gates, each with its node."""
        found = {n.name: i for i, n in enumerate(self.nodes) if n.operation == "product" and n.name in self.gates}
        return {gate: found[gate] for gate in self.gates if gate in found}

    @cached_property
    def direct(self) -> tuple[str, ...]:
        """Gates whose recurrent product reads the first state itself, so that one product serves them all."""
        first = next(iter(self.state), None)
        reads = {i for i, n in enumerate(self.nodes) if n.operation == "state" and n.name == first}
        return tuple(gate for gate, i in self.recurrent.items() if self.nodes[i].arguments[0] in reads)

    @cached_property
    def operand_width(self) -> str:
        """The width of the operands of the recurrent products."""
        nodes = [self.nodes[i].arguments[0] for i in self.recurrent.values()]
        return self.widths[nodes[0]] if nodes and self.widths[nodes[0]] != "any" else "output"

    @cached_property
    def recurrent_biased(self) -> tuple[str, ...]:
        """Gates with a recurrent bias c_k: those where u.k occurs outside the sum x.k + u.k."""
        return tuple(gate for gate in self.recurrent if self.bias and not _joined(self, gate))

    @cached_property
    def gate_values(self) -> dict[str, int]:
        """The node that is the value of each gate: the operation that consumes x.k."""
        named = {label: i for i, label in self.labels if label not in self.state}
        return {gate: named.get(gate, _gate_value(self, gate)) for gate in self.gates}

    def parameters(self, sizes: Sizes) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter; the gates are stacked in W (G*H, F), U (K*H, O / heads), b (G*H), c (C*H)."""
        check_sizes(self, sizes)
        hidden = sizes.hidden
        shapes: dict[str, tuple[int, ...]] = {"W": (len(self.gates) * hidden, sizes.input)}
        if self.recurrent:
            shapes["U"] = (len(self.recurrent) * hidden, sizes.of(self.operand_width) // self.heads)
        if self.bias:
            shapes["b"] = (len(self.gates) * hidden,)
        if self.recurrent_biased:
            shapes["c"] = (len(self.recurrent_biased) * hidden,)
        shapes |= {f"vectors.{name}": (sizes.of(v.size),) for name, v in self.vectors.items()}
        shapes |= {f"products.{name}": (sizes.of(to), sizes.of(of)) for name, (of, to) in self.products.items()}
        return shapes

    def to_json(self) -> dict[str, Any]:
        """The program as plain data, for `config.json`; nothing in it is ever executed."""
        return {
            "format": FORMAT,
            "name": self.name,
            "gates": list(self.gates),
            "state": self.state,
            "vectors": {k: [v.start, v.size] for k, v in self.vectors.items()},
            "products": {k: list(v) for k, v in self.products.items()},
            "noise": {k: [v.frequency, v.keep, v.scale, v.size] for k, v in self.noise.items()},
            "heads": self.heads,
            "bias": self.bias,
            "nodes": [[n.operation, list(n.arguments), n.name, n.value] for n in self.nodes],
            "output": self.output,
            "next": list(self.next),
            "labels": [list(label) for label in self.labels],
        }

    @classmethod
    def from_json(cls, data: Any) -> Program:
        """The program that `to_json` wrote; CellError where the data is not one."""
        try:
            if data["format"] != FORMAT:
                raise CellError(
                    f"the program of a cell has format {data['format']!r}, but this version reads {FORMAT}."
                )
            return cls(
                gates=tuple(data["gates"]),
                state=dict(data["state"]),
                nodes=tuple(Node(o, tuple(a), n, v) for o, a, n, v in data["nodes"]),
                output=data["output"],
                next=tuple(data["next"]),
                vectors={k: Vector(*v) for k, v in data["vectors"].items()},
                products={k: (of, to) for k, (of, to) in data["products"].items()},
                noise={k: Noise(*v) for k, v in data["noise"].items()},
                heads=data["heads"],
                bias=data["bias"],
                name=data["name"],
                labels=tuple((i, label) for i, label in data["labels"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CellError(
                f"the program of a cell is damaged ({error!r}); write it again with Program.to_json."
            ) from None


def check_sizes(program: Program, sizes: Sizes) -> None:
    """CellError where a program cannot have these sizes."""
    if sizes.hidden != sizes.output and not program.projects:
        raise CellError(
            f"{program.name} was given {sizes.hidden} hidden units and {sizes.output} outputs, but it has no product from one "
            "to the other; give both the same size or use a cell with projection."
        )
    operand = sizes.of(program.operand_width)
    if sizes.hidden % program.heads or operand % program.heads:
        raise CellError(
            f"{program.name} has {program.heads} heads, which must divide its {sizes.hidden} hidden units "
            f"and {operand} recurrent inputs; choose sizes that are multiples of the heads."
        )


def check(program: Program) -> None:
    """CellError unless every node is in the table, reads earlier nodes only and names what is declared."""
    declared = {
        "gate": set(program.gates),
        "state": set(program.state),
        "parameter": set(program.vectors),
        "noise": set(program.noise),
        "product": set(program.products) | set(program.gates),
    }
    for field_ in fields(program):
        if field_.name in ("output", "heads") and not isinstance(getattr(program, field_.name), int):
            raise CellError(f"the {field_.name} of a cell's program must be a whole number.")
    if len(program.next) != len(program.state) or not program.state or not program.gates or program.heads < 1:
        raise CellError(
            f"{program.name} needs at least one gate, one state, one head and a next value for every state."
        )
    _check_widths(program)
    for i, node in enumerate(program.nodes):
        if any(not isinstance(a, int) or not 0 <= a < i for a in node.arguments):
            raise CellError(f"node {i} of {program.name} reads a value that is not computed before it.")
        if node.operation == "constant":
            if not isinstance(node.value, (int, float)) or node.arguments:
                raise CellError(f"node {i} of {program.name} is a constant without a number.")
        elif node.operation in declared:
            if node.name not in declared[node.operation] or len(node.arguments) != (node.operation == "product"):
                raise CellError(
                    f"node {i} of {program.name} reads the {node.operation} {node.name!r}, which is not declared."
                )
        elif node.operation not in OPERATIONS or len(node.arguments) != OPERATIONS[node.operation].arity:
            raise CellError(f"node {i} of {program.name} is {node.operation!r}, which is not in the operation table.")
    if any(not isinstance(i, int) or not 0 <= i < len(program.nodes) for i in (program.output, *program.next)):
        raise CellError(f"{program.name} returns a value that it does not compute.")
    _check_products(program)


def _check_widths(program: Program) -> None:
    ends = [end for pair in program.products.values() for end in pair]
    for size in (
        *program.state.values(),
        *ends,
        *(v.size for v in (*program.vectors.values(), *program.noise.values())),
    ):
        if size not in WIDTHS:
            raise CellError(f"{program.name} declares the size {size!r}, but it must be 'hidden' or 'output'.")


def _check_products(program: Program) -> None:
    seen: dict[str | None, int] = {}
    for node in program.nodes:
        if node.operation == "product" and seen.setdefault(node.name, node.arguments[0]) != node.arguments[0]:
            raise CellError(
                f"the matrix of {node.name!r} multiplies two different values in one step of {program.name}; "
                "declare a further matrix in `products`."
            )
    if len({program.widths[program.nodes[i].arguments[0]] for i in program.recurrent.values()}) > 1:
        raise CellError(
            f"the recurrent products of {program.name} read values of different widths; use `products` for one."
        )
    for width, i in zip(program.state.values(), program.next, strict=True):
        if program.projects and program.widths[i] not in (width, "any"):
            raise CellError(
                f"a state of {program.name} is {width} wide, but its next value is {program.widths[i]} wide."
            )


def _widths(program: Program) -> tuple[str, ...]:
    widths: list[str] = []
    for node in program.nodes:
        if node.operation == "gate":
            width = "hidden"
        elif node.operation == "state":
            width = program.state[str(node.name)]
        elif node.operation == "parameter":
            width = program.vectors[str(node.name)].size
        elif node.operation == "noise":
            width = program.noise[str(node.name)].size
        elif node.operation == "product":
            width = program.products[str(node.name)][1] if node.name in program.products else "hidden"
        else:
            found = {widths[a] for a in node.arguments} - {"any"}
            if len(found) > 1 and program.projects:
                raise CellError(
                    f"{program.name} combines a hidden with an output value unit by unit; a product must lie between."
                )
            width = next(iter(sorted(found)), "any")
        widths.append(width)
    return tuple(widths)


def consumers(program: Program) -> list[list[int]]:
    """For each node, the nodes that read it."""
    found: list[list[int]] = [[] for _ in program.nodes]
    for i, node in enumerate(program.nodes):
        for argument in dict.fromkeys(node.arguments):
            found[argument].append(i)
    return found


def _joined(program: Program, gate: str) -> bool:
    """Whether every use of u.gate is inside a sum that also holds x.gate, so that one bias serves both."""
    used = consumers(program)

    def sums(i: int) -> list[int]:
        up = [c for c in used[i] if program.nodes[c].operation == "add"]
        return [i] if len(up) != len(used[i]) or not up else [top for c in up for top in sums(c)]

    def terms(i: int) -> list[int]:
        node = program.nodes[i]
        return [t for a in node.arguments for t in terms(a)] if node.operation == "add" else [i]

    product = program.recurrent[gate]
    return all(Node("gate", name=gate) in [program.nodes[t] for t in terms(top)] for top in sums(product))


def _gate_value(program: Program, gate: str) -> int:
    """Climb from x.k through sums to the one function of it; where several read the sum, the sum is the value."""
    used = consumers(program)
    i = program.nodes.index(Node("gate", name=gate)) if Node("gate", name=gate) in program.nodes else -1
    while i >= 0 and len(used[i]) == 1:
        (above,) = used[i]
        node = program.nodes[above]
        if len(node.arguments) == 1 and node.operation in OPERATIONS and node.operation != "mean":
            return above
        if node.operation != "add":
            return i
        i = above
    return i
