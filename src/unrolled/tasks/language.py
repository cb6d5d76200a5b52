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
    build_vocabulary,
    is_table,
    read_documents,
)
from unrolled.data.sequences import read_sequences
from unrolled.data.split import hold_out
from unrolled.decode import log_softmax
from unrolled.errors import ArgumentError
from unrolled.layers import IGNORED, map_state, where_state
from unrolled.models import LanguageNetwork
from unrolled.streams.language import LanguageStream
from unrolled.tasks.events import Note
from unrolled.tasks.language_text import BORDER, WINDOW, Ids, LanguageText, Score
from unrolled.tasks.model import Parts, TaskModel, epochs_for
from unrolled.tasks.network import NetworkPlan, program_of, regularisation_of
from unrolled.tasks.options import SOFTMAX, Common, LanguageOptions
from unrolled.tasks.schemas import language_schema
from unrolled.train import BatchSource, Carry, LossOutput

WORTH_A_NOTE = 1e-4  # unknown units in the validation part: a rare symbol is no news
# A long text is measured at so many places at once, each reached by a run-up of so many steps.
_PIECES = 16


class LanguageTask(LanguageText, TaskModel[list[str]]):
    """p(x_1 ... x_n) = prod_t p(x_t | x_1 ... x_{t-1}), trained by truncated back-propagation through time.

    With `ends` (several documents) each begins and ends with a border unit, so their ends are learnt too; a single long
    text has no other, so what it says after a line break stands for how a text begins. `lines`: line breaks were seen
    more often than borders.
    """

    task: ClassVar[str] = "language"
    unit: ClassVar[str] = "units"
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
    def read(cls, path: Path, options: LanguageOptions, common: Common) -> Parts[list[str]]:
        if options.sequence is not None and options.units != "symbol":
            raise ArgumentError(f"units is {options.units!r}, but the rows of a sequence are symbols; give symbol")
        files = (path, common.valid, common.test)
        found = [
            None if file is None else read_texts(file, options.text, options.sequence, skip_bad=common.skip_bad)
            for file in files
        ]
        skipped = tuple(error for part in found if part is not None for error in part.skipped)
        texts, valid, test = (None if part is None else part.texts for part in found)
        how = str(common.valid)
        if valid is None:
            texts, valid = hold_out(texts or [], options.validation, path, units=options.units)
            how = f"the last {options.validation:.0%} of the text" if valid else "none"
        return Parts(texts or [], valid, test, how, skipped=skipped)

    @classmethod
    def build(cls, parts: Parts[list[str]], options: LanguageOptions, start: TaskModel[Any] | None = None) -> Self:
        vocabulary = start.vocabulary if start is not None else None
        if vocabulary is None or BORDER not in vocabulary.specials:
            vocabulary = build_vocabulary(
                options.units,
                parts.train,
                size=options.vocabulary_size,
                minimum=options.minimum,
                lowercase=bool(options.lowercase),
                specials=(BORDER,),
            )
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
        lines = sum(text.count("\n") for text in parts.train) > len(parts.train)
        model = cls(plan, vocabulary, ends=ends, lines=lines, column=options.text, sequence=options.sequence)
        if parts.valid is not None:
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

    def keys(self, examples: list[str]) -> list[Hashable]:
        return list(examples)

    def epochs(self, steps: int) -> int:
        return epochs_for(3000, steps, fewest=2)

    def count(self, examples: list[str]) -> int:
        return sum(map(len, self.vocabulary.encode_all(examples)))

    def activations(self, batch: Window) -> int:
        return super().activations(batch) + self.module.output.working_size(batch.inputs.size)

    def read_part(self, path: Path) -> list[str]:
        return read_texts(path, self.column, self.sequence).texts

    def source(self, examples: list[str], options: LanguageOptions, seed: int) -> BatchSource:
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

    def measure(self, examples: list[str]) -> dict[str, float]:
        """The state is carried through each document; a long one is read at sixteen places at once.

        Each place is reached from 512 units before it, so the state there is what it would be but for what the model
        remembers of even earlier text.
        """
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


def read_texts(path: Path, column: str, sequence: str | None, *, skip_bad: bool = False) -> Documents:
    """The documents of a file as a language model reads it: of a table a text a row, or a sequence some rows."""
    if not is_table(path):
        return read_documents(path, skip_bad=skip_bad)
    if sequence is not None:
        return read_sequences(path, sequence, column, skip_bad=skip_bad)
    return read_documents(path, column=column, skip_bad=skip_bad)


def _total(scores: Sequence[Score]) -> Score:
    return Score(sum(s.nats for s in scores), sum(s.units for s in scores), sum(s.characters for s in scores))
