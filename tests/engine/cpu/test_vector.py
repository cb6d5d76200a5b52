from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from batteries.vectorised import assembly, compile_rows
from unrolled.cell.operations import OPERATIONS
from unrolled.engine.cpu.target import SETS, Target, named, processor
from unrolled.engine.cpu.vector import VECTOR

ELEMENTARY: dict[str, Callable[[Any], Any]] = {
    "exp": mp.exp,
    "log": mp.log,
    "sqrt": mp.sqrt,
    "sin": mp.sin,
    "cos": mp.cos,
    "erf": mp.erf,
    "tanh": mp.tanh,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
}
TYPES = ("float32", "float64")
RUNNABLE = [s for s in SETS if named(s).triple == processor().triple and named(s).bits <= processor().bits]


def points(dtype: str, seed: int) -> np.ndarray:
    """Numbers of every exponent, many of ordinary size, and where the functions change their way of computing."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    exponents = rng.integers(info.minexp, info.maxexp, 200)
    every = np.ldexp(rng.uniform(1, 2, 200), exponents) * rng.choice([-1, 1], 200)
    ordinary = np.concatenate([rng.normal(size=120) * s for s in (0.03, 0.5, 2.0, 8.0, 40.0, 300.0)])
    edges = np.array([1.0, 2.0, 0.5, math.sqrt(0.5), math.sqrt(2.0), math.pi, 1e6, 3.93, 5.93, 10.0, 20.0, 87.3, 88.7])
    turns = np.arange(1, 40) * math.pi / 4
    limits = np.array([info.tiny, info.max, math.log(info.max), math.log(info.tiny), 2.0 * math.log(info.max)])
    some = np.concatenate([every, ordinary, edges, -edges, turns, limits, -limits]).astype(dtype)
    beside = [np.nextafter(some, np.array(to, dtype)) for to in (info.max, 0)]
    return np.concatenate([some, *beside])


def exact(name: str, x: np.ndarray) -> list[Any]:
    """The exact results, None where there is none; the sine of a large angle cancels a thousand bits."""
    with mp.workprec(1300 if name in ("sin", "cos") else 120):
        return [None if name in ("log", "sqrt") and v < 0 else ELEMENTARY[name](mp.mpf(float(v))) for v in x]


def units(got: np.ndarray, want: list[Any]) -> np.ndarray:
    """Errors in units of the last place of the exact result; 0 where that is no normal number and the result fits."""
    info = np.finfo(got.dtype)
    found = np.zeros(len(got))
    for i, (g, w) in enumerate(zip(got.tolist(), want, strict=True)):
        if w is None:
            found[i] = 0 if math.isnan(g) else math.inf
        elif abs(w) < info.tiny:
            found[i] = 0 if abs(g) <= info.tiny else math.inf
        elif abs(w) > info.max:
            found[i] = 0 if (math.isinf(g) and (g > 0) == (w > 0)) or abs(g) == info.max else math.inf
        else:
            found[i] = float(abs(mp.mpf(g) - w) / mp.ldexp(1, int(mp.floor(mp.log(abs(w), 2))) - info.nmant))
    return found


@pytest.fixture(scope="module", params=TYPES)
def exactly(request: pytest.FixtureRequest) -> tuple[str, np.ndarray, dict[str, list[Any]]]:
    x = points(request.param, 1)
    thin = {name: x[::3] if name in ("erf", "softplus") else x for name in ELEMENTARY}
    return request.param, x, {name: exact(name, thin[name]) for name in ELEMENTARY}


@pytest.mark.parametrize("instructions", RUNNABLE)
def test_elementary_functions_within_three_units(
    exactly: tuple[str, np.ndarray, dict[str, list[Any]]], instructions: str
) -> None:
    dtype, x, wanted = exactly
    target = named(instructions)
    rows = compile_rows(target, dtype, target.lanes(dtype))
    for name, want in wanted.items():
        some = x[::3] if len(want) < len(x) else x
        found = units(rows[name](some), want)
        worst = int(np.nanargmax(found))
        assert found[worst] <= 3.0, f"{name}({some[worst]!r}) is off by {found[worst]} units of the last place"


@pytest.mark.parametrize("dtype", TYPES)
def test_densely_near_zero_and_in_the_gates_range(dtype: str) -> None:
    """Float64 against an independent implementation cannot tell 3 units, so only float32 has its full count here."""
    target = processor()
    rows = compile_rows(target, dtype, target.lanes(dtype))
    x = np.concatenate([np.linspace(-12, 12, 60_001), np.logspace(-30, -1, 20_000)]).astype(dtype)
    wide = x.astype(np.longdouble)
    allowed = 3.0 if dtype == "float32" else 3.5
    for name, want in (
        ("tanh", np.tanh(wide)),
        ("sigmoid", 1 / (1 + np.exp(-wide))),
        ("exp", np.exp(wide)),
        ("softplus", np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide)))),
    ):
        got = rows[name](x)
        place = np.spacing(np.abs(want).astype(dtype)).astype(np.longdouble)
        assert float((np.abs(got - want) / place).max()) <= allowed, name


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("lanes", [2, 4, 8, 16])
def test_special_values_in_every_vector_length(dtype: str, lanes: int) -> None:
    rows = compile_rows(processor(), dtype, lanes)
    inf, nan = math.inf, math.nan
    x = np.array([0.0, -0.0, inf, -inf, nan, -nan], dtype)
    # a NaN whose low bits are set: they must not end up in an exponent
    whole = np.uint32 if dtype == "float32" else np.uint64
    x = np.concatenate([x, (x[4:5].view(whole) | whole(0x17)).view(dtype)])
    wanted = {
        "exp": [1, 1, inf, 0, nan],
        "log": [-inf, -inf, inf, nan, nan],
        "sqrt": [0.0, -0.0, inf, nan, nan],
        "sin": [0.0, -0.0, nan, nan, nan],
        "cos": [1, 1, nan, nan, nan],
        "erf": [0.0, -0.0, 1, -1, nan],
        "tanh": [0.0, -0.0, 1, -1, nan],
        "sigmoid": [0.5, 0.5, 1, 0, nan],
        "softplus": [math.log(2)] * 2 + [inf, 0, nan],
        "relu": [0.0, -0.0, inf, 0, nan],
        "abs": [0.0, 0.0, inf, inf, nan],
        "neg": [-0.0, 0.0, -inf, inf, nan],
    }
    for name, want in wanted.items():
        got = rows[name](x)
        np.testing.assert_array_equal(got, np.array([*want, nan, nan], dtype), err_msg=name)
        zero = got == 0
        np.testing.assert_array_equal(
            np.signbit(got[zero]), np.signbit(np.array([*want, nan, nan]))[zero], err_msg=name
        )


@pytest.mark.parametrize("dtype", TYPES)
def test_rows_of_several_arguments_equal_numpy(dtype: str) -> None:
    rng = np.random.default_rng(3)
    special = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, 1.0], dtype)
    a, b = (np.concatenate([m.ravel(), rng.normal(size=50).astype(dtype)]) for m in np.meshgrid(special, special))
    c = rng.permutation(a)
    rows = compile_rows(processor(), dtype, processor().lanes(dtype))
    with np.errstate(all="ignore"):
        wanted = {
            "add": a + b, "sub": a - b, "mul": a * b, "div": a / b, "maximum": np.maximum(a, b),
            "minimum": np.minimum(a, b), "greater": (a > b).astype(dtype),
        }  # fmt: skip
    for name, want in wanted.items():
        np.testing.assert_array_equal(rows[name](a, b), want, err_msg=name)
    np.testing.assert_array_equal(rows["where"](c, a, b), np.where(c != 0, a, b))


def test_every_pointwise_operation_has_vector_code() -> None:
    assert set(VECTOR) == set(OPERATIONS) - {"mean"}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("instructions", SETS)
def test_no_row_calls_the_c_library(instructions: str, dtype: str) -> None:
    target: Target = named(instructions)
    text = assembly(target, dtype, target.lanes(dtype), tuple(VECTOR))
    called = set(re.findall(r"\t(?:callq|bl|jmp|b)\t_?([a-z][\w.]*)", text))
    assert {c for c in called if not c.startswith("quarter_turns")} == set()


@pytest.mark.parametrize(("name", "most"), [("sigmoid", 16), ("tanh", 19), ("exp", 15)])
def test_gates_stay_cheap(name: str, most: int) -> None:
    """Instructions of a vector in the loop: five of these are evaluated for every unit of an LSTM at every step."""
    text = assembly(named("avx512"), "float32", 16, (name,))
    loop = max(re.split(r"\n\.L\w+:", text), key=lambda part: part.count("\tv"))
    assert loop.count("\tv") - loop.count("\tvmov") <= most, loop
