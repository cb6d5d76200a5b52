"""What the tasks with one answer a sequence share: reading, the network, batches, and the vector of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.data import (
    LengthBatches,
    Scaler,
    Vocabulary,
    build_vocabulary,
    load_vectors,
    pad_ids,
    pad_numbers,
    split_rows,
)
from unrolled.data.large.rows import LargeRows, lengths_of
from unrolled.errors import ArgumentError
from unrolled.layers import Pooling
from unrolled.models import Embedding, SequenceNetwork
from unrolled.tasks.events import Note
from unrolled.tasks.model import Parts, TaskModel, digest, epochs_for
from unrolled.tasks.network import NetworkPlan, program_of, regularisation_of
from unrolled.tasks.options import Common, NetworkOptions, SequenceOptions
from unrolled.tasks.sequence_inputs import Inputs, encoded
from unrolled.train import BatchSource

WHOLE = ("word", "subword", "symbol")
# Vectors of size 1, as torch starts them, make the first states of a trained-from-scratch network saturate.
_EMBEDDING_SCALE = 0.1


@dataclass(frozen=True)
class Examples:
    """Sequences, texts or arrays (T, F), and what is to be learnt of each.

    `layout` is how their file was read, where a task must remember it.
    """

    inputs: Inputs
    targets: Sequence[Any]
    groups: Sequence[Hashable] | None = None
    layout: Any = None

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: npt.NDArray[np.int64]) -> Examples:
        """The examples in these rows."""
        groups = None if self.groups is None else [self.groups[i] for i in rows]
        inputs = self.inputs
        inputs = inputs.take(rows) if isinstance(inputs, LargeRows) else [inputs[i] for i in rows]
        return Examples(inputs, [self.targets[i] for i in rows], groups, self.layout)


class Batch(NamedTuple):
    """inputs (B, T) ids or (B, T, F) numbers, lengths (B,), targets (B,) or (B, K)."""

    inputs: Tensor
    lengths: Tensor
    targets: Tensor


# A row (T, F) as it is learnt from in one epoch, by chance.
Change = Callable[[npt.NDArray[Any], np.random.Generator], npt.NDArray[Any]]


@dataclass(frozen=True)
class Batches:
    """Batches as tensors; `change` makes another of each row in each epoch."""

    order: LengthBatches
    inputs: Sequence[npt.NDArray[Any]]
    targets: npt.NDArray[Any]
    change: Change | None = None

    def __len__(self) -> int:
        return len(self.order)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        for rows in self.order.epoch(number, start):
            yield self.batch(rows, number)

    def batch(self, rows: npt.NDArray[np.int64], epoch: int = 0) -> Batch:
        """These rows, padded."""
        found = [self._row(int(row), epoch) for row in rows]
        inputs, lengths = padded(found)
        return Batch(inputs, lengths, torch.from_numpy(self.targets[rows]))

    def _row(self, row: int, epoch: int) -> npt.NDArray[Any]:
        if self.change is None:
            return self.inputs[row]
        # By seed, epoch and row alone, so that a resumed run sees the same.
        return self.change(self.inputs[row], np.random.default_rng((self.order.seed, epoch, row)))


class SequenceTask(TaskModel[Examples]):
    """One answer for a sequence of text units or of numbers; text has a vocabulary, numbers have a scaler."""

    module: SequenceNetwork

    def __init__(self, plan: NetworkPlan, vocabulary: Vocabulary | None, scaler: Scaler | None) -> None:
        embed = None
        if plan.vocabulary is not None:
            vectors = _EMBEDDING_SCALE * torch.randn(plan.vocabulary, plan.inputs)
            embed = Embedding(
                plan.vocabulary,
                plan.inputs,
                vectors=vectors,
                trainable=not plan.frozen_embedding,
                word_dropout=plan.word_dropout,
                positions=plan.positions,
            )
        recurrent = plan.recurrent()
        pooling = Pooling(plan.pooling or "last", recurrent.output_size, bidirectional=plan.bidirectional)
        network = SequenceNetwork(embed, recurrent, pooling, plan.outputs, plan.dropout, front=plan.front())
        super().__init__(plan, vocabulary, network)
        self.scaler = scaler

    def use_vectors(self, vectors: npt.NDArray[np.float32] | None) -> None:
        """Start the embedding from pretrained vectors (V, E); rows of zeros, the unknown ones, keep their start."""
        if vectors is not None and isinstance(self.module.embed, Embedding):
            known = torch.from_numpy(vectors.any(1))
            with torch.no_grad():
                self.module.embed.weight[known] = torch.from_numpy(vectors)[known]

    def encode(self, inputs: Inputs) -> Sequence[npt.NDArray[Any]]:
        """Texts to ids (T,), arrays to scaled numbers (T, F). Raises ArgumentError where the kind is another."""
        if isinstance(inputs, LargeRows) and self.vocabulary is not None:
            return inputs.under(self.vocabulary)
        return encoded(inputs, self.vocabulary, self.scaler, self.plan.inputs)

    @torch.no_grad()
    def outputs(self, inputs: Inputs, *, pooled: bool = False) -> npt.NDArray[np.float32]:
        """The network's answers (N, outputs), or the vectors (N, E) that they are made of, in the order of `inputs`."""
        self.module.eval()
        encoded = self.encode(inputs)
        width = self.module.pooling.size if pooled else self.plan.outputs
        answers = np.empty((len(encoded), width), dtype=np.float32)
        if len(encoded):
            for rows in LengthBatches(lengths_of(encoded), 128, 0, shuffle=False).epoch(0):
                x, lengths = padded([encoded[i] for i in rows])
                x, lengths = x.to(self.device), lengths.to(self.device)
                found = self.module.encode(x, lengths) if pooled else self.module(x, lengths)
                answers[rows] = found.float().cpu().numpy()
        return answers

    def embed(self, inputs: Inputs) -> npt.NDArray[np.float32]:
        """The vector (N, E) that stands for each sequence, before the output layer."""
        return self.outputs(inputs, pooled=True)

    def epochs(self, steps: int) -> int:
        # Words are learnt by heart sooner than characters.
        if self.vocabulary is not None and self.vocabulary.units in WHOLE:
            return epochs_for(600, steps, fewest=4)
        return epochs_for(3000, steps, fewest=6)

    def batches(
        self,
        examples: Examples,
        targets: npt.NDArray[Any],
        options: SequenceOptions,
        seed: int,
        change: Change | None = None,
    ) -> BatchSource:
        """Training batches of `examples` with these targets (N,) or (N, K)."""
        encoded = self.encode(examples.inputs)
        order = LengthBatches(lengths_of(encoded), options.batch_size, seed)
        return Batches(order, encoded, targets, change)

    def keys(self, examples: Examples) -> list[Hashable]:
        if isinstance(examples.inputs, LargeRows):
            return list(examples.inputs.keys())
        return [row if isinstance(row, str) else (row.shape, row.tobytes()) for row in examples.inputs]

    def fingerprint(self, examples: Examples) -> str:
        if isinstance(examples.inputs, LargeRows):
            return digest([examples.inputs.fingerprint, *examples.targets])
        return digest([*self.keys(examples), *map(str, examples.targets)])

    def input_schema(self) -> dict[str, Any]:
        """The part of the schema that says how inputs are read."""
        return {"scaler": None if self.scaler is None else self.scaler.to_json()}


def padded(rows: Sequence[npt.NDArray[Any]]) -> tuple[Tensor, Tensor]:
    """Rows of ids (T,) or of numbers (T, F) as one tensor (B, T) or (B, T, F), and their lengths (B,)."""
    array, lengths = pad_ids(rows) if rows[0].ndim == 1 else pad_numbers(rows)
    return torch.from_numpy(array), torch.from_numpy(lengths)


def text_vocabulary(texts: Inputs, options: SequenceOptions) -> Vocabulary:
    """The vocabulary of the training texts."""
    if isinstance(texts, LargeRows):
        return texts.vocabulary(size=options.vocabulary_size, minimum=options.minimum)
    lowercase = options.lowercase if options.lowercase is not None else options.units == "word"
    return build_vocabulary(
        options.units, texts, size=options.vocabulary_size, minimum=options.minimum, lowercase=lowercase
    )


def settled(options: SequenceOptions, vocabulary: Vocabulary | None) -> SequenceOptions:
    """The same with the rates that depend on the units: a word can be spared more easily than a character."""
    units = None if vocabulary is None else vocabulary.units
    rate = 0.0 if units is None else 0.5 if units in WHOLE else 0.1
    return replace(
        options,
        input_dropout=rate if options.input_dropout is None else options.input_dropout,
        word_dropout=0.1 * (units in WHOLE) if options.word_dropout is None or units is None else options.word_dropout,
    )


def part_off(
    examples: Examples, options: NetworkOptions, common: Common, labels: Sequence[Hashable] | None
) -> Parts[Examples]:
    """Hold `options.validation` of the rows out, by label in proportion, and never a group in two parts."""
    share = options.validation
    if share == 0:
        return Parts(examples, how="none")
    train, held = split_rows(len(examples), share, common.seed, groups=examples.groups, labels=labels)
    by = "" if examples.groups is None else f", no {common.group} in both parts"
    return Parts(examples.take(train), examples.take(held), how=f"{share:.0%} of the training rows held out{by}")


@dataclass(frozen=True)
class Made:
    """What a fresh network for sequences is made of."""

    plan: NetworkPlan
    vocabulary: Vocabulary | None
    scaler: Scaler | None
    vectors: npt.NDArray[np.float32] | None
    notes: list[Note]


def make(inputs: Inputs, options: SequenceOptions, outputs: int, start: TaskModel[Any] | None) -> Made:
    """Vocabulary or scaler from the training inputs, and the plan of the network."""
    notes: list[Note] = []
    vocabulary, scaler, vectors = None, None, None
    if start is not None and options.vectors is not None:
        raise ArgumentError("vectors and from exclude each other, because both say how the embedding starts; give one")
    text = isinstance(inputs, LargeRows) or isinstance(inputs[0], str)
    if start is not None and text == (start.vocabulary is None):
        given, wanted = ("text", "numbers") if text else ("numbers", "text")
        raise ArgumentError(f"the data is {given} and the run named by from reads {wanted}; leave from out")
    if text:
        vocabulary = start.vocabulary if start is not None else None
        if vocabulary is None:
            vocabulary = text_vocabulary(inputs, options)
        if options.vectors is not None:
            vectors, found = load_vectors(options.vectors, vocabulary.tokens)
            notes.append(Note(f"{found:,} of {len(vocabulary):,} units have a vector in {options.vectors}"))
        width = options.embedding if vectors is None else vectors.shape[1]
    else:
        scaler = Scaler.fit(inputs)
        width = len(scaler.mean)
    options = settled(options, vocabulary)
    plan = NetworkPlan(
        program=program_of(options),
        inputs=width,
        hidden=options.hidden,
        layers=options.layers,
        outputs=outputs,
        vocabulary=None if vocabulary is None else len(vocabulary),
        chrono=options.chrono,
        bidirectional=options.bidirectional,
        pooling=options.pooling,
        dropout=options.dropout,
        word_dropout=options.word_dropout or 0.0,
        frozen_embedding=options.freeze_vectors and vectors is not None,
        convolutions=options.convolutions or None,
        kernel=options.kernel,
        stride=options.stride,
        regularisation=regularisation_of(options),
    )
    if start is not None:
        like = start.plan
        plan = replace(
            plan, program=like.program, inputs=like.inputs, hidden=like.hidden, layers=like.layers,
            bidirectional=like.bidirectional, convolutions=like.convolutions, kernel=like.kernel, stride=like.stride,
        )  # fmt: skip
    return Made(plan, vocabulary, scaler, vectors, notes)
