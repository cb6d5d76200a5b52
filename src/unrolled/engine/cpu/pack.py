"""Packs matrices into panels: for each block of units, one vector of them after another along the inner extent."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from unrolled.engine.cpu.tile import POINTER, loop, number, smaller
from unrolled.engine.cpu.vector import I32, I64, Kind

ENTRY = ("source", "per_unit", "per_depth", "units", "depth", "room", "target", "per_panel", "per_step", "step",
         "blocks", "panels")  # fmt: skip


class Pack:
    """Emits the function `pack`: (number of entries, this share, shares, entries...) of 64-bit integers.

    An entry is a matrix whose element of unit u and depth k lies at source + u per_unit + k per_depth. Block e of panel
    p holds the units from (p blocks + e) lanes on; its vector of depth k goes to target + p per_panel + k per_step + e
    step. Strides count elements. What lies past the last unit, or between depth and room, becomes 0.
    """

    def __init__(self, module: ir.Module, kind: Kind) -> None:
        self.module, self.kind = module, kind
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "pack")
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))

    def emit(self) -> None:
        """The whole function."""
        b, table = self.b, self.function.args[0]

        def value(index: Any) -> Any:
            return b.load(b.gep(table, [index], source_etype=I64), typ=I64)

        count, share, shares = (value(number(i)) for i in range(3))
        with loop(b, number(0), count) as i:
            start = b.add(number(3), b.mul(i, number(len(ENTRY))))
            e = {name: value(b.add(start, number(k))) for k, name in enumerate(ENTRY)}
            first = b.sdiv(b.mul(e["panels"], share), shares)
            last = b.sdiv(b.mul(e["panels"], b.add(share, number(1))), shares)
            with loop(b, first, last) as p, loop(b, number(0), e["blocks"]) as k:
                unit = b.mul(b.add(b.mul(p, e["blocks"]), k), number(self.kind.lanes))
                source = b.add(e["source"], self._bytes(b.mul(unit, e["per_unit"])))
                place = b.add(b.mul(p, e["per_panel"]), b.mul(k, e["step"]))
                arguments = (source, e["per_unit"], e["per_depth"], b.sub(e["units"], unit), e["depth"], e["room"],
                             b.add(e["target"], self._bytes(place)), e["per_step"])  # fmt: skip
                b.call(pack_block(self.module, self.kind), arguments)
        b.ret_void()

    def _bytes(self, elements: Any) -> Any:
        return self.b.mul(elements, number(self.kind.bytes))


def pack_block(module: ir.Module, kind: Kind) -> ir.Function:
    """One block: (source, per_unit, per_depth, units, depth, room, target, per_step), addresses in bytes."""
    name = f"pack_{kind.dtype}"
    found = module.globals.get(name)
    return found if found is not None else _Block(module, kind, name).emit()


class _Block:
    def __init__(self, module: ir.Module, kind: Kind, name: str) -> None:
        self.kind = kind
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 8), name)
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        source, per_unit, per_depth, units, depth, room, target, per_step = self.function.args
        self.source, self.per_unit, self.per_depth, self.units = source, per_unit, per_depth, units
        self.depth, self.room, self.target, self.per_step = depth, room, target, per_step

    def emit(self) -> ir.Function:
        b, lanes = self.b, number(self.kind.lanes)
        whole = b.icmp_signed(">=", self.units, lanes)
        along = b.and_(whole, b.icmp_signed("==", self.per_unit, number(1)))
        across = b.and_(whole, b.icmp_signed("==", self.per_depth, number(1)))
        squares = b.mul(b.sdiv(self.depth, lanes), lanes)
        with b.if_else(along) as (then, otherwise):
            with then, loop(b, number(0), self.depth) as k:
                self._put(self._vector(self._from(number(0), k)), k)
            with otherwise:
                done = b.select(across, squares, number(0))
                with loop(b, number(0), done, self.kind.lanes) as k:
                    self._square(k)
                with loop(b, done, self.depth) as k:
                    self._singly(k)
        with loop(b, self.depth, self.room) as k:
            self._put(self.kind.constant(0.0), k)
        b.ret_void()
        return self.function

    def _square(self, k: Any) -> None:
        """As many steps as units, turned over by interleaving halves again and again."""
        b, lanes = self.b, self.kind.lanes
        rows = [self._vector(self._from(number(u), k)) for u in range(lanes)]
        low = ir.Constant(ir.VectorType(I32, lanes), [i // 2 + (i % 2) * lanes for i in range(lanes)])
        high = ir.Constant(ir.VectorType(I32, lanes), [(i + lanes) // 2 + (i % 2) * lanes for i in range(lanes)])
        for _ in range(lanes.bit_length() - 1):
            pairs = list(zip(rows[: lanes // 2], rows[lanes // 2 :], strict=True))
            rows = [b.shuffle_vector(x, y, order) for x, y in pairs for order in (low, high)]
        for i, row in enumerate(rows):
            self._put(row, b.add(k, number(i)))

    def _singly(self, k: Any) -> None:
        b = self.b
        self._put(self.kind.constant(0.0), k)
        with loop(b, number(0), smaller(b, self.units, number(self.kind.lanes))) as u:
            value = b.load(b.inttoptr(self._from(u, k), POINTER), typ=self.kind.element)
            value.align = self.kind.bytes
            place = b.add(self._to(k), b.mul(u, number(self.kind.bytes)))
            b.store(value, b.inttoptr(place, POINTER)).align = self.kind.bytes

    def _from(self, unit: Any, k: Any) -> Any:
        b = self.b
        offset = b.add(b.mul(unit, self.per_unit), b.mul(k, self.per_depth))
        return b.add(self.source, b.mul(offset, number(self.kind.bytes)))

    def _to(self, k: Any) -> Any:
        b = self.b
        return b.add(self.target, b.mul(b.mul(k, self.per_step), number(self.kind.bytes)))

    def _vector(self, address: Any) -> Any:
        value = self.b.load(self.b.inttoptr(address, POINTER), typ=self.kind.vector)
        value.align = self.kind.bytes
        return value

    def _put(self, value: Any, k: Any) -> None:
        self.b.store(value, self.b.inttoptr(self._to(k), POINTER)).align = self.kind.bytes
