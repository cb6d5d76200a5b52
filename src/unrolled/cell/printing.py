"""A program as equations, in plain text and in LaTeX."""

from __future__ import annotations

from collections.abc import Mapping

from unrolled.cell.analysis import consumers
from unrolled.cell.operations import ATOM, OPERATIONS, SUM, TERM
from unrolled.cell.program import Program

Piece = tuple[str, int]


def to_text(program: Program) -> str:
    """The equations of one step, a line each: `r = σ(W_r x[t] + b_r + U_r h[t-1])`."""
    return "\n".join(f"{left} = {right}" for left, right in _Printer(program, latex=False).lines())


def to_latex(program: Program) -> str:
    """The equations of one step as the body of a LaTeX `aligned` environment."""
    rows = [f"{left} &= {right}" for left, right in _Printer(program, latex=True).lines()]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


class _Printer:
    def __init__(self, program: Program, *, latex: bool) -> None:
        self.program, self.latex = program, latex
        self.named = self._names()
        self.done: dict[int, str] = {}

    def lines(self) -> list[tuple[str, str]]:
        """Left and right sides in the order of computation; a next state that is a name already is not repeated."""
        rows = []
        for i in sorted(self.named):
            rows.append((self.named[i], self._right(i)))
            self.done[i] = self.named[i]
        for name, i in self._results():
            left = self._indexed(name, "t")
            if self.done.get(i) != left:
                rows.append((left, self._piece(i)[0]))
        return rows

    def _results(self) -> list[tuple[str, int]]:
        results = list(zip(self.program.state, self.program.next, strict=True))
        return results if self.program.output in self.program.next else [*results, ("y", self.program.output)]

    def _names(self) -> dict[int, str]:
        """Names of nodes worth a line: next states, what the author named, gates, and what is read several times."""
        program = self.program
        names: dict[int, str] = {}
        taken = set(program.state)
        for i, name in dict(program.labels).items():
            names[i] = name
            taken.add(name)
        used = consumers(program)
        for gate, i in program.gate_values.items():
            if i >= 0 and gate not in taken and i not in names:
                names[i] = gate
                taken.add(gate)
        worth = {
            i: self._symbol(n)
            for i, n in names.items()
            if program.nodes[i].operation in OPERATIONS and (len(used[i]) > 0 or i in program.next)
        }
        for state, i in reversed(list(zip(program.state, program.next, strict=True))):
            if program.nodes[i].operation in OPERATIONS or program.nodes[i].operation == "product":
                worth[i] = self._indexed(state, "t")
        count = 0
        for i, node in enumerate(program.nodes):
            if i not in worth and len(used[i]) > 1 and node.operation in OPERATIONS and node.operation != "neg":
                count += 1
                worth[i] = self._symbol(f"v{count}")
        return worth

    def _symbol(self, name: str) -> str:
        return _latex_name(name) if self.latex else name

    def _indexed(self, name: str, time: str) -> str:
        return _latex_name(name, time) if self.latex else f"{name}[{time}]"

    def _right(self, i: int) -> str:
        return self._write(i)[0]

    def _piece(self, i: int) -> Piece:
        return (self.done[i], ATOM) if i in self.done else self._write(i)

    def _write(self, i: int) -> Piece:
        node = self.program.nodes[i]
        name = str(node.name)
        sub: Mapping[bool, str] = {True: f"_{{{name}}}", False: f"_{name}"}
        if node.operation == "constant":
            value = float(node.value or 0.0)
            short = f"{value:g}"
            short = short if float(short) == value else repr(value)
            return (_latex_number(short) if self.latex else short), ATOM if value >= 0 else SUM
        if node.operation == "gate":
            bias = f" + b{sub[self.latex]}" if self.program.bias else ""
            time = "x_{t}" if self.latex else "x[t]"
            return f"W{sub[self.latex]} {time}{bias}", SUM if bias else TERM
        if node.operation == "state":
            return self._indexed(name, "t-1"), ATOM
        if node.operation in ("parameter", "noise"):
            return self._symbol(name), ATOM
        if node.operation == "product":
            operand = self._bracketed(node.arguments[0], ATOM)
            if name in self.program.products:
                return f"P{sub[self.latex]} {operand}", TERM
            bias = f" + c{sub[self.latex]}" if name in self.program.recurrent_biased else ""
            return f"U{sub[self.latex]} {operand}{bias}", SUM if bias else TERM
        return self._operation(i)

    def _operation(self, i: int) -> Piece:
        node = self.program.nodes[i]
        row = OPERATIONS[node.operation]
        if row.precedence == ATOM or (row.name == "div" and self.latex):
            pieces = [self._piece(a)[0] for a in node.arguments]
        else:
            strict = row.name != "add" and not self._chain(row.name, node.arguments[-1])
            pieces = [
                self._bracketed(a, row.precedence + (1 if strict and place == len(node.arguments) - 1 else 0))
                for place, a in enumerate(node.arguments)
            ]
        template = row.latex if self.latex else row.text
        if row.name == "mul" and any(self.program.nodes[a].operation == "constant" for a in node.arguments):
            template = "{0} {1}" if self.program.nodes[node.arguments[0]].operation == "constant" else "{1} {0}"
        return template.format(*pieces), ATOM if row.name == "div" and self.latex else row.precedence

    def _chain(self, operation: str, argument: int) -> bool:
        """Whether brackets can go: not needed in a ⊙ (b ⊙ c), needed in a ⊙ (b / c)."""
        return operation == "mul" and self.program.nodes[argument].operation == "mul"

    def _bracketed(self, i: int, precedence: int) -> str:
        text, own = self._piece(i)
        if own >= precedence:
            return text
        return f"\\left({text}\\right)" if self.latex else f"({text})"


def _latex_name(name: str, *indices: str) -> str:
    """`gain_x` and `v1` with what follows the stem as indices: LaTeX refuses a second underscore."""
    stem, _, rest = name.partition("_")
    letters = stem.rstrip("0123456789")
    number = stem[len(letters) :]
    below = ",".join([*([number] if number else []), *(rest.split("_") if rest else []), *indices])
    word = letters if len(letters) == 1 else f"\\mathit{{{letters}}}"
    return f"{word}_{{{below}}}" if below else word


def _latex_number(shown: str) -> str:
    """1e-05 as a power of ten."""
    digits, _, power = shown.partition("e")
    factor = "" if digits == "1" else f"{digits} \\cdot "
    return f"{factor}10^{{{int(power)}}}" if power else shown
