"""Vectors in LLVM: arithmetic with Python's operators, and the operation table as polynomials in vector code."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

I32, I64, I1 = ir.IntType(32), ir.IntType(64), ir.IntType(1)


@dataclass(frozen=True)
class Kind:
    """Element type and vector length of a kernel."""

    dtype: str
    lanes: int

    @property
    def element(self) -> Any:
        return ir.FloatType() if self.dtype == "float32" else ir.DoubleType()

    @property
    def vector(self) -> Any:
        return ir.VectorType(self.element, self.lanes)

    @property
    def integer(self) -> Any:
        return ir.IntType(32 if self.dtype == "float32" else 64)

    @property
    def integers(self) -> Any:
        return ir.VectorType(self.integer, self.lanes)

    @property
    def bytes(self) -> int:
        return 4 if self.dtype == "float32" else 8

    @property
    def suffix(self) -> str:
        """How LLVM's intrinsics name this vector."""
        return f"v{self.lanes}f{8 * self.bytes}"

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [_rounded(value, self.dtype)] * self.lanes)


def _rounded(value: float, dtype: str) -> float:
    """LLVM writes a float constant as the double it came from, which must be a float exactly."""
    import struct

    return float(struct.unpack("f", struct.pack("f", value))[0]) if dtype == "float32" else float(value)


class Vec:
    """A vector in a function under construction."""

    __slots__ = ("builder", "kind", "value")

    def __init__(self, builder: ir.IRBuilder, kind: Kind, value: Any) -> None:
        self.builder, self.kind, self.value = builder, kind, value

    def lift(self, other: Vec | float) -> Any:
        return other.value if isinstance(other, Vec) else self.kind.constant(other)

    def make(self, value: Any) -> Vec:
        return Vec(self.builder, self.kind, value)

    def constant(self, value: float) -> Vec:
        return self.make(self.kind.constant(value))

    def __add__(self, other: Vec | float) -> Vec:
        return self.make(self.builder.fadd(self.value, self.lift(other), flags=("contract",)))

    __radd__ = __add__

    def __sub__(self, other: Vec | float) -> Vec:
        return self.make(self.builder.fsub(self.value, self.lift(other), flags=("contract",)))

    def __rsub__(self, other: Vec | float) -> Vec:
        return self.make(self.builder.fsub(self.lift(other), self.value, flags=("contract",)))

    def __mul__(self, other: Vec | float) -> Vec:
        return self.make(self.builder.fmul(self.value, self.lift(other), flags=("contract",)))

    __rmul__ = __mul__

    def __truediv__(self, other: Vec | float) -> Vec:
        return self.make(self.builder.fdiv(self.value, self.lift(other)))

    def __rtruediv__(self, other: Vec | float) -> Vec:
        return self.make(self.builder.fdiv(self.lift(other), self.value))

    def __neg__(self) -> Vec:
        return self.make(self.builder.fneg(self.value))

    def call(self, name: str, *others: Vec | float) -> Vec:
        """An intrinsic of LLVM on this vector and others like it."""
        return self.make(intrinsic(self.builder, self.kind, name, self.value, *(self.lift(o) for o in others)))

    def fma(self, factor: Vec | float, addend: Vec | float) -> Vec:
        """The sum self * factor + addend, rounded once."""
        return self.call("llvm.fma", factor, addend)

    def compare(self, sign: str, other: Vec | float) -> Any:
        """A mask; false where either side is NaN."""
        return self.builder.fcmp_ordered(sign, self.value, self.lift(other))

    def select(self, mask: Any, yes: Vec | float, no: Vec | float) -> Vec:
        return self.make(self.builder.select(mask, self.lift(yes), self.lift(no)))


def intrinsic(builder: ir.IRBuilder, kind: Kind, name: str, *values: Any) -> Any:
    """Call LLVM's vector intrinsic of that name."""
    full = f"{name}.{kind.suffix}"
    module = builder.module
    function = module.globals.get(full)
    if function is None:
        function = ir.Function(module, ir.FunctionType(kind.vector, [kind.vector] * len(values)), full)
    return builder.call(function, values)


def polynomial(x: Vec, coefficients: tuple[float, ...]) -> Vec:
    """Horner's rule; the highest power comes first."""
    value = x.constant(coefficients[0])
    for c in coefficients[1:]:
        value = value.fma(x, c)
    return value


def _clamped(x: Vec, low: float, high: float) -> Vec:
    """Keep x between two bounds; NaN stays NaN, which minnum and maxnum would drop."""
    x = x.select(x.compare("<", low), low, x)
    return x.select(x.compare(">", high), high, x)


def _reduced(x: Vec) -> tuple[Vec, Vec]:
    """Split x = n ln 2 + r with whole n and |r| <= ln 2 / 2; ln 2 in two parts, of which the first has few bits."""
    n = (x * (1.0 / math.log(2.0))).call("llvm.rint")
    high, low = (
        (0.693359375, -2.12194440e-4)
        if x.kind.dtype == "float32"
        else (6.93147180369123816490e-1, 1.90821492927058770002e-10)
    )
    return n, n.fma(-low, n.fma(-high, x))


def _power_of_two(n: Vec) -> Vec:
    """2^n for a whole n in the range of normal numbers, by writing the exponent."""
    kind, builder = n.kind, n.builder
    bits, bias = (23, 127) if kind.dtype == "float32" else (52, 1023)
    whole = builder.fptosi(n.value, kind.integers)
    shifted = builder.shl(
        builder.add(whole, ir.Constant(kind.integers, [bias] * kind.lanes)),
        ir.Constant(kind.integers, [bits] * kind.lanes),
    )
    return n.make(builder.bitcast(shifted, kind.vector))


def _expm1_core(r: Vec) -> Vec:
    """e^r - 1 for |r| <= ln 2 / 2 by its Taylor series, long enough for the type."""
    terms = 7 if r.kind.dtype == "float32" else 13
    tail = polynomial(r, tuple(1.0 / math.factorial(k) for k in range(terms, 1, -1)))
    return (r * r).fma(tail, r)


def exp(x: Vec) -> Vec:
    """e^x; 0 and infinity beyond the range of normal numbers."""
    low, high = (-87.0, 88.72283) if x.kind.dtype == "float32" else (-708.0, 709.782712893384)
    n, r = _reduced(_clamped(x, low - 0.33, high))
    # 2^n in two factors: n = 128 is needed just below the overflow
    half = (n * 0.5).call("llvm.floor")
    value = (_expm1_core(r) + 1.0) * _power_of_two(half) * _power_of_two(n - half)
    value = x.select(x.compare("<", low - 0.33), 0.0, value)
    return x.select(x.compare(">", high), math.inf, value)


def expm1_positive(x: Vec) -> Vec:
    """e^x - 1 for x >= 0 without loss near 0; large x are cut where tanh no longer notices."""
    n, r = _reduced(_clamped(x, -1.0, 80.0))
    scale = _power_of_two(n)
    return scale.fma(_expm1_core(r), scale - 1.0)


def sigmoid(x: Vec) -> Vec:
    """1 / (1 + e^-x)."""
    return 1.0 / (exp(-x) + 1.0)


def tanh(x: Vec) -> Vec:
    """The quotient e / (e + 2) with e = e^2|x| - 1, and the sign of x: accurate near 0 too."""
    size = x.call("llvm.fabs")
    e = expm1_positive(size + size)
    return (e / (e + 2.0)).call("llvm.copysign", x)


def log1p_unit(u: Vec) -> Vec:
    """log(1 + u) for 0 <= u <= 1 as 2 artanh(u / (2 + u))."""
    s = u / (u + 2.0)
    return _artanh2(s, 1.0 / 3.0)


def _artanh2(s: Vec, bound: float) -> Vec:
    """2 artanh(s) for |s| <= bound by its series."""
    unit = 2.0**-26 if s.kind.dtype == "float32" else 2.0**-55
    terms = 1
    while bound ** (2 * terms) / (2 * terms + 1) > unit:
        terms += 1
    tail = polynomial(s * s, tuple(2.0 / (2 * k + 1) for k in range(terms, 0, -1)))
    return (s * s * s).fma(tail, s + s)


def softplus(x: Vec) -> Vec:
    """max(x, 0) + log(1 + e^-|x|)."""
    u = exp(-x.call("llvm.fabs"))
    return relu(x) + log1p_unit(u)


def log(x: Vec) -> Vec:
    """Natural logarithm: exponent and mantissa taken apart; -inf at 0, NaN below."""
    kind, builder = x.kind, x.builder
    bits, bias, one = (23, 127, 0x3F800000) if kind.dtype == "float32" else (52, 1023, 0x3FF0000000000000)
    smallest, lift = (2.0**-126, 2.0**24) if kind.dtype == "float32" else (2.0**-1022, 2.0**53)
    tiny = x.compare("<", smallest)
    y = x.select(tiny, x * lift, x)

    def whole(value: int) -> Any:
        return ir.Constant(kind.integers, [value] * kind.lanes)

    # mantissa in [sqrt(1/2), sqrt(2)): the offset moves the cut to where the exponent changes
    offset = 0x3F3504F3 if kind.dtype == "float32" else 0x3FE6A09E667F3BCD
    raw = builder.sub(builder.bitcast(y.value, kind.integers), whole(offset))
    exponent = builder.ashr(raw, whole(bits))
    fraction = builder.add(builder.and_(raw, whole((1 << bits) - 1)), whole(offset))
    del one, bias
    n = x.make(builder.sitofp(exponent, kind.vector)) - x.select(tiny, math.log2(lift), 0.0)
    m = x.make(builder.bitcast(fraction, kind.vector))
    s = (m - 1.0) / (m + 1.0)
    high, low = (
        (0.693359375, -2.12194440e-4)
        if kind.dtype == "float32"
        else (6.93147180369123816490e-1, 1.90821492927058770002e-10)
    )
    value = n.fma(high, _artanh2(s, 0.1716) + n * low)
    value = x.select(x.compare("==", 0.0), -math.inf, value)
    value = x.select(x.compare("==", math.inf), math.inf, value)
    return x.make(
        builder.select(builder.fcmp_unordered("<", x.value, kind.constant(0.0)), kind.constant(math.nan), value.value)
    )


def relu(x: Vec) -> Vec:
    """max(x, 0); NaN stays."""
    return x.select(x.compare("<", 0.0), 0.0, x)


def maximum(a: Vec, b: Vec) -> Vec:
    """The larger of two; NaN if either is."""
    larger = a.select(a.compare(">", b), a, b)
    return a.make(a.builder.select(a.builder.fcmp_unordered("uno", a.value, a.value), a.value, larger.value))


def minimum(a: Vec, b: Vec) -> Vec:
    """The smaller of two; NaN if either is."""
    smaller = a.select(a.compare("<", b), a, b)
    return a.make(a.builder.select(a.builder.fcmp_unordered("uno", a.value, a.value), a.value, smaller.value))


def by_lane(name: str) -> Callable[[Vec], Vec]:
    """A function of the C library, called for each lane: for rows of the table that are rare and need its care."""

    def call(x: Vec) -> Vec:
        kind, builder = x.kind, x.builder
        full = name + ("f" if kind.dtype == "float32" else "")
        function = builder.module.globals.get(full) or ir.Function(
            builder.module, ir.FunctionType(kind.element, [kind.element]), full
        )
        value = ir.Constant(kind.vector, ir.Undefined)
        for lane in range(kind.lanes):
            index = ir.Constant(I32, lane)
            value = builder.insert_element(
                value, builder.call(function, [builder.extract_element(x.value, index)]), index
            )
        return x.make(value)

    return call


VECTOR: dict[str, Callable[..., Vec]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "abs": lambda a: a.call("llvm.fabs"),
    "exp": exp,
    "log": log,
    "sqrt": lambda a: a.call("llvm.sqrt"),
    "sin": by_lane("sin"),
    "cos": by_lane("cos"),
    "erf": by_lane("erf"),
    "tanh": tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "softplus": softplus,
    "maximum": maximum,
    "minimum": minimum,
    "greater": lambda a, b: a.select(a.compare(">", b), 1.0, 0.0),
    "where": lambda c, a, b: c.select(c.builder.fcmp_unordered("!=", c.value, c.kind.constant(0.0)), a, b),
}
