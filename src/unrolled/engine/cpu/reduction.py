"""Angles too large for a few subtractions of pi / 2: quarter turns in long integers, over the whole range of floats."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llvmlite import ir

if TYPE_CHECKING:
    from unrolled.engine.cpu.vector import Kind

# Up to here a number of quarter turns has 20 bits, and its products with the parts of pi / 2 are exact.
LIMIT = 1e6
_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_DOUBLE = ir.DoubleType()


@lru_cache(maxsize=2)
def two_over_pi(digits: int) -> int:
    """The first binary digits of 2 / pi, with Machin's pi = 16 arctan(1/5) - 4 arctan(1/239)."""
    one = 1 << (digits + 64)

    def arctan(inverse: int) -> int:
        total, term, k = 0, one // inverse, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term, k = term // inverse**2, k + 2
        return total

    return (2 * one * one // (16 * arctan(5) - 4 * arctan(239))) >> 64


def replace_huge(b: ir.IRBuilder, kind: Kind, x: Any, quadrant: Any, r: Any) -> tuple[Any, Any]:
    """Quarter turns (mod 4) and rest of the lanes whose angle is beyond the limit; the others stay as they are."""
    size = _intrinsic(b.module, f"llvm.fabs.{kind.suffix}", kind.vector, [kind.vector])
    huge = b.fcmp_ordered(">", b.call(size, [x]), kind.constant(LIMIT))
    some = b.icmp_signed("!=", b.bitcast(huge, ir.IntType(kind.lanes)), ir.Constant(ir.IntType(kind.lanes), 0))
    before = b.block
    with b.if_then(some, likely=False):
        found = b.call(_all_lanes(b.module, kind), [x, quadrant, r])
        values = [b.extract_value(found, 0), b.extract_value(found, 1)]
        inside = b.block
    joined = []
    for old, new in zip((quadrant, r), values, strict=True):
        phi = b.phi(old.type)
        phi.add_incoming(old, before)
        phi.add_incoming(new, inside)
        joined.append(phi)
    return joined[0], joined[1]


def _intrinsic(module: ir.Module, name: str, result: Any, arguments: list[Any]) -> Any:
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, arguments), name)


def _internal(module: ir.Module, name: str, result: Any, arguments: list[Any]) -> tuple[ir.Function, ir.IRBuilder]:
    function = ir.Function(module, ir.FunctionType(result, arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    return function, ir.IRBuilder(function.append_basic_block("entry"))


def _all_lanes(module: ir.Module, kind: Kind) -> ir.Function:
    """Takes vectors x, quadrant and r and gives the last two back, corrected lane by lane."""
    name = f"quarter_turns.{kind.suffix}"
    if name in module.globals:
        return module.globals[name]
    one = _one(module, kind)
    pair = ir.LiteralStructType([kind.integers, kind.vector])
    function, b = _internal(module, name, pair, [kind.vector, kind.integers, kind.vector])
    x, quadrant, r = function.args
    for lane in range(kind.lanes):
        at = ir.Constant(_I32, lane)
        angle = b.extract_element(x, at)
        found = b.call(one, [angle])
        size = _intrinsic(module, f"llvm.fabs.f{8 * kind.bytes}", kind.element, [kind.element])
        huge = b.fcmp_ordered(">", b.call(size, [angle]), ir.Constant(kind.element, LIMIT))
        whole = b.select(huge, b.extract_value(found, 0), b.extract_element(quadrant, at))
        rest = b.select(huge, b.extract_value(found, 1), b.extract_element(r, at))
        quadrant, r = b.insert_element(quadrant, whole, at), b.insert_element(r, rest, at)
    b.ret(b.insert_value(b.insert_value(ir.Constant(pair, ir.Undefined), quadrant, 0), r, 1))
    return function


def _one(module: ir.Module, kind: Kind) -> ir.Function:
    """Of one angle: x = m 2^k, and m times the digits of 2 / pi from the k-th on, as a fixed-point number."""
    fraction, bias = kind.fraction, 127 if kind.dtype == "float32" else 1023
    long = ir.IntType(128 if kind.dtype == "float32" else 192)
    point = long.width - 2  # two binary digits before the point: turns count modulo 4
    digits = 2 * bias + 1 - bias - fraction + point
    pair = ir.LiteralStructType([kind.integer, kind.element])
    function, b = _internal(module, f"quarter_turns.f{8 * kind.bytes}", pair, [kind.element])

    def of(value: int, type_: Any = kind.integer) -> Any:
        return ir.Constant(type_, value)

    bits = b.bitcast(function.args[0], kind.integer)
    exponent = b.and_(b.lshr(bits, of(fraction)), of(2 * bias + 1))
    m = b.or_(b.and_(bits, of((1 << fraction) - 1)), of(1 << fraction))
    table = ir.IntType(-(-digits // 64) * 64)
    shift = b.zext(b.sub(of(digits - point + bias + fraction), exponent), table)
    window = b.trunc(b.lshr(ir.Constant(table, two_over_pi(digits)), shift), long)
    turns = b.mul(window, b.zext(m, long))
    whole = b.lshr(b.add(turns, of(1 << (point - 1), long)), of(point, long))
    rest = b.sub(turns, b.shl(whole, of(point, long)))
    below = b.icmp_signed("<", rest, of(0, long))
    angle = _to_double(b, b.select(below, b.neg(rest), rest), point)
    negative = b.icmp_signed("<", bits, of(0))
    angle = b.select(b.xor(below, negative), b.fneg(angle), angle)
    angle = b.select(b.icmp_signed("==", exponent, of(2 * bias + 1)), ir.Constant(_DOUBLE, math.nan), angle)
    if kind.dtype == "float32":
        angle = b.fptrunc(angle, kind.element)
    whole = b.trunc(whole, kind.integer)
    whole = b.select(negative, b.neg(whole), whole)
    b.ret(b.insert_value(b.insert_value(ir.Constant(pair, ir.Undefined), whole, 0), angle, 1))
    return function


def _to_double(b: ir.IRBuilder, value: Any, point: int) -> Any:
    """A fixed-point number of quarter turns as an angle: its first 63 digits, moved to where they belong."""
    long = value.type
    count = _intrinsic(b.module, f"llvm.ctlz.i{long.width}", long, [long, _I1])
    zeros = b.call(count, [value, ir.Constant(_I1, 0)])
    top = b.lshr(b.shl(value, zeros), ir.Constant(long, long.width - 63))
    scale = b.sub(ir.Constant(_I64, 1023 + long.width - 63 - point), b.trunc(zeros, _I64))
    factor = b.bitcast(b.shl(scale, ir.Constant(_I64, 52)), _DOUBLE)
    digits = b.sitofp(b.trunc(top, _I64), _DOUBLE)
    return b.fmul(b.fmul(digits, factor), ir.Constant(_DOUBLE, math.pi / 2))
