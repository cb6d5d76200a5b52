from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import pytest
import torch
from llvmlite import ir

from batteries import Case, check_engine
from unrolled import cells
from unrolled.cell import pullback, trace
from unrolled.engine.cpu import compiler, large, linker
from unrolled.engine.cpu.product import Product
from unrolled.engine.cpu.schedule import backward, forward
from unrolled.engine.cpu.target import SETS, Target, host, named, processor
from unrolled.engine.cpu.vector import Kind
from unrolled.errors import EngineError

RUNNABLE = [s for s in SETS if named(s).triple == processor().triple and named(s).bits <= processor().bits]
ELF_MACHINE = {"x86_64": 62, "aarch64": 183}


@pytest.fixture(params=RUNNABLE)
def forced(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """All kernels compiled for one instruction set; what was compiled before is forgotten, and so is this after."""
    _forget()
    monkeypatch.setenv("UNROLLED_TARGET", request.param)
    yield named(request.param)
    _forget()


def _forget() -> None:
    compiler.compiled.cache_clear()
    compiler.tools.cache_clear()


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_tile_fits_the_registers(name: str, dtype: str) -> None:
    target = named(name)
    for vectors in range(1, target.vectors() + 1):
        rows = target.rows(vectors)
        assert rows >= 4
        assert rows * vectors + vectors + 1 <= target.registers
    assert target.lanes(dtype) * (32 if dtype == "float32" else 64) == target.bits


def _product(target: Target, dtype: str) -> ir.Module:
    module = ir.Module("product")
    module.triple = target.triple
    Product(module, target, Kind(dtype, target.lanes(dtype))).emit()
    return module


@pytest.mark.parametrize(
    ("name", "register", "instruction"),
    [("avx512", "%zmm", "vfmadd"), ("avx2", "%ymm", "vfmadd"), ("sse2", "%xmm", "mulps"), ("neon", "v", "fmla")],
)
def test_the_tile_stays_in_the_registers(name: str, register: str, instruction: str) -> None:
    """The inner loop of the largest tile uses the set's own instructions, calls nothing and touches no stack."""
    import llvmlite.binding as llvm

    target = named(name)
    machine = target.machine()
    parsed = llvm.parse_assembly(str(_product(target, "float32")))
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    text = machine.emit_assembly(parsed)
    tile = f"tile_float32_{min(8, target.rows(target.vectors()))}x{target.vectors()}"
    body = text.split(f"\n{tile}:")[1].split(f".size\t{tile}")[0]
    loops = [part for part in re.split(r"\n\.?L\w+:", body) if instruction in part]
    inner = max(loops, key=lambda part: part.count(instruction))
    assert inner.count(instruction) >= target.rows(target.vectors()) * target.vectors()
    assert register in inner
    assert not re.search(r"\bcall|\bbl\b|\(%rsp\)|\[sp", inner), inner


def test_cells_and_large_products_on_every_set_of_this_processor(forced: Target) -> None:
    assert host() == forced
    check_engine("compiled", cells.GRU(), Case(3, 5, 4, 17, ragged=True), torch.float64)
    check_engine("compiled", cells.LSTM(), Case(9, 4, 5, 33, reverse=True), torch.float32)
    # of one stage, two gates have a product with state and input, one has both apart: strips of unlike many columns
    check_engine("compiled", cells.GRU(), Case(20, 4, 5, 41), torch.float64)
    assert compiler.compiled(trace(cells.GRU()), "float64").lanes == forced.bits // 64
    a, b = torch.randn(67, 301), torch.randn(301, 45)
    torch.testing.assert_close(large.multiply(a, b), a @ b, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(large.multiply(a, b[:, :43]), a @ b[:, :43], rtol=1e-4, atol=1e-4)


def _machine(code: bytes) -> int:
    assert code[:4] == b"\x7fELF"
    return int(struct.unpack_from("<H", code, 18)[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arm64_object_code_compiles(dtype: str) -> None:
    target = named("neon")
    program = trace(cells.SLSTM())
    derivative = pullback(program)
    plan = forward(program, derivative)
    schedules = {"train": plan.schedule, "back": backward(program, derivative, plan.saved)}
    for name, schedule in schedules.items():
        code = compiler._object(program, dtype, target, name, schedule)
        assert _machine(code) == ELF_MACHINE["aarch64"]
    assert _machine(linker.object_code(_product(target, dtype), target)) == ELF_MACHINE["aarch64"]


def test_sets_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLLED_TARGET", "mmx")
    with pytest.raises(EngineError, match="no instruction set 'mmx', but avx512, avx2, sse2, neon"):
        host()
    other = "neon" if processor().triple.startswith("x86_64") else "avx2"
    monkeypatch.setenv("UNROLLED_TARGET", other)
    with pytest.raises(EngineError, match=rf"UNROLLED_TARGET is {other}, but this processor \(.*\) cannot run it"):
        host()
    monkeypatch.setenv("UNROLLED_TARGET", "")
    assert host() == processor()
