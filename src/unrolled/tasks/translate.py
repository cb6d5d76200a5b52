"""Translation: a text in, another text out, of another length and in another order (many to many, not aligned)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch.nn import functional

from unrolled.data import Vocabulary, build_vocabulary, split_rows
from unrolled.data.pairs import PairColumns, read_pairs
from unrolled.data.vocabulary import PairVocabulary
from unrolled.decode import Advance, BeamSearch
from unrolled.errors import ArgumentError
from unrolled.layers import Memory, Recurrent
from unrolled.models import Embedding, TranslationNetwork
from unrolled.models.translation import Writing, take_rows
from unrolled.tasks.events import Note
from unrolled.tasks.model import Parts, TaskModel, digest, epochs_for
from unrolled.tasks.network import NetworkPlan, program_of, regularisation_of
from unrolled.tasks.options import Common, TranslateOptions
from unrolled.tasks.pair_batches import PairBatch, PairBatches, Pairs, batches_of
from unrolled.tasks.schemas import translate_schema
from unrolled.tasks.translation import BORDER, Ids, Translation, Translator, search_of
from unrolled.train import BatchSource, Carry, LossOutput, perplexity
from unrolled.train.published import sacrebleu_installed, translation_scores

_SUBWORDS = 5000
# While training so many held-out pairs are translated, greedily: enough for a curve.
_WATCHED = 500
_GREEDY = 1
_ROWS = 64


class TranslateTask(TaskModel[Pairs]):
    """p(y | x) = prod_t p(y_t | y_1 ... y_{t-1}, x) by an encoder and a decoder with attention (Luong et al. 2015).

    The plan describes the encoder; the decoder is as wide as its directions together.
    """

    task: ClassVar[str] = "translate"
    metric: ClassVar[str] = "accuracy"
    unit: ClassVar[str] = "pairs"
    pace: ClassVar[str] = "units"
    module: TranslationNetwork
    vocabulary: PairVocabulary

    def __init__(
        self,
        plan: NetworkPlan,
        vocabulary: PairVocabulary,
        *,
        attention: str,
        input_feeding: bool,
        columns: PairColumns,
        search: BeamSearch,
        stretch: float,
    ) -> None:
        super().__init__(plan, vocabulary, _network(plan, vocabulary, attention, input_feeding=input_feeding))
        self.columns = columns
        self.search = search
        self.translator = Translator(_Writer(self.module), vocabulary, BORDER, stretch)
        self.smoothing = 0.0

    @classmethod
    def read(cls, path: Path, options: TranslateOptions, common: Common) -> Parts[Pairs]:
        columns = PairColumns(options.source, options.target, options.header, options.ratio)
        found = read_pairs(path, columns, skip_bad=common.skip_bad)
        skipped = list(found.skipped)
        groups: list[Hashable] | None = None
        if common.group is not None:
            raise ArgumentError("pairs are never parted from others of the same source; leave group out")
        train = Pairs(found.sources, found.targets, groups)
        others = {}
        for name, file in (("valid", common.valid), ("test", common.test)):
            if file is not None:
                part = read_pairs(file, columns, skip_bad=common.skip_bad)
                others[name] = Pairs(part.sources, part.targets)
                skipped += part.skipped
        remarks = () if found.names is None else (f"translates column {found.names[0]!r} into {found.names[1]!r}",)
        if "valid" in others:
            return Parts(train, others["valid"], others.get("test"), str(common.valid), remarks, tuple(skipped))
        parts = hold_out(train, options.validation, common.seed)
        return replace(parts, test=others.get("test"), remarks=remarks, skipped=tuple(skipped))

    @classmethod
    def build(cls, parts: Parts[Pairs], options: TranslateOptions, start: TaskModel[Any] | None = None) -> Self:
        if start is not None and not isinstance(start, TranslateTask):
            raise ArgumentError(f"from names a run of the task {start.task}, and a translation starts from another one")
        directions = 1 + options.bidirectional
        if options.hidden % directions:
            raise ArgumentError(f"hidden={options.hidden} is odd, and two directions share it; give an even number")
        vocabulary = vocabulary_of(parts.train, options) if start is None else start.vocabulary
        plan = NetworkPlan(
            program=program_of(options),
            inputs=options.embedding,
            hidden=options.hidden // directions,
            layers=options.layers,
            outputs=len(vocabulary.target),
            vocabulary=len(vocabulary),
            chrono=options.chrono,
            bidirectional=options.bidirectional,
            tied=options.tied,
            dropout=options.dropout,
            regularisation=regularisation_of(options),
        )
        attention, feeding = options.attention, options.input_feeding
        if start is not None:
            like = start.plan
            plan = replace(like, dropout=plan.dropout, regularisation=plan.regularisation)
            attention, feeding = start.module.attention.kind, start.module.input_feeding
        model = cls(
            plan,
            vocabulary,
            attention=attention,
            input_feeding=feeding,
            columns=PairColumns(options.source, options.target, options.header, options.ratio),
            search=search_of(
                vocabulary,
                width=options.beam,
                length_penalty=options.length_penalty,
                coverage_penalty=options.coverage_penalty,
            ),
            stretch=stretch_of(parts.train, vocabulary),
        )
        if not sacrebleu_installed():
            model.notes.append(Note("BLEU is not measured without sacrebleu; run \"pip install 'unrolled[metrics]'\""))
        return model

    @classmethod
    def restore(cls, plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None) -> Self:
        vocabulary, found = translate_schema(plan, schema, vocabulary)
        return cls(
            plan,
            vocabulary,
            attention=found.attention,
            input_feeding=found.input_feeding,
            columns=found.columns,
            search=found.search,
            stretch=found.stretch,
        )

    def schema(self) -> dict[str, Any]:
        return {
            "columns": asdict(self.columns),
            "attention": self.module.attention.kind,
            "input_feeding": self.module.input_feeding,
            "beam": {
                "width": self.search.width,
                "length_penalty": self.search.length_penalty,
                "coverage_penalty": self.search.coverage_penalty,
            },
            "stretch": self.translator.stretch,
        }

    def read_part(self, path: Path) -> Pairs:
        found = read_pairs(path, self.columns)
        return Pairs(found.sources, found.targets)

    def keys(self, examples: Pairs) -> list[Hashable]:
        return list(examples.sources)

    def fingerprint(self, examples: Pairs) -> str:
        return digest([*examples.sources, *examples.targets])

    def epochs(self, steps: int) -> int:
        return epochs_for(6000, steps, fewest=12)

    def source(self, examples: Pairs, options: TranslateOptions, seed: int) -> BatchSource:
        self.smoothing = options.label_smoothing
        return self.batches(examples, options.batch_size, seed, options.scheduled_sampling)

    def batches(self, examples: Pairs, size: int, seed: int = 0, sampling: float = 0.0) -> PairBatches:
        """The pairs as ids, in batches."""
        sources = self.translator.read(examples.sources)
        targets = self.vocabulary.target.encode_all(examples.targets)
        return batches_of(sources, targets, self.translator.border, size, seed, sampling)

    def loss(self, batch: PairBatch, carry: Carry) -> LossOutput:
        source, lengths, inputs, targets = (part.to(self.device) for part in batch[:4])
        loss = self.module.loss(
            (source, lengths), inputs, targets, label_smoothing=self.smoothing, sampling=batch.sampling
        )
        return LossOutput(loss, batch.tokens)

    @torch.no_grad()
    def foretell(self, examples: Pairs) -> dict[str, float]:
        """How well each unit is foretold from the right ones before it: loss in nats, perplexity, accuracy."""
        self.module.eval()
        nats, right, tokens = 0.0, 0, 0
        for batch in self.batches(examples, _ROWS).epoch(0):
            source, lengths, inputs, targets = (part.to(self.device) for part in batch[:4])
            logits = self.module.output(self.module.vectors((source, lengths), inputs))
            nats += float(functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))
            right += int((logits.argmax(2) == targets).sum())
            tokens += batch.tokens
        return {"loss": nats / tokens, "perplexity": perplexity(nats / tokens), "accuracy": right / tokens}

    def watch(self, examples: Pairs) -> dict[str, float]:
        """BLEU and chrF of a sample, translated by the likeliest unit at every step."""
        few = examples.take(np.linspace(0, len(examples) - 1, min(_WATCHED, len(examples))).astype(np.int64))
        return self._measured(examples, few, replace(self.search, width=_GREEDY))

    def measure(self, examples: Pairs) -> dict[str, float]:
        """Of what is foretold, and `bleu` and `chrf` of the translations where sacreBLEU is installed."""
        return self._measured(examples, examples, self.search)

    def _measured(self, examples: Pairs, translated: Pairs, search: BeamSearch) -> dict[str, float]:
        found = self.foretell(examples)
        if not sacrebleu_installed():
            return found
        answers = [several[0].text for several in self.translate(translated.sources, search)]
        return found | translation_scores(answers, translated.targets)

    def evaluate(self, path: Path) -> dict[str, Any]:
        """Loss, perplexity, BLEU and chrF on a file; raises ArgumentError where sacrebleu is not installed."""
        if not sacrebleu_installed():
            translation_scores([], [])
        return dict(self.measure(self.read_part(path)))

    def translate(self, texts: Sequence[str], search: BeamSearch | None = None) -> list[list[Translation]]:
        """The best translations of each text; `search` in place of the run's own beam."""
        return self.translator.translate(texts, search or self.search)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The best translation of each text."""
        return [found[0].text for found in self.translate(texts)]

    def activations(self, batch: PairBatch) -> int:
        encoder = super().activations(batch)
        steps = batch.inputs.numel()
        hidden = self.module.decoder.output_size
        a_step = (len(self.plan.program.gates) + len(self.plan.program.state) + 2) * hidden * self.plan.layers
        places = batch.source.shape[1] * (hidden if self.module.attention.kind == "additive" else 2)
        return encoder + steps * (a_step + 3 * hidden + places) + self.module.output.working_size(steps)


class _Writer:
    """The network under a search, on arrays; its state is the memory and what the decoder goes on from."""

    def __init__(self, network: TranslationNetwork) -> None:
        self.network = network

    @torch.no_grad()
    def begin(self, ids: Ids, lengths: Ids) -> tuple[Memory, Writing]:
        self.network.eval()
        device = self.network.output.weight.device
        return self.network.encode(torch.from_numpy(ids).to(device), torch.from_numpy(lengths).to(device))

    @torch.no_grad()
    def advance(self, tokens: Ids, rows: Ids, state: tuple[Memory, Writing]) -> Advance[Any]:
        memory, writing = state
        device = memory.values.device
        chosen = torch.from_numpy(rows).to(device)
        memory = memory.take(chosen)
        ids = torch.from_numpy(tokens).to(device)
        logs, weights, writing = self.network.step(ids, memory, take_rows(writing, chosen))
        return Advance(logs.cpu().numpy(), (memory, writing), weights.cpu().numpy())


def hold_out(pairs: Pairs, share: float, seed: int) -> Parts[Pairs]:
    """`share` of the pairs aside, no source text in both parts."""
    if share == 0 or len(set(pairs.sources)) < 2:
        return Parts(pairs, how="none")
    train, held = split_rows(len(pairs), share, seed, groups=pairs.sources)
    how = f"{share:.0%} of the training pairs held out, no source text in both parts"
    return Parts(pairs.take(train), pairs.take(held), how=how)


def vocabulary_of(pairs: Pairs, options: TranslateOptions) -> PairVocabulary:
    """The units of both languages, learnt on the training pairs. Raises ArgumentError."""

    def learn(texts: Sequence[str]) -> Vocabulary:
        size = options.vocabulary_size or (_SUBWORDS if options.units == "subword" else None)
        return build_vocabulary(
            options.units,
            texts,
            size=size,
            minimum=options.minimum,
            lowercase=bool(options.lowercase),
            specials=(BORDER,),
        )

    if options.joint:
        return PairVocabulary(learn([*pairs.sources, *pairs.targets]))
    return PairVocabulary(learn(pairs.sources), learn(pairs.targets))


def stretch_of(pairs: Pairs, vocabulary: PairVocabulary) -> float:
    """How many times as long as its source all but a few of the translations are, in units, at least 1.5."""
    sources, targets = vocabulary.encode_all(pairs.sources), vocabulary.target.encode_all(pairs.targets)
    ratios = [len(target) / (len(source) + 1) for source, target in zip(sources, targets, strict=True)]
    return round(max(1.5, float(np.quantile(ratios, 0.995))), 2)


def _network(
    plan: NetworkPlan, vocabulary: PairVocabulary, attention: str, *, input_feeding: bool
) -> TranslationNetwork:
    encoder = plan.recurrent()
    source = Embedding(len(vocabulary), plan.inputs)
    target = source if vocabulary.joint else Embedding(len(vocabulary.target), plan.inputs)
    fed = (plan.inputs if plan.tied else encoder.output_size) if input_feeding else 0
    decoder = Recurrent(
        plan.program,
        plan.inputs + fed,
        encoder.output_size,
        layers=plan.layers,
        regularisation=plan.regularisation,
    )
    return TranslationNetwork(
        source,
        encoder,
        target,
        decoder,
        attention=attention,
        input_feeding=input_feeding,
        tied=plan.tied,
        dropout=plan.dropout,
    )
