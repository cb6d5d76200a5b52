"""Seeds: torch's own generators, the only source of chance in training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.train.distributed import World


@contextmanager
def seeded(seed: int, purpose: int = 0, device: torch.device | str = "cpu") -> Iterator[None]:
    """Generators of torch start from (seed, purpose) inside the block; the caller's are as before afterwards.

    `purpose` keeps streams apart: 0 for initial weights, 1 for training, above 16 for training in further processes.
    """
    device = torch.device(device)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(_mixed(seed, purpose))
        yield


@contextmanager
def thread_count(threads: int | None) -> Iterator[None]:
    """Work with `threads` threads inside the block (None: as many as it likes)."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of the generators that a module on `device` draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def all_random_states(device: torch.device, world: World) -> dict[str, Tensor]:
    """Those of all processes: those of the first by the plain names, of another with its number in front."""
    found = world.each(random_state(device))
    return found[0] | {f"{rank}.{name}": state for rank, own in enumerate(found) if rank for name, state in own.items()}


def own_random_state(states: Mapping[str, Tensor], device: torch.device, world: World, seed: int) -> None:
    """Inverse of `all_random_states`; a process that the saved training had not begins a state of its own."""
    names = random_state(device)
    own = {name: states[key] for name in names if (key := name if world.first else f"{world.rank}.{name}") in states}
    if "cpu" in own:
        restore_random_state(own, device)
    else:
        torch.manual_seed(_mixed(seed, *states["cpu"][:8].tolist(), world.rank))


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def restore_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Inverse of `random_state`; a generator that the saved run had not keeps its seed. Raises ArgumentError."""
    try:
        torch.set_rng_state(state["cpu"])
    except (RuntimeError, TypeError):
        raise ArgumentError("the random state is none of torch's") from None
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
