"""From an LLVM module to object code, and from object code to functions in this process."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from unrolled.engine.cpu.target import Target, host


@dataclass(frozen=True)
class Function:
    """A compiled function that takes the address of a table of 64-bit integers."""

    address: int
    call: Callable[[int], None]


def object_code(module: ir.Module, target: Target) -> bytes:
    """Optimised object code of a module."""
    module.triple = target.triple
    machine = target.machine()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False
    llvm.create_pass_builder(machine, options).getModulePassManager().run(
        parsed, llvm.create_pass_builder(machine, options)
    )
    return bytes(machine.emit_object(parsed))


_engines: list[Any] = []  # LLVM frees the code with its engine, so engines live as long as the process


def linked(code: bytes, names: tuple[str, ...]) -> dict[str, Function]:
    """Load object code into the process and find its functions."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), host().machine())
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    addresses = {name: engine.get_function_address(name) for name in names}
    return {name: Function(address, signature(address)) for name, address in addresses.items()}
