"""A small recurrent task for the trainer's tests: predict the next of random symbols, state carried, with dropout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unrolled.train import Carry, LossOutput, Observer, Step, TrainSettings, seeded

SYMBOLS, HIDDEN, ROWS, WINDOW = 7, 9, 4, 6


class Memory(NamedTuple):
    h: Tensor
    c: Tensor


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, HIDDEN)
        self.cell = nn.LSTMCell(HIDDEN, HIDDEN)
        self.dropout = nn.Dropout(0.3)
        self.output = nn.Linear(HIDDEN, SYMBOLS)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, ids: Tensor, carry: Carry) -> tuple[Tensor, Carry]:
        h, c = (torch.zeros(len(ids), HIDDEN),) * 2 if carry is None else carry[0][0]
        outputs = []
        for x in self.embedding(ids).unbind(1):
            h, c = self.cell(self.dropout(x), (h, c))
            outputs.append(h)
        if self.training:
            self.seen += 1
        return self.output(self.dropout(torch.stack(outputs, 1))), ((Memory(h, c),),)


class Source:
    """`steps` windows an epoch, a function of (seed, epoch, index) alone."""

    def __init__(self, steps: int = 5, seed: int = 0) -> None:
        self.steps = steps
        self.seed = seed

    def __len__(self) -> int:
        return self.steps

    def epoch(self, number: int, start: int = 0) -> Iterator[Tensor]:
        for index in range(start, self.steps):
            rng = torch.Generator().manual_seed(hash((self.seed, number, index)) % 2**31)
            yield torch.randint(SYMBOLS, (ROWS, WINDOW + 1), generator=rng)


class Toy:
    """The objective; `values`, where given, are the validation losses of the evaluations one after the other."""

    def __init__(self, seed: int = 0, values: list[float] | None = None) -> None:
        with seeded(seed):
            self.module = Network()
        self.values = values
        self.evaluated = 0

    def loss(self, batch: Tensor, carry: Carry) -> LossOutput:
        logits, carry = self.module(batch[:, :-1], carry)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        return LossOutput(loss, ROWS * WINDOW, carry)

    def evaluate(self) -> dict[str, float]:
        # Chance in the evaluation must not reach the training.
        torch.rand(3)
        batch = next(Source(seed=99).epoch(0))
        self.evaluated += 1
        loss = self.loss(batch, None).loss.item() if self.values is None else self.values[self.evaluated - 1]
        return {"loss": loss, "accuracy": 1.0 / (1.0 + loss)}


class Recorder(Observer):
    """Losses, and a function to call after each step."""

    def __init__(self, after=lambda step: None) -> None:
        self.after = after
        self.steps: list[Step] = []
        self.events: list[object] = []
        self.remarks: list[str] = []

    def on_start(self, start) -> None:
        self.events.append(start)

    def on_plan(self, plan) -> None:
        self.events.append(plan)

    def on_step(self, step: Step) -> None:
        self.steps.append(step)
        self.after(step)

    def on_evaluate(self, evaluation) -> None:
        self.events.append(evaluation)

    def on_remark(self, remark: str) -> None:
        self.remarks.append(remark)

    def on_end(self, result) -> None:
        self.events.append(result)


def settings(**changed) -> TrainSettings:
    defaults = {"total_steps": 17, "warmup": 3, "evaluate_every": 4, "learning_rate": 0.01, "seed": 5}
    return TrainSettings(**{**defaults, **changed})


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
