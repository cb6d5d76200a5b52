"""Transcription of a stream: the text so far, as the sound or the strokes arrive."""

from __future__ import annotations

import numpy as np
import torch

from unrolled.data.arrays import Numbers
from unrolled.data.feeds import feed
from unrolled.errors import ArgumentError
from unrolled.layers import State
from unrolled.tasks.transcribe import GREEDY, Search, TranscribeTask


class TranscriptStream:
    """Reads a signal part by part; in the end the text is that of the whole.

    A part is samples (N,) of sound at the run's rate, points (N, 3) of a pen (x, y, 1 where a stroke begins), or steps
    (N, C). Raises ArgumentError for a run that was not trained with `causal`.
    """

    def __init__(self, model: TranscribeTask, search: Search = GREEDY) -> None:
        if model.plan.bidirectional:
            raise ArgumentError(
                "this run reads in both directions, so it needs the whole input; train with --causal for streams"
            )
        self.model = model
        self.feed = feed(model.signal)
        self.reader = search.reader(model.blank)
        self._rest = np.zeros((0, model.plan.inputs), np.float32)
        self._states: list[State] | None = None
        model.module.eval()

    @property
    def text(self) -> str:
        """What was read so far. Without a beam it only grows; with one the end may still change."""
        return self.model.vocabulary.decode(self.reader.symbols)

    def push(self, part: Numbers) -> str:
        """The text after the next part of the signal."""
        self._take(self.feed.push(part))
        whole = len(self._rest) - len(self._rest) % self.model.module.reduction
        self._read(whole)
        return self.text

    def finish(self) -> str:
        """The whole text: nothing follows."""
        self._take(self.feed.finish())
        self._read(len(self._rest))
        return self.text

    def _take(self, features: Numbers) -> None:
        self._rest = np.concatenate([self._rest, self.model.scaler.transform(features)])

    @torch.no_grad()
    def _read(self, count: int) -> None:
        if not count:
            return
        steps = torch.from_numpy(self._rest[None, :count]).to(self.model.device)
        self._rest = self._rest[count:]
        logits, self._states = self.model.module.advance(steps, self._states)
        self.reader.read(self.model.without_unknown(logits)[0].float().log_softmax(-1).cpu().numpy())
