"""Vectors in LLVM: arithmetic with Python's operators, and the operation table as vector code without calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from unrolled.engine.cpu import coefficients, reduction

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

    @property
    def fraction(self) -> int:
        """Bits of the fraction, below the exponent."""
        return 23 if self.dtype == "float32" else 52

    @property
    def smallest(self) -> float:
        """The smallest normal number."""
        return 2.0**-126 if self.dtype == "float32" else 2.0**-1022

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [_rounded(value, self.dtype)] * self.lanes)

    def whole(self, value: int) -> Any:
        """An integer in every lane."""
        return ir.Constant(self.integers, [value] * self.lanes)


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
        """The sum self * factor + addend, rounded once where the processor can; llvm.fma would call the C library."""
        return self.call("llvm.fmuladd", factor, addend)

    @property
    def bits(self) -> Any:
        """The same bits as integers."""
        return self.builder.bitcast(self.value, self.kind.integers)

    def from_bits(self, bits: Any) -> Vec:
        """A vector of these bits."""
        return self.make(self.builder.bitcast(bits, self.kind.vector))

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


def polynomial(x: Vec, highest_first: tuple[float, ...]) -> Vec:
    """Horner's rule."""
    value = x.constant(highest_first[0])
    for c in highest_first[1:]:
        value = value.fma(x, c)
    return value


def _clamped(x: Vec, low: float, high: float) -> Vec:
    """Keep x between two bounds; NaN stays NaN, which minnum and maxnum would drop."""
    x = x.select(x.compare("<", low), low, x)
    return x.select(x.compare(">", high), high, x)


def _nearest(x: Vec, factor: float, bias: int = 0) -> tuple[Vec, Vec]:
    """The whole number n nearest to x * factor, and a sum whose lowest bits are the integer n + bias.

    Adding 1.5 times 2^fraction leaves no room for a fraction: one addition rounds and converts, on every processor.
    """
    magic = 1.5 * 2.0**x.kind.fraction + bias
    total = x.fma(factor, magic)
    return total - magic, total


# ln 2 in two parts, of which the first has so few bits that its product with an exponent is exact.
_LN2 = {"float32": (0.693359375, -2.12194440e-4), "float64": (6.93147180369123816490e-1, 1.90821492927058770002e-10)}


def _exponential(x: Vec, table: coefficients.Table, sign: float = 1.0, bias: int = 0) -> tuple[Vec, Any]:
    """e^(sign x) = p 2^n: p near 1 and the bits of n + bias where the exponent of a number stands."""
    kind, (high, low) = x.kind, _LN2[x.kind.dtype]
    n, total = _nearest(x, sign / math.log(2.0), bias)
    r = n.fma(-sign * low, n.fma(-sign * high, x))
    # r carries the sign of x, so it is put into the odd powers
    series = (*table[kind.dtype], 1.0, 1.0)
    p = polynomial(r, tuple(c * sign**k for c, k in zip(series, range(len(series) - 1, -1, -1), strict=True)))
    return p, x.builder.shl(total.bits, kind.whole(kind.fraction))


def exp(x: Vec) -> Vec:
    """e^x; 0 where that is below the normal numbers."""
    low, high = (-87.33654, 88.72283) if x.kind.dtype == "float32" else (-708.3964185322641, 709.782712893384)
    p, exponent = _exponential(x, coefficients.EXP)
    value = x.from_bits(x.builder.add(p.bits, exponent))
    value = x.select(x.compare("<", low), 0.0, value)
    # a product with infinity is infinity for what is too large, and NaN for NaN, whose bits the addition spoiled
    beyond = x.builder.fcmp_unordered(">", x.value, x.kind.constant(high))
    return x.select(beyond, x * math.inf, value)


def sigmoid(x: Vec) -> Vec:
    """1 / (1 + e^-x), relatively accurate for all x whose result is a normal number."""
    # e^89 and e^710 come out as infinity, by an exponent of all ones, and their inverse as 0
    low, high, bias = (-89.0, 87.0, 127) if x.kind.dtype == "float32" else (-710.0, 708.0, 1023)
    p, scale = _exponential(_clamped(x, low, high), coefficients.EXP, -1.0, bias)
    return 1.0 / p.fma(x.from_bits(scale), 1.0)


def _expm1(x: Vec, factor: float) -> Vec:
    """e^(factor x) - 1 without loss near 0, for a whole factor and results that are normal numbers.

    ln 2 in one part is enough: where its error grows, tanh and erf are near 1.
    """
    kind = x.kind
    bias = 127 if kind.dtype == "float32" else 1023
    n, total = _nearest(x, factor / math.log(2.0), bias)
    r = n.fma(-math.log(2.0) / factor, x)
    series = coefficients.EXP[kind.dtype]
    powers = range(len(series) + 1, 1, -1)
    tail = polynomial(r, tuple(c * factor**k for c, k in zip(series, powers, strict=True)))
    tail = (r * r).fma(tail, r * factor)
    scale = x.from_bits(x.builder.shl(total.bits, kind.whole(kind.fraction)))
    return scale.fma(tail, scale - 1.0)


def _clamped_size(x: Vec, high: float) -> Vec:
    """|x|, at most the bound; NaN stays NaN."""
    size = x.call("llvm.fabs")
    return size.select(size.compare(">", high), high, size)


def tanh(x: Vec) -> Vec:
    """Quotient e / (e + 2) with e = exp(2|x|) - 1, and the sign of x: relatively accurate near 0 too."""
    e = _expm1(_clamped_size(x, 10.0 if x.kind.dtype == "float32" else 20.0), 2.0)
    return (e / (e + 2.0)).call("llvm.copysign", x)


def erf(x: Vec) -> Vec:
    """The error function as 1 - e^-|x| (2 / sqrt(pi) + |x| P / Q), and the sign of x."""
    kind = x.kind
    size = _clamped_size(x, 3.93 if kind.dtype == "float32" else 5.93)
    slope = polynomial(size, coefficients.ERF[kind.dtype]) / polynomial(size, coefficients.ERF_BELOW[kind.dtype])
    rate = size.fma(slope, 2.0 / math.sqrt(math.pi) - 1.0)
    return _expm1(size.fma(rate, size), -1.0).call("llvm.copysign", x)


def _twice_artanh(s: Vec, table: coefficients.Table) -> Vec:
    """2 artanh(s), from s on relatively accurate."""
    square = s * s
    return (square * s).fma(polynomial(square, table[s.kind.dtype]), s + s)


def softplus(x: Vec) -> Vec:
    """max(x, 0) + log(1 + e^-|x|), the logarithm as 2 artanh(u / (2 + u))."""
    low = 87.33654 if x.kind.dtype == "float32" else 708.3964185322641
    size = x.call("llvm.fabs")
    p, exponent = _exponential(size, coefficients.EXP, -1.0)
    u = x.from_bits(x.builder.add(p.bits, exponent))
    u = x.select(size.compare("<=", low), u, 0.0)
    return relu(x) + _twice_artanh(u / (u + 2.0), coefficients.LOG1P)


def log(x: Vec) -> Vec:
    """Natural logarithm: exponent and fraction taken apart; -inf at 0, NaN below."""
    kind, builder = x.kind, x.builder
    tiny = x.compare("<", kind.smallest)
    y = x.select(tiny, x * 2.0**kind.fraction * 2.0, x)
    # the fraction from sqrt(1/2) to sqrt(2): the offset moves the cut to where the exponent changes
    offset = kind.whole(0x3F3504F3 if kind.dtype == "float32" else 0x3FE6A09E667F3BCD)
    raw = builder.sub(y.bits, offset)
    exponent = builder.ashr(raw, kind.whole(kind.fraction))
    n = x.make(builder.sitofp(exponent, kind.vector)) - x.select(tiny, kind.fraction + 1.0, 0.0)
    m = x.from_bits(builder.add(builder.and_(raw, kind.whole((1 << kind.fraction) - 1)), offset))
    high, low = _LN2[kind.dtype]
    value = n.fma(high, n.fma(low, _twice_artanh((m - 1.0) / (m + 1.0), coefficients.LOG)))
    value = x.select(x.compare("==", 0.0), -math.inf, value)
    value = x.select(x.compare("==", math.inf), math.inf, value)
    return x.select(builder.fcmp_unordered("<", x.value, kind.constant(0.0)), math.nan, value)


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


# pi / 2 in three parts, of which the first two have 33 bits each.
_QUARTER = (1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21)


def _quarter_turns(x: Vec) -> tuple[Any, Vec]:
    """Split x = quadrant * pi / 2 + r with |r| <= pi / 4, in float64 because r may be far smaller than x."""
    kind, builder = x.kind, x.builder
    wide = Kind("float64", kind.lanes)
    single = kind.dtype == "float32"
    angle = Vec(builder, wide, builder.fpext(x.value, wide.vector)) if single else x
    n, total = _nearest(angle, 2.0 / math.pi)
    r = angle
    for part in _QUARTER:
        r = n.fma(-part, r)
    quadrant, rest = total.bits, r.value
    if single:
        quadrant, rest = builder.trunc(quadrant, kind.integers), builder.fptrunc(rest, kind.vector)
    quadrant, rest = reduction.replace_huge(builder, kind, x.value, quadrant, rest)
    return quadrant, x.make(rest)


def _wave(x: Vec, quarters: int) -> Vec:
    """sin(x + quarters * pi / 2): a polynomial for the quarter turn in which x lies, over the whole range."""
    kind, builder = x.kind, x.builder
    quadrant, r = _quarter_turns(x)
    if quarters:
        quadrant = builder.add(quadrant, kind.whole(quarters))
    z = r * r
    sine = r * z.fma(polynomial(z, coefficients.SIN[kind.dtype]), 1.0)
    cosine = (z * z).fma(polynomial(z, coefficients.COS[kind.dtype]), z.fma(-0.5, 1.0))
    odd = builder.icmp_signed("!=", builder.and_(quadrant, kind.whole(1)), kind.whole(0))
    value = x.select(odd, cosine, sine)
    sign = builder.shl(builder.and_(quadrant, kind.whole(2)), kind.whole(8 * kind.bytes - 2))
    return x.from_bits(builder.xor(value.bits, sign))


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
    "sin": lambda a: _wave(a, 0),
    "cos": lambda a: _wave(a, 1),
    "erf": erf,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "softplus": softplus,
    "maximum": maximum,
    "minimum": minimum,
    "greater": lambda a, b: a.select(a.compare(">", b), 1.0, 0.0),
    "where": lambda c, a, b: c.select(c.builder.fcmp_unordered("!=", c.value, c.kind.constant(0.0)), a, b),
}
