"""Large products, C = A B, over all time steps at once: blocks of B packed, rows of A shared out to threads."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from unrolled.engine.cpu.pack import pack_block
from unrolled.engine.cpu.target import Target
from unrolled.engine.cpu.tile import POINTER, call_tile, loop, number, smaller
from unrolled.engine.cpu.vector import I64, Kind

# A block of B: so many rows of one panel, which stay in the second-level cache while the rows of A pass by.
DEPTH = 256
TABLE = ("a", "a_row", "a_depth", "b", "b_depth", "b_column", "c", "c_row", "first", "last", "columns", "depth", "room")


def working_room(target: Target, dtype: str, rows: int, depth: int) -> int:
    """Elements of working memory that a call over so many rows of A, each so long, needs."""
    tiles = -(-rows // _rows(target))
    packed = tiles * _rows(target) * min(depth, DEPTH)
    return (DEPTH + _rows(target)) * target.vectors() * target.lanes(dtype) + packed


def _rows(target: Target) -> int:
    return min(8, target.rows(target.vectors()))


class Product:
    """Emits the function `multiply`, which takes the address of a TABLE of 64-bit integers."""

    def __init__(self, module: ir.Module, target: Target, kind: Kind) -> None:
        self.module, self.kind, self.rows, self.vectors = module, kind, _rows(target), target.vectors()
        self.wide = self.vectors * kind.lanes
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "multiply")
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))

    def emit(self) -> None:
        """The whole function."""
        b = self.b
        self.t = {
            name: b.load(b.gep(self.function.args[0], [number(i)], source_etype=I64), typ=I64)
            for i, name in enumerate(TABLE)
        }
        t = self.t
        self.scratch = b.add(t["room"], self._bytes(number(DEPTH * self.wide)))
        self.packed_a = b.add(self.scratch, self._bytes(number(self.rows * self.wide)))
        self.block = smaller(b, t["depth"], number(DEPTH))
        with loop(b, number(0), t["depth"], DEPTH) as k0:
            depth = smaller(b, b.sub(t["depth"], k0), number(DEPTH))
            turned = b.icmp_signed("!=", t["a_depth"], number(1))
            with b.if_then(turned):
                self._pack_a(k0, depth)
            with loop(b, number(0), t["columns"], self.wide) as n0:
                self._pack_b(k0, depth, n0)
                self._panel(k0, depth, n0, turned)
        b.ret_void()

    def _bytes(self, elements: Any) -> Any:
        return self.b.mul(elements, number(self.kind.bytes))

    def _element(self, address: Any) -> Any:
        value = self.b.load(self.b.inttoptr(address, POINTER), typ=self.kind.element)
        value.align = self.kind.bytes
        return value

    def _put(self, value: Any, address: Any) -> None:
        self.b.store(value, self.b.inttoptr(address, POINTER)).align = self.kind.bytes

    def _pack_a(self, k0: Any, depth: Any) -> None:
        """A that runs along its rows: a tile's rows side by side, a few steps at a time to stay on open cache lines."""
        b, t = self.b, self.t
        few = 8
        with loop(b, number(0), depth, few) as k1:
            stop = smaller(b, b.add(k1, number(few)), depth)
            with loop(b, t["first"], t["last"], self.rows) as m:
                left = smaller(b, b.sub(t["last"], m), number(self.rows))
                tile = b.mul(b.sub(m, t["first"]), self.block)
                with loop(b, k1, stop) as k:
                    source = b.add(b.mul(b.add(k0, k), t["a_depth"]), b.mul(m, t["a_row"]))
                    target = b.add(tile, b.mul(k, number(self.rows)))
                    with b.if_else(b.icmp_signed("==", left, number(self.rows))) as (then, otherwise):
                        with then:
                            self._copy(source, target, ir.VectorType(self.kind.element, self.rows))
                        with otherwise, loop(b, number(0), left) as r:
                            self._copy(b.add(source, b.mul(r, t["a_row"])), b.add(target, r), self.kind.element)

    def _copy(self, source: Any, target: Any, of: Any) -> None:
        """From A to its packed tiles; A runs along its rows here."""
        b = self.b
        value = b.load(b.inttoptr(b.add(self.t["a"], self._bytes(source)), POINTER), typ=of)
        value.align = self.kind.bytes
        b.store(value, b.inttoptr(b.add(self.packed_a, self._bytes(target)), POINTER)).align = self.kind.bytes

    def _pack_b(self, k0: Any, depth: Any, n0: Any) -> None:
        """One panel of B, filled up with zeros past its last column."""
        b, t = self.b, self.t
        for v in range(self.vectors):
            column = b.add(n0, number(v * self.kind.lanes))
            source = b.add(t["b"], self._bytes(b.add(b.mul(k0, t["b_depth"]), b.mul(column, t["b_column"]))))
            target = b.add(t["room"], self._bytes(number(v * self.kind.lanes)))
            arguments = (source, t["b_column"], t["b_depth"], b.sub(t["columns"], column), depth, depth, target,
                         number(self.wide))  # fmt: skip
            b.call(pack_block(self.module, self.kind), arguments)

    def _panel(self, k0: Any, depth: Any, n0: Any, turned: Any) -> None:
        """All rows against one packed panel."""
        b, t = self.b, self.t
        count = smaller(b, b.sub(t["columns"], n0), number(self.wide))
        whole = b.icmp_signed("==", count, number(self.wide))
        start = b.icmp_signed("==", k0, number(0))
        with loop(b, t["first"], t["last"], self.rows) as m:
            left = smaller(b, b.sub(t["last"], m), number(self.rows))
            straight = b.add(t["a"], self._bytes(b.add(b.mul(m, t["a_row"]), k0)))
            tile = b.add(self.packed_a, self._bytes(b.mul(b.sub(m, t["first"]), self.block)))
            a = b.select(turned, tile, straight)
            a_row = b.select(turned, number(1), t["a_row"])
            a_depth = b.select(turned, number(self.rows), number(1))
            c = b.add(t["c"], self._bytes(b.add(b.mul(m, t["c_row"]), n0)))
            with b.if_else(whole) as (then, otherwise):
                with then, b.if_else(start) as (first, later):
                    for branch, add in ((first, False), (later, True)):
                        with branch:
                            arguments = (a, a_row, a_depth, t["room"], c, t["c_row"], depth)
                            call_tile(b, self.kind, self.rows, self.vectors, left, arguments, add=add)
                with otherwise:
                    arguments = (a, a_row, a_depth, t["room"], self.scratch, number(self.wide), depth)
                    call_tile(b, self.kind, self.rows, self.vectors, left, arguments)
                    self._copy_out(c, left, count, start)

    def _copy_out(self, c: Any, rows: Any, columns: Any, start: Any) -> None:
        """The last panel may be narrower than a tile: element by element from the scratch."""
        b, t = self.b, self.t
        zero = ir.Constant(self.kind.element, 0.0)
        with loop(b, number(0), rows) as r, loop(b, number(0), columns) as n:
            value = self._element(b.add(self.scratch, self._bytes(b.add(b.mul(r, number(self.wide)), n))))
            place = b.add(c, self._bytes(b.add(b.mul(r, t["c_row"]), n)))
            # C is memory that nothing was written to yet, so what it holds must not enter the sum
            self._put(b.fadd(value, b.select(start, zero, self._element(place))), place)
