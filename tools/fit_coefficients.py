"""Write the coefficients of the kernels' elementary functions: `python tools/fit_coefficients.py OUT` (needs mpmath).

Each is the polynomial or quotient of polynomials of least largest relative error on its interval, found by least
squares whose weights grow where the error is largest (Lawson's iteration).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath as mp

mp.mp.dps = 60
POINTS, ROUNDS = 150, 30
Real = Any  # mpmath has no types


def exp_tail(r: Real) -> Real:
    """(e^r - 1 - r) / r²."""
    return (mp.expm1(r) - r) / r**2


def artanh_tail(z: Real) -> Real:
    """(2 artanh(s) - 2 s) / s³ of z = s²."""
    s = mp.sqrt(z)
    return 2 * (mp.atanh(s) - s) / s**3


def sin_tail(z: Real) -> Real:
    """(sin(r) / r - 1) / z of z = r²."""
    return (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z


def cos_tail(z: Real) -> Real:
    """(cos(r) - 1 + z / 2) / z² of z = r²."""
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def erf_rate(x: Real) -> Real:
    """S with erf(x) = 1 - exp(-x (2 / sqrt(pi) + x S(x)))."""
    return (-mp.log(mp.erfc(x)) / x - 2 / mp.sqrt(mp.pi)) / x


def erf_weight(x: Real, rate: Real) -> Real:
    """What an error of S does to erf, relatively."""
    return x**2 * mp.erfc(x) / mp.erf(x)


LN2, QUARTER, TINY = mp.log(2) / 2, (mp.pi / 4 + mp.mpf("0.001")) ** 2, mp.mpf(10) ** -12
# name: function, interval, weight of an error in it, (degrees above and below) for float32 and float64
TABLE: dict[str, tuple[Callable[[Real], Real], Real, Real, Callable[[Real, Real], Real], Any, Any]] = {
    "EXP": (exp_tail, -LN2, LN2, lambda r, g: r**2 / mp.exp(r), (4, 0), (9, 0)),
    "LOG": (artanh_tail, TINY, (3 - 2 * mp.sqrt(2)) ** 2, lambda z, g: z / 2, (2, 0), (6, 0)),
    "LOG1P": (artanh_tail, TINY, mp.mpf(1) / 9, lambda z, g: z / 2, (3, 0), (8, 0)),
    "SIN": (sin_tail, TINY, QUARTER, lambda z, g: z, (2, 0), (5, 0)),
    "COS": (cos_tail, TINY, QUARTER, lambda z, g: z**2 * mp.sqrt(2), (2, 0), (5, 0)),
    "ERF": (erf_rate, TINY, (mp.mpf("3.93"), mp.mpf("5.93")), erf_weight, (3, 2), (7, 7)),
}


def fit(f: Any, low: Real, high: Real, weight: Any, above: int, below: int) -> tuple[list[Real], list[Real]]:
    """Coefficients of P and Q, highest power first, with Q(0) = 1 and P / Q near f."""
    zs = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * POINTS)) for k in range(POINTS)]
    values = [f(z) for z in zs]
    scale = [weight(z, g) for z, g in zip(zs, values, strict=True)]
    weights, divisor = [mp.mpf(1)] * POINTS, [mp.mpf(1)] * POINTS
    best: tuple[Real, list[Real], list[Real]] = (mp.inf, [], [])
    for _ in range(ROUNDS):
        factors = [mp.sqrt(w) * s / q for w, s, q in zip(weights, scale, divisor, strict=True)]
        p, q = solve(zs, values, factors, above, below)
        divisor = [mp.polyval(q, z) for z in zs]
        errors = [abs((mp.polyval(p, z) / d - g) * s) for z, d, g, s in zip(zs, divisor, values, scale, strict=True)]
        best = min(best, (max(errors), p, q), key=lambda found: found[0])
        weights = [w * e / max(errors) + mp.mpf(10) ** -30 for w, e in zip(weights, errors, strict=True)]
        weights = [w / sum(weights) for w in weights]
    print(f"  largest relative error 2^{mp.nstr(mp.log(best[0], 2), 4)}")
    return best[1], best[2]


def solve(zs: list[Real], values: list[Real], factors: list[Real], above: int, below: int) -> tuple[Any, Any]:
    """Least squares of P(z) - f Q(z), each row times its factor."""
    rows = [
        [w * z**k for k in range(above + 1)] + [-w * g * z**k for k in range(1, below + 1)]
        for z, g, w in zip(zs, values, factors, strict=True)
    ]
    matrix = mp.matrix(rows)
    right = mp.matrix([w * g for g, w in zip(values, factors, strict=True)])
    found = list(mp.lu_solve(matrix.T * matrix, matrix.T * right))
    return found[above::-1], [*found[:above:-1], mp.mpf(1)]


def main() -> None:
    """Fit all and write the file."""
    lines = ['"""Minimax coefficients, highest power first; written by tools/fit_coefficients.py."""', ""]
    lines += ["from __future__ import annotations", "", "Table = dict[str, tuple[float, ...]]", ""]
    for name, (f, low, high, weight, *degrees) in TABLE.items():
        pairs = []
        for k, (dtype, digits, degree) in enumerate(zip(("float32", "float64"), (10, 18), degrees, strict=True)):
            print(name, dtype)
            pairs.append((dtype, digits, fit(f, low, high[k] if isinstance(high, tuple) else high, weight, *degree)))
        for part, suffix in enumerate(("", "_BELOW") if degrees[0][1] else ("",)):
            lines.append(f"{name}{suffix}: Table = {{")
            for dtype, digits, found in pairs:
                lines.append(f'    "{dtype}": (')
                lines += [f"        {float(mp.nstr(c, digits))!r}," for c in found[part]]
                lines.append("    ),")
            lines.append("}")
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
