"""A cell's equations as data: a short straight-line program of one time step."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from unrolled.cell.analysis import gate_value, node_widths, shares_its_sum
from unrolled.cell.checks import check, check_sizes
from unrolled.cell.protocol import Noise, Sizes, Vector, state_type
from unrolled.cell.symbol import Node
from unrolled.errors import CellError

FORMAT = 1


@dataclass(frozen=True, eq=False)
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

    def __eq__(self, other: object) -> bool:
        # the order of states and gates is part of the meaning, which dictionaries alone would not compare
        return isinstance(other, Program) and self._parts == other._parts

    def __hash__(self) -> int:
        return self._hash

    def __getstate__(self) -> dict[str, Any]:
        """The fields, without what was made of them: a class made here, such as the state's, cannot be pickled."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def _parts(self) -> tuple[Any, ...]:
        tables = (self.state, self.vectors, self.products, self.noise)
        listed = tuple(tuple(table.items()) for table in tables)
        return self.gates, self.nodes, self.output, self.next, self.heads, self.bias, listed

    @cached_property
    def _hash(self) -> int:
        return hash((self.gates, self.nodes, self.output, self.next, tuple(self.state), self.heads))

    @cached_property
    def state_type(self) -> type[Any]:
        return state_type(tuple(self.state))

    @cached_property
    def widths(self) -> tuple[str, ...]:
        """The width of each node: "hidden", "output" (only in a cell that projects), or "any" for a constant."""
        widths = node_widths(self)
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
        return tuple(gate for gate in self.recurrent if self.bias and not shares_its_sum(self, gate))

    @cached_property
    def gate_values(self) -> dict[str, int]:
        """The node that is the value of each gate: the operation that consumes x.k."""
        named = {label: i for i, label in self.labels if label not in self.state}
        return {gate: named.get(gate, gate_value(self, gate)) for gate in self.gates}

    def parameters(self, sizes: Sizes) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter; gates are stacked in W (G*H, F), U (K*H, O / heads), b (G*H), c (C*H)."""
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
