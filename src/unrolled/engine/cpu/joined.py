"""W x_t in the tile of the recurrent products: the input is read where it lies, and W x of a step is never stored.

Where a gate enters the step only as x.k + u.k, both products share their sums in registers. A gate that goes elsewhere
too, such as n of the GRU, has columns of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unrolled.engine.cpu.schedule import Group, Place, Schedule, Stage

INPUT = Place("xs", "input", "t")


def joined(schedule: Schedule) -> Schedule | None:
    """A forward schedule with W x_t inside; None where a gate is read in two passes over the units."""
    read = {i: _uses(schedule, i) for i in range(len(schedule.nodes))}
    gates = [i for i, n in enumerate(schedule.nodes) if n.operation == "gate" and read[i]]
    stages: list[Stage] = []
    silent: list[int] = []
    for stage in schedule.stages:
        partner = {}
        for r in (r for g in stage.groups if not g.transposed for r in g.results):
            adds = read[r] if len(read[r]) == 1 and read[r][0] in stage.nodes else []
            for i in (a for c in adds if schedule.nodes[c].operation == "add" for a in schedule.nodes[c].arguments):
                if i in gates and read[i] == adds:
                    partner[r] = i
        own = tuple(i for i in gates if i not in partner.values() and _uses(schedule, i, stage))
        if any(_uses(schedule, i, stage) != read[i] for i in own):
            return None
        silent += partner.values()
        groups = [part for g in stage.groups for part in _split(schedule, g, partner)]
        if own:
            groups.append(Group(_named(schedule, own), INPUT, own, (1, "input")))
        stages.append(replace(stage, groups=groups))
    # in training, the memory of W x keeps what has become of the gates
    written = {place.buffer for stage in stages for _, place in stage.stores}
    places = {INPUT.buffer: INPUT} | {k: p for k, p in schedule.places.items() if k != "x" or k in written}
    return replace(schedule, stages=stages, places=places, silent=frozenset(silent))


def reads_gates(schedule: Schedule) -> bool:
    """Whether a gate's W x_t itself is read, and not only what became of it."""
    return any(n.operation == "gate" and _uses(schedule, i) for i, n in enumerate(schedule.nodes))


def _uses(schedule: Schedule, i: int, within: Stage | None = None) -> list[int]:
    """The nodes that read a node, and -1 for each store, sum or mean of it."""
    stages = schedule.stages if within is None else [within]
    read = [c for s in stages for c in s.nodes for a in schedule.nodes[c].arguments if a == i]
    return read + [-1 for s in stages for n, _ in (*s.stores, *s.sums, *s.means) if n == i]


def _split(schedule: Schedule, group: Group, partner: dict[int, int]) -> list[Group]:
    """The products that have a gate to be added to, on top of its product with the input; and the others."""
    with_gate = tuple(r for r in group.results if r in partner)
    if not with_gate:
        return [group]
    first = Group(_named(schedule, [partner[r] for r in with_gate]), INPUT, with_gate, (1, "input"))
    found = [replace(group, matrix=_of(schedule, with_gate), results=with_gate, onto=first)]
    rest = tuple(r for r in group.results if r not in partner)
    return [*found, replace(group, matrix=_of(schedule, rest), results=rest)] if rest else found


def _of(schedule: Schedule, products: tuple[int, ...]) -> str:
    return "M." + ",".join(str(schedule.nodes[r].name) for r in products)


def _named(schedule: Schedule, gates: Sequence[int]) -> str:
    return "X." + ",".join(str(schedule.nodes[i].name) for i in gates)
