"""Products over all time steps, of tensors, through the kernels' own tile."""

from __future__ import annotations

import torch
from torch import Tensor

from unrolled.engine.cpu import room, team
from unrolled.engine.cpu.compiler import tools
from unrolled.engine.cpu.product import working_room
from unrolled.engine.cpu.target import host

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
# Below this many multiplications a second thread costs more than it saves.
WORTH_A_THREAD = 2_000_000


def worth(work: int) -> int:
    """How many threads are worth waking for so many multiplications or copies."""
    return max(1, min(torch.get_num_threads(), work // WORTH_A_THREAD))


def multiply(a: Tensor, b: Tensor, *, out: Tensor | None = None) -> Tensor:
    """A (M, K) times B (K, N), each running along its rows or along its columns, through the kernels' own tile."""
    (rows, depth), columns = a.shape, b.shape[1]
    if 0 in (rows, depth, columns) or rows * depth * columns < WORTH_A_THREAD:
        return torch.mm(a, b, out=out)
    a, b = (m if 1 in m.stride() else m.contiguous() for m in (a, b))
    dtype = DTYPES[a.dtype]
    if out is None:
        out = room.empty(rows, columns, dtype=a.dtype)
    threads = worth(rows * depth * columns)
    bounds = [rows * k // threads for k in range(threads + 1)]
    size = working_room(host(), dtype, max(bounds[k + 1] - bounds[k] for k in range(threads)), depth)
    space = torch.empty(threads, size, dtype=a.dtype)
    tables = [
        team.table((a.data_ptr(), *a.stride(), b.data_ptr(), *b.stride(), out.data_ptr(), columns, bounds[k],
                    bounds[k + 1], columns, depth, space[k].data_ptr()))
        for k in range(threads)
    ]  # fmt: skip
    team.run(tools(dtype).multiply, tables)
    return out
