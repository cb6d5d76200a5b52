"""The processor's limit: nothing but fused multiply-adds on registers, as many chains as keep its units busy."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from llvmlite import ir

from unrolled.engine.cpu import pool
from unrolled.engine.cpu.linker import linked, object_code
from unrolled.engine.cpu.target import host
from unrolled.engine.cpu.tile import POINTER, loop, number
from unrolled.engine.cpu.vector import I64, Kind, Vec

ITERATIONS = 1_000_000
# More than the latency of an operation times the units that start one in each cycle.
CHAINS = 12


def fma_limit(threads: int = 1, rounds: int = 20) -> float:
    """FLOP/s in float32 of so many threads at once; a fused multiply-add counts as two.

    Each thread counts with its best round, so that another process on one of the cores does not lower the limit.
    """
    run, lanes = _kernel(), host().lanes("float32")
    places = np.ones((threads, lanes), dtype=np.float32)
    best = [float("inf")] * threads

    def timed(thread: int) -> None:
        begin = time.perf_counter()
        run(places[thread].ctypes.data)
        best[thread] = min(best[thread], time.perf_counter() - begin)

    for _ in range(rounds):
        pool.run(timed, range(threads))
    return sum(2.0 * ITERATIONS * CHAINS * lanes / seconds for seconds in best)


@lru_cache(maxsize=1)
def _kernel() -> Callable[[int], None]:
    """Reads one vector, multiplies and adds, and writes one that depends on every chain."""
    kind = Kind("float32", host().lanes("float32"))
    module = ir.Module("limit")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64]), "limit")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    place = b.inttoptr(function.args[0], POINTER)
    start = b.load(place, typ=kind.vector)
    start.align = kind.bytes
    sums = [b.alloca(kind.vector) for _ in range(CHAINS)]
    for chain, memory in enumerate(sums):
        b.store((Vec(b, kind, start) * (1.0 + chain)).value, memory)
    with loop(b, number(0), number(ITERATIONS)):
        for memory in sums:
            # Towards the fixed point 1: neither too large nor too small a number ever slows it down.
            b.store(Vec(b, kind, b.load(memory, typ=kind.vector)).fma(0.75, 0.25).value, memory)
    total = Vec(b, kind, kind.constant(0.0))
    for memory in sums:
        total = total + Vec(b, kind, b.load(memory, typ=kind.vector))
    b.store((total * (1.0 / CHAINS)).value, place).align = kind.bytes
    b.ret_void()
    return linked(object_code(module, host()), ("limit",))["limit"].call
