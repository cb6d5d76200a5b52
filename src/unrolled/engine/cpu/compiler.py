"""A cell's program to machine code: one function forward, one backward."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import llvmlite
from llvmlite import ir

from unrolled.cell import Program, pullback
from unrolled.engine.cpu import cache
from unrolled.engine.cpu.kernel import DIRECT, HEADER, Kernel
from unrolled.engine.cpu.linker import Function, linked, object_code
from unrolled.engine.cpu.pack import Pack
from unrolled.engine.cpu.product import Product
from unrolled.engine.cpu.schedule import Forward, Place, Schedule, backward, forward
from unrolled.engine.cpu.target import Target, host
from unrolled.engine.cpu.vector import Kind


def _digest() -> str:
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    # the derivative decides what the backward pass computes, so the cells' folder counts too
    for path in sorted((*folder.glob("*.py"), *(folder.parent.parent / "cell").glob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


# Taken when the module is loaded: later the files may have changed while this process still runs the old ones.
_SOURCES = _digest()


@dataclass(frozen=True)
class Pass:
    """One compiled direction: the order of its table and the function that takes it."""

    schedule: Schedule
    places: tuple[Place, ...]
    sums: tuple[str, ...]
    run: Function

    @property
    def whole_rows(self) -> bool:
        """Whether a step needs all units of a row in one place, for their mean."""
        return any(stage.means for stage in self.schedule.stages)

    @property
    def header(self) -> tuple[str, ...]:
        return HEADER


@dataclass(frozen=True)
class Compiled:
    """A program's kernels for one element type: inference, the same for a row or two, training, and backward."""

    program: Program
    dtype: str
    lanes: int
    target: Target
    infer: Pass
    direct: Pass
    train: Pass
    back: Pass
    plan: Forward

    @property
    def kept(self) -> frozenset[str]:
        """Buffers of the forward pass that the backward pass or the weight gradients read."""
        return frozenset(p.buffer for p in (*self.back.places, *self.plan.operands.values()))

    @property
    def operands(self) -> dict[str, Place]:
        """For each matrix, where the values that it multiplied are kept."""
        nodes = self.program.nodes
        return {str(n.name): self.plan.operands[n.arguments[0]] for n in nodes if n.operation == "product"}

    def saved_bytes(self) -> float:
        """What the backward pass needs kept, in bytes for each time step, row and hidden unit (H = O)."""
        places = {(p.buffer, p.slot) for p in (*self.plan.saved.values(), *self.plan.operands.values())}
        places |= {(f"s.{k}", 0) for k in self.program.state}
        if any(p.buffer == "x" for p in self.back.places):
            places |= {("x", slot) for slot in range(len(self.program.gates))}
        return float((4 if self.dtype == "float32" else 8) * len(places))


@lru_cache(maxsize=256)
def compiled(program: Program, dtype: str, target: Target | None = None) -> Compiled:
    """The kernels of a program, from the cache on disk or compiled now."""
    target = target or host()
    derivative = pullback(program)
    plan, plain = forward(program, derivative), forward(program, None)
    back = backward(program, derivative, plan.saved)
    schedules = {"infer": plain.schedule, DIRECT: plain.schedule, "train": plan.schedule, "back": back}
    code = cache.load_or_make(_key(program, dtype, target), lambda: _object(program, dtype, target, schedules))
    functions = linked(code, tuple(schedules))
    kernels = _kernels(ir.Module(), program, dtype, target, schedules)
    passes = {
        name: Pass(schedules[name], tuple(kernels[name].places.values()), kernels[name].sums, functions[name])
        for name in schedules
    }
    lanes = target.lanes(dtype)
    return Compiled(program, dtype, lanes, target, plan=plan, **passes)


def _kernels(
    module: ir.Module, program: Program, dtype: str, target: Target, schedules: dict[str, Schedule]
) -> dict[str, Kernel]:
    kind = Kind(dtype, target.lanes(dtype))
    biased = program.recurrent_biased
    bias = {program.recurrent[g]: Place("c", "hidden", "unit", k, len(biased)) for k, g in enumerate(biased)}
    both = bias | {
        i: Place("b", "hidden", "unit", program.gates.index(str(n.name)), len(program.gates))
        for i, n in enumerate(program.nodes)
        if n.operation == "gate"
    }
    return {name: Kernel(module, target, kind, name, schedule, both) for name, schedule in schedules.items()}


@dataclass(frozen=True)
class Tools:
    """What every cell needs of an element type: large products, and matrices packed into panels."""

    multiply: Function
    pack: Function


@lru_cache(maxsize=8)
def tools(dtype: str, target: Target | None = None) -> Tools:
    """The functions of one element type."""
    target = target or host()

    def make() -> bytes:
        module, kind = ir.Module("unrolled"), Kind(dtype, target.lanes(dtype))
        Product(module, target, kind).emit()
        Pack(module, kind).emit()
        return object_code(module, target)

    key = hashlib.sha256("\0".join(["tools", dtype, repr(target), llvmlite.__version__, _SOURCES]).encode())
    return Tools(**linked(cache.load_or_make(key.hexdigest(), make), ("multiply", "pack")))


def _object(program: Program, dtype: str, target: Target, schedules: dict[str, Schedule]) -> bytes:
    """Object code of the kernels."""
    module = ir.Module("unrolled")
    module.triple = target.triple
    for kernel in _kernels(module, program, dtype, target, schedules).values():
        kernel.emit()
    return object_code(module, target)


def _key(program: Program, dtype: str, target: Target) -> str:
    """Everything that the code depends on: equations, type, processor, LLVM and the compiler's own source."""
    parts = [json.dumps(program.to_json()), dtype, repr(target), llvmlite.__version__, _SOURCES]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
