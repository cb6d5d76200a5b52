"""What was laid out for calls of one shape with the same weights, kept with these."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from unrolled.engine.cpu.compiler import compiled
from unrolled.engine.cpu.large import DTYPES
from unrolled.engine.plan import Plan
from unrolled.engine.weights import Weights

T = TypeVar("T")
# Of each kind, for other shapes and other threads; and of how many keys it is known that they came.
MOST, SEEN = 8, 64
# Misses after which what was not used since makes room for something else, and times that one key is laid out anew.
STALE, OFTEN = 128, 4
# Misses between two looks for what is not used any more.
EVERY = 16


@dataclass
class Entry:
    """What was made for a key, at which miss it was used last, and how often it was made."""

    made: Any
    used: int
    times: int = 1


@dataclass
class Table:
    """Entries by key, keys that came and whether they can have one, and how often nothing was found."""

    entries: dict[Hashable, Entry] = field(default_factory=dict)
    seen: dict[Hashable, bool] = field(default_factory=dict)
    misses: int = 0


def find(weights: Weights, kind: type[T], key: Hashable) -> T | None:
    """What `remember` made for this key in this thread: buffers are written in place, so each thread has its own."""
    table = weights.laid_out.get(kind)
    entry = None if table is None else table.entries.get((key, threading.get_ident()))
    if table is None or entry is None:
        return None
    entry.used = table.misses
    found: T | None = entry.made
    return found


class Laid(Protocol):
    """Something laid out, without copies if it `fits`, for parameters at these addresses, a type and states."""

    addresses: list[int]
    dtype: torch.dtype
    shapes: list[tuple[int, int]]
    fits: bool


def takes(found: Laid, weights: Weights, x: Tensor, state: Any) -> bool:
    """Whether all is as it was when this was laid out."""
    if not isinstance(state, tuple | None) or not x.is_cpu or x.dtype != found.dtype:
        return False
    shapes = found.shapes if state is None else [s.shape for s in state if s.is_cpu and s.dtype == found.dtype]
    return shapes == found.shapes and found.addresses == weights.addresses()


def wanted(weights: Weights, kind: type[Any], key: Hashable) -> bool:
    """Whether to lay this out: it comes a second time and there is room; laying out costs more than it gains once."""
    table, mine = weights.laid_out.setdefault(kind, Table()), (key, threading.get_ident())
    table.misses += 1
    old = table.entries.get(mine)
    if old is not None:
        if old.times >= OFTEN:
            old.made = None
        return old.made is not None
    if mine not in table.seen:
        table.seen[mine] = True
        for gone in list(table.seen)[:-SEEN]:
            table.seen.pop(gone, None)
        return False
    return table.seen[mine] and (len(table.entries) < MOST or not table.misses % EVERY)


def remember(weights: Weights, kind: type[T], key: Hashable, make: Callable[[], T | None]) -> None:
    """Keep what `make` lays out; nothing is made where all that is kept is in use."""
    table, mine = weights.laid_out.setdefault(kind, Table()), (key, threading.get_ident())
    old = table.entries.get(mine)
    if old is None and len(table.entries) >= MOST:
        victim, entry = min(list(table.entries.items()), key=lambda item: item[1].used)
        if table.misses - entry.used < STALE:
            return
        table.entries.pop(victim, None)
    # tensors made in inference mode could not be written to outside of it
    with torch.inference_mode(False), torch.no_grad():
        made = make()
    if made is None:
        table.seen[mine] = False
        table.entries.pop(mine, None)
    else:
        table.entries[mine] = Entry(made, table.misses, 1 if old is None else old.times + 1)


def without_copies(plan: Plan, weights: Weights) -> bool:
    """Whether the kernels can read the parameters where they lie."""
    lanes, sizes = compiled(plan.program, DTYPES[plan.dtype]).lanes, plan.sizes
    whole = sizes.hidden % lanes == 0 and sizes.output % lanes == 0
    return whole and plan.program.heads == 1 and all(t.is_contiguous() for t in weights.named.values())


def fitting(made: Laid) -> Any:
    """What was laid out, or None if that took copies after all."""
    return made if made.fits else None
