"""A cell's program to machine code: one function forward, one backward."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import llvmlite
from llvmlite import ir

from unrolled.cell import Program, Sizes, pullback
from unrolled.engine.cpu import cache
from unrolled.engine.cpu.joined import joined, reads_gates
from unrolled.engine.cpu.kernel import DIRECT, Kernel
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


JOINED, JOINED_TRAIN = "joined", "joined_train"
# Taken when the module is loaded: later the files may have changed while this process still runs the old ones.
_SOURCES = _digest()


@dataclass(frozen=True, eq=False)
class Pass:
    """One direction: the order of its table and the function that takes it, compiled when it is first asked for."""

    schedule: Schedule
    places: tuple[Place, ...]
    sums: tuple[str, ...]
    load: Callable[[], Function]

    @cached_property
    def run(self) -> Function:
        return self.load()

    @cached_property
    def recipes(self) -> dict[Sizes, Any]:
        """How its matrices are packed, by the sizes of a layer; filled by `recipe`."""
        return {}

    @cached_property
    def buffers(self) -> frozenset[str]:
        """The names of all buffers."""
        return frozenset(place.buffer for place in self.places)

    @property
    def whole_rows(self) -> bool:
        """Whether a step needs all units of a row in one place, for their mean."""
        return any(stage.means for stage in self.schedule.stages)


# One object a program and type: looked up by identity, not by comparing all its parts.
@dataclass(frozen=True, eq=False)
class Compiled:
    """A program's kernels for one element type: inference, the same for a row or two, training, and backward.

    `joined` and `joined_train` have W x_t inside the step, where the program allows it, as `direct` has it too.
    """

    program: Program
    dtype: str
    lanes: int
    target: Target
    infer: Pass
    direct: Pass
    train: Pass
    back: Pass
    joined: Pass | None
    joined_train: Pass | None
    plan: Forward

    @cached_property
    def kept(self) -> frozenset[str]:
        """Buffers of the forward pass that the backward pass or the weight gradients read."""
        return frozenset(p.buffer for p in (*self.back.places, *self.plan.operands.values()))

    @cached_property
    def whole_rows(self) -> bool:
        """Whether a pass needs all units of a row in one place."""
        return any(step.whole_rows for step in (self.infer, self.train, self.back))

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
    """The kernels of a program, each from the cache on disk or compiled when it is first called."""
    target = target or host()
    derivative = pullback(program)
    plan, plain = forward(program, derivative), forward(program, None)
    back = backward(program, derivative, plan.saved)

    def made(name: str, schedule: Schedule) -> Pass:
        kernel = _kernel(ir.Module(), program, dtype, target, name, schedule)
        return Pass(
            schedule, tuple(kernel.places.values()), kernel.sums, lambda: _load(program, dtype, target, name, schedule)
        )

    inside = joined(plain.schedule)
    training = None if reads_gates(back) else joined(plan.schedule)
    passes = {"infer": plain.schedule, DIRECT: inside or plain.schedule, "train": plan.schedule, "back": back}
    return Compiled(program, dtype, target.lanes(dtype), target, plan=plan,
                    joined=None if inside is None else made(JOINED, inside),
                    joined_train=None if training is None else made(JOINED_TRAIN, training),
                    **{name: made(name, schedule) for name, schedule in passes.items()})  # fmt: skip


def _kernel(module: ir.Module, program: Program, dtype: str, target: Target, name: str, schedule: Schedule) -> Kernel:
    biased = program.recurrent_biased
    bias = {program.recurrent[g]: Place("c", "hidden", "unit", k, len(biased)) for k, g in enumerate(biased)}
    both = bias | {
        i: Place("b", "hidden", "unit", program.gates.index(str(n.name)), len(program.gates))
        for i, n in enumerate(program.nodes)
        if n.operation == "gate"
    }
    return Kernel(module, target, Kind(dtype, target.lanes(dtype)), name, schedule, both)


def _load(program: Program, dtype: str, target: Target, name: str, schedule: Schedule) -> Function:
    """The function of one pass, from the cache on disk or compiled now."""
    code = cache.load_or_make(
        _key(program, dtype, target, name), lambda: _object(program, dtype, target, name, schedule)
    )
    return linked(code, (name,))[name]


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


def _object(program: Program, dtype: str, target: Target, name: str, schedule: Schedule) -> bytes:
    """Object code of a kernel."""
    module = ir.Module("unrolled")
    module.triple = target.triple
    _kernel(module, program, dtype, target, name, schedule).emit()
    return object_code(module, target)


def _key(program: Program, dtype: str, target: Target, name: str) -> str:
    """Everything that the code depends on: equations, type, processor, LLVM and the compiler's own source."""
    parts = [name, json.dumps(program.to_json()), dtype, repr(target), llvmlite.__version__, _SOURCES]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
