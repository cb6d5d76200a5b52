"""Language models: what comes next, one unit at a time (many to many, the target being the text itself)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
import torch

from unrolled.data import (
    Documents,
    TokenStreams,
    Vocabulary,
    Window,
    is_table,
    read_documents,
)
from unrolled.data.large import LargeTexts, wants_cache
from unrolled.data.sequences import read_sequences
from unrolled.data.split import MOST_HELD, hold_out
from unrolled.decode import log_softmax
from unrolled.errors import ArgumentError, DataError
from unrolled.layers import IGNORED, map_state, where_state
from unrolled.models import LanguageNetwork
from unrolled.streams.language import LanguageStream
from unrolled.tasks.events import Note
from unrolled.tasks.language_text import BORDER, WINDOW, Ids, LanguageText, Score
from unrolled.tasks.large import (
    Texts,
    flat,
    is_large,
    large_score,
    large_source,
    learnt_vocabulary,
    line_breaks,
    open_large,
    open_like,
)
from unrolled.tasks.model import Parts, TaskModel, epochs_for
from unrolled.tasks.network import NetworkPlan, program_of, regularisation_of
from unrolled.tasks.options import SOFTMAX, Common, LanguageOptions
from unrolled.tasks.schemas import language_schema
from unrolled.train import BatchSource, Carry, LossOutput

WORTH_A_NOTE = 1e-4  # unknown units in the validation part: a rare symbol is no news
# A long text is measured at so many places at once, each reached by a run-up of so many steps.
_PIECES = 16


class LanguageTask(LanguageText, TaskModel[Texts]):
    """p(x_1 ... x_n) = prod_t p(x_t | x_1 ... x_{t-1}), trained by truncated back-propagation through time.

    With `ends` (several documents) each begins and ends with a border unit, so their ends are learnt too; a single long
    text has no other, so what it says after a line break stands for how a text begins. `lines`: line breaks were seen
    more often than borders.
    """

    task: ClassVar[str] = "language"
    unit: ClassVar[str] = "units"
    large: ClassVar[bool] = True
    module: LanguageNetwork
    vocabulary: Vocabulary

    def __init__(
        self,
        plan: NetworkPlan,
        vocabulary: Vocabulary,
        *,
        ends: bool,
        lines: bool,
        column: str,
        sequence: str | None = None,
    ) -> None:
        module = LanguageNetwork(
            len(vocabulary),
            plan.inputs,
            plan.recurrent(),
            tied=plan.tied,
            dropout=plan.dropout,
            adaptive=plan.adaptive,
        )
        TaskModel.__init__(self, plan, vocabulary, module)
        LanguageText.__init__(self, vocabulary, ends=ends, lines=lines)
        self.column = column
        self.sequence = sequence

    @classmethod
    def read(cls, path: Path, options: LanguageOptions, common: Common) -> Parts[Texts]:
        if options.sequence is not None and options.units != "symbol":
            raise ArgumentError(f"units is {options.units!r}, but the rows of a sequence are symbols; give symbol")
        train: Texts
        valid: Texts | None
        train, skipped = _training_texts(path, options, common)
        found = [
            None if file is None else read_texts(file, options.text, options.sequence, skip_bad=common.skip_bad)
            for file in (common.valid, common.test)
        ]
        skipped += tuple(error for part in found if part is not None for error in part.skipped)
        valid, test = (None if part is None else part.texts for part in found)
        how = str(common.valid)
        if valid is None:
            total = _characters(train)
            if isinstance(train, LargeTexts):
                train, valid = train.hold_out(options.validation)
            else:
                train, valid = hold_out(train, options.validation, path, units=options.units)
            share = (
                f"{options.validation:.0%}" if options.validation * total <= MOST_HELD else f"{MOST_HELD:,} characters"
            )
            how = f"the last {share} of the text" if valid else "none"
        return Parts(train, valid, test, how, skipped=skipped)

    @classmethod
    def build(cls, parts: Parts[Texts], options: LanguageOptions, start: TaskModel[Any] | None = None) -> Self:
        vocabulary = start.vocabulary if start is not None else None
        if vocabulary is None or BORDER not in vocabulary.specials:
            vocabulary = learnt_vocabulary(parts.train, options)
        if options.softmax not in SOFTMAX:
            raise ArgumentError(f"softmax is {options.softmax!r}, it must be {' or '.join(SOFTMAX)}")
        plan = NetworkPlan(
            program=program_of(options) if start is None else start.plan.program,
            inputs=options.embedding if start is None else start.plan.inputs,
            hidden=options.hidden if start is None else start.plan.hidden,
            layers=options.layers if start is None else start.plan.layers,
            outputs=len(vocabulary),
            vocabulary=len(vocabulary),
            chrono=options.chrono,
            tied=options.tied,
            adaptive=options.softmax == "adaptive",
            dropout=options.dropout,
            regularisation=regularisation_of(options),
        )
        ends = len(parts.train) > 1
        lines = line_breaks(parts.train) > len(parts.train)
        model = cls(plan, vocabulary, ends=ends, lines=lines, column=options.text, sequence=options.sequence)
        if isinstance(parts.valid, list):
            units = np.concatenate(vocabulary.encode_all(parts.valid))
            share = float(np.mean(units == vocabulary.unknown))
            if share >= WORTH_A_NOTE:
                model.notes = [Note(f"{share:.2%} of the validation units are not in the vocabulary")]
        return model

    @classmethod
    def restore(cls, plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None) -> Self:
        vocabulary, found = language_schema(plan, schema, vocabulary)
        return cls(plan, vocabulary, ends=found.ends, lines=found.lines, column=found.column, sequence=found.sequence)

    def schema(self) -> dict[str, Any]:
        units = self.vocabulary.units
        columns = {"text": self.column, "sequence": self.sequence}
        return {**columns, "ends": self.ends, "lines": self.lines, "units": units}

    def keys(self, examples: Texts) -> list[Hashable]:
        # Of texts on disk nobody asks whether one of them is in two parts.
        return [] if isinstance(examples, LargeTexts) else list(examples)

    def fingerprint(self, examples: Texts) -> str:
        return examples.fingerprint if isinstance(examples, LargeTexts) else super().fingerprint(examples)

    def epochs(self, steps: int) -> int:
        return epochs_for(3000, steps, fewest=2)

    def count(self, examples: Texts) -> int:
        if isinstance(examples, LargeTexts):
            return flat(self, examples).units
        return sum(map(len, self.vocabulary.encode_all(examples)))

    def activations(self, batch: Window) -> int:
        return super().activations(batch) + self.module.output.working_size(batch.inputs.size)

    def read_part(self, path: Path) -> Texts:
        if self.sequence is None and wants_cache(path):
            return open_like(path, self.vocabulary, self.column)
        return read_texts(path, self.column, self.sequence).texts

    def source(self, examples: Texts, options: LanguageOptions, seed: int) -> BatchSource:
        if isinstance(examples, LargeTexts):
            return large_source(self, examples, options, seed)
        documents = [self.encode(text) for text in examples]
        return TokenStreams(documents, options.batch_size, options.window, seed, stride=options.stride)

    def loss(self, batch: Window, carry: Carry) -> LossOutput:
        """Cross-entropy in nats a unit; rows whose text is fresh start from the initial state."""
        device = self.device
        inputs, targets = torch.from_numpy(batch.inputs).to(device), torch.from_numpy(batch.targets).to(device)
        lengths = torch.from_numpy(batch.lengths).to(device)
        state: Any = carry
        if state is not None and batch.fresh.any():
            fresh = torch.from_numpy(batch.fresh).to(device)
            state = where_state(fresh, self.module.initial_state(len(inputs)), state)
        ragged = bool((batch.lengths < inputs.shape[1]).any())
        if batch.context.any():
            steps = torch.arange(inputs.shape[1], device=device)
            targets = targets.masked_fill(steps < torch.from_numpy(batch.context).to(device)[:, None], IGNORED)
        loss, state = self.module.loss(inputs, targets, state, lengths if ragged else None, carried_after=batch.stride)
        return LossOutput(loss, batch.targets_in, state)

    def measure(self, examples: Texts) -> dict[str, float]:
        """The state is carried through each document; a long one is read at sixteen places at once.

        Each place is reached from 512 units before it, so the state there is what it would be but for what the model
        remembers of even earlier text.
        """
        if isinstance(examples, LargeTexts):
            return large_score(self, examples).metrics()
        scores = self._scores(examples, pieces=_PIECES)
        return _total(scores).metrics()

    def stream(self, state: bytes | None = None, **choices: Any) -> LanguageStream:
        """A text while it is written; `next` is how many of the likeliest next units an answer lists (5)."""
        return cast("LanguageStream", super().stream(state, **choices))

    def _stream(self, choices: Mapping[str, Any]) -> LanguageStream:
        from unrolled.tasks.streams.sequences import language_stream

        return language_stream(self, choices)

    def rows(self, places: Sequence[tuple[Any, int]]) -> Any:
        """One state of these rows of several states."""
        rows = [row for _, row in places]
        return map_state(
            lambda *tensors: torch.cat([t[row : row + 1] for t, row in zip(tensors, rows, strict=True)]),
            *(states for states, _ in places),
        )

    @torch.no_grad()
    def _advance(self, ids: Ids, rows: Ids, state: Any) -> tuple[npt.NDArray[np.float64], Any]:
        picked = torch.from_numpy(rows).to(self.device)
        logits, state = self.step(ids, map_state(lambda tensor: tensor[picked], state))
        return log_softmax(logits), state

    @torch.no_grad()
    def _read(self, prompt: str) -> tuple[npt.NDArray[np.float64], Any]:
        """Logits (1, V) and state after the prompt."""
        self.module.eval()
        ids = np.concatenate([[self.start], self.vocabulary.encode(prompt)])
        state = None
        for part in np.split(ids, range(WINDOW, len(ids), WINDOW)):
            features, state = self.module.features(torch.from_numpy(part)[None].to(self.device), state)
        return self.module.output(features[:, -1]).double().cpu().numpy(), state

    @torch.no_grad()
    def step(self, ids: Ids, state: Any) -> tuple[npt.NDArray[np.float64], Any]:
        """One unit a row, ids (N,): logits (N, V) and the state."""
        self.module.eval()
        logits, state = self.module.step(torch.from_numpy(ids).to(self.device), state)
        return logits.double().cpu().numpy(), state

    @torch.no_grad()
    def nats(self, ids: Ids, lengths: Ids, run_ups: Ids) -> npt.NDArray[np.float64]:
        """Cost (B,) of rows (B, T), without their first `run_ups` steps, read in windows with the state carried on."""
        self.module.eval()
        state = None
        total = torch.zeros(len(ids), dtype=torch.float64, device=self.device)
        tokens, ends, begins = (torch.from_numpy(array).to(self.device) for array in (ids, lengths - 1, run_ups))
        for start in range(0, ids.shape[1] - 1, WINDOW):
            targets = tokens[:, start + 1 : start + 1 + WINDOW]
            inputs = tokens[:, start : start + targets.shape[1]]
            left = (ends - start).clamp(0, inputs.shape[1])
            ragged = bool((left < inputs.shape[1]).any())
            step = torch.arange(inputs.shape[1], device=self.device)
            targets = targets.masked_fill(step < (begins - start)[:, None], IGNORED)
            costs, state = self.module.loss(inputs, targets, state, left if ragged else None, reduction="none")
            total += costs.double().sum(1)
        return total.cpu().numpy()


def _training_texts(path: Path, options: LanguageOptions, common: Common) -> tuple[Texts, tuple[DataError, ...]]:
    if is_large(path, options, common):
        large = open_large(path, options, common)
        return large, large.skipped
    found = read_texts(path, options.text, options.sequence, skip_bad=common.skip_bad)
    return found.texts, found.skipped


def _characters(texts: Texts) -> int:
    return texts.characters if isinstance(texts, LargeTexts) else sum(map(len, texts))


def read_texts(path: Path, column: str, sequence: str | None, *, skip_bad: bool = False) -> Documents:
    """The documents of a file as a language model reads it: of a table a text a row, or a sequence some rows."""
    if not is_table(path):
        return read_documents(path, skip_bad=skip_bad)
    if sequence is not None:
        return read_sequences(path, sequence, column, skip_bad=skip_bad)
    return read_documents(path, column=column, skip_bad=skip_bad)


def _total(scores: Sequence[Score]) -> Score:
    return Score(sum(s.nats for s in scores), sum(s.units for s in scores), sum(s.characters for s in scores))
