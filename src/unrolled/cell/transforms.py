"""Regularisation as a change of the program, so that it works on every cell: zoneout and recurrent dropout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from unrolled.cell.program import Program
from unrolled.cell.protocol import Noise, Width
from unrolled.cell.symbol import Builder, Node, Symbol
from unrolled.errors import ArgumentError


def zoneout(program: Program, rates: Mapping[str, float]) -> Program:
    """Each unit of a state keeps its old value with a probability: s_t <- z s_{t-1} + (1 - z) s_t.

    `rates` maps names of states to probabilities; in evaluation z is its mean (Krueger et al. 2017).
    Raises ArgumentError for an unknown state or a rate outside [0, 1).
    """
    builder, noise, following = Builder(list(program.nodes)), dict(program.noise), list(program.next)
    output = program.output
    for name, rate in rates.items():
        if name not in program.state:
            raise ArgumentError(
                f"zoneout was asked for the state {name!r}, but {program.name} has {', '.join(program.state)}."
            )
        if _rate(rate, "zoneout") == 0.0:
            continue
        place = list(program.state).index(name)
        factor = _declare(noise, f"zoneout_{name}", Noise("step", rate, 1.0, _width(program.state[name])))
        z = builder.add(Node("noise", name=factor))
        old, new = builder.add(Node("state", name=name)), Symbol(builder, program.next[place])
        following[place] = (z * old + (1.0 - z) * new).index
        if program.output == program.next[place]:
            output = following[place]
    return _rebuilt(program, builder, noise, output, following)


def recurrent_dropout(program: Program, rate: float, *, frequency: Literal["step", "sequence"] = "sequence") -> Program:
    """Drop units of what the recurrent matrices read, by default the same ones at every step (Gal & Ghahramani 2016).

    The kept units are divided by 1 - rate; in evaluation nothing is dropped. Raises ArgumentError for a rate
    outside [0, 1).
    """
    if _rate(rate, "recurrent dropout") == 0.0:
        return program
    builder, noise = Builder(), dict(program.noise)
    place: list[int] = []
    masks: dict[int, int] = {}
    for node in program.nodes:
        arguments = tuple(place[a] for a in node.arguments)
        if node.operation == "product" and node.name in program.gates:
            old = node.arguments[0]
            if old not in masks:
                width = _width(program.widths[old] if program.widths[old] != "any" else "hidden")
                name = _declare(
                    noise,
                    "dropout" if not masks else f"dropout_{len(masks) + 1}",
                    Noise(frequency, 1 - rate, 1 / (1 - rate), width),
                )
                masks[old] = (Symbol(builder, place[old]) * builder.add(Node("noise", name=name))).index
            arguments = (masks[old],)
        place.append(builder.add(Node(node.operation, arguments, node.name, node.value)).index)
    labels = tuple((place[i], label) for i, label in program.labels)
    return replace(program, nodes=tuple(builder.nodes), output=place[program.output],
                    next=tuple(place[i] for i in program.next), noise=noise, labels=labels)  # fmt: skip


def _rebuilt(program: Program, builder: Builder, noise: dict[str, Noise], output: int, following: list[int]) -> Program:
    return replace(program, nodes=tuple(builder.nodes), noise=noise, output=output, next=tuple(following))


def _declare(noise: dict[str, Noise], name: str, value: Noise) -> str:
    while name in noise:
        name += "_"
    noise[name] = value
    return name


def _rate(rate: float, what: str) -> float:
    if not 0.0 <= rate < 1.0:
        raise ArgumentError(f"the {what} rate is {rate}, but it must be at least 0 and below 1.")
    return rate


def _width(size: str) -> Width:
    return "output" if size == "output" else "hidden"


def without_noise(program: Program, names: Iterable[str]) -> Program:
    """The program of evaluation: each of these noise operands replaced by its mean."""
    gone = frozenset(names)
    return _without_noise(program, gone) if gone else program


@lru_cache(maxsize=256)
def _without_noise(program: Program, gone: frozenset[str]) -> Program:
    nodes = tuple(
        Node("constant", value=program.noise[str(n.name)].mean) if n.operation == "noise" and n.name in gone else n
        for n in program.nodes
    )
    return replace(program, nodes=nodes, noise={k: v for k, v in program.noise.items() if k not in gone})
