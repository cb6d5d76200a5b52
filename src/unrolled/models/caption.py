"""A network that looks at a picture and says word by word what is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers import IGNORED, Output, Recurrent
from unrolled.layers.attention import Attention, Memory
from unrolled.layers.lengths import as_lengths, valid
from unrolled.layers.regularisation import check_rate, drop
from unrolled.layers.state import State
from unrolled.models.embedding import Embedding
from unrolled.models.image import ImageEncoder


class View(NamedTuple):
    """A batch of pictures as the words see them: the regions to look at, and the whole in one vector (B, E)."""

    regions: Memory
    whole: Tensor

    def take(self, rows: Tensor) -> View:
        """The pictures in these rows (N,), in that order and as often as they are named."""
        return View(self.regions.take(rows), self.whole[rows])


class CaptionNetwork(nn.Module):
    """Pictures and the words so far -> scores of the next word, with spatial attention (Xu et al. 2015).

        h_t = cell(e(y_{t-1}) + P max_r v_r, h_{t-1})
        a_tr = softmax_r score(h_t, v_r)        c_t = sum_r a_tr v_r
        logits_t = V tanh(W [h_t; c_t])

    The recurrent layers do not wait for what was looked at (as in Luong et al. 2015), so that in training they run over
    whole captions at once. `encoder` makes the regions v (B, R, C) of pictures (B, 3, H, W); None reads regions
    (B, R, `features`) that were computed beforehand. `dropout` acts on regions, embedded words and the output;
    `word_dropout` is the share of words read as unknown in training, so that what is said next is learnt from the
    picture and not from the words before (Bowman et al. 2016).

    Raises ArgumentError if the recurrent layers are bidirectional or if neither encoder nor `features` is given.
    """

    def __init__(
        self,
        encoder: ImageEncoder | None,
        vocabulary_size: int,
        recurrent: Recurrent,
        *,
        attention: str = "multiplicative",
        features: int | None = None,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_rate("dropout", dropout)
        if recurrent.bidirectional:
            raise ArgumentError(
                "a caption's words may not see what comes next; build the recurrent layer with bidirectional=False."
            )
        width = features if encoder is None else encoder.output_size
        if width is None or (encoder is not None and features is not None):
            raise ArgumentError("pictures are read by an encoder or given as features; give one of the two.")
        embedding, hidden = recurrent.input_size, recurrent.output_size
        self.encoder = encoder
        if encoder is not None:
            # Two of many inputs would be lost among the others, and a word could not ask for a place.
            nn.init.normal_(encoder.place.weight.data[:, -2:], std=0.5)
        self.region_size = width
        self.dropout = dropout
        self.norm = nn.LayerNorm(width)
        self.whole = nn.Linear(width, embedding)
        vectors = 0.1 * torch.randn(vocabulary_size, embedding)
        self.embed = Embedding(vocabulary_size, embedding, vectors=vectors, word_dropout=word_dropout)
        self.recurrent = recurrent
        # Few regions tell a word what to say, and scores that are divided find them late.
        self.attention = Attention(attention, hidden, width, scaled=False)
        self.join = nn.Linear(hidden + width, hidden)
        self.output = Output(hidden, vocabulary_size)

    def look(self, pictures: Tensor) -> View:
        """Pictures (B, 3, H, W) in [0, 1], or features (B, R, F), as they are looked at; computed once a picture."""
        if self.encoder is None and (pictures.dim() != 3 or pictures.shape[2] != self.region_size):
            raise ArgumentError(
                f"the features have the shape {tuple(pictures.shape)}, but this network reads "
                f"(B, R, {self.region_size}); compute them as those that it was trained on."
            )
        regions = self.norm(pictures if self.encoder is None else self.encoder(pictures))
        regions = drop(regions, self.dropout, training=self.training)
        return View(self.attention.memory(regions), self.whole(regions.amax(1)))

    def forward(self, view: View, ids: Tensor, lengths: Tensor | Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Ids (B, T) of the words so far -> logits (B, T, V) and where each step looked, (B, T, R)."""
        features, weights = self._features(view, ids, lengths)
        return self.output(features), weights

    def loss(
        self,
        view: View,
        ids: Tensor,
        targets: Tensor,
        lengths: Tensor,
        *,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """Cross-entropy in nats of targets (B, T), those past a row's length apart; see `Output.cost`."""
        features, _ = self._features(view, ids, lengths)
        rows, steps = targets.shape
        inside = valid(as_lengths(lengths, rows, steps, targets.device), steps)
        return self.output.cost(
            features, targets.where(inside, IGNORED), reduction=reduction, label_smoothing=label_smoothing
        )

    def step(self, view: View, ids: Tensor, state: State | None = None) -> tuple[Tensor, State, Tensor]:
        """One word a row: ids (B,) -> logits (B, V), the state, and where it looked, (B, R)."""
        if ids.dim() != 1:
            raise ArgumentError(f"step was given ids of shape {tuple(ids.shape)}, but it needs one id a row, (B,).")
        outputs, state = self.recurrent.step(self._read(view, ids[:, None])[:, 0], state)
        features, weights = self._join(view, outputs[:, None])
        return self.output(features[:, 0]), state, weights[:, 0]

    def _features(self, view: View, ids: Tensor, lengths: Tensor | Sequence[int] | None) -> tuple[Tensor, Tensor]:
        return self._join(view, self.recurrent(self._read(view, ids), lengths=lengths)[0])

    def _read(self, view: View, ids: Tensor) -> Tensor:
        return drop(self.embed(ids), self.dropout, training=self.training) + view.whole[:, None]

    def _join(self, view: View, outputs: Tensor) -> tuple[Tensor, Tensor]:
        contexts, weights = self.attention(outputs, view.regions)
        joined = torch.tanh(self.join(torch.cat((outputs, contexts), 2)))
        return drop(joined, self.dropout, training=self.training), weights
