"""The register tile: a few rows of A times a panel of B, all sums in registers. Every product ends here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from unrolled.engine.cpu.vector import I32, I64, Kind, Vec

POINTER = ir.PointerType()


def number(value: int) -> Any:
    """A constant of the kernel's integers."""
    return ir.Constant(I64, value)


@contextmanager
def loop(b: ir.IRBuilder, start: Any, stop: Any, step: Any = 1) -> Iterator[Any]:
    """For index in range(start, stop, step)."""
    before = b.block
    head, body, end = (b.append_basic_block(part) for part in ("loop", "body", "done"))
    b.branch(head)
    b.position_at_end(head)
    index = b.phi(I64)
    index.add_incoming(start, before)
    b.cbranch(b.icmp_signed("<", index, stop), body, end)
    b.position_at_end(body)
    yield index
    index.add_incoming(b.add(index, number(step) if isinstance(step, int) else step), b.block)
    b.branch(head)
    b.position_at_end(end)


def smaller(b: ir.IRBuilder, one: Any, other: Any) -> Any:
    """The smaller of two integers."""
    return b.select(b.icmp_signed("<", one, other), one, other)


def call_tile(
    b: ir.IRBuilder, kind: Kind, rows: int, vectors: int, count: Any, arguments: tuple[Any, ...], *, add: bool = False
) -> None:
    """The tile for `count` of at most `rows` rows: each row count is a function of its own, with its own registers."""
    end = b.append_basic_block("tiled")
    choice = b.switch(count, end)
    for r in range(1, rows + 1):
        block = b.append_basic_block(f"rows{r}")
        choice.add_case(number(r), block)
        b.position_at_end(block)
        b.call(_tile(b.module, kind, r, vectors, add), arguments)
        b.branch(end)
    b.position_at_end(end)


def _tile(module: ir.Module, kind: Kind, rows: int, vectors: int, add: bool) -> ir.Function:
    """C (rows, vectors) = (C +) A (rows, depth) B (depth, vectors); A has strides in rows and depth, B is packed."""
    name = f"tile_{kind.dtype}_{rows}x{vectors}{'_add' if add else ''}"
    found = module.globals.get(name)
    if found is not None:
        return found
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 7), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    a, per_row, per_depth, packed, out, per_out, depth = function.args
    entry, body, end = (function.append_basic_block(part) for part in ("entry", "loop", "end"))
    b = ir.IRBuilder(entry)
    size = number(kind.bytes)
    places = [
        b.add(out, b.mul(b.add(b.mul(number(r), per_out), number(v * kind.lanes)), size))
        for r in range(rows)
        for v in range(vectors)
    ]
    first = [_load(b, kind, p) if add else kind.constant(0.0) for p in places]
    offsets = [b.mul(b.mul(number(r), per_row), size) for r in range(rows)]
    step_a, step_b = b.mul(per_depth, size), number(vectors * kind.lanes * kind.bytes)
    b.cbranch(b.icmp_signed(">", depth, number(0)), body, end)
    b.position_at_end(body)
    k, at_a, at_b = (b.phi(I64) for _ in range(3))
    sums = [b.phi(kind.vector) for _ in places]
    updated = _multiply_add(b, kind, [b.add(at_a, o) for o in offsets], at_b, vectors, sums)
    following = [b.add(k, number(1)), b.add(at_a, step_a), b.add(at_b, step_b)]
    for value, start, new in zip(
        (k, at_a, at_b, *sums), (number(0), a, packed, *first), (*following, *updated), strict=True
    ):
        value.add_incoming(start, entry)
        value.add_incoming(new, body)
    b.cbranch(b.icmp_signed("<", following[0], depth), body, end)
    b.position_at_end(end)
    results = []
    for start, new in zip(first, updated, strict=True):
        result = b.phi(kind.vector)
        result.add_incoming(start, entry)
        result.add_incoming(new, body)
        results.append(result)
    for value, place in zip(results, places, strict=True):
        b.store(value, b.inttoptr(place, POINTER)).align = kind.bytes
    b.ret_void()
    return function


def _load(b: ir.IRBuilder, kind: Kind, address: Any) -> Any:
    value = b.load(b.inttoptr(address, POINTER), typ=kind.vector)
    value.align = kind.bytes
    return value


def _multiply_add(
    b: ir.IRBuilder, kind: Kind, rows: list[Any], packed: Any, vectors: int, sums: list[Any]
) -> list[Any]:
    """One step of the inner product: a row of B against one element of every row of A."""
    columns = [Vec(b, kind, _load(b, kind, b.add(packed, number(v * kind.lanes * kind.bytes)))) for v in range(vectors)]
    updated: list[Any] = []
    for r, start in enumerate(rows):
        element = spread(b, kind, b.load(b.inttoptr(start, POINTER), typ=kind.element))
        row = sums[r * vectors : (r + 1) * vectors]
        updated += [element.fma(c, element.make(s)).value for c, s in zip(columns, row, strict=True)]
    return updated


# Rows whose addresses and sums all stay in registers.
_AT_ONCE = 8


def dots(module: ir.Module, kind: Kind, *, add: bool = False) -> ir.Function:
    """A vector of inner products of one row with rows of a matrix as it lies in memory, from row `unit` on.

    Past the last row the last one is read again: those lanes are no units and nobody looks at them.
    """
    name = f"dots_{kind.dtype}{'_add' if add else ''}"
    found = module.globals.get(name)
    if found is not None:
        return found
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 6), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    a, matrix, unit, extent, out, depth = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    size, lanes = number(kind.bytes), kind.lanes
    last = b.sub(extent, number(1))
    rows = [b.add(matrix, b.mul(b.mul(smaller(b, b.add(unit, number(u)), last), depth), size)) for u in range(lanes)]
    whole = b.mul(b.sdiv(depth, number(lanes)), number(lanes))
    sums = [b.alloca(kind.vector) for _ in rows]
    for place in sums:
        b.store(kind.constant(0.0), place)
    for start in range(0, lanes, _AT_ONCE):
        with loop(b, number(0), whole, lanes) as k:
            offset = b.mul(k, size)
            x = Vec(b, kind, _load(b, kind, b.add(a, offset)))
            for place, row in zip(sums[start : start + _AT_ONCE], rows[start : start + _AT_ONCE], strict=True):
                value = x.make(_load(b, kind, b.add(row, offset)))
                b.store(value.fma(x, x.make(b.load(place, typ=kind.vector))).value, place)
    result = b.alloca(kind.vector)
    total = Vec(b, kind, _lane_sums(b, kind, [b.load(place, typ=kind.vector) for place in sums]))
    b.store((total + total.make(_load(b, kind, out))).value if add else total.value, result)
    with loop(b, whole, depth) as k:
        offset = b.mul(k, size)
        column: Any = ir.Constant(kind.vector, ir.Undefined)
        for u, row in enumerate(rows):
            value = b.load(b.inttoptr(b.add(row, offset), POINTER), typ=kind.element)
            column = b.insert_element(column, value, ir.Constant(I32, u))
        element = spread(b, kind, b.load(b.inttoptr(b.add(a, offset), POINTER), typ=kind.element))
        b.store(element.fma(element.make(column), element.make(b.load(result, typ=kind.vector))).value, result)
    b.store(b.load(result, typ=kind.vector), b.inttoptr(out, POINTER)).align = kind.bytes
    b.ret_void()
    return function


def _lane_sums(b: ir.IRBuilder, kind: Kind, vectors: list[Any]) -> Any:
    """The sum of the lanes of each of `lanes` vectors, as one vector: neighbours are added, two vectors at a time."""
    lanes = kind.lanes
    even, odd = (ir.Constant(ir.VectorType(I32, lanes), list(range(s, 2 * lanes, 2))) for s in (0, 1))
    while len(vectors) > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [b.fadd(b.shuffle_vector(v, w, even), b.shuffle_vector(v, w, odd)) for v, w in pairs]
    return vectors[0]


def lane_sum(b: ir.IRBuilder, kind: Kind, vector: Any) -> Any:
    """Sum of the lanes, halves first."""
    name = f"llvm.vector.reduce.fadd.{kind.suffix}"
    signature = ir.FunctionType(kind.element, [kind.element, kind.vector])
    reduce = b.module.globals.get(name) or ir.Function(b.module, signature, name)
    return b.call(reduce, [ir.Constant(kind.element, 0.0), vector], fastmath=("reassoc",))


def spread(b: ir.IRBuilder, kind: Kind, element: Any) -> Vec:
    """One element in every lane."""
    undefined = ir.Constant(kind.vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(I32, kind.lanes), [0] * kind.lanes)
    one = b.insert_element(undefined, element, ir.Constant(I32, 0))
    return Vec(b, kind, b.shuffle_vector(one, undefined, zeros))
