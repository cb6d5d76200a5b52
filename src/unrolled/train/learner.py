"""Everything of a training that is a tensor: weights, optimiser, average, best weights, carried state, random state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unrolled.train.distributed import ALONE, Parallel, World, gathered, own_part
from unrolled.train.nonfinite import Blame, locate
from unrolled.train.optimiser import (
    clip_,
    make_optimiser,
    optimiser_tensors,
    restore_optimiser,
    set_learning_rate,
)
from unrolled.train.precision import Precision
from unrolled.train.protocols import Objective
from unrolled.train.randomness import all_random_states, own_random_state, random_state, restore_random_state
from unrolled.train.settings import TrainSettings
from unrolled.train.tree import Carry, detach, leaves
from unrolled.train.weights import Average, copy_into, named_weights, restore, snapshot


class Outcome(NamedTuple):
    """What one step came to; the gradient's norm is that before clipping."""

    loss: float
    weight: int
    gradient_norm: float


class NonFinite(Exception):
    """A loss or gradient that is not finite, before it reached the weights; `where` says in words where it arose."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what}: {where}")
        self.what = what
        self.where = where


class Learner:
    """Takes steps on `objective`; its tensors can be taken out and put back, to the last bit."""

    def __init__(
        self, objective: Objective, settings: TrainSettings, blame: Blame | None = None, world: World = ALONE
    ) -> None:
        self.objective = objective
        self.world = world
        self.parallel = Parallel(objective, world)
        self.blame = blame
        self.settings = settings
        self.module = objective.module
        self.optimiser = make_optimiser(self.module, settings)
        self.average = Average(self.module, settings.ema) if settings.ema is not None else None
        self.best: dict[str, Tensor] | None = None
        self.carry: Carry = None
        self.parameters = list(self.module.parameters())
        self.device = self.parameters[0].device
        self.precision = Precision(settings.precision, self.device)

    def step(self, batch: Any, number: int, rate: float) -> Outcome:
        """Forward, backward through this batch alone, clip, update; raises NonFinite with the weights untouched."""
        random = random_state(self.device)
        self.optimiser.zero_grad(set_to_none=True)
        with self.precision.context():
            output = self.parallel.loss(batch, self.carry)
        self.precision.scaled(output.loss).backward()  # type: ignore[no-untyped-call]
        self.precision.unscale(self.optimiser)
        grads = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        length = torch.nn.utils.get_total_norm(grads)
        whole, weight = self.parallel.whole(output)
        # One transfer for both numbers, because each one makes a GPU wait.
        loss, norm = torch.stack((whole.to(length), length)).tolist()
        if math.isfinite(loss) and math.isfinite(norm):
            clip_(grads, norm, self.settings.clip)
            set_learning_rate(self.optimiser, rate)
            self.precision.step(self.optimiser)
            if self.average is not None:
                self.average.update(number)
        elif not math.isfinite(loss) or not self.precision.overflowed(self.optimiser):
            error = self._non_finite(loss, norm, batch, random)
            # A state that led to such numbers is not carried on.
            bad = not all(map(_finite, leaves(output.carry)))
            self.carry = None if self.world.largest(bad) else detach(output.carry)
            raise error
        self.carry = detach(output.carry)
        return Outcome(loss, weight, norm)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode without gradients, on the averaged weights if there are any; training goes on untouched."""
        random = random_state(self.device)
        self.module.eval()
        try:
            average = self.average.in_place() if self.average is not None else nullcontext()
            with torch.no_grad(), average, self.precision.context():
                yield
        finally:
            self.module.train()
            restore_random_state(random, self.device)

    def keep_best(self) -> None:
        """The weights as they were evaluated are the best so far."""
        self.best = snapshot(self.module, self.best)
        if self.average is not None:
            for name, tensor in self.average.tensors.items():
                self.best[name].copy_(tensor)

    def use_best(self) -> None:
        """The module ends with the best weights, without evaluations with the average or else the last ones."""
        if self.best is not None:
            restore(self.module, self.best)
        elif self.average is not None:
            restore(self.module, {**named_weights(self.module), **self.average.tensors})
        self.module.eval()

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """All of it, by file and name."""
        files = {
            "weights": named_weights(self.module),
            "optimiser": optimiser_tensors(self.optimiser, self.module),
            "carry": {str(number): tensor for number, tensor in enumerate(gathered(self.carry, self.world))},
            "random": all_random_states(self.device, self.world),
        }
        if scale := self.precision.tensors():
            files["scale"] = scale
        if self.best is not None:
            files["best"] = self.best
        if self.average is not None:
            files["average"] = self.average.tensors
        return files

    def load(self, files: Mapping[str, Mapping[str, Tensor]], batch: Any) -> None:
        """Inverse of `tensors`; `batch` is the next one, None at the end of an epoch.

        Raises KeyError, ArgumentError and RunError where they belong to another network.
        """
        # First, because this pass, made only for the types that the state consists of, uses weights and random state.
        self.carry = self._template(batch) if files["carry"] else None
        if self.carry is not None:
            whole = [files["carry"][str(n)] for n in range(len(files["carry"]))]
            self.carry = own_part(self.carry, whole, self.world)
        restore(self.module, files["weights"])
        restore_optimiser(self.optimiser, self.module, files["optimiser"])
        if self.average is not None:
            self.average.load(files["average"])
        if self.precision.tensors():
            self.precision.load(files["scale"])
        if "best" in files:
            self.best = snapshot(self.module)
            copy_into(self.best, files["best"])
        own_random_state(files["random"], self.device, self.world, self.settings.seed)

    def _template(self, batch: Any) -> Carry:
        if batch is None:
            return None
        with torch.no_grad(), self.precision.context():
            return self.objective.loss(batch, None).carry

    def _non_finite(self, loss: float, norm: float, batch: Any, random: Mapping[str, Tensor]) -> NonFinite:
        def again() -> Tensor:
            restore_random_state(random, self.device)
            with self.precision.context():
                return self.objective.loss(batch, self.carry).loss

        where = locate(self.module, batch, again, self.blame, finite_loss=math.isfinite(loss))
        restore_random_state(random, self.device)
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm}"
        return NonFinite(what, where)


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())
