"""Whether two programs compute the same, up to the names of gates and states and the order of sums and products."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product
from typing import Any

from unrolled.cell.program import Program


@dataclass(frozen=True)
class Correspondence:
    """For each gate, state and vector of the pattern, the one of the program that plays its part."""

    gates: tuple[str, ...]
    state: tuple[str, ...]
    vectors: tuple[str, ...] = ()


@lru_cache(maxsize=1024)
def correspondence(program: Program, pattern: Program) -> Correspondence | None:
    """How the program is the pattern under other names, or None where it is not.

    Sums and products may be written in any order and a - b as a + (-b); other algebra is not tried.
    """
    counts = ("gates", "state", "products", "vectors")
    if any(len(getattr(program, c)) != len(getattr(pattern, c)) for c in counts):
        return None
    if program.noise or pattern.noise or program.heads != pattern.heads:
        return None
    wanted = _results(pattern, {})
    first = next(iter(program.state))
    for state, gates, vectors in product(*map(permutations, (program.state, program.gates, program.vectors))):
        if state[0] != first or not _equally_wide(program, state, vectors, pattern):
            continue
        names = dict(zip((*(f"gate {g}" for g in gates), *(f"state {s}" for s in state)),
                         (*pattern.gates, *pattern.state), strict=True))  # fmt: skip
        names |= {f"product {p}": q for p, q in zip(program.products, pattern.products, strict=True)}
        names |= {f"parameter {v}": w for v, w in zip(vectors, pattern.vectors, strict=True)}
        if _results(program, names, state) == wanted:
            return Correspondence(gates, state, vectors)
    return None


def _equally_wide(program: Program, state: tuple[str, ...], vectors: tuple[str, ...], pattern: Program) -> bool:
    sizes = [program.vectors[name].size for name in vectors]
    return [program.state[name] for name in state] == list(pattern.state.values()) and sizes == [
        vector.size for vector in pattern.vectors.values()
    ]


def _results(program: Program, names: dict[str, str], state: tuple[str, ...] | None = None) -> tuple[Any, ...]:
    keys: list[Any] = []
    for node in program.nodes:
        name = str(node.name)
        arguments = [keys[a] for a in node.arguments]
        if node.operation in ("gate", "state", "parameter"):
            key: Any = (node.operation, names.get(f"{node.operation} {name}", name))
        elif node.operation == "product":
            kind = "product" if name in program.products else "gate"
            key = ("times", kind, names.get(f"{kind} {name}", name), *arguments)
        elif node.operation == "constant":
            key = ("constant", node.value)
        elif node.operation == "sub":
            key = _sum([arguments[0], _negated(arguments[1])])
        elif node.operation == "neg":
            key = _negated(arguments[0])
        elif node.operation in ("add", "mul"):
            key = _sum(arguments) if node.operation == "add" else _product(arguments)
        else:
            key = (node.operation, name, *arguments)
        keys.append(key)
    order = [list(program.state).index(s) for s in (state or tuple(program.state))]
    return (keys[program.output], *(keys[program.next[i]] for i in order))


def _sum(terms: list[Any]) -> Any:
    return ("add", *sorted((t for term in terms for t in (term[1:] if term[0] == "add" else (term,))), key=repr))


def _product(factors: list[Any]) -> Any:
    return (
        "mul",
        *sorted((f for factor in factors for f in (factor[1:] if factor[0] == "mul" else (factor,))), key=repr),
    )


def _negated(key: Any) -> Any:
    return ("constant", -key[1]) if key[0] == "constant" else ("neg", key)
