"""Transcription of unsegmented input: speech, pen strokes, pictures of lines (many to fewer, not aligned; CTC)."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.data import LengthBatches, Scaler, Vocabulary, build_vocabulary, pad_ids
from unrolled.data.arrays import Numbers
from unrolled.data.problems import Problems
from unrolled.data.recordings import Recordings, read_recordings, read_samples
from unrolled.data.signals import Choice, Signal
from unrolled.decode.ctc import Span, align, steps_needed
from unrolled.errors import ArgumentError, RunError
from unrolled.models.transcription import TranscriptionNetwork, ctc_cost
from unrolled.streams.running import Running
from unrolled.tasks.clips import (
    STEPS_AT_ONCE,
    ClipBatch,
    ClipBatches,
    Clips,
    at_once,
    fitting_reduction,
    typical,
    usable,
)
from unrolled.tasks.events import Note
from unrolled.tasks.model import Conclusion, Parts, TaskModel, digest, epochs_for
from unrolled.tasks.network import NetworkPlan, program_of, regularisation_of
from unrolled.tasks.options import Common, TranscribeOptions
from unrolled.tasks.schemas import MOST_JOINED, transcribe_schema
from unrolled.tasks.search import GREEDY, Search
from unrolled.tasks.sequence_inputs import group_column
from unrolled.tasks.sequences import padded, part_off
from unrolled.train import BatchSource, Carry, LossOutput
from unrolled.train.edits import character_error_rate, word_error_rate

Logs = npt.NDArray[np.float32]
_LOOKED_AT, _HARDLY_SPELT = 50, 0.9
_SILENCE = (
    "it hardly spells yet: with CTC a network first learns to put out nothing, and the letters come later; "
    "give it more time (max_time) or epochs"
)


class TranscribeTask(TaskModel[Clips]):
    """p(text | x_1 ... x_T), the sum over all ways to put out its symbols and blanks in time (Graves et al. 2006).

    The blank is the vocabulary's padding, so there is an output for each of its entries.
    """

    task: ClassVar[str] = "transcribe"
    metric: ClassVar[str] = "character_error_rate"
    pace: ClassVar[str] = "symbols"
    module: TranscriptionNetwork
    vocabulary: Vocabulary

    def __init__(
        self,
        plan: NetworkPlan,
        vocabulary: Vocabulary,
        *,
        signal: Signal,
        scaler: Scaler,
        reductions: Sequence[int],
        columns: tuple[str, str | None],
    ) -> None:
        super().__init__(plan, vocabulary, _network(plan, reductions))
        self.signal = signal
        self.scaler = scaler
        self.columns = columns
        self.blank = vocabulary.pad

    @classmethod
    def read(cls, path: Path, options: TranscribeOptions, common: Common) -> Parts[Clips]:
        reductions_of(options, options.reduction or 2)  # a choice that cannot be is refused before files are read
        start = start_of(common)
        problems = Problems(common.skip_bad)
        found = _read(path, options, None if start is None else start.signal, problems)
        clips = _clips(found, group_column(path, common.group, [origin.row for origin in found.origins]))
        files = {"valid": common.valid, "test": common.test}
        others = {
            name: _clips(_read(file, options, found.signal, problems))
            for name, file in files.items()
            if file is not None
        }
        clips, *rest = settle([clips, *others.values()], options, start, problems)
        others = dict(zip(others, rest, strict=True))
        skipped = tuple(problems.found)
        if "valid" in others:
            return Parts(clips, others["valid"], others.get("test"), str(common.valid), skipped=skipped)
        return replace(hold_out(clips, options, common), test=others.get("test"), skipped=skipped)

    @classmethod
    def build(cls, parts: Parts[Clips], options: TranscribeOptions, start: TaskModel[Any] | None = None) -> Self:
        clips, vocabulary = parts.train, parts.train.vocabulary
        if vocabulary is None:
            raise ArgumentError("the clips were not settled; read them with TranscribeTask.read")
        reductions = reductions_of(options, clips.reduction)
        scaler = Scaler.fit([clips.signal.features(sample) for sample in typical(clips.inputs)])
        plan = NetworkPlan(
            program=program_of(options),
            inputs=clips.signal.width,
            hidden=options.hidden,
            layers=options.layers,
            outputs=len(vocabulary),
            chrono=options.chrono,
            bidirectional=not options.causal,
            dropout=options.dropout,
            regularisation=regularisation_of(options),
        )
        if isinstance(start, TranscribeTask):
            like, scaler, reductions = start.plan, start.scaler, start.module.reductions
            plan = replace(
                plan, program=like.program, hidden=like.hidden, layers=like.layers, bidirectional=like.bidirectional
            )
        columns = (options.text, options.inputs)
        model = cls(plan, vocabulary, signal=clips.signal, scaler=scaler, reductions=reductions, columns=columns)
        model.notes.append(Note(model.about()))
        return model

    @classmethod
    def restore(cls, plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None) -> Self:
        vocabulary, found = transcribe_schema(plan, schema, vocabulary)
        return cls(
            plan,
            vocabulary,
            signal=found.signal,
            scaler=found.scaler,
            reductions=found.reductions,
            columns=found.columns,
        )

    def schema(self) -> dict[str, Any]:
        text, inputs = self.columns
        return {
            "signal": self.signal.to_json(),
            "scaler": self.scaler.to_json(),
            "reductions": list(self.module.reductions),
            "text": text,
            "inputs": inputs,
        }

    def about(self) -> str:
        """What is read and what is put out, in words."""
        joined, causal = self.module.reduction, "" if self.plan.bidirectional else ", in one direction"
        steps = f"each {joined} steps become one, " if joined > 1 else ""
        return (
            f"{self.signal.title}: {self.signal.width} features a step, {steps}"
            f"{len(self.vocabulary) - self.vocabulary.first} symbols{causal}"
        )

    def read_part(self, path: Path) -> Clips:
        text, inputs = self.columns
        return _clips(read_recordings(path, self.signal, inputs=inputs, text=text))

    def read_samples(self, path: Path) -> Recordings:
        """What is to be transcribed: a table's rows, with their texts if it has them, or one file. Raises DataError."""
        text, inputs = self.columns
        return read_samples(path, self.signal, inputs=inputs, text=text)

    def keys(self, examples: Clips) -> list[Hashable]:
        # A hash, because the samples themselves may fill half of the memory.
        return [
            (sample.shape, hashlib.sha256(np.ascontiguousarray(sample).data).digest()) for sample in examples.inputs
        ]

    def fingerprint(self, examples: Clips) -> str:
        return digest([*self.keys(examples), *examples.targets])

    def conclude(self, parts: Parts[Clips], run: Path) -> Conclusion:
        part = parts.train if parts.valid is None else parts.valid
        rates = self.rates(part.targets[:_LOOKED_AT], self.transcribe(part.inputs[:_LOOKED_AT]))
        return Conclusion(lines=(_SILENCE,) if rates["character_error_rate"] > _HARDLY_SPELT else ())

    def epochs(self, steps: int) -> int:
        return epochs_for(6000, steps, fewest=20)

    def activations(self, batch: ClipBatch) -> int:
        rows, steps = batch.inputs.shape[0], -(-batch.inputs.shape[1] // self.module.reduction)
        # The loss keeps log p of every place of the target at every step, forward and backward.
        scores = rows * steps * (2 * (2 * batch.targets.shape[1] + 1) + 3 * self.plan.outputs)
        return int(super().activations(batch) // self.module.reductions[0] + scores)

    def source(self, examples: Clips, options: TranscribeOptions, seed: int) -> BatchSource:
        if not options.augment >= 0:
            raise ArgumentError(f"augment={options.augment} must be 0 or more; give another value")
        targets = self.vocabulary.encode_all(examples.targets)
        lengths = [len(sample) for sample in examples.inputs]
        order = LengthBatches(lengths, options.batch_size, seed, steps=STEPS_AT_ONCE)
        return ClipBatches(order, examples, targets, self.scaler, options.augment)

    def loss(self, batch: ClipBatch, carry: Carry) -> LossOutput:
        """-log p(text) in nats for each symbol of it."""
        inputs, lengths, targets, counts = (part.to(self.device) for part in batch)
        logits, steps = self.module(inputs, lengths)
        logits = self.without_unknown(logits)
        total = counts.sum()
        return LossOutput(ctc_cost(logits, steps, targets, counts, self.blank).sum() / total, int(total))

    def measure(self, examples: Clips) -> dict[str, float]:
        """Of the likeliest path; `loss`, in nats a symbol, leaves out texts that no path can spell."""
        logs = self.logs(examples.inputs)
        targets = self.vocabulary.encode_all(examples.targets)
        return {"loss": self._nats(logs, targets), **self.rates(examples.targets, self.read_out(logs))}

    def rates(self, texts: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
        """Error rates of answers; texts are compared as the vocabulary can spell them."""
        if getattr(self.vocabulary, "lowercase", False):
            texts = [text.lower() for text in texts]
        return {
            "character_error_rate": character_error_rate(texts, answers),
            "word_error_rate": word_error_rate(texts, answers),
        }

    def _nats(self, logs: Sequence[Logs], targets: Sequence[npt.NDArray[np.int64]]) -> float:
        both = zip(logs, targets, strict=True)
        spelt = [(one, ids) for one, ids in both if self._can_spell(len(one), ids)]
        total, count = 0.0, 0
        for some in at_once([len(one) for one, _ in spelt], 64, STEPS_AT_ONCE // 8):
            scores, steps = padded([spelt[k][0] for k in some])
            ids, counts = (torch.from_numpy(part) for part in pad_ids([spelt[k][1] for k in some]))
            total += float(ctc_cost(scores, steps, ids, counts, self.blank).double().sum())
            count += int(counts.sum())
        return total / max(1, count)

    def _can_spell(self, steps: int, ids: npt.NDArray[np.int64]) -> bool:
        return steps >= steps_needed(ids) and not self._is_strange(ids)

    def _is_strange(self, ids: npt.NDArray[np.int64]) -> bool:
        return not len(ids) or bool((ids == self.vocabulary.unknown).any())

    def without_unknown(self, logits: Tensor) -> Tensor:
        """Logits (..., V) by which nothing is ever put out as unknown; not infinite, for the gradient's sake."""
        unknown = torch.tensor([self.vocabulary.unknown], device=logits.device)
        return logits.index_fill(-1, unknown, -100.0)

    @torch.no_grad()
    def logs(self, samples: Sequence[Numbers]) -> list[Logs]:
        """The scores log p (U, V) at every step of each sample, in the order of `samples`."""
        self.module.eval()
        found: dict[int, Logs] = {}
        for some in at_once([len(sample) for sample in samples], 32, STEPS_AT_ONCE):
            inputs, lengths = padded([self.scaler.transform(self.signal.features(samples[k])) for k in some])
            logits, steps = self.module(inputs.to(self.device), lengths.to(self.device))
            logs = self.without_unknown(logits).float().log_softmax(-1).cpu().numpy()
            # A copy, because a view would keep the whole batch.
            found |= {int(k): logs[place, : steps[place]].copy() for place, k in enumerate(some)}
        return [found[k] for k in range(len(samples))]

    def read_out(self, logs: Sequence[Logs], search: Search = GREEDY) -> list[str]:
        """The text that each log p (U, V) says."""
        return [self.vocabulary.decode(search.symbols(one, self.blank)) for one in logs]

    def transcribe(self, samples: Sequence[Numbers], search: Search = GREEDY) -> list[str]:
        """The text of each sample."""
        return self.read_out(self.logs(samples), search)

    def _stream(self, choices: Mapping[str, Any]) -> Running:
        from unrolled.tasks.streams.transcribing import transcribe_stream

        return transcribe_stream(self, choices)

    def align(self, logs: Logs, text: str) -> list[Span]:
        """The steps of the network at which each symbol of `text` is put out; raises ArgumentError."""
        ids = self.vocabulary.encode(text)
        if self._is_strange(ids):
            raise ArgumentError(f"{text!r} has a symbol that the model does not know, or none; give another text")
        return align(logs, ids.tolist(), self.blank)

    def time_of(self, step: int) -> float:
        """Where an output step begins: in seconds of sound, else in input steps."""
        steps = step * self.module.reduction
        seconds = self.signal.seconds(steps)
        return float(steps) if seconds is None else seconds


def settle(
    parts: Sequence[Clips], options: TranscribeOptions, start: TranscribeTask | None, problems: Problems
) -> list[Clips]:
    """The parts, the training file first, checked against what its texts teach. Raises DataError with the row.

    The vocabulary is that of the whole training file, so that what is held out of it has no unknown symbol.
    """
    if start is None:
        vocabulary = build_vocabulary(
            options.units,
            parts[0].targets,
            size=options.vocabulary_size,
            minimum=options.minimum,
            lowercase=bool(options.lowercase),
        )
        reduction = options.reduction or fitting_reduction(parts[0], vocabulary)
    else:
        vocabulary, reduction = start.vocabulary, start.module.reduction
    return [usable(part, vocabulary, reduction, problems) for part in parts]


def hold_out(clips: Clips, options: TranscribeOptions, common: Common) -> Parts[Clips]:
    """A part of the rows held out."""
    return cast("Parts[Clips]", part_off(clips, options, common, None))


def reductions_of(options: TranscribeOptions, reduction: int) -> tuple[int, ...]:
    """How many steps each stage of the network joins. Raises ArgumentError where a pyramid cannot be built."""
    if not 1 <= reduction <= MOST_JOINED:
        raise ArgumentError(f"reduction={reduction} must be from 1 to {MOST_JOINED}; give another or leave it out")
    if options.reduce_by == "strided" or reduction == 1:
        return (reduction,)
    if options.reduce_by != "pyramid":
        raise ArgumentError(f"reduce_by is {options.reduce_by!r}, it must be strided or pyramid")
    if reduction & (reduction - 1):
        raise ArgumentError(f"reduction={reduction} cannot be made of twos, as a pyramid is; give 2, 4 or 8")
    factors = [1] * options.layers
    for count in range(reduction.bit_length() - 1):
        # The upper layers first, once each; what is left before the first.
        place = 1 + count if 1 + count < options.layers else 0
        factors[place] *= 2
    return tuple(factors)


def _network(plan: NetworkPlan, reductions: Sequence[int]) -> TranscriptionNetwork:
    layers = plan.layers if len(reductions) == 1 else 1
    stages, width = [], plan.inputs
    for place, factor in enumerate(reductions):
        rates = plan.regularisation if place == 0 else replace(plan.regularisation, input_dropout=0.0)
        stage = replace(plan, inputs=width * factor, layers=layers, regularisation=rates).recurrent()
        stages.append(stage)
        width = stage.output_size
    norm = plan.regularisation.layer_norm
    return TranscriptionNetwork(stages, reductions, plan.outputs, plan.dropout, norm=norm)


def start_of(common: Common) -> TranscribeTask | None:
    """The run that `--from` names; raises RunError where it is of another task."""
    from unrolled.tasks.run import open_run

    if common.from_run is None:
        return None
    start = open_run(common.from_run)
    if not isinstance(start, TranscribeTask):
        raise RunError(
            f"{common.from_run} is a run of the task {start.task}, and a transcription starts from another "
            "transcription; give such a run or leave --from out"
        )
    return start


def _read(path: Path, options: TranscribeOptions, signal: Signal | None, problems: Problems) -> Recordings:
    choice = Choice(options.features, options.rate, options.causal)
    found = read_recordings(
        path, signal, inputs=options.inputs, text=options.text, choice=choice, skip_bad=problems.skip
    )
    problems.found.extend(found.skipped)
    return found


def _clips(found: Recordings, groups: Sequence[Hashable] | None = None) -> Clips:
    return Clips(found.samples, found.texts, groups, origins=found.origins, signal=found.signal)
