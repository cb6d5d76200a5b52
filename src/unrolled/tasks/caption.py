"""Captions: a text for each picture (one to many)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from unrolled.data import Vocabulary, build_vocabulary, split_rows
from unrolled.decode.beam import Advance
from unrolled.errors import ArgumentError
from unrolled.layers import map_state
from unrolled.models.caption import CaptionNetwork, View
from unrolled.tasks.caption_text import BORDER, CaptionText, Ids, Sight
from unrolled.tasks.model import Parts, TaskModel, digest, epochs_for
from unrolled.tasks.network import NetworkPlan, program_of, regularisation_of
from unrolled.tasks.options import CaptionOptions, Common
from unrolled.tasks.pictures import Batch, Images, PictureBatches, PictureReader, Pictures, as_tensor
from unrolled.tasks.schemas import caption_schema
from unrolled.train import BatchSource, Carry, LossOutput
from unrolled.train.bleu import bleu_scores, words_and_marks

_ROWS = 64


class CaptionTask(CaptionText, TaskModel[Pictures]):
    """p(y_1 ... y_n | picture) = prod_t p(y_t | y_1 ... y_{t-1}, picture); written by beam search.

    `longest` is the most units that a training caption had; no answer is longer.
    """

    task: ClassVar[str] = "caption"
    unit: ClassVar[str] = "pictures"
    module: CaptionNetwork
    vocabulary: Vocabulary

    def __init__(
        self,
        plan: NetworkPlan,
        vocabulary: Vocabulary,
        *,
        sight: Sight,
        reader: PictureReader,
        longest: int,
        beam: int,
    ) -> None:
        module = CaptionNetwork(
            sight.encoder(),
            len(vocabulary),
            plan.recurrent(),
            attention=sight.attention,
            features=sight.features,
            dropout=plan.dropout,
            word_dropout=plan.word_dropout,
        )
        TaskModel.__init__(self, plan, vocabulary, module)
        CaptionText.__init__(self, vocabulary, sight, longest, beam)
        self.reader = reader

    @classmethod
    def read(cls, path: Path, options: CaptionOptions, common: Common) -> Parts[Pictures]:
        reader = PictureReader.of(options)
        examples, skipped = reader.read(path, group=common.group, skip_bad=common.skip_bad)
        test = None
        if common.test is not None:
            test, more = reader.read(common.test, skip_bad=common.skip_bad)
            skipped += more
        if common.valid is not None:
            valid, more = reader.read(common.valid, skip_bad=common.skip_bad)
            return Parts(examples, valid, test, str(common.valid), skipped=skipped + more)
        parts = hold_out(examples, options.validation, common)
        return replace(parts, test=test, skipped=skipped)

    @classmethod
    def build(cls, parts: Parts[Pictures], options: CaptionOptions, start: TaskModel[Any] | None = None) -> Self:
        if options.beam < 1:
            raise ArgumentError(f"beam={options.beam} must be at least 1; give a larger number or leave it out")
        like = None if start is None else start.plan
        vocabulary = None if start is None else start.vocabulary
        texts = [text for several in parts.train.captions for text in several]
        if vocabulary is None or BORDER not in vocabulary.specials:
            lowercase = options.lowercase if options.lowercase is not None else options.units == "word"
            vocabulary = build_vocabulary(
                options.units,
                texts,
                size=options.vocabulary_size,
                minimum=options.minimum,
                lowercase=lowercase,
                specials=(BORDER,),
            )
        plan = NetworkPlan(
            program=program_of(options) if like is None else like.program,
            inputs=options.embedding if like is None else like.inputs,
            hidden=options.hidden if like is None else like.hidden,
            layers=options.layers if like is None else like.layers,
            outputs=len(vocabulary),
            vocabulary=len(vocabulary),
            chrono=options.chrono,
            dropout=options.dropout,
            word_dropout=options.word_dropout,
            regularisation=regularisation_of(options),
        )
        images = parts.train.images
        sight = Sight(
            channels=tuple(options.channels),
            blocks=options.blocks,
            attention=options.attention,
            features=None if images.ndim == 4 else images.shape[2],
        )
        longest = max(len(ids) for ids in vocabulary.encode_all(texts))
        reader = PictureReader.of(options)
        return cls(plan, vocabulary, sight=sight, reader=reader, longest=longest, beam=options.beam)

    @classmethod
    def restore(cls, plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None) -> Self:
        vocabulary, found = caption_schema(schema, vocabulary)
        return cls(plan, vocabulary, sight=found.sight, reader=found.reader, longest=found.longest, beam=found.beam)

    def schema(self) -> dict[str, Any]:
        sight = asdict(self.sight) | {"channels": list(self.sight.channels)}
        return {"sight": sight, "reader": asdict(self.reader), "longest": self.longest, "beam": self.beam}

    def read_part(self, path: Path) -> Pictures:
        return self.reader.read(path)[0]

    def keys(self, examples: Pictures) -> list[Hashable]:
        return examples.keys()

    def fingerprint(self, examples: Pictures) -> str:
        return digest([*self.keys(examples), *examples.captions])

    def epochs(self, steps: int) -> int:
        return epochs_for(6000, steps, fewest=20)

    def encode(self, text: str) -> Ids:
        """A caption between two borders."""
        return np.concatenate([[self.border], self.vocabulary.encode(text), [self.border]]).astype(np.int64)

    def batches(self, examples: Pictures, size: int, seed: int | None = None) -> PictureBatches:
        """`size` pictures a batch; without a seed always in the same order."""
        captions = [[self.encode(text) for text in several] for several in examples.captions]
        return PictureBatches.of(examples.images, captions, size, seed)

    def source(self, examples: Pictures, options: CaptionOptions, seed: int) -> BatchSource:
        return self.batches(examples, options.batch_size, seed)

    def activations(self, batch: Batch) -> int:
        rows, steps = batch.ids.shape
        decoder = rows * steps * (8 * self.plan.hidden + batch.pictures[0, 0].numel())
        numbers = batch.pictures.numel()
        for stage, width in enumerate(self.sight.channels if self.sight.features is None else ()):
            pixels = batch.pictures[:, 0].numel() // 4 ** (stage + 1)
            numbers += 3 * pixels * width * (1 + self.sight.blocks)
        return decoder + numbers + self.module.output.working_size(rows * steps)

    def loss(self, batch: Batch, carry: Carry) -> LossOutput:
        """Cross-entropy in nats a unit, the border at the end counted."""
        view = self._look(batch)
        ids, targets = batch.ids.to(self.device), batch.targets.to(self.device)
        loss = self.module.loss(view, ids, targets, batch.lengths.to(self.device))
        return LossOutput(loss, len(batch.pictures))

    def _look(self, batch: Batch) -> View:
        return self.module.look(batch.pictures.to(self.device)).take(batch.owner.to(self.device))

    @torch.no_grad()
    def measure(self, examples: Pictures) -> dict[str, float]:
        """`loss` of the given captions; of those written by beam search BLEU and how many equal a given one."""
        self.module.eval()
        nats, units = 0.0, 0
        for batch in self.batches(examples, _ROWS).epoch(0):
            count = int(batch.lengths.sum())
            nats, units = nats + float(self.loss(batch, None).loss) * count, units + count
        written = [words_and_marks(found[0].text) for found in self.describe(examples.images)]
        given = [[words_and_marks(text) for text in several] for several in examples.captions]
        same = sum(answer in several for answer, several in zip(written, given, strict=True))
        return {"loss": nats / units, **bleu_scores(written, given), "exact_match": same / len(given)}

    @torch.no_grad()
    def begin(self, images: Images) -> Any:
        self.module.eval()
        view = self.module.look(as_tensor(images).to(self.device))
        return self.module.recurrent.initial_state(len(images)), view

    @torch.no_grad()
    def advance(self, tokens: Ids, rows: Ids, state: Any) -> Advance[Any]:
        picked = torch.from_numpy(rows).to(self.device)
        view = state[1].take(picked)
        before = map_state(lambda tensor: tensor[picked], state[0])
        logits, after, looked = self.module.step(view, torch.from_numpy(tokens).to(self.device), before)
        logs = logits.double().log_softmax(1)
        return Advance(logs.cpu().numpy(), (after, view), looked.cpu().numpy())


def hold_out(examples: Pictures, share: float, common: Common) -> Parts[Pictures]:
    """Hold that share of the pictures out, and never a group in two parts."""
    if share == 0:
        return Parts(examples, how="none")
    train, held = split_rows(len(examples), share, common.seed, groups=examples.groups)
    by = "" if examples.groups is None else f", no {common.group} in both parts"
    return Parts(examples.take(train), examples.take(held), how=f"{share:.0%} of the pictures held out{by}")
