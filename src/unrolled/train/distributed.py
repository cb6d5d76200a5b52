"""One training by several processes: what they share, what each has of its own, and how they stay of one mind.

Every batch is divided between the processes, so a training is the same whatever their number: each computes the
gradient of its rows, DistributedDataParallel (Li et al. 2020) adds them up, and all take the same step. What only a
clock, a signal or the validation part can say is said by the first process to all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unrolled.errors import ArgumentError, RunError, TrainingError, UnrolledError
from unrolled.train.protocols import BatchSource, LossOutput, Objective
from unrolled.train.tree import Carry, fill, leaves

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes of one training, and which of them this is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def said(self, say: Callable[[], T]) -> T:
        """What the first process finds, on all of them; where it fails, it fails everywhere with the same error."""
        if self.size == 1:
            return say()
        found: list[Any] = list(_tried(say)) if self.first else [None, None]
        dist.broadcast_object_list(found)
        if found[1] is not None:
            raise _everywhere(found[1])
        return cast("T", found[0])

    def together(self, do: Callable[[], T]) -> T:
        """What each process finds for itself; where one fails, all fail with its error, none waits for it for ever."""
        if self.size == 1:
            return do()
        found, own = _tried(do)
        errors = self.each(own)
        for rank, error in enumerate(errors):
            if error is not None:
                said = error if rank == 0 else RunError(f"process {rank} of {self.size}: {error}")
                raise _everywhere(said) from own
        return cast("T", found)

    def total(self, *values: float) -> list[float]:
        """Each value summed over all processes."""
        if self.size == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64, device=_device())
        dist.all_reduce(summed)
        return cast("list[float]", summed.tolist())

    def largest(self, value: int) -> int:
        """The largest value of all processes."""
        if self.size == 1:
            return value
        found = torch.tensor(value, device=_device())
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def rows(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The rows (B_r, ...) of every process one below the other, (B, ...)."""
        if self.size == 1:
            return list(tensors)
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, [tensor.cpu() for tensor in tensors])
        return [torch.cat(same) for same in zip(*parts, strict=True)]

    def mine(self, count: int) -> slice:
        """The part of so many rows that is this process's own."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def clock(self, clock: Callable[[], float]) -> Callable[[], float]:
        """The first process's clock for all: what is decided by the time is then decided alike."""
        if self.size == 1:
            return clock

        def shared() -> float:
            now = torch.tensor(clock(), dtype=torch.float64, device=_device())
            dist.broadcast(now, 0)
            return float(now)

        return shared

    def each(self, value: T) -> list[T]:
        """The value of every process, in their order."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found


ALONE = World()


def _tried(do: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return do(), None
    except Exception as error:  # noqa: BLE001 - the others would wait for ever; it is raised once they know
        return None, error


def _everywhere(error: Exception) -> Exception:
    if isinstance(error, UnrolledError):
        error.everywhere = True
    return error


def _device() -> torch.device:
    """Where the numbers must be that processes exchange."""
    return torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")


def launched() -> bool:
    """Whether `torchrun` started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "MASTER_ADDR" in os.environ


def restarted() -> bool:
    """Whether `torchrun` starts the processes again because one of them died."""
    return launched() and int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


@contextmanager
def joined(device: str = "auto") -> Iterator[World]:
    """The processes that `torchrun` started, for the length of the block; alone where there are no others.

    Raises TrainingError where the connection to another one is lost.
    """
    if not launched() or dist.is_initialized():
        yield World(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else ALONE
        return
    graphics = device != "cpu" and torch.cuda.is_available() and dist.is_nccl_available()
    if graphics:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if graphics else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size())
        # Who ends first would take the others' connections away.
        dist.barrier()
    except RuntimeError as error:
        # A name that torch gives to some of these errors only.
        if not isinstance(error, dist.DistError) and "gloo" not in str(error) and "NCCL" not in str(error):
            raise
        lost = TrainingError(
            "another process of this training has ended or cannot be reached; go on with all of them by --resume"
        )
        raise _everywhere(lost) from error
    finally:
        dist.destroy_process_group()


class Share:
    """The batches of a source, of each only the rows of this process; None where it has none of them.

    Raises ArgumentError for a source that cannot be divided, or has fewer streams than there are processes.
    """

    def __init__(self, source: BatchSource, world: World) -> None:
        order = getattr(source, "order", source)
        if not hasattr(order, "of_rank"):
            raise ArgumentError(f"batches of {type(source).__name__} cannot be divided; train with one process")
        self._order = order.of_rank(world.rank, world.size)
        self._source = self._order if order is source else _with_order(source, self._order)

    def __len__(self) -> int:
        return len(self._source)

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """As the source's own."""
        for batch, own in zip(self._source.epoch(number, start), self._order.own(number, start), strict=True):
            yield batch if own else None


def _with_order(source: Any, order: Any) -> Any:
    if is_dataclass(source) and not isinstance(source, type):
        return replace(source, order=order)
    found = copy(source)
    found.order = order
    return found


class Parallel:
    """An objective whose gradient is that of all processes' rows together.

    The loss of a batch is a mean over its targets, of which each process has some: DistributedDataParallel takes the
    mean of the gradients, so each loss counts by its share of the targets.
    """

    def __init__(self, objective: Objective, world: World) -> None:
        self._objective, self._world = objective, world
        step = _Step(objective)
        self._step: nn.Module = step
        if world.size > 1:
            self._step = nn.parallel.DistributedDataParallel(step, find_unused_parameters=True)

    def loss(self, batch: Any, carry: Carry) -> LossOutput:
        """To go back through; see `whole` for what it is over all rows."""
        world = self._world
        if world.size == 1:
            return self._objective.loss(batch, carry)
        loss, weight, carry = self._step(batch, carry)
        (total,) = world.total(weight)
        return LossOutput(loss * (weight * world.size / max(total, 1)), weight, carry)

    def close(self) -> None:
        """Let go of the engine: a process group may not end while its modules live."""
        self._step = nn.Module()

    def whole(self, output: LossOutput) -> tuple[Tensor, int]:
        """The mean loss over all rows of the batch, and the number of their targets."""
        world = self._world
        if world.size == 1:
            return output.loss.detach(), output.weight
        summed, total = world.total(float(output.loss.detach()), output.weight)
        return torch.tensor(summed / world.size), int(total)


class _Step(nn.Module):
    """The loss as a module's forward pass, which is what DistributedDataParallel watches."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.module = objective.module
        self._loss = objective.loss

    def forward(self, batch: Any, carry: Carry) -> tuple[Tensor, int, Carry]:
        if batch is None:
            # No row of its own: it takes part in the sum with a gradient of zero.
            nothing = torch.stack([parameter.sum() for parameter in self.module.parameters()]).sum() * 0
            return nothing, 0, carry
        output = self._loss(batch, carry)
        return output.loss, output.weight, output.carry


def gathered(carry: Carry, world: World) -> list[Tensor]:
    """The carried state of all processes as that of one: rows below rows."""
    return world.rows(list(leaves(carry)))


def own_part(carry: Carry, whole: Sequence[Tensor], world: World) -> Carry:
    """Inverse of `gathered`; `carry` has the types and rows of the state. Raises ArgumentError where it has others."""
    own = [tensor[world.mine(len(tensor))].contiguous() if tensor.ndim else tensor for tensor in whole]
    for mine, like in zip(own, leaves(carry), strict=False):
        if mine.shape[:1] != like.shape[:1]:
            raise ArgumentError(
                f"a state of {tuple(mine.shape)[:1]} rows does not fit batches of {len(like)} in each process"
            )
    return fill(carry, own)
