"""The processor that kernels are compiled for: vector length, registers and the shape of the product tile."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm

from unrolled.errors import EngineError

BYTES = {"float32": 4, "float64": 8}
# Instruction sets by name: where they are found, LLVM's generic processor, bits of a register, registers.
SETS = {
    "avx512": ("x86_64", "x86-64-v4", 512, 32),
    "avx2": ("x86_64", "x86-64-v3", 256, 16),
    "sse2": ("x86_64", "x86-64", 128, 16),
    "neon": ("aarch64", "generic", 128, 32),
}


@dataclass(frozen=True)
class Target:
    """An instruction set: `bits` of a vector register, `registers` of them, and LLVM's names for the processor."""

    triple: str
    cpu: str
    features: str
    bits: int
    registers: int

    def lanes(self, dtype: str) -> int:
        """Elements in a vector."""
        return self.bits // 8 // BYTES[dtype]

    def rows(self, vectors: int) -> int:
        """Rows of a tile whose accumulators, a row of the matrix and one broadcast element fit the registers."""
        return max(1, (self.registers - vectors - 1) // vectors)

    def vectors(self) -> int:
        """Columns of vectors of a tile that is nearly square in loads: 4 where there are 32 registers, 2 where 16."""
        return 4 if self.registers >= 32 else 2

    def machine(self) -> Any:
        """LLVM's machine for this target."""
        _initialise()
        try:
            target = llvm.Target.from_triple(self.triple)
        except RuntimeError as error:
            raise EngineError(f"LLVM cannot compile for {self.triple} here ({error}).") from None
        return target.create_target_machine(cpu=self.cpu, features=self.features, opt=3, jit=True)


@lru_cache(maxsize=1)
def _initialise() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def named(name: str) -> Target:
    """One of the instruction sets that kernels can be compiled for, here or elsewhere."""
    if name not in SETS:
        raise EngineError(f"there is no instruction set {name!r}, but {', '.join(SETS)}; set UNROLLED_TARGET to one.")
    family, cpu, bits, registers = SETS[name]
    triple = str(llvm.get_process_triple())
    # an arm64 Mac calls itself arm64; another family's code can be compiled here, but not run
    here = triple.replace("arm64", "aarch64").startswith(family)
    return Target(triple if here else f"{family}-unknown-linux-gnu", cpu, "", bits, registers)


def host() -> Target:
    """What kernels are compiled for: this processor, or the instruction set that UNROLLED_TARGET names.

    Raises EngineError where that is unknown or cannot run here.
    """
    wanted = os.environ.get("UNROLLED_TARGET")
    return processor() if not wanted else _runnable(wanted)


@lru_cache(maxsize=4)
def _runnable(name: str) -> Target:
    target, own = named(name), processor()
    if target.triple != own.triple or target.bits > own.bits:
        raise EngineError(f"UNROLLED_TARGET is {name}, but this processor ({own.cpu}) cannot run it; leave it out.")
    return target


@lru_cache(maxsize=1)
def processor() -> Target:
    """The processor that this process runs on."""
    _initialise()
    features = llvm.get_host_cpu_features()
    triple = llvm.get_process_triple()
    if triple.startswith(("aarch64", "arm64")):
        bits, registers = 128, 32
    elif features.get("avx512f"):
        bits, registers = 512, 32
    elif features.get("avx2") and features.get("fma"):
        bits, registers = 256, 16
    else:
        bits, registers = 128, 16
    return Target(triple, llvm.get_host_cpu_name(), features.flatten(), bits, registers)
