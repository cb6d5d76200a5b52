"""A language model without torch: complete, score, continue a text, or follow it while it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unrolled.data import Vocabulary
from unrolled.data.documents import read_lines
from unrolled.runtime.kernels import Kernels
from unrolled.runtime.model import Model, Run
from unrolled.runtime.parts import Embedding, Linear, log_softmax
from unrolled.runtime.recurrent import Recurrent, State, take_rows
from unrolled.runtime.stream import RuntimeLayers
from unrolled.runtime.weights import Array, Weights
from unrolled.streams.language import LanguageChoices, LanguageStream, Units
from unrolled.streams.network import StreamNetwork
from unrolled.streams.running import chosen
from unrolled.tasks.language_text import WINDOW, Ids, LanguageText
from unrolled.tasks.schemas import LanguageSchema, language_schema

# Numbers of W x_t of all units of a vocabulary, up to which they are kept for streams: 64 MiB.
_KEPT = 2**24


class AdaptiveOutput:
    """Log p (..., V) of an adaptive softmax (Grave et al. 2017), whose rare entries have small spaces of their own."""

    def __init__(self, features: int, size: int, weights: Weights) -> None:
        self.cutoffs = (size // 16, size // 4, size)
        clusters = weights.under("clusters")
        self.head = Linear(features, self.cutoffs[0] + 2, clusters.under("head"))
        self.tails = []
        for place, (first, last) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            width, tail = features // 4 ** (place + 1), clusters.under(f"tail.{place}")
            into = Linear(features, width, tail.under("0"), bias=False)
            self.tails.append((into, Linear(width, last - first, tail.under("1"), bias=False)))

    def __call__(self, features: Array) -> Array:
        first = self.cutoffs[0]
        head = log_softmax(self.head(features))
        parts = [head[..., :first]]
        for place, (into, out) in enumerate(self.tails):
            parts.append(log_softmax(out(into(features))) + head[..., first + place, None])
        return np.concatenate(parts, -1)


class Network:
    """Embedding -> recurrent layers -> scores of what comes next; see `models.LanguageNetwork`."""

    def __init__(self, run: Run) -> None:
        plan, weights, size = run.plan, run.weights, run.plan.outputs
        self.embedding = Embedding(size, plan.inputs, weights.under("embedding"))
        self.recurrent: Recurrent = run.recurrent()
        width = self.recurrent.output_size
        between = plan.tied and width != plan.inputs
        self.project = Linear(width, plan.inputs, weights.under("project"), bias=False) if between else None
        if plan.adaptive:
            self.output: Any = AdaptiveOutput(width, size, weights.under("output"))
        elif plan.tied:
            self.output = Linear.tied(self.embedding.weight, weights.under("output"))
        else:
            self.output = Linear(width, size, weights.under("output"))

    @cached_property
    def products(self) -> Array | None:
        """W x of every unit for the first layer's kernels; None where that is much, or there are no kernels."""
        first = self.recurrent.layers[0].directions[0]
        if not isinstance(first, Kernels):
            return None
        matrix, rows = first.input_matrix, self.embedding.weight
        return rows @ matrix.T if len(rows) * len(matrix) <= _KEPT else None

    def logits(self, outputs: Array) -> Array:
        """Scores (..., V) of what the recurrent layers put out."""
        found: Array = self.output(outputs if self.project is None else self.project(outputs))
        return found


class Language(LanguageText, Model):
    """What comes after a text: `complete`, `generate`, `score`, `next_probabilities` and `stream`."""

    task = "language"

    def __init__(self, run: Run, vocabulary: Vocabulary, schema: LanguageSchema) -> None:
        Model.__init__(self, run)
        LanguageText.__init__(self, vocabulary, ends=schema.ends, lines=schema.lines)
        self.network = Network(run)

    @classmethod
    def restore(cls, run: Run) -> Callable[[], Self]:
        return partial(cls, run, *language_schema(run.plan, run.schema, run.vocabulary))

    def read(self, path: Path) -> list[str]:
        return read_lines(path).texts

    def answers(self, inputs: Sequence[str]) -> list[dict[str, Any]]:
        return [{"text": text, "next": dict(self.complete(text, 5))} for text in inputs]

    def predict(self, inputs: Sequence[str]) -> list[str]:
        """The likeliest next word of each text, or the next symbol; "" where the text ends."""
        return [self.complete(text, 1)[0][0] for text in inputs]

    def next_probabilities(self, text: str = "") -> dict[str, float]:
        """P of every unit that may come next, likeliest first; "" is the end of the text, where ends were learnt."""
        return dict(self.complete(text, len(self.vocabulary), single=True))

    def continuation(self, prompt: str = "", length: int = 500, **how: Any) -> str:
        """The whole of what `generate` yields."""
        pieces: Iterator[str] = self.generate(prompt, length, **how)
        return "".join(pieces)

    def nats(self, ids: Ids, lengths: Ids, run_ups: Ids) -> npt.NDArray[np.float64]:
        """Cost (B,) of rows (B, T), without their first `run_ups` steps, read in windows with the state carried on."""
        state: State | None = None
        total = np.zeros(len(ids))
        ends = lengths - 1
        for start in range(0, ids.shape[1] - 1, WINDOW):
            targets = ids[:, start + 1 : start + 1 + WINDOW]
            inputs = ids[:, start : start + targets.shape[1]]
            steps = np.arange(inputs.shape[1])
            left = np.clip(ends - start, 0, inputs.shape[1])
            outputs, state = self.network.recurrent(self.network.embedding(inputs), state, left)
            counted = (steps >= (run_ups - start)[:, None]) & (steps < left[:, None])
            logs = log_softmax(self.network.logits(outputs[counted]).astype(np.float64))
            costs = np.zeros(targets.shape)
            costs[counted] = -logs[np.arange(len(logs)), targets[counted]]
            total += costs.sum(1)
        return total

    def _read(self, prompt: str) -> tuple[npt.NDArray[np.float64], State]:
        ids = np.concatenate([[self.start], self.vocabulary.encode(prompt)])
        state: State | None = None
        for part in np.split(ids, range(WINDOW, len(ids), WINDOW)):
            outputs, state = self.network.recurrent(self.network.embedding(part[None]), state)
        if state is None:
            raise TypeError("a prompt begins with the start unit")
        return self.network.logits(outputs[:, -1]).astype(np.float64), state

    def rows(self, places: Sequence[tuple[State, int]]) -> State:
        """One state of these rows of several states."""
        one = [
            [[[part[row : row + 1] for part in parts] for parts in layer] for layer in state] for state, row in places
        ]
        return tuple(
            tuple(tuple(map(np.concatenate, zip(*parts, strict=True))) for parts in zip(*layers, strict=True))
            for layers in zip(*one, strict=True)
        )

    def step(self, ids: Ids, state: State | None) -> tuple[npt.NDArray[np.float64], State]:
        """One unit a row, ids (N,): logits (N, V) and the state."""
        outputs, state = self.network.recurrent.step(self.network.embedding(ids), state)
        return self.network.logits(outputs).astype(np.float64), state

    def _advance(self, ids: Ids, rows: Ids, state: State) -> tuple[npt.NDArray[np.float64], State]:
        logits, state = self.step(ids, take_rows(state, rows))
        return log_softmax(logits), state

    def stream(self, state: bytes | None = None, **choices: Any) -> LanguageStream:
        """A text while it is written; `next` is how many of the likeliest next units an answer lists (5)."""
        found = Model.stream(self, state, **choices)
        if not isinstance(found, LanguageStream):
            raise TypeError("a language model has a stream of text")
        return found

    def _stream(self, choices: Mapping[str, Any]) -> LanguageStream:
        picked = chosen(LanguageChoices, choices)
        units = Units(self.vocabulary, self.start, self.border, self.ends)
        return LanguageStream(self.origin(asdict(picked)), units, self.unit_network(), picked)

    def unit_network(self) -> UnitNetwork:
        """The network under a stream: `read(ids)` -> logits (T, V)."""
        return UnitNetwork(self.network)


class UnitNetwork(StreamNetwork[RuntimeLayers]):
    """Ids (T,) -> logits (T, V); a single id goes through kernels that are bound to this stream's memory."""

    def __init__(self, network: Network) -> None:
        super().__init__(lambda ids, _: network.embedding(ids), RuntimeLayers(network.recurrent, network.logits))
        self.logits = network.logits
        self.layers.stepper.bind(network.embedding.weight, network.products)

    def read(self, steps: Ids) -> Array:
        if len(steps) != 1:
            return super().read(steps)
        self.count += 1
        return self.logits(self.layers.stepper.row(steps.item()))[None]
