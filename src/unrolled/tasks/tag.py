"""Tagging: a label at every step of a sequence of words, numbers or frames (many to many, aligned)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.data import LengthBatches, Vocabulary, build_vocabulary, load_vectors, vocabulary_of_words
from unrolled.data.steps import CLOCK
from unrolled.errors import ArgumentError
from unrolled.models import TagNetwork, WordEncoder
from unrolled.models.tagger import IGNORED
from unrolled.streams.running import Running
from unrolled.tasks.events import Note
from unrolled.tasks.film_input import FilmInput
from unrolled.tasks.model import Parts, TaskModel, digest, epochs_for
from unrolled.tasks.network import NetworkPlan, program_of, regularisation_of
from unrolled.tasks.options import Common, TagOptions
from unrolled.tasks.schemas import tag_schema
from unrolled.tasks.step_inputs import NumberInput, StepInput, WordInput
from unrolled.tasks.tag_parts import Label, Layout, TagExamples, read_examples, read_parts, similar
from unrolled.train import BatchSource, Carry, LossOutput, accuracy, macro_f1
from unrolled.train.spans import is_span_label, per_class, span_f1

# Steps that are read at once in evaluation.
_AT_ONCE = 16384
_FEWEST_BATCHES = 8
# Steps from which on the mean of a sequence says little about its labels.
_LONG = 100


class TagBatch(NamedTuple):
    """Inputs as the encoder takes them, lengths (B,), labels (B, T)."""

    inputs: Any
    lengths: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Windows:
    """Batches of pieces of at most `window` steps; long sequences are cut anew in every epoch, a little shifted."""

    reader: StepInput
    sequences: Sequence[Any]
    labels: Sequence[npt.NDArray[np.int64]]
    order: LengthBatches
    pieces: npt.NDArray[np.int64]
    """(P, 3): sequence, usual first step, number of steps."""
    seed: int

    @classmethod
    def of(cls, reader: StepInput, sequences: Sequence[Any], labels: Any, options: TagOptions, seed: int) -> Windows:
        """Pieces that cover every sequence."""
        pieces = []
        window = options.window if options.window is not None else min(256, reader.limit)
        for place, sequence in enumerate(sequences):
            count = -(-len(sequence) // window)
            size = min(window, len(sequence))
            starts = np.linspace(0, len(sequence) - size, count).round()
            pieces += [(place, int(start), size) for start in starts]
        table = np.array(pieces, dtype=np.int64)
        # A few long sequences would otherwise be a single batch, and an epoch a single step.
        size = max(1, min(options.batch_size, len(pieces) // _FEWEST_BATCHES, reader.batch_steps // window))
        return cls(reader, sequences, labels, LengthBatches(table[:, 2], size, seed), table, seed)

    def __len__(self) -> int:
        return len(self.order)

    def epoch(self, number: int, start: int = 0) -> Iterator[TagBatch]:
        shifts = np.random.default_rng((self.seed, number, 7)).uniform(-0.5, 0.5, len(self.pieces))
        for rows in self.order.epoch(number, start):
            yield self.batch(rows, shifts)

    def batch(self, rows: npt.NDArray[np.int64], shifts: npt.NDArray[np.float64]) -> TagBatch:
        """These pieces, each moved by a share of its length as far as its sequence reaches."""
        inputs, labels = [], []
        for row in rows:
            place, first, size = self.pieces[row].tolist()
            first = min(max(first + round(shifts[row] * size), 0), len(self.sequences[place]) - size)
            inputs.append(self.sequences[place][first : first + size])
            labels.append(self.labels[place][first : first + size])
        lengths = torch.tensor([len(row) for row in labels])
        return TagBatch(self.reader.collate(inputs), lengths, _padded_labels(labels))


class TagTask(TaskModel[TagExamples]):
    """p(y_t | x_1 ... x_T) = softmax(V h_t + b) at every step t; causal: p(y_t | x_1 ... x_t)."""

    task: ClassVar[str] = "tag"
    metric: ClassVar[str] = "accuracy"
    unit: ClassVar[str] = "steps"
    overfits: ClassVar[bool] = True

    module: TagNetwork

    def __init__(
        self, plan: NetworkPlan, reader: StepInput, layout: Layout, *, classes: Sequence[Label], crf: bool
    ) -> None:
        encoder, width = reader.encoder(plan)
        recurrent = replace(plan, inputs=width).recurrent()
        module = TagNetwork(encoder, recurrent, plan.outputs, dropout=plan.dropout, crf=crf)
        super().__init__(plan, reader.words if isinstance(reader, WordInput) else None, module)
        self.reader = reader
        self.layout = layout
        self.classes = list(classes)
        self.spans = is_span_label(self.classes)
        self._number = {name: place for place, name in enumerate(self.classes)}

    @classmethod
    def read(cls, path: Path, options: TagOptions, common: Common) -> Parts[TagExamples]:
        check_options(options)
        return read_parts(path, options, common)

    @classmethod
    def build(cls, parts: Parts[TagExamples], options: TagOptions, start: TaskModel[Any] | None = None) -> Self:
        check_options(options)
        if start is not None and not isinstance(start, TagTask):
            raise ArgumentError(f"the run named by from is of the task {start.task}; give a run of the task tag")
        examples = parts.train
        classes = sorted({name for row in examples.targets for name in row})
        if len(classes) < 2:
            raise ArgumentError(f"every step has the label {classes[0]!r}; a tagger needs at least two labels")
        reader = start.reader if start is not None else learn_input(examples, options)
        if reader.kind != examples.layout.kind:
            raise ArgumentError(
                f"the data is {examples.layout.kind} and the run named by from reads {reader.kind}; leave from out"
            )
        vectors, notes = None, []
        if options.vectors is not None and isinstance(reader, WordInput):
            vectors, found = load_vectors(options.vectors, reader.words.tokens)
            notes.append(Note(f"{found:,} of {len(reader.words):,} words have a vector in {options.vectors}"))
        plan = _plan(reader, options, len(classes), None if vectors is None else vectors.shape[1])
        if start is not None:
            like = start.plan
            plan = replace(plan, program=like.program, inputs=like.inputs, hidden=like.hidden, layers=like.layers,
                           bidirectional=like.bidirectional)  # fmt: skip
        model = cls(plan, reader, examples.layout, classes=classes, crf=options.crf)
        encoder = model.module.encoder
        if vectors is not None and isinstance(encoder, WordEncoder):
            known = torch.from_numpy(vectors.any(1))
            with torch.no_grad():
                encoder.words.weight[known] = torch.from_numpy(vectors)[known]
        model.notes = notes
        return model

    @classmethod
    def restore(cls, plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None) -> Self:
        found = tag_schema(plan, schema, vocabulary)
        return cls(plan, found.reader, found.layout, classes=found.classes, crf=found.crf)

    def schema(self) -> dict[str, Any]:
        return {
            "classes": self.classes,
            "crf": self.module.crf is not None,
            "layout": self.layout.to_json(),
            "input": self.reader.to_json(),
        }

    @property
    def causal(self) -> bool:
        """Whether the answer at a step depends on nothing after it."""
        return not self.plan.bidirectional and self.module.crf is None

    def numbers(self, labels: Sequence[Label]) -> npt.NDArray[np.int64]:
        """Class numbers (T,), -100 for a label that the training part did not have."""
        return np.array([self._number.get(name, IGNORED) for name in labels], dtype=np.int64)

    def source(self, examples: TagExamples, options: TagOptions, seed: int) -> BatchSource:
        labels = [self.numbers(row) for row in examples.targets]
        return Windows.of(self.reader, self.reader.prepare_all(examples.inputs), labels, options, seed)

    def loss(self, batch: TagBatch, carry: Carry) -> LossOutput:
        lengths = batch.lengths.to(self.device)
        scores = self.module(_moved(batch.inputs, self.device), lengths)
        return LossOutput(self.module.loss(scores, batch.labels.to(self.device), lengths), int(batch.lengths.sum()))

    def measure(self, examples: TagExamples) -> dict[str, float]:
        truth = [self.numbers(row) for row in examples.targets]
        loss, decided = self._measured(examples, truth)
        flat = np.concatenate(truth), np.concatenate(decided)
        found = {"loss": loss, "accuracy": accuracy(*flat), "macro_f1": macro_f1(*flat)}
        if self.spans:
            found["span_f1"] = span_f1([list(map(str, row)) for row in examples.targets], self._named(decided))
        return found

    @torch.no_grad()
    def _measured(
        self, examples: TagExamples, truth: Sequence[npt.NDArray[np.int64]]
    ) -> tuple[float, list[npt.NDArray[np.int64]]]:
        """Loss a step, and the answers (T,) for each sequence."""
        decided: list[npt.NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)] * len(examples)
        loss = steps = 0.0
        for rows, scores, lengths in self._scores(examples.inputs):
            labels = _padded_labels([truth[i] for i in rows]).to(self.device)
            loss += float(self.module.loss(scores, labels, lengths)) * float(lengths.sum())
            steps += float(lengths.sum())
            for i, row in zip(rows, self.module.decide(scores, lengths).cpu().numpy(), strict=True):
                decided[i] = row[: len(truth[i])]
        return loss / steps, decided

    @torch.no_grad()
    def _scores(self, inputs: Sequence[Any]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Places, scores (B, T, K) and lengths (B,) of all sequences, those of similar length together."""
        self.module.eval()
        prepared = self.reader.prepare_all(inputs)
        for rows in similar([len(sequence) for sequence in prepared], min(_AT_ONCE, self.reader.batch_steps)):
            lengths = torch.tensor([len(prepared[i]) for i in rows], device=self.device)
            if len(rows) == 1:
                features = self.encoded(prepared[rows[0]])
            else:
                features = self.module.encode(_moved(self.reader.collate([prepared[i] for i in rows]), self.device))
            yield rows, self.module.read(features, lengths), lengths

    def encoded(self, sequence: Any) -> Tensor:
        """Features (1, T, F) of one prepared sequence, encoded in parts where it is long."""
        size = self.reader.limit
        parts = (sequence[at : at + size] for at in range(0, len(sequence), size))
        return torch.cat([self.module.encode(_moved(self.reader.collate([part]), self.device)) for part in parts], 1)

    def read_part(self, path: Path) -> TagExamples:
        return read_examples(path, self.layout)

    def keys(self, examples: TagExamples) -> list[Hashable]:
        return [self.reader.key(sequence) for sequence in examples.inputs]

    def fingerprint(self, examples: TagExamples) -> str:
        return digest([*self.keys(examples), *map(str, examples.targets)])

    def epochs(self, steps: int) -> int:
        # Long recordings of numbers are few and soon known by heart.
        return epochs_for(1000 if self.reader.kind == NumberInput.kind else 3000, steps, fewest=10)

    def count(self, examples: TagExamples) -> int:
        return sum(len(row) for row in examples.targets)

    def activations(self, batch: TagBatch) -> int:
        steps = batch.labels.numel()
        a_step = (len(self.plan.program.gates) + len(self.plan.program.state) + 2) * self.plan.hidden
        return steps * (self.plan.inputs + (1 + self.plan.bidirectional) * self.plan.layers * a_step)

    def evaluate(self, path: Path) -> dict[str, Any]:
        """Metrics on a file; `per_class` has precision, recall, F1 and count of each label."""
        examples = self.read_part(path)
        truth = [self.numbers(row) for row in examples.targets]
        _, decided = self._measured(examples, truth)
        table = per_class(np.concatenate(truth), np.concatenate(decided), len(self.classes))
        by_name = {str(name): row for name, row in zip(self.classes, table, strict=True)}
        found: dict[str, Any] = {**self.measure(examples), "classes": self.classes, "per_class": by_name}
        unknown = sum(int((row == IGNORED).sum()) for row in truth)
        return found | ({"unknown_labels": unknown} if unknown else {})

    def predict(self, inputs: Sequence[Any]) -> list[list[Label]]:
        """The label of every step of each sequence."""
        return [[self.classes[k] for k in row] for row in self._decided(inputs)]

    @torch.no_grad()
    def _decided(self, inputs: Sequence[Any]) -> list[list[int]]:
        found: list[list[int]] = [[]] * len(inputs)
        for rows, scores, lengths in self._scores(inputs):
            for i, row in zip(rows, self.module.decide(scores, lengths).tolist(), strict=True):
                found[i] = row[: len(inputs[i])]
        return found

    @torch.no_grad()
    def probabilities(self, inputs: Sequence[Any]) -> list[npt.NDArray[np.float64]]:
        """p(label) at every step, (T, K), of each sequence."""
        found: list[npt.NDArray[np.float64]] = [np.zeros((0, len(self.classes)))] * len(inputs)
        for rows, scores, lengths in self._scores(inputs):
            for i, row in zip(rows, self.module.probabilities(scores.double(), lengths).cpu().numpy(), strict=True):
                found[i] = row[: len(inputs[i])]
        return found

    @torch.no_grad()
    def answer(self, sequence: Any) -> tuple[list[Label], npt.NDArray[np.float64]]:
        """The label and p(label) (T, K) of every step of one sequence."""
        ((_, scores, lengths),) = self._scores([sequence])
        labels = [self.classes[k] for k in self.module.decide(scores, lengths)[0].tolist()]
        return labels, self.module.probabilities(scores.double(), lengths)[0].cpu().numpy()

    def _named(self, decided: Sequence[npt.NDArray[np.int64]]) -> list[list[str]]:
        return [[str(self.classes[k]) for k in row] for row in decided]

    def _stream(self, choices: Mapping[str, Any]) -> Running:
        from unrolled.tasks.streams.tagging import tag_stream

        return tag_stream(self, choices)


def check_options(options: TagOptions) -> None:
    """ArgumentError where options exclude each other."""
    if options.causal and options.crf:
        raise ArgumentError(
            "causal and crf exclude each other, because the likeliest sequence of labels depends on later steps; "
            "leave one out"
        )
    if options.scaling not in ("auto", "training", "itself"):
        raise ArgumentError(f"scaling={options.scaling!r} is not known; give auto, training or itself")
    if options.causal and options.scaling == "itself":
        raise ArgumentError(
            "causal excludes scaling a sequence by itself, because its mean depends on later steps; leave one out"
        )


def by_itself(examples: TagExamples, options: TagOptions) -> bool:
    """Whether each sequence of numbers is scaled by itself: several long recordings differ in their levels."""
    if options.scaling != "auto":
        return options.scaling == "itself"
    lengths = sorted(len(sequence) for sequence in examples.inputs)
    return not options.causal and len(lengths) > 1 and lengths[len(lengths) // 2] >= _LONG


def learn_input(examples: TagExamples, options: TagOptions) -> StepInput:
    """How the steps are read, learnt on the training part."""
    if examples.layout.kind == "frames":
        return FilmInput(examples.layout.rate, examples.layout.size)
    if examples.layout.kind == "numbers":
        clock = 0 if examples.layout.clock is None else len(CLOCK)
        own = by_itself(examples, options)
        return NumberInput.fit(
            examples.inputs, differences=options.differences, clock=clock, drift=options.drift, own=own
        )
    size, minimum = options.vocabulary_size, options.minimum
    words = vocabulary_of_words(examples.inputs, size=size, minimum=minimum, lowercase=True)
    spellings = ["".join(words) for words in examples.inputs]
    characters = build_vocabulary("char", spellings, minimum=min(minimum, 2))
    return WordInput(words, characters, options.characters)  # type: ignore[arg-type]  # "char" makes no other


def _plan(reader: StepInput, options: TagOptions, outputs: int, vector: int | None) -> NetworkPlan:
    """The network's sizes."""
    text = isinstance(reader, WordInput)
    rate = options.input_dropout if options.input_dropout is not None else 0.5 * text
    return NetworkPlan(
        program=program_of(options),
        inputs=reader.width if isinstance(reader, NumberInput) else vector or options.embedding,
        hidden=options.hidden,
        layers=options.layers,
        outputs=outputs,
        vocabulary=len(reader.words) if isinstance(reader, WordInput) else None,
        chrono=options.chrono,
        bidirectional=options.bidirectional and not options.causal,
        dropout=options.dropout,
        word_dropout=options.word_dropout if text else 0.0,
        frozen_embedding=options.freeze_vectors and vector is not None,
        regularisation=regularisation_of(replace(options, input_dropout=rate)),
    )


def _padded_labels(rows: Sequence[npt.NDArray[np.int64]]) -> Tensor:
    """(B, T), filled up with the number of a label that counts for nothing."""
    padded = np.full((len(rows), max(map(len, rows))), IGNORED, dtype=np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return torch.from_numpy(padded)


def _moved(inputs: Any, device: torch.device) -> Any:
    """A tensor, or a named tuple of them, on the device."""
    return inputs.to(device) if isinstance(inputs, Tensor) else type(inputs)(*(part.to(device) for part in inputs))
