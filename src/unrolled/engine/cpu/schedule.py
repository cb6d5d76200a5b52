"""A step as stages: products first, then everything pointwise that they make possible, one pass over the units each.

A stage ends where a whole row of values must be known: before a recurrent product of them, or after a mean over them.
Knows no LLVM, so that what is kept for the backward pass can be read and tested as data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from unrolled.cell import Node, Program, Pullback

# Operations that cost about as much as a load and a store: computed again in the backward pass where it is possible.
LEAF_KINDS = ("gate", "state", "parameter", "noise", "adjoint", "saved")


@dataclass(frozen=True)
class Place:
    """Where a value lives: a buffer, the slot of a row in it, and how it moves with time.

    `when`: "t" (one for each step), "in" / "out" (before / after the step), "old" / "new" (two that take turns),
    "row" (one for each row), "unit" (the same for all rows), "mean" (one number for each row).
    """

    buffer: str
    width: str
    when: str
    slot: int = 0
    slots: int = 1


@dataclass(frozen=True)
class Group:
    """Products that read the same operand: `results` are nodes, `matrix` names what is packed, `operand` holds A.

    `onto`: products that come first, in whose sums these go on. `heads`: so many blocks on a diagonal are a matrix.
    """

    matrix: str
    operand: Place
    results: tuple[int, ...]
    depth: tuple[int, str]  # the inner extent: so many times "hidden", "output" or "input"
    onto: Group | None = None
    heads: int = 1

    @property
    def transposed(self) -> bool:
        """Whether this is a product with transposed matrices, of a derivative."""
        return self.matrix.startswith("T.")

    @property
    def names(self) -> tuple[str, ...]:
        """The matrices, by their gates and products."""
        return tuple(self.matrix.partition(".")[2].split(","))


@dataclass
class Stage:
    """One pass over the units of a width: products, pointwise nodes in order, stores, and sums for means."""

    width: str
    groups: list[Group] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    stores: list[tuple[int, Place]] = field(default_factory=list)
    sums: list[tuple[int, str]] = field(default_factory=list)  # (node, buffer): summed over rows and steps
    means: list[tuple[int, Place]] = field(default_factory=list)  # (argument, where the mean goes)


@dataclass
class Schedule:
    """The stages of a step and the buffers that they use."""

    nodes: tuple[Node, ...]
    stages: list[Stage]
    homes: dict[int, Place]
    widths: tuple[str, ...]
    places: dict[str, Place] = field(default_factory=dict)
    silent: frozenset[int] = frozenset()  # gates whose W x is in a product already

    def buffers(self) -> tuple[str, ...]:
        """Every buffer, in the order in which a kernel takes them."""
        return tuple(self.places)

    def matrices(self) -> tuple[Group, ...]:
        """Every group of products, in the order in which a kernel takes their packed matrices."""
        return tuple(g for _, g in self.placed())

    def placed(self) -> list[tuple[Stage, Group]]:
        """The same with the stage of each."""
        every = [(s, g) for s in self.stages for g in s.groups]
        return [(s, g) for s, last in every for g in (last.onto, last) if g is not None]


class Planner:
    """Gives every node a stage and every value that outlives its stage a place."""

    def __init__(
        self, program: Program, nodes: tuple[Node, ...], widths: tuple[str, ...], leaves: Mapping[int, Place],
        targets: Iterable[tuple[int, Place]], sums: Iterable[tuple[int, str]] = (),
    ) -> None:  # fmt: skip
        self.program, self.nodes, self.widths, self.leaves = program, nodes, widths, dict(leaves)
        self.targets, self.sums = list(targets), list(sums)
        self.homes: dict[int, list[Place]] = {}
        self.operands: dict[int, tuple[Place, tuple[int, str]]] = {}
        self.level: dict[int, int] = {}

    def plan(self) -> Schedule:
        needed = self._needed()
        for i in sorted(needed):
            self._level(i)
        stages: dict[tuple[int, str], Stage] = {}

        def stage(level: int, width: str) -> Stage:
            return stages.setdefault((level, width), Stage(width))

        for i in sorted(needed):
            if i not in self.leaves and self.nodes[i].operation not in ("constant", "mean", "product", "transposed"):
                stage(self.level[i], self._width(i)).nodes.append(i)
        self._place_means(needed, stage)
        self._group(needed, stage)
        for i, place in self.targets:
            stage(self.level[i], place.width).stores.append((i, place))
        for i, buffer in self.sums:
            stage(self.level[i], self._width(i)).sums.append((i, buffer))
        self._bridge(stages)
        ordered = [stages[k] for k in sorted(stages)]
        homes = {i: self.homes[i][0] for i in self.homes}
        schedule = Schedule(self.nodes, ordered, {**self.leaves, **homes}, self.widths)
        self._collect(schedule)
        return schedule

    def _width(self, i: int) -> str:
        return self.widths[i] if self.widths[i] != "any" else "hidden"

    def _needed(self) -> set[int]:
        needed: set[int] = set()
        open_ = [i for i, _ in self.targets] + [i for i, _ in self.sums]
        while open_:
            i = open_.pop()
            if i not in needed:
                needed.add(i)
                if i not in self.leaves:
                    open_.extend(self.nodes[i].arguments)
        return needed

    def _level(self, i: int) -> int:
        """Products of what is in memory already belong to stage 0; others to the stage after their operand."""
        node = self.nodes[i]
        if i in self.leaves or node.operation == "constant":
            level = 0
        elif node.operation == "product":
            level = max(0 if self._is_there(a) else self.level[a] + 1 for a in node.arguments)
        elif node.operation in ("mean", "transposed"):
            level = 1 + max(self.level[a] for a in node.arguments)
        else:
            level = max(self.level[a] for a in node.arguments)
        self.level[i] = level
        return level

    def _is_there(self, i: int) -> bool:
        """Whether a product can read the value before the step: what memory has of a gate is W x without b."""
        return i in self.leaves and self.nodes[i].operation != "gate"

    def _place_means(self, needed: set[int], stage: object) -> None:
        for i in sorted(needed):
            if i not in self.leaves and self.nodes[i].operation == "mean":
                argument = self.nodes[i].arguments[0]
                place = Place(f"mean{i}", self._width(argument), "mean")
                self.homes[i] = [place]
                stage(self.level[argument], self._width(argument)).means.append((argument, place))  # type: ignore[operator]

    def _group(self, needed: set[int], stage: object) -> None:
        """Join the products of one operand and stage: one pass over the operand serves all their matrices."""
        joined: dict[tuple[int, int, str], list[int]] = {}
        for i in sorted(needed):
            node = self.nodes[i]
            if i in self.leaves:
                continue
            if node.operation == "product":
                joined.setdefault((node.arguments[0], self.level[i], self._width(i)), []).append(i)
            elif node.operation == "transposed":
                place, depth = self._joined_operand(node)
                group = Group(f"T.{node.name}", place, (i,), depth, heads=self._heads(str(node.name)))
                stage(self.level[i], self._width(i)).groups.append(group)  # type: ignore[operator]
        for (operand, level, width), results in joined.items():
            place = self._in_memory(operand)
            names = ",".join(str(self.nodes[i].name) for i in results)
            group = Group(f"M.{names}", place, tuple(results), (1, self._width(operand)), heads=self._heads(names))
            stage(level, width).groups.append(group)  # type: ignore[operator]

    def _heads(self, names: str) -> int:
        """Blocks of these matrices, which are U of gates or further products of the cell."""
        return self.program.heads if set(names.split(",")) <= set(self.program.recurrent) else 1

    def _joined_operand(self, node: Node) -> tuple[Place, tuple[int, str]]:
        """The adjoints of several products side by side, as one long row."""
        width = self._width(node.arguments[0])
        there = [next((p for n, p in self.targets if n == a and p.buffer == "dx"), None) for a in node.arguments]
        start = there[0]
        if start is not None and there == [replace(start, slot=start.slot + k) for k in range(len(there))]:
            # where x.k and u.k meet in a sum their adjoints are the same, and stand side by side already
            for argument, place in zip(node.arguments, there, strict=True):
                if place is not None:
                    self.homes.setdefault(argument, []).append(place)
            return start, (len(there), width)
        first = f"d.{node.name}"
        for slot, argument in enumerate(node.arguments):
            place = Place(first, width, "t", slot, len(node.arguments))
            self.homes.setdefault(argument, []).append(place)
            if (argument, place) not in self.targets:
                self.targets.append((argument, place))
        return Place(first, width, "t", 0, len(node.arguments)), (len(node.arguments), width)

    def _in_memory(self, i: int) -> Place:
        if self._is_there(i):
            return self.leaves[i]
        if i in self.homes:
            return self.homes[i][0]
        place = next((p for n, p in self.targets if n == i), None) or Place(f"row{i}", self._width(i), "row")
        if i not in self.leaves:
            self.homes[i] = [place]
        if (i, place) not in self.targets:
            self.targets.append((i, place))
        return place

    def _bridge(self, stages: dict[tuple[int, str], Stage]) -> None:
        """A value that another stage reads goes through memory."""
        made = {i: key for key, s in stages.items() for i in (*s.nodes, *(r for g in s.groups for r in g.results))}
        for key in sorted(stages):
            current = stages[key]
            for i in _read(self.nodes, current):
                if i in made and made[i] != key and i not in self.homes:
                    place = next((p for n, p in self.targets if n == i), None)
                    if place is None:
                        place = Place(f"row{i}", self._width(i), "row")
                        stages[made[i]].stores.append((i, place))
                    self.homes[i] = [place]

    def _collect(self, schedule: Schedule) -> None:
        """Name every buffer once."""
        for stage in schedule.stages:
            used = [g.operand for g in stage.groups] + [p for _, p in stage.stores] + [p for _, p in stage.means]
            used += [schedule.homes[i] for i in _read(self.nodes, stage) if i in schedule.homes]
            for place in used:
                schedule.places.setdefault(place.buffer, place)


def _read(nodes: tuple[Node, ...], stage: Stage) -> list[int]:
    """Nodes that a stage needs the value of."""
    read = [a for i in stage.nodes for a in nodes[i].arguments]
    read += [i for i, _ in stage.stores] + [i for i, _ in stage.sums] + [i for i, _ in stage.means]
    return list(dict.fromkeys(read))


@dataclass(frozen=True)
class Forward:
    """The forward schedule, and where it keeps what the backward pass reads."""

    schedule: Schedule
    saved: dict[int, Place]
    operands: dict[int, Place]  # operand of products -> where its values stay for the weight gradients


def forward(program: Program, derivative: Pullback | None) -> Forward:
    """Stages of a step; with a derivative, also stores for what it will read again."""
    leaves = {i: p for i, n in enumerate(program.nodes) if (p := leaf_place(program, n)) is not None}
    targets = [
        (i, Place(f"s.{k}", _width(program, w), "out"))
        for (k, w), i in zip(program.state.items(), program.next, strict=True)
    ]
    if program.output not in program.next:
        targets.append((program.output, Place("y", _width(program, program.output_width), "t")))
    saved = {} if derivative is None else _saved(program, derivative)
    targets += saved.items()
    operands: dict[int, Place] = {}
    for node in program.nodes:
        if node.operation == "product":
            i = node.arguments[0]
            if i in leaves and program.nodes[i].operation != "gate":
                operands[i] = leaves[i]
            else:
                place = next((p for n, p in targets if n == i), Place(f"v{i}", _real(program, i), "t"))
                if (i, place) not in targets:
                    targets.append((i, place))
                operands[i] = place
    planner = Planner(program, program.nodes, program.widths, leaves, targets)
    return Forward(planner.plan(), saved, operands)


def backward(program: Program, derivative: Pullback, saved: dict[int, Place]) -> Schedule:
    """Stages of the derivative of a step: adjoints in, gate and state adjoints out, parameters summed up."""
    leaves: dict[int, Place] = {}
    for i, node in enumerate(derivative.nodes):
        place = leaf_place(program, node)
        if place is not None:
            leaves[i] = place
    leaves |= saved
    for (name, width), i in zip(program.state.items(), program.next, strict=True):
        leaves.setdefault(i, Place(f"s.{name}", _width(program, width), "out"))
    widths = list(program.widths)
    for node in derivative.nodes[len(program.nodes) :]:
        widths.append(_adjoint_width(program, node, widths))
    # what has no gradient gets a zero: its memory is read in the next step and in the products after the last
    zero = len(derivative.nodes)
    nodes = (*derivative.nodes, Node("constant", value=0.0))
    widths.append("any")
    targets = [(derivative.gates.get(g, zero), gate_place(program, g, "dx")) for g in program.gates]
    targets += [
        (derivative.state.get(k, zero), Place(f"D.{k}", _width(program, w), "new")) for k, w in program.state.items()
    ]
    sums = [(i, f"p.{k}") for k, i in derivative.parameters.items() if k in program.vectors]
    return Planner(program, nodes, tuple(widths), leaves, targets, sums).plan()


def gate_place(program: Program, gate: str, buffer: str) -> Place:
    """The gates of a row stand side by side."""
    return Place(buffer, "hidden", "t", program.gates.index(gate), len(program.gates))


def leaf_place(program: Program, node: Node) -> Place | None:
    """Where a leaf of the program or of its derivative is found."""
    name = str(node.name)
    if node.operation == "gate":
        return gate_place(program, name, "x")
    if node.operation == "state":
        return Place(f"s.{name}", _width(program, program.state[name]), "in")
    if node.operation == "parameter":
        return Place(f"q.{name}", _width(program, program.vectors[name].size), "unit")
    if node.operation == "noise":
        noise = program.noise[name]
        return Place(f"n.{name}", _width(program, noise.size), "t" if noise.frequency == "step" else "row")
    if node.operation == "adjoint":
        if name == "output":
            return Place("dy", _width(program, program.output_width), "t")
        name = name.removeprefix("next.")
        return Place(f"D.{name}", _width(program, program.state[name]), "old")
    return None


def _width(program: Program, declared: str) -> str:
    """Where nothing projects, both widths are the same and all values of a step can share a stage."""
    return declared if program.projects else "hidden"


def _real(program: Program, i: int) -> str:
    return program.widths[i] if program.widths[i] != "any" else "hidden"


def _adjoint_width(program: Program, node: Node, widths: list[str]) -> str:
    if node.operation == "adjoint":
        name = str(node.name).removeprefix("next.")
        return _width(program, program.output_width if name == "output" else program.state[name])
    if node.operation == "transposed":
        product = next(n for n in program.nodes if n.operation == "product" and n.name == str(node.name).split(",")[0])
        return widths[product.arguments[0]]
    found = {widths[a] for a in node.arguments} - {"any"}
    return next(iter(sorted(found)), "any")


def _saved(program: Program, derivative: Pullback) -> dict[int, Place]:
    """What the derivative reads and cannot compute again from states, parameters and other saved values: node, place.

    A gate after its sigmoid or tanh is kept, not the sums before it, and where possible in the memory of W x_t, which
    has served by then; tanh(c) is computed again from c, which stays.
    """
    read = {a for n in derivative.nodes[len(program.nodes) :] for a in n.arguments if a < len(program.nodes)}
    leaves = {i for i, n in enumerate(program.nodes) if n.operation in (*LEAF_KINDS, "constant")}
    there = {i for i in leaves if program.nodes[i].operation != "gate" or i in read} | set(program.next)
    saved: dict[int, Place] = {}
    free = _free_gates(program, read)
    for i, node in enumerate(program.nodes):
        if i in there:
            continue
        if node.operation not in ("product", "mean", "gate") and all(a in there for a in node.arguments):
            there.add(i)
        elif i in read:
            gate = free.get(i)
            saved[i] = Place(f"v{i}", _real(program, i), "t") if gate is None else gate_place(program, gate, "x")
            there.add(i)
    return saved


def _free_gates(program: Program, read: set[int]) -> dict[int, str]:
    """Values of gates that may take the place of their W x_t: read by nobody else, in a step of a single stage."""
    nodes = program.nodes
    leaves = {i for i, n in enumerate(nodes) if n.operation in LEAF_KINDS}
    before = {i for i in leaves if nodes[i].operation != "gate"}
    single = all(n.operation != "mean" and (n.operation != "product" or n.arguments[0] in before) for n in nodes)
    if not single or program.projects:
        return {}
    kept = {nodes[i].name for i in read if nodes[i].operation == "gate"}
    return {i: gate for gate, i in program.gate_values.items() if gate not in kept and i >= 0 and i not in leaves}
