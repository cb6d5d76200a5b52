"""A cell's program as the parts of a diagram: gates, functions and unit-by-unit operations between the states.

What a reader sees as one thing becomes one part: a sum with its matrices and the function of it is a gate, a layer
normalisation is one box, a factor or an offset that is a parameter stands in a small box of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from unrolled.cell import Program, to_text
from unrolled.cell.analysis import consumers
from unrolled.inspect.draw.label import Label, Run, symbol, text

_LEAVES = ("constant", "parameter", "noise")
_SIGNS = {"add": "+", "sub": "−", "mul": "⊙", "div": "/", "greater": ">"}
_ORDERED = {"sub": "a − b", "div": "a / b", "greater": "a > b", "where": "c ? a : b"}


@dataclass
class Part:
    """One thing in the diagram; `sources` are the parts that it reads, `marks` what each is called where it matters.

    `kind`: input, state, next, output, gate (has matrices), function, operation, value (a parameter or a number), join.
    """

    kind: str
    label: Label
    sources: list[int] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    name: str = ""
    title: str = ""


@dataclass(frozen=True)
class Diagram:
    """The parts of a cell; a part comes after what it reads."""

    program: Program
    parts: tuple[Part, ...]

    @cached_property
    def readers(self) -> list[list[int]]:
        """For each part, the parts that read it."""
        found: list[list[int]] = [[] for _ in self.parts]
        for place, part in enumerate(self.parts):
            for source in dict.fromkeys(part.sources):
                found[source].append(place)
        return found


def diagram(program: Program) -> Diagram:
    """The parts of a cell's step, made from its program."""
    return _Reader(program).read()


class _Reader:
    def __init__(self, program: Program) -> None:
        self.program, self.nodes = program, program.nodes
        self.used = consumers(program)
        self.parts: list[Part] = []
        self.place: dict[int, int] = {}
        self.first = next(iter(program.state))
        self.names = {i: gate for gate, i in program.gate_values.items() if i >= 0}
        self.named = dict(program.labels) | self.names
        self.equations = dict(line.split(" = ", 1) for line in to_text(program).splitlines())

    def read(self) -> Diagram:
        program = self.program
        states = {name: self._add(Part("state", symbol(name, "t-1"), name=name)) for name in program.state}
        self.input = self._add(Part("input", symbol("x", "t"), name="x"))
        for i, node in enumerate(self.nodes):
            if node.operation == "state":
                self.place[i] = states[str(node.name)]
        results = [self._part(i) for i in program.next]
        output = self._part(program.output)
        self._join()
        for name, result in zip(program.state, results, strict=True):
            self._add(Part("next", symbol(name, "t"), [result], name=name))
        self._add(Part("output", symbol("y", "t"), [output], name="y"))
        return Diagram(program, tuple(self.parts))

    def _add(self, part: Part) -> int:
        part.marks = part.marks or [""] * len(part.sources)
        self.parts.append(part)
        return len(self.parts) - 1

    def _part(self, i: int) -> int:
        if i not in self.place:
            self.place[i] = self._add(self._made(i))
        return self.place[i]

    def _made(self, i: int) -> Part:
        node = self.nodes[i]
        if node.operation in ("gate", "product"):
            return self._affine(i, [i], "")
        if self._fixed(i):
            return Part("value", self._leaf(i))
        normal = self._normal(i)
        if normal is not None:
            return self._normalised(i, normal)
        inside = node.arguments[0] if len(node.arguments) == 1 and node.operation != "neg" else i
        if (inside == i or self._alone(inside)) and (self._has_matrix(inside) or self._biased(inside, i)):
            return self._affine(i, self._terms(inside), "" if inside == i else node.operation)
        if inside == i and node.operation == "add":
            return self._sum(i)
        return self._operation(i)

    def _biased(self, inside: int, i: int) -> bool:
        """Whether f(a + ... + b) has offsets b that are learnt, so that the sum belongs into the box of f."""
        return inside != i and any(self.nodes[t].operation == "parameter" for t in self._terms(inside)[1:])

    # ---- sums that hold matrices

    def _terms(self, i: int) -> list[int]:
        """The summands of a sum, nested ones that nobody else reads included."""
        node = self.nodes[i]
        if node.operation != "add":
            return [i]
        return [t for a in node.arguments for t in (self._terms(a) if self._alone(a) else [a])]

    def _alone(self, i: int) -> bool:
        return len(self.used[i]) == 1 and i not in self.program.next and i != self.program.output

    def _has_matrix(self, i: int) -> bool:
        return any(self.nodes[t].operation in ("gate", "product") and self._alone(t) for t in self._terms(i))

    def _affine(self, i: int, terms: list[int], function: str) -> Part:
        """A box for f(W x + U h + ...): inputs of its matrices come straight into it, vectors in it are its own."""
        sources: list[int] = []
        matrices: list[str] = []
        for t in terms:
            node = self.nodes[t]
            own = t == i or self._alone(t)
            if node.operation == "gate" and own:
                sources.append(self.input)
                matrices.append(f"W_{node.name}")
            elif node.operation == "product" and own:
                sources.append(self._part(node.arguments[0]))
                matrices.append(("P_" if node.name in self.program.products else "U_") + str(node.name))
            elif node.operation not in ("parameter", "constant"):
                sources.append(self._part(t))
        label = _function(function) if function else ()
        if not label:
            label = symbol(matrices[0]) if len(terms) == 1 else text("linear")
        title = self._title(i) or f"{function}({' + '.join(matrices)})"
        return Part("gate", label, list(dict.fromkeys(sources)), name=self._name(i), title=title)

    def _name(self, i: int) -> str:
        name = self.named.get(i, "")
        return "" if self.nodes[i].operation in ("gate", "product") or name in self.program.state else name

    def _title(self, i: int) -> str:
        for name in (self.names.get(i, ""), dict(self.program.labels).get(i, "")):
            for left in (name, f"{name}[t]"):
                if left in self.equations:
                    return f"{left} = {self.equations[left]}"
        return ""

    # ---- everything else

    def _sum(self, i: int) -> Part:
        terms = self._terms(i)
        fixed = [t for t in terms if self._fixed(t)]
        free = [t for t in terms if t not in fixed]
        if len(free) == 1:
            return self._value(i, free[0], [Run("+ "), *_joined([self._leaf(t) for t in fixed], " + ")])
        marks = ["" for _ in free]
        sources = [self._part(t) for t in free]
        if fixed:
            sources.append(self._add(Part("value", tuple(_joined([self._leaf(t) for t in fixed], " + ")))))
            marks.append("")
        return Part("operation", text("+"), sources, marks, self._name(i), self._title(i))

    def _value(self, i: int, operand: int, pieces: list[Run]) -> Part:
        if self._normal(operand) is not None and self._alone(operand) and self.nodes[i].operation == "mul":
            return self._normalised(operand, cast("int", self._normal(operand)))  # with its gain
        return Part("value", tuple(pieces), [self._part(operand)], name=self._name(i), title=self._title(i))

    def _fixed(self, i: int) -> bool:
        """Whether it is made of numbers, parameters and noise alone, in few enough words for one box."""
        node = self.nodes[i]
        inner = [self.nodes[a] for a in node.arguments]
        return node.operation in _LEAVES or (
            node.operation in _SIGNS and len(inner) == 2 and all(n.operation in _LEAVES for n in inner)
        )

    def _leaf(self, i: int) -> Label:
        node = self.nodes[i]
        if node.operation == "constant":
            return text(f"{node.value:g}".replace("-", "−"))
        if node.operation in _LEAVES:
            return symbol(str(node.name))
        left, right = (self._leaf(a) for a in node.arguments)
        return Run("("), *left, Run(f" {_SIGNS[node.operation]} "), *right, Run(")")

    def _operation(self, i: int) -> Part:
        node = self.nodes[i]
        arguments = node.arguments
        fixed = [a for a in arguments if self._fixed(a)]
        free = [a for a in arguments if a not in fixed]
        if len(arguments) == 1:
            return self._single(i, arguments[0])
        if len(arguments) == 2 and len(free) == 1 and len(fixed) == 1:
            return self._value(i, free[0], self._beside(node.operation, self._leaf(fixed[0]), arguments[0] == fixed[0]))
        sources = [self._part(a) for a in arguments]
        if node.operation in _ORDERED:
            marks: dict[int, str] = {}
            for source, mark in zip(sources, "cab" if node.operation == "where" else "ab", strict=True):
                marks[source] = f"{marks[source]}, {mark}" if source in marks else mark
            label = text(_ORDERED[node.operation])
            return Part("operation", label, list(marks), list(marks.values()), self._name(i), self._title(i))
        sign = _SIGNS.get(node.operation) or node.operation.replace("imum", "")
        kept = list(dict.fromkeys(sources))  # a value times itself comes in once
        label = text("( )²") if len(kept) == 1 and node.operation == "mul" else text(sign)
        return Part("operation", label, kept, name=self._name(i), title=self._title(i))

    def _single(self, i: int, argument: int) -> Part:
        node, label = self.nodes[i], _function(self.nodes[i].operation)
        inner = self.nodes[argument]
        if node.operation == "neg":
            if inner.operation == "softplus" and self._alone(argument):
                below = self.nodes[inner.arguments[0]]
                if below.operation == "neg":  # -softplus(-a) = log σ(a)
                    return self._function(i, text("log σ"), below.arguments[0])
            return self._value(i, argument, list(text("−1 ⊙")))
        return self._function(i, label, argument)

    def _function(self, i: int, label: Label, argument: int) -> Part:
        return Part("function", label, [self._part(argument)], name=self._name(i), title=self._title(i))

    def _beside(self, operation: str, value: Label, left: bool) -> list[Run]:
        """The words of an operation with a number or a parameter on one side."""
        if operation == "mul":
            return [Run("⊙ "), *value]
        if operation in ("maximum", "minimum"):
            return [Run(f"{operation[:3]} with "), *value]
        sign = _SIGNS[operation]
        return [*value, Run(f" {sign}")] if left else [Run(f"{sign} "), *value]

    # ---- layer normalisation

    def _normal(self, i: int) -> int | None:
        """The value v where node i is (v - mean) / sqrt(variance + e), else None."""
        node = self.nodes[i]
        if node.operation != "div":
            return None
        above, below = (self.nodes[a] for a in node.arguments)
        if below.operation != "sqrt" or above.operation != "sub":
            return None
        means = self._reaches(below.arguments[0], "mean") and self._reaches(above.arguments[1], "mean")
        return above.arguments[0] if means else None

    def _reaches(self, i: int, operation: str, depth: int = 8) -> bool:
        node = self.nodes[i]
        return node.operation == operation or (
            depth > 0 and any(self._reaches(a, operation, depth - 1) for a in node.arguments)
        )

    def _normalised(self, i: int, value: int) -> Part:
        """LN, with the matrix below it in the same box where nobody else reads that."""
        below = self.nodes[value]
        together = len(self.used[self.nodes[i].arguments[1]]) > 1
        title = f"layer normalisation over the units of {'all gates together' if together else 'a step'}"
        if below.operation == "gate":
            return Part("gate", (Run("LN "), *symbol(f"W_{below.name}")), [self.input], title=title)
        if below.operation == "product":
            source = self._part(below.arguments[0])
            return Part("gate", (Run("LN "), *symbol(f"U_{below.name}")), [source], title=title)
        return Part("function", text("LN"), [self._part(value)], title=title)

    # ---- x and h on one line

    def _join(self) -> None:
        """Where several boxes read both x and the first state, the two come together once."""
        first = next(i for i, part in enumerate(self.parts) if part.kind == "state")
        both = [p for p in self.parts if p.kind == "gate" and {first, self.input} <= set(p.sources)]
        if len(both) < 2:
            return
        join = self._add(Part("join", (), [first, self.input], title="x and the state together"))
        for part in both:
            part.sources = [join, *(s for s in part.sources if s not in (first, self.input))]
            part.marks = [""] * len(part.sources)


def _function(operation: str) -> Label:
    return text({"sigmoid": "σ", "sqrt": "√", "abs": "| |"}.get(operation, operation))


def _joined(labels: list[Label], between: str) -> list[Run]:
    found: list[Run] = []
    for place, label in enumerate(labels):
        found += [Run(between), *label] if place else label
    return found
