"""Language models: what comes next, one unit at a time (many to many, the target being the text itself)."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
import torch

from unrolled.data import (
    Documents,
    LengthBatches,
    TokenStreams,
    Vocabulary,
    Window,
    build_vocabulary,
    is_table,
    pad_ids,
    read_documents,
)
from unrolled.data.sequences import read_sequences
from unrolled.data.vocabulary import split_symbols
from unrolled.data.vocabulary.word import split_words
from unrolled.decode import Kind, Sampling, WordBeam, kind_of, log_softmax
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.layers import IGNORED, map_state, where_state
from unrolled.models import LanguageNetwork
from unrolled.streams.language import LanguageStream
from unrolled.tasks.events import Note
from unrolled.tasks.model import Parts, TaskModel, entry, epochs_for
from unrolled.tasks.network import NetworkPlan, program_of, regularisation_of
from unrolled.tasks.options import SOFTMAX, Common, LanguageOptions
from unrolled.train import BatchSource, Carry, LossOutput, bits_per_character, perplexity

BORDER = "<document>"
WORTH_A_NOTE = 1e-4  # unknown units in the validation part: a rare symbol is no news
# A long text is measured at so many places at once, each reached by a run-up of so many steps.
_PIECES = 16
_RUN_UP = 512
_WINDOW = 256
_ROWS = 64

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """How well a model foretells a text: its cost in nats, over `units` units that make up `characters` characters."""

    nats: float
    units: int
    characters: int

    @property
    def loss(self) -> float:
        """Nats a unit."""
        return self.nats / max(1, self.units)

    def metrics(self) -> dict[str, float]:
        """Under the names that `--json` and `metrics.jsonl` use."""
        found = {"loss": self.loss, "perplexity": perplexity(self.loss)}
        if self.characters:
            found["bits_per_character"] = bits_per_character(self.loss, self.units, self.characters)
        return found


class LanguageTask(TaskModel[list[str]]):
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
        super().__init__(plan, vocabulary, module)
        self.ends = ends
        self.lines = lines
        self.column = column
        self.sequence = sequence
        self.border = vocabulary.special(BORDER)
        self.start = self.border if ends else _line_break(vocabulary) or self.border

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
        if vocabulary is None or BORDER not in vocabulary.specials:
            raise RunError(f"the vocabulary lacks the unit {BORDER}")
        if plan.vocabulary != len(vocabulary):
            raise RunError(f"the vocabulary has {len(vocabulary)} units, but the network reads {plan.vocabulary}")
        ends = entry(schema, "ends", bool)
        # Older runs lack two entries.
        schema = {"sequence": None, "lines": not ends, **schema}
        sequence, column = entry(schema, "sequence", str, type(None)), entry(schema, "text", str)
        lines = entry(schema, "lines", bool)
        return cls(plan, vocabulary, ends=ends, lines=lines, column=column, sequence=sequence)

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

    def encode(self, text: str) -> Ids:
        """A document as it is read: the start unit, its own, and the border if the model learnt ends."""
        ends = [self.border] if self.ends else []
        return np.concatenate([[self.start], self.vocabulary.encode(text), ends]).astype(np.int64)

    @property
    def line(self) -> tuple[list[int], list[int]]:
        """What stands before a line or a sentence, and behind it where the model learnt anything of that."""
        line_break = _line_break(self.vocabulary) if self.lines else None
        if line_break is not None:
            return [self.border, line_break] if self.ends else [self.start], [line_break]
        return [self.start], [self.border] if self.ends else []

    def source(self, examples: list[str], options: LanguageOptions, seed: int) -> BatchSource:
        return TokenStreams([self.encode(text) for text in examples], options.batch_size, options.window, seed)

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
        loss, state = self.module.loss(inputs, targets, state, lengths if ragged else None)
        return LossOutput(loss, int(batch.lengths.sum()), state)

    def measure(self, examples: list[str]) -> dict[str, float]:
        """The state is carried through each document; a long one is read at sixteen places at once.

        Each place is reached from 512 units before it, so the state there is what it would be but for what the model
        remembers of even earlier text.
        """
        scores = self._scores(examples, pieces=_PIECES)
        return _total(scores).metrics()

    def score(self, texts: Sequence[str]) -> list[Score]:
        """The cost of each text on its own; raises ArgumentError for one without a known unit."""
        for place, text in enumerate(texts):
            if not len(self.vocabulary.encode(text)):
                raise ArgumentError(
                    f"text {place + 1} has no {self.vocabulary.units} in it; give a text that is not empty"
                )
        return self._scores(texts, pieces=1)

    def generate(
        self,
        prompt: str = "",
        length: int = 500,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """The text that goes on from `prompt`, piece by piece as it is drawn: at most `length` units.

        Ends earlier where the model learnt ends of documents and draws one. Raises ArgumentError.
        """
        if length < 1:
            raise ArgumentError(f"length is {length}, it must be 1 or more")
        sampling = Sampling(temperature, top_k, top_p)
        return self._pieces(prompt, length, sampling, np.random.default_rng(seed))

    def _pieces(self, prompt: str, length: int, sampling: Sampling, rng: np.random.Generator) -> Iterator[str]:
        decoder = self.vocabulary.decoder()
        known = self.vocabulary.encode(prompt)
        for unit in known:  # so that the first piece is joined to the prompt as the text would be
            decoder.push(int(unit))
        forbidden = [self.vocabulary.pad, self.vocabulary.unknown]
        if not self.ends:
            forbidden.append(self.border)
        logits, state = self._read(prompt)
        for _ in range(length):
            unit = sampling.draw(logits[0], rng, forbidden)
            if unit == self.border:
                break
            if piece := decoder.push(unit):
                yield piece
            logits, state = self._step(np.array([unit]), state)
        if rest := decoder.flush():
            yield rest

    def stream(self, state: bytes | None = None, **choices: Any) -> LanguageStream:
        """A text while it is written; `next` is how many of the likeliest next units an answer lists (5)."""
        return cast("LanguageStream", super().stream(state, **choices))

    def _stream(self, choices: Mapping[str, Any]) -> LanguageStream:
        from unrolled.tasks.streams.sequences import language_stream

        return language_stream(self, choices)

    def complete(self, prompt: str, count: int = 10, *, single: bool = False) -> list[tuple[str, float]]:
        """The likeliest next words or symbols with their probabilities, likeliest first.

        A model of characters, bytes or subwords spells whole words; the prompt's last word is then taken as whole. With
        `single` the next unit is listed, whatever it is. An empty name is the end of the text, where ends were learnt.
        """
        if count < 1:
            raise ArgumentError(f"count is {count}, it must be 1 or more")
        logits, state = self._read(prompt)
        logs = log_softmax(logits)
        if single or self.vocabulary.units in ("word", "symbol"):
            end = logs[0, self.border]
            logs[:, : self.vocabulary.first] = -np.inf
            if self.ends:
                logs[0, self.border] = end
            best = [int(unit) for unit in np.argsort(-logs[0], kind="stable")[:count] if logs[0, unit] > -np.inf]
            names = ["" if unit == self.border else self.vocabulary.token(unit) for unit in best]
            return [(name, math.exp(logs[0, unit])) for name, unit in zip(names, best, strict=True)]
        beam = WordBeam(self._kinds(), self.vocabulary.decode, self._advance)
        return beam.words(logs, state, count, in_word=kind_of(prompt[-1:]) == Kind.LETTER)

    def unknown(self, text: str) -> list[str]:
        """The words or symbols of a text that the vocabulary lacks; of other units none is named."""
        split = {"symbol": split_symbols, "word": split_words}.get(self.vocabulary.units)
        parts = [] if split is None else split(text)
        missing = self.vocabulary.encode(text) == self.vocabulary.unknown
        return [part for part, lacks in zip(parts, missing, strict=bool(parts)) if lacks]

    def _kinds(self) -> npt.NDArray[np.int64]:
        """What each unit does to a word; a part of a character counts as a letter, a learnt end of text as a mark."""
        texts = [self.vocabulary.decode([unit]) for unit in range(len(self.vocabulary))]
        kinds = np.array([Kind.LETTER if "\ufffd" in text else kind_of(text) for text in texts], dtype=np.int64)
        kinds[: self.vocabulary.first] = Kind.NOTHING
        if self.ends:
            kinds[self.border] = Kind.MARK
        return kinds

    @torch.no_grad()
    def _advance(self, ids: Ids, rows: Ids, state: Any) -> tuple[npt.NDArray[np.float64], Any]:
        picked = torch.from_numpy(rows).to(self.device)
        logits, state = self._step(ids, map_state(lambda tensor: tensor[picked], state))
        return log_softmax(logits), state

    @torch.no_grad()
    def _read(self, prompt: str) -> tuple[npt.NDArray[np.float64], Any]:
        """Logits (1, V) and state after the prompt."""
        self.module.eval()
        ids = np.concatenate([[self.start], self.vocabulary.encode(prompt)])
        state = None
        for part in np.split(ids, range(_WINDOW, len(ids), _WINDOW)):
            features, state = self.module.features(torch.from_numpy(part)[None].to(self.device), state)
        return self.module.output(features[:, -1]).double().cpu().numpy(), state

    @torch.no_grad()
    def _step(self, ids: Ids, state: Any) -> tuple[npt.NDArray[np.float64], Any]:
        """One unit a row, ids (N,): logits (N, V) and the state."""
        logits, state = self.module.step(torch.from_numpy(ids).to(self.device), state)
        return logits.double().cpu().numpy(), state

    @torch.no_grad()
    def _scores(self, texts: Sequence[str], pieces: int) -> list[Score]:
        """The cost of each text, read in so many pieces at once, if it is long."""
        self.module.eval()
        documents = [self.encode(text) for text in texts]
        cut = [(place, *piece) for place, ids in enumerate(documents) for piece in _cut(ids, pieces)]
        owners, rows, run_ups = (list(column) for column in zip(*cut, strict=True))
        nats = np.zeros(len(texts))
        for batch in LengthBatches([len(row) for row in rows], _ROWS, 0, shuffle=False).epoch(0):
            ids, lengths = pad_ids([rows[i] for i in batch])
            costs = self.nats(ids, lengths, np.array([run_ups[i] for i in batch]))
            np.add.at(nats, [owners[i] for i in batch], costs)
        # How many characters a symbol's name has says nothing.
        sizes = [0 if self.vocabulary.units == "symbol" else len(text) for text in texts]
        return [Score(float(n), len(ids) - 1, size) for n, ids, size in zip(nats, documents, sizes, strict=True)]

    @torch.no_grad()
    def nats(self, ids: Ids, lengths: Ids, run_ups: Ids) -> npt.NDArray[np.float64]:
        """Cost (B,) of rows (B, T), without their first `run_ups` steps, read in windows with the state carried on."""
        state = None
        total = torch.zeros(len(ids), dtype=torch.float64, device=self.device)
        tokens, ends, begins = (torch.from_numpy(array).to(self.device) for array in (ids, lengths - 1, run_ups))
        for start in range(0, ids.shape[1] - 1, _WINDOW):
            targets = tokens[:, start + 1 : start + 1 + _WINDOW]
            inputs = tokens[:, start : start + targets.shape[1]]
            left = (ends - start).clamp(0, inputs.shape[1])
            ragged = bool((left < inputs.shape[1]).any())
            step = torch.arange(inputs.shape[1], device=self.device)
            targets = targets.masked_fill(step < (begins - start)[:, None], IGNORED)
            costs, state = self.module.loss(inputs, targets, state, left if ragged else None, reduction="none")
            total += costs.double().sum(1)
        return total.cpu().numpy()


def hold_out(
    texts: list[str], fraction: float, path: Path | None = None, *, units: str = "char"
) -> tuple[list[str], list[str] | None]:
    """The last `fraction` of the characters, taken off; a document on the border is cut in two.

    Words and symbols stay whole: there it is cut behind the white space between two of them.
    """
    if fraction == 0:
        return texts, None
    if not 0 < fraction < 1:
        raise ArgumentError(f"validation is {fraction}, it must be 0 or more and below 1")
    keep = sum(map(len, texts)) - round(fraction * sum(map(len, texts)))
    train, valid = [], []
    for text in texts:
        cut = _behind_gap(text, keep, units) if units in ("word", "symbol") else keep
        if text[:cut]:
            train.append(text[:cut])
        if text[cut:]:
            valid.append(text[cut:])
        keep = max(0, keep - len(text))
    if not train or not valid:
        raise DataError(
            f"the text has only {sum(map(len, texts))} characters, too few to hold {fraction:.0%} out; "
            "give more text or a validation file",
            path,
        )
    return train, valid


def _behind_gap(text: str, place: int, units: str) -> int:
    """The first place from `place` on that a word or symbol begins at; the end where none does. A place of 0 stays."""
    if not 0 < place < len(text):
        return place
    tabs = units == "symbol" and "\t" in text  # symbols may have spaces in them then
    gap = re.compile(r"\t\s*" if tabs else r"\s+").search(text, place - 1)
    return len(text) if gap is None else gap.end()


def read_texts(path: Path, column: str, sequence: str | None, *, skip_bad: bool = False) -> Documents:
    """The documents of a file as a language model reads it: of a table a text a row, or a sequence some rows."""
    if not is_table(path):
        return read_documents(path, skip_bad=skip_bad)
    if sequence is not None:
        return read_sequences(path, sequence, column, skip_bad=skip_bad)
    return read_documents(path, column=column, skip_bad=skip_bad)


def _cut(ids: Ids, pieces: int) -> list[tuple[Ids, int]]:
    """Contiguous shares of a document's steps, each with the steps that lead up to it and how many these are."""
    pieces = max(1, min(pieces, (len(ids) - 1) // (4 * _RUN_UP)))
    edges = np.linspace(0, len(ids) - 1, pieces + 1).astype(int).tolist()
    starts = [max(0, edge - _RUN_UP) for edge in edges[:-1]]
    return [(ids[start : b + 1], a - start) for start, (a, b) in zip(starts, pairwise(edges), strict=True)]


def _line_break(vocabulary: Vocabulary) -> int | None:
    """The unit of a line break, where it is one known unit."""
    units = vocabulary.encode("\n")
    return int(units[0]) if len(units) == 1 and units[0] != vocabulary.unknown else None


def _total(scores: Sequence[Score]) -> Score:
    return Score(sum(s.nats for s in scores), sum(s.units for s in scores), sum(s.characters for s in scores))
