"""Compiles rows of the operation table alone, each as a function that maps arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from unrolled.engine.cpu.target import Target
from unrolled.engine.cpu.tile import POINTER, loop, number
from unrolled.engine.cpu.vector import I64, VECTOR, Kind, Vec

ARITY = dict.fromkeys(VECTOR, 1) | dict.fromkeys(("add", "sub", "mul", "div", "maximum", "minimum", "greater"), 2)
ARITY["where"] = 3
Map = Callable[..., np.ndarray]
_engines: list[Any] = []


def emit(module: ir.Module, kind: Kind, name: str) -> None:
    """The function (length, result, arguments ...) over whole vectors."""
    signature = ir.FunctionType(ir.VoidType(), [I64] + [POINTER] * (1 + ARITY[name]))
    function = ir.Function(module, signature, f"map_{name}")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    length, *places = function.args
    with loop(b, number(0), length, kind.lanes) as k:
        at = [b.gep(place, [k], source_etype=kind.element) for place in places]
        loaded = [b.load(a, typ=kind.vector) for a in at[1:]]
        for value in loaded:
            value.align = kind.bytes
        b.store(VECTOR[name](*(Vec(b, kind, v) for v in loaded)).value, at[0]).align = kind.bytes
    b.ret_void()


@lru_cache(maxsize=32)
def assembly(target: Target, dtype: str, lanes: int, names: tuple[str, ...], *, code: bool = False) -> Any:
    """Assembly text, or object code, of the functions."""
    module = ir.Module("rows")
    module.triple = target.triple
    for name in names:
        emit(module, Kind(dtype, lanes), name)
    machine = target.machine()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return bytes(machine.emit_object(parsed)) if code else machine.emit_assembly(parsed)


def compile_rows(target: Target, dtype: str, lanes: int, names: tuple[str, ...] = tuple(VECTOR)) -> dict[str, Map]:
    """A function on arrays for each name; arrays are filled up to whole vectors with ones."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target.machine())
    code = assembly(target, dtype, lanes, names, code=True)
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)

    def mapped(name: str) -> Map:
        signature = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * (1 + ARITY[name]))
        call = signature(engine.get_function_address(f"map_{name}"))

        def run(*arguments: np.ndarray) -> np.ndarray:
            length = len(arguments[0])
            room = -(-length // lanes) * lanes
            filled = [np.concatenate([a, np.ones(room - length, dtype)]).astype(dtype) for a in arguments]
            result = np.empty(room, dtype)
            call(room, result.ctypes.data, *(a.ctypes.data for a in filled))
            return result[:length]

        return run

    return {name: mapped(name) for name in names}
