"""Runs a kernel once for each of its tables, on the OpenMP threads that the process has already, else on our own.

torch's OpenMP threads spin for some milliseconds after each of its operations. Threads of our own would share the cores
with them and lose half their speed; as members of the same team they are awake when the work comes.
"""

from __future__ import annotations

import ctypes
import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llvmlite import ir

from unrolled.engine.cpu import pool
from unrolled.engine.cpu.linker import Function, linked, object_code
from unrolled.engine.cpu.target import host
from unrolled.engine.cpu.tile import POINTER, loop, number
from unrolled.engine.cpu.vector import I32, I64

# An OpenMP team does not survive a fork: the child would wait for threads that are not there.
_home = os.getpid()


@dataclass(frozen=True)
class OpenMP:
    """The library's entry point, and the addresses of what a thread asks it."""

    parallel: Callable[[int, int, int, int], None]
    thread: int
    threads: int


def together() -> OpenMP | None:
    """The team, if this process has one: its threads run at the same time, so that they may wait for each other."""
    return openmp() if os.getpid() == _home else None


def table(values: Sequence[int]) -> array[int]:
    """What a kernel takes; whoever makes one keeps it until the kernel is done."""
    return array("q", values)


def run(function: Function, tables: Sequence[array[int]], alone: array[int] | None = None) -> None:
    """Call the function with the address of each table, several at a time; returns when all are done.

    Where the tables wait for each other, `alone` is a table of all their work, for a team that got fewer threads.
    """
    if len(tables) == 1:
        function.call(_place(tables[0]))
        return
    team = together()
    if team is not None:
        ready(team, function, tables, alone)()
    elif alone is not None:
        function.call(_place(alone))
    else:
        pool.run(function.call, [_place(t) for t in tables])


def ready(
    team: OpenMP, function: Function, tables: Sequence[array[int]], alone: array[int] | None
) -> Callable[[], None]:
    """`run` on a team, to be called as often as one likes; the tables must outlive it."""
    every = 0 if alone is None else _place(alone)
    work = table((team.thread, team.threads, function.address, len(tables), every, *map(_place, tables)))
    parallel, share, count = team.parallel, _share(), len(tables)

    def call() -> None:
        parallel(share, _place(work), count, 0)

    return call


def _place(values: array[int]) -> int:
    return values.buffer_info()[0]


@lru_cache(maxsize=1)
def openmp() -> OpenMP | None:
    """The OpenMP library of this process with GNU's interface, which LLVM's and Intel's on Linux have too."""
    if os.name != "posix":
        return None
    library = ctypes.CDLL(None)
    if not all(hasattr(library, n) for n in ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")):
        return None
    parallel = library.GOMP_parallel
    parallel.argtypes, parallel.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    return OpenMP(parallel, _address(library.omp_get_thread_num), _address(library.omp_get_num_threads))


@lru_cache(maxsize=1)
def give_way() -> int:
    """The address of the operating system's call by which a waiting thread offers its core; 0 where there is none."""
    library = ctypes.CDLL(None) if os.name == "posix" else None
    return _address(library.sched_yield) if library is not None and hasattr(library, "sched_yield") else 0


def _address(symbol: Any) -> int:
    return ctypes.cast(symbol, ctypes.c_void_p).value or 0


@lru_cache(maxsize=1)
def _share() -> int:
    """What each thread of a team runs; a team may have fewer threads than there are tables."""
    module = ir.Module("unrolled")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "share")
    b = ir.IRBuilder(function.append_basic_block("entry"))

    def entry(index: Any) -> Any:
        return b.load(b.gep(function.args[0], [index], source_etype=I64), typ=I64)

    question = ir.FunctionType(I32, []).as_pointer()
    mine = b.sext(b.call(b.inttoptr(entry(number(0)), question), []), I64)
    all_ = b.sext(b.call(b.inttoptr(entry(number(1)), question), []), I64)
    kernel = b.inttoptr(entry(number(2)), ir.FunctionType(ir.VoidType(), [POINTER]).as_pointer())
    count, alone = entry(number(3)), entry(number(4))
    short = b.and_(b.icmp_signed("!=", alone, number(0)), b.icmp_signed("<", all_, count))
    with b.if_else(short) as (then, otherwise):
        with then, b.if_then(b.icmp_signed("==", mine, number(0))):
            b.call(kernel, [b.inttoptr(alone, POINTER)])
        with otherwise, loop(b, mine, count, all_) as k:
            b.call(kernel, [b.inttoptr(entry(b.add(k, number(5))), POINTER)])
    b.ret_void()
    return linked(object_code(module, host()), ("share",))["share"].address
