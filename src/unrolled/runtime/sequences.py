"""One answer for a sequence of text or of numbers; what classifying and regression share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data import LengthBatches, pad_ids, pad_numbers
from unrolled.data.arrays import Exact, Numbers
from unrolled.errors import ArgumentError
from unrolled.runtime.front import Convolutions, front_stream
from unrolled.runtime.model import Model, Run
from unrolled.runtime.parts import Embedding, Linear, Pooling
from unrolled.runtime.stream import RuntimeLayers
from unrolled.runtime.weights import Array
from unrolled.streams.network import StreamNetwork
from unrolled.streams.pooling import Pool
from unrolled.streams.protocol import Answer, Input
from unrolled.streams.running import Running
from unrolled.streams.verdict import Verdict
from unrolled.tasks.sequence_inputs import Inputs

_ROWS = 128


class Network:
    """Embedding -> convolutions -> recurrent layers -> pooling -> outputs; see `models.SequenceNetwork`."""

    def __init__(self, run: Run) -> None:
        plan, weights = run.plan, run.weights
        self.embed = None
        if plan.vocabulary is not None:
            self.embed = Embedding(plan.vocabulary, plan.inputs, weights.under("embed"), plan.positions)
        self.front = None
        if plan.convolutions is not None:
            sizes = (plan.inputs, plan.hidden, plan.convolutions, plan.kernel, plan.stride)
            self.front = Convolutions(*sizes, weights.under("front"))
        self.recurrent = run.recurrent()
        self.pooling = Pooling(
            plan.pooling or "last",
            self.recurrent.output_size,
            weights.under("pooling"),
            bidirectional=plan.bidirectional,
        )
        self.output = Linear(self.recurrent.output_size, plan.outputs, weights.under("output"))

    def encode(self, x: npt.NDArray[Any], lengths: npt.NDArray[np.int64]) -> Array:
        """The vector (B, E) that stands for each sequence, ids (B, T) or numbers (B, T, F)."""
        features = x if self.embed is None else self.embed(x)
        if self.front is not None:
            features, lengths = self.front(features, lengths)
        return self.pooling(self.recurrent(features, lengths=lengths)[0], lengths)


class Sequences(Model):
    """The network's answers for whole sequences, and while one is arriving."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.network = Network(run)

    @abstractmethod
    def encode(self, inputs: Inputs) -> list[npt.NDArray[Any]]:
        """Texts to ids (T,), arrays to the numbers (T, F) that the network reads. Raises ArgumentError."""

    def outputs(self, inputs: Inputs, *, pooled: bool = False) -> Array:
        """The network's answers (N, outputs), or the vectors (N, E) that they are made of, in the order of `inputs`."""
        rows, network = self.encode(inputs), self.network
        width = network.pooling.size if pooled else self.plan.outputs
        answers = np.empty((len(rows), width), np.float32)
        if rows:
            for some in LengthBatches([len(row) for row in rows], _ROWS, 0, shuffle=False).epoch(0):
                batch = [rows[k] for k in some]
                vectors = network.encode(*(pad_ids(batch) if batch[0].ndim == 1 else pad_numbers(batch)))
                answers[some] = vectors if pooled else network.output(vectors)
        return answers

    def embed(self, inputs: Inputs) -> Array:
        """The vector (N, E) that stands for each sequence, before the output layer."""
        return self.outputs(inputs, pooled=True)

    def verdicts(self, source: Input, said: Callable[[Exact], Answer]) -> Running:
        """A stream of answers for what was read so far; ArgumentError where the run reads in both directions."""
        if self.plan.bidirectional:
            raise ArgumentError(
                "this run reads in both directions, so it needs the whole input; train it with --no-bidirectional for "
                "streams"
            )
        network = self.network
        embed, pooling = network.embed, network.pooling

        def features(steps: Any, before: int) -> Numbers:
            x = np.asarray(steps)
            found: Numbers = x if embed is None else embed(x[None], before)[0]
            return found

        def head(vector: Numbers) -> Exact:
            return network.output(vector).astype(np.float64)

        pool = Pool(pooling.kind, pooling.size, pooling.scores if pooling.kind == "attention" else None)
        front = None if network.front is None else front_stream(network.front)
        reads = StreamNetwork(features, RuntimeLayers(network.recurrent), front)
        return Running(self.origin(), source, reads, Verdict(pool, head, said))
