"""A captioner without torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from unrolled.data import Vocabulary
from unrolled.decode import Advance
from unrolled.runtime.model import Model, Run
from unrolled.runtime.parts import Attention, Embedding, Ids, LayerNorm, Linear, Memory, log_softmax
from unrolled.runtime.recurrent import State, take_rows
from unrolled.runtime.vision import ImageEncoder
from unrolled.runtime.weights import Array
from unrolled.tasks.caption_text import CaptionText, Sight
from unrolled.tasks.pictures import Images
from unrolled.tasks.schemas import CaptionSchema, caption_schema


class Saying(NamedTuple):
    """What a search goes on from: the regions to look at, the whole picture (B, E) and the recurrent state."""

    regions: Memory
    whole: Array
    state: State


class Network:
    """Regions of a picture and the words so far -> the next word; see `models.caption.CaptionNetwork`."""

    def __init__(self, run: Run, units: int, sight: Sight) -> None:
        plan, weights = run.plan, run.weights
        self.encoder = None
        width = sight.features
        if width is None:
            self.encoder = ImageEncoder(sight.channels, sight.blocks, weights.under("encoder"), around=sight.around)
            width = self.encoder.output_size
        self.norm = LayerNorm(width, weights.under("norm"))
        self.whole = Linear(width, plan.inputs, weights.under("whole"))
        self.embed = Embedding(units, plan.inputs, weights.under("embed"))
        self.recurrent = run.recurrent()
        hidden = self.recurrent.output_size
        self.attention = Attention(sight.attention, hidden, width, weights.under("attention"), scaled=False)
        self.join = Linear(hidden + width, hidden, weights.under("join"))
        self.output = Linear(hidden, units, weights.under("output"))

    def begin(self, images: Images) -> Saying:
        """Bytes (B, H, W, 3) or features (B, R, F) as they are looked at."""
        if self.encoder is None:
            regions: Array = images.astype(np.float32)
        else:
            regions = self.encoder(images.astype(np.float32) / np.float32(255))
        regions = self.norm(regions)
        whole = self.whole(regions.max(1))
        return Saying(self.attention.memory(regions), whole, self.recurrent.initial_state(len(images)))

    def advance(self, tokens: Ids, rows: Ids, state: Saying) -> Advance[Any]:
        """One unit after these rows: log p of the next (N, V), what to go on from, and where it looked (N, R)."""
        regions, whole = state.regions.take(rows), state.whole[rows]
        outputs, after = self.recurrent.step(self.embed(tokens) + whole, take_rows(state.state, rows))
        contexts, weights = self.attention(outputs[:, None], regions)
        joined = np.tanh(self.join(np.concatenate((outputs, contexts[:, 0]), 1)))
        logs = log_softmax(self.output(joined).astype(np.float64))
        return Advance(logs, Saying(regions, whole, after), weights[:, 0])


class Caption(CaptionText, Model):
    """What is on a picture, in words: `predict`, and `describe` for several captions with where each word looked."""

    task = "caption"

    def __init__(self, run: Run, vocabulary: Vocabulary, schema: CaptionSchema) -> None:
        Model.__init__(self, run)
        CaptionText.__init__(self, vocabulary, schema.sight, schema.longest, schema.beam)
        self.reader = schema.reader
        self.network = Network(run, len(vocabulary), schema.sight)

    @classmethod
    def restore(cls, run: Run) -> Callable[[], Self]:
        return partial(cls, run, *caption_schema(run.schema, run.vocabulary))

    def read(self, path: Path) -> Images:
        return self.reader.asked(path)[0].images

    def answers(self, inputs: Images) -> list[dict[str, Any]]:
        best = [found[0] for found in self.describe(inputs)]
        return [{"text": one.text, "log_probability": one.log_probability} for one in best]

    def begin(self, images: Images) -> Saying:
        return self.network.begin(images)

    def advance(self, tokens: Ids, rows: Ids, state: Any) -> Advance[Any]:
        return self.network.advance(tokens, rows, state)
