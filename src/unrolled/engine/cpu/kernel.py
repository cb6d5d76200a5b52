"""Turns a schedule into one LLVM function: loops over time, stages, panels of units and tiles of rows.

A kernel takes one table of 64-bit integers: sizes, then base address, stride in time and stride in rows (in elements)
of each buffer, then the addresses of the packed matrices, then those of the sums. Rows are [first, last); the longest
come first, and a step touches only those that still live. The numbers at `steps_at` and `states_at` are added to the
row in a step, and in a block of states: rows of unlike lengths lie packed. Units are one share of several; where there
are several, the threads wait for each other at the counter `barrier` before a stage that multiplies what all of them
have written.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from unrolled.engine.cpu.barrier import meet
from unrolled.engine.cpu.schedule import Group, Place, Schedule, Stage
from unrolled.engine.cpu.target import Target
from unrolled.engine.cpu.tile import POINTER, call_tile, dots, lane_sum, loop, number, smaller, spread
from unrolled.engine.cpu.vector import I32, I64, VECTOR, Kind, Vec

DIRECT = "direct"  # the name of the kernel for a row or two: it reads the parameters as they lie
HEADER = ("steps", "first", "last", "input", "hidden", "output", "descending", "before", "lengths", "steps_at",
          "states_at", "share", "shares", "barrier", "give_way")  # fmt: skip


def panel_blocks(target: Target, stage: Stage) -> int:
    """Blocks of units that a stage's tile covers: as many as fill its columns of vectors.

    The narrowest group's where there are 16 registers: with a single column it would wait for its own sums.
    """
    one = min if target.registers < 32 else max
    return max(1, target.vectors() // one((len(g.results) for g in stage.groups), default=target.vectors()))


def strips(target: Target, width: int) -> list[tuple[int, int]]:
    """First vector and vectors of each strip of a panel: side by side they would leave a tile too few rows."""
    most = target.vectors()
    return [(first, min(most, width - first)) for first in range(0, width, most)]


def whole_heads(target: Target, lanes: int, stage: Stage, group: Group, units: int) -> bool:
    """Whether no panel of so many units reaches over two heads, so that each is multiplied by its own head alone."""
    return group.heads > 1 and units % (group.heads * panel_blocks(target, stage) * lanes) == 0


class Kernel:
    """Emits the function of one schedule."""

    def __init__(
        self, module: ir.Module, target: Target, kind: Kind, name: str, schedule: Schedule, biased: dict[int, Place]
    ) -> None:
        self.module, self.target, self.kind, self.schedule = module, target, kind, schedule
        self.biased, self.direct = biased, name == DIRECT
        self.places = schedule.places | {p.buffer: p for p in biased.values()}
        self.buffers = tuple(self.places)
        self.sums = tuple(dict.fromkeys(b for s in schedule.stages for _, b in s.sums))
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), name)
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.size = ir.Constant(I64, kind.bytes)

    def emit(self) -> None:
        """The whole function."""
        b = self.b
        table = self.function.args[0]
        slots = iter(range(10_000))

        def entry() -> Any:
            return b.load(b.gep(table, [number(next(slots))], source_etype=I64), typ=I64)

        self.header = {name: entry() for name in HEADER}
        self.strides = {name: (entry(), entry(), entry()) for name in self.buffers}
        # packed, a group's matrices are one; read where they are, each is on its own
        self.matrices = {
            id(g): [entry() for _ in g.results[: None if self.direct else 1]] for g in self.schedule.matrices()
        }
        self.totals = {name: entry() for name in self.sums}
        lanes = number(self.kind.lanes)
        self.extent = {w: self.header[w] for w in ("input", "hidden", "output")}
        self.blocks = {
            w: b.sdiv(b.add(self.extent[w], number(self.kind.lanes - 1)), lanes) for w in ("hidden", "output")
        }
        self.padded = {w: b.mul(n, lanes) for w, n in self.blocks.items()}
        self._share_out()
        self._heads = {
            id(g): self._whole_heads(stage, g) for stage, g in self.schedule.placed() if g.heads > 1 and not self.direct
        }
        self.scratch = self._scratch()
        self.count = b.alloca(I64)
        self.waits = b.alloca(I64)
        b.store(number(0), self.waits)
        with loop(b, number(0), self.header["steps"]) as n:
            self._step(n)
        b.ret_void()

    def _share_out(self) -> None:
        """The blocks of units of this thread: whole panels of every stage, so a unit is the same thread's in all."""
        b, whole = self.b, number(max(self._panel(stage) for stage in self.schedule.stages))
        self.begin, self.end = {}, {}
        for width, blocks in self.blocks.items():
            panels = b.sdiv(b.add(blocks, b.sub(whole, number(1))), whole)
            places = [
                b.mul(b.sdiv(b.mul(panels, share), self.header["shares"]), whole)
                for share in (self.header["share"], b.add(self.header["share"], number(1)))
            ]
            self.begin[width], self.end[width] = places[0], smaller(b, places[1], blocks)

    def _whole_heads(self, stage: Stage, group: Group) -> Any:
        """`whole_heads` of a layer's own sizes."""
        b, units = self.b, number(group.heads * self._panel(stage) * self.kind.lanes)
        return b.icmp_signed("==", b.srem(self.extent[stage.width], units), number(0))

    def _wait(self) -> None:
        """Until all threads are here, if units are shared out."""
        b = self.b
        with b.if_then(b.icmp_signed("!=", self.header["barrier"], number(0))):
            count = b.add(b.load(self.waits, typ=I64), self.header["shares"])
            b.store(count, self.waits)
            b.call(meet(self.module), (self.header["barrier"], count, self.header["give_way"]))

    def _scratch(self) -> Any:
        """Room for the largest tile, on the stack and so in the first-level cache."""
        most = 1
        for stage in self.schedule.stages:
            rows, vectors = self._tile(stage)
            most = max(most, rows * vectors * self.kind.lanes)
        space = self.b.alloca(self.kind.element, number(most))
        space.align = 64
        return self.b.ptrtoint(space, I64)

    def _tile(self, stage: Stage) -> tuple[int, int]:
        """Rows and columns of vectors of a stage's tiles, all its groups side by side."""
        if not stage.groups:
            return 1, 0
        blocks = self._panel(stage)
        if self.direct:
            return 1, sum(len(g.results) for g in stage.groups)
        widths = [size for g in stage.groups for _, size in strips(self.target, blocks * len(g.results))]
        rows = self.target.rows(max(widths))
        return min(rows, 8), sum(blocks * len(g.results) for g in stage.groups)

    def _panel(self, stage: Stage) -> int:
        return 1 if self.direct else panel_blocks(self.target, stage)

    def _step(self, n: Any) -> None:
        b, header = self.b, self.header
        back = b.sub(b.sub(header["steps"], number(1)), n)
        t = b.select(b.icmp_signed("!=", header["descending"], number(0)), back, n)
        parity = b.and_(n, number(1))
        time = {
            "t": t,
            "in": b.add(t, header["before"]),
            "out": b.add(t, b.sub(number(1), header["before"])),
            "old": parity,
            "new": b.sub(number(1), parity),
        }
        self.time = time
        steps, states = (b.inttoptr(header[name], POINTER) for name in ("steps_at", "states_at"))
        self.starts = {
            when: b.load(b.gep(table, [time[when]], source_etype=I64), typ=I64)
            for when, table in (("t", steps), ("in", states), ("out", states))
        }
        alive = self._alive(t)
        with b.if_then(b.icmp_signed(">", alive, header["first"])):
            for stage in self.schedule.stages:
                if stage.groups:
                    self._wait()
                self._stage(stage, alive)
            if any(g.operand.when == "row" for g in self.schedule.matrices()):
                # the next step writes where this one's products may still read
                self._wait()

    def _alive(self, t: Any) -> Any:
        """One past the last row that still has a step t."""
        b, header, count = self.b, self.header, self.count
        b.store(header["last"], count)
        with b.if_then(b.icmp_signed("!=", header["lengths"], number(0))):
            lengths = b.inttoptr(header["lengths"], POINTER)
            test, body, end = (b.append_basic_block(f"alive.{part}") for part in ("test", "body", "end"))
            b.branch(test)
            b.position_at_end(test)
            last = b.load(count, typ=I64)
            above = b.icmp_signed(">", last, header["first"])
            index = b.select(above, b.sub(last, number(1)), header["first"])
            length = b.load(b.gep(lengths, [index], source_etype=I64), typ=I64)
            b.cbranch(b.and_(above, b.icmp_signed("<=", length, t)), body, end)
            b.position_at_end(body)
            b.store(index, count)
            b.branch(test)
            b.position_at_end(end)
        return b.load(count, typ=I64)

    def _stage(self, stage: Stage, alive: Any) -> None:
        b = self.b
        begin, end, panel = self.begin[stage.width], self.end[stage.width], self._panel(stage)
        rows, vectors = self._tile(stage)
        first = self.header["first"]
        if not stage.groups:
            with loop(b, first, alive) as row, loop(b, begin, end) as j:
                self._pointwise(stage, row, j, {})
        else:
            with loop(b, begin, end, panel) as j0, loop(b, first, alive, rows) as m:
                left = b.sub(alive, m)
                count = smaller(b, left, number(rows))
                columns = self._products(stage, m, count, b.sdiv(j0, number(panel)), rows, vectors)
                with loop(b, number(0), count) as q:
                    stop = b.add(j0, number(panel))
                    stop = smaller(b, stop, end)
                    with loop(b, j0, stop) as j:
                        found = self._results(stage, q, b.sub(j, j0), columns, vectors)
                        self._pointwise(stage, b.add(m, q), j, found)
        for _, place in stage.means:
            with loop(b, first, alive) as row:
                self._finish_mean(place, row)

    def _products(self, stage: Stage, m: Any, count: Any, panel: Any, rows: int, vectors: int) -> list[int]:
        """Run the tile of each group; returns the first column of each in the scratch."""
        b, columns, column = self.b, [], 0
        for group in stage.groups:
            width = self._panel(stage) * len(group.results)
            target = b.add(self.scratch, self._bytes(number(column * self.kind.lanes)))
            if self.direct:
                for part in (group.onto, group):
                    if part is not None:
                        self._dots(stage, part, m, panel, target, add=part.onto is not None)
            else:
                size = rows, width, vectors
                if group.onto is not None:
                    self._tiles(stage, group.onto, m, count, panel, target, size, add=False)
                self._tiles(stage, group, m, count, panel, target, size, add=group.onto is not None)
            columns.append(column)
            column += width
        return columns

    def _tiles(
        self, stage: Stage, group: Group, m: Any, count: Any, panel: Any, target: Any, size: tuple[int, int, int], *,
        add: bool,
    ) -> None:  # fmt: skip
        """One group's products of `count` rows with a panel, into or onto the scratch.

        Where every head has whole panels, a panel is multiplied by the operand's units of its own head alone.
        """
        b, (rows, width, vectors), (times, of) = self.b, size, group.depth
        # an operand of several parts is padded between them, a single one is not needed past its end
        depth = b.mul(number(times), self.padded[of]) if times > 1 or group.transposed else self.extent[of]
        first, parts = number(0), number(1)
        if group.heads > 1:
            whole, each = self._heads[id(group)], b.sdiv(self.extent[of], number(group.heads))
            unit = b.mul(panel, number(self._panel(stage) * self.kind.lanes))
            head = b.sdiv(unit, b.sdiv(self.extent[stage.width], number(group.heads)))
            first = b.select(whole, b.mul(head, each), first)
            parts = b.select(whole, number(times), parts)
            depth = b.select(whole, each, depth)
        stride, matrix = self.strides[group.operand.buffer][2], self.matrices[id(group)][0]
        panel_size = self._bytes(b.mul(depth, number(width * self.kind.lanes)))
        matrix = b.add(matrix, b.mul(b.mul(panel, parts), panel_size))
        start = self._address(group.operand, m, first)

        def tile(start: Any, matrix: Any, *, add: bool) -> None:
            for first, size in strips(self.target, width):
                there = b.add(matrix, self._bytes(b.mul(depth, number(first * self.kind.lanes))))
                place = b.add(target, self._bytes(number(first * self.kind.lanes)))
                arguments = (start, stride, number(1), there, place, number(vectors * self.kind.lanes), depth)
                call_tile(b, self.kind, rows, size, count, arguments, add=add)

        tile(start, matrix, add=add)
        if group.heads > 1 and times > 1:
            with loop(b, number(1), parts) as k:
                further = b.add(start, self._bytes(b.mul(k, self.padded[of])))
                tile(further, b.add(matrix, b.mul(k, panel_size)), add=True)

    def _dots(self, stage: Stage, group: Group, m: Any, block: Any, target: Any, *, add: bool) -> None:
        """One block of units of one row, from matrices as the parameters hold them."""
        b = self.b
        a, depth = self._address(group.operand, m, number(0)), self.extent[group.depth[1]]
        unit = b.mul(block, number(self.kind.lanes))
        for g, matrix in enumerate(self.matrices[id(group)]):
            place = b.add(target, self._bytes(number(g * self.kind.lanes)))
            function = dots(self.module, self.kind, add=add)
            b.call(function, (a, matrix, unit, self.extent[stage.width], place, depth))

    def _results(self, stage: Stage, q: Any, e: Any, columns: list[int], vectors: int) -> dict[int, Vec]:
        """The products of one row and block of units, out of the scratch, with their recurrent bias."""
        b, found = self.b, {}
        lanes = self.kind.lanes
        row = b.mul(q, number(vectors * lanes))
        for group, column in zip(stage.groups, columns, strict=True):
            for g, node in enumerate(group.results):
                place = b.add(row, b.add(number((column + g) * lanes), b.mul(e, number(len(group.results) * lanes))))
                found[node] = self._load(b.add(self.scratch, self._bytes(place)))
        return found

    def _pointwise(self, stage: Stage, row: Any, j: Any, products: dict[int, Vec]) -> None:
        """Everything of one row and one vector of units."""
        b = self.b
        unit = b.mul(j, number(self.kind.lanes))
        values: dict[int, Vec | float] = {}

        def value(i: int) -> Vec | float:
            if i not in values:
                values[i] = self._value(i, row, unit, products)
            return values[i]

        for i in stage.nodes:
            node = self.schedule.nodes[i]
            values[i] = self._apply(node.operation, [value(a) for a in node.arguments])
        for i, buffer in stage.sums:
            address = b.add(self.totals[buffer], self._bytes(unit))
            self._store(self._load(address) + self._vector(value(i)), address)
        for i, place in stage.means:
            self._add_to_mean(place, row, j, self._within(self._vector(value(i)), unit, stage.width))
        for i, place in stage.stores:
            result = self._vector(value(i))
            if place.buffer == "dx" or place.buffer.startswith("d."):
                # what lies past the last unit takes part in products, so it must be 0
                result = self._within(result, unit, place.width)
            self._store(result, self._address(place, row, unit))

    def _value(self, i: int, row: Any, unit: Any, products: dict[int, Vec]) -> Vec | float:
        """A value that this stage did not compute: a constant, a product from its tile, or from memory."""
        node = self.schedule.nodes[i]
        if node.operation == "constant":
            return float(node.value or 0.0)
        if i in self.schedule.silent:
            return self._read(self.biased[i], row, unit)
        found = products[i] if i in products else self._read(self.schedule.homes[i], row, unit)
        # a product has its recurrent bias from here on, also in memory; a gate in memory is W x without b
        if i in self.biased and (i in products or node.operation == "gate"):
            found = found + self._read(self.biased[i], row, unit)
        return found

    def _apply(self, operation: str, arguments: list[Vec | float]) -> Vec:
        return VECTOR[operation](*(self._vector(a) for a in arguments))

    def _vector(self, value: Vec | float) -> Vec:
        return value if isinstance(value, Vec) else Vec(self.b, self.kind, self.kind.constant(value))

    def _within(self, value: Vec, unit: Any, width: str) -> Vec:
        """The value in lanes that are units, 0 in those past the last."""
        b, lanes = self.b, self.kind.lanes
        vector = ir.VectorType(I32, lanes)
        left = b.trunc(b.sub(self.extent[width], unit), I32)
        count = b.shuffle_vector(
            b.insert_element(ir.Constant(vector, ir.Undefined), left, ir.Constant(I32, 0)),
            ir.Constant(vector, ir.Undefined),
            ir.Constant(vector, [0] * lanes),
        )
        return value.select(b.icmp_signed("<", ir.Constant(vector, list(range(lanes))), count), value, 0.0)

    def _read(self, place: Place, row: Any, unit: Any) -> Vec:
        return self._load(self._address(place, row, number(0) if place.when == "mean" else unit))

    def _add_to_mean(self, place: Place, row: Any, j: Any, value: Vec) -> None:
        b = self.b
        address = self._address(place, row, number(0))
        so_far = self._load(address)
        start = b.icmp_signed("==", j, number(0))
        kept = b.select(start, self.kind.constant(0.0), so_far.value)
        self._store(value + value.make(kept), address)

    def _finish_mean(self, place: Place, row: Any) -> None:
        b, kind = self.b, self.kind
        address = self._address(place, row, number(0))
        total = lane_sum(b, kind, self._load(address).value)
        mean = b.fdiv(total, b.sitofp(self.extent[place.width], kind.element))
        self._store(spread(b, kind, mean), address)

    def _address(self, place: Place, row: Any, unit: Any) -> Any:
        """Where the value of a row and unit stands at this step."""
        b = self.b
        base, per_time, per_row = self.strides[place.buffer]
        offset = unit
        if place.slot:
            offset = b.add(offset, b.mul(number(place.slot), self.padded[place.width]))
        if place.when in self.starts:
            row = b.add(row, self.starts[place.when])
        if place.when != "unit":
            offset = b.add(offset, b.mul(row, per_row))
        if place.when in self.time:
            offset = b.add(offset, b.mul(self.time[place.when], per_time))
        return b.add(base, self._bytes(offset))

    def _bytes(self, elements: Any) -> Any:
        return self.b.mul(elements, self.size)

    def _load(self, address: Any) -> Vec:
        value = self.b.load(self.b.inttoptr(address, POINTER), typ=self.kind.vector)
        value.align = self.kind.bytes
        return Vec(self.b, self.kind, value)

    def _store(self, value: Vec, address: Any) -> None:
        self.b.store(value.value, self.b.inttoptr(address, POINTER)).align = self.kind.bytes
