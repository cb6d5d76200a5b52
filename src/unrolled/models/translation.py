"""A network that reads one sequence and writes another: encoder, attention, decoder."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers import Attention, Memory, Output, Recurrent, State, map_state
from unrolled.layers.regularisation import check_rate, drop
from unrolled.models.embedding import Embedding


class Writing(NamedTuple):
    """What the decoder goes on from: its recurrent state and, with input feeding, the last vector f (B, F)."""

    state: State
    fed: Tensor | None


class TranslationNetwork(nn.Module):
    """p(y_t | y_1 ... y_{t-1}, x) by an encoder and a decoder with attention (Luong et al. 2015).

    m = encoder(x), h_t = decoder(y_{t-1}), c_t = attention(h_t, m), f_t = tanh(W [c_t; h_t]),
    p(y_t) = softmax(V f_t + b)

    - `source`, `target`: embeddings of the two languages; one and the same where they share a vocabulary.
    - The decoder starts from the encoder's last states, the two directions of a bidirectional one side by side.
    - `input_feeding`: the decoder reads [y_{t-1}; f_{t-1}], so it knows where it has looked; it then goes step by step.
    - The target's vectors are read multiplied by sqrt(E).
    - `tied`: V is the target's embedding, and f_t as wide as that; else f_t is as wide as h_t.
    - `dropout`: of single features after the embeddings and before the output.

    Raises ArgumentError where the widths of the parts do not fit.
    """

    def __init__(
        self,
        source: Embedding,
        encoder: Recurrent,
        target: Embedding,
        decoder: Recurrent,
        *,
        attention: str = "multiplicative",
        input_feeding: bool = False,
        tied: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_rate("dropout", dropout)
        size, width = target.weight.shape
        self.width = width if tied else decoder.output_size
        _check_widths(source, encoder, decoder, width + self.width * input_feeding)
        self.source = source
        self.target = target
        self.encoder = encoder
        self.decoder = decoder
        self.attention = Attention(attention, decoder.output_size, encoder.output_size)
        self.join = nn.Linear(encoder.output_size + decoder.output_size, self.width, bias=False)
        self.output = Output(self.width, size)
        self.input_feeding = input_feeding
        self.dropout = dropout
        # Inputs of size 1 let attention be found many times sooner, but such a V would make the first scores far too
        # sure: the target's entries are small, and multiplied where they are read (Vaswani et al. 2017).
        self.gain = math.sqrt(width)
        nn.init.normal_(target.weight, std=1 / self.gain)
        if tied:
            self.output.weight = target.weight

    def encode(self, ids: Tensor, lengths: Tensor) -> tuple[Memory, Writing]:
        """What there is to look at in ids (B, S), and where the decoder starts."""
        outputs, state = self.encoder(self._read(self.source, ids), lengths=lengths)
        start = tuple((_side_by_side(directions),) for directions in state)
        fed = outputs.new_zeros(len(ids), self.width) if self.input_feeding else None
        return self.attention.memory(outputs, lengths), Writing(start, fed)

    def loss(
        self,
        source: tuple[Tensor, Tensor],
        inputs: Tensor,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        sampling: float = 0.0,
    ) -> Tensor:
        """Cross-entropy in nats of targets (B, T), given what comes before each, inputs (B, T), and the source.

        `source` is ids (B, S) and lengths (B,); targets of -100 do not count. `sampling` is the chance that an input is
        replaced by what the network itself says there (scheduled sampling, Bengio et al. 2015).
        """
        vectors = self.vectors(source, inputs, sampling=sampling)
        return self.output.cost(self._drop(vectors), targets, label_smoothing=label_smoothing)

    def vectors(self, source: tuple[Tensor, Tensor], inputs: Tensor, *, sampling: float = 0.0) -> Tensor:
        """The attentional vectors f (B, T, F), of which `output` makes the scores of what follows each input."""
        memory, start = self.encode(*source)
        if self.input_feeding or sampling:
            return self._stepwise(inputs, memory, start, sampling)
        embedded = self._read(self.target, inputs)
        return self._look(self.decoder(embedded, start.state)[0], memory)[0]

    def step(self, ids: Tensor, memory: Memory, writing: Writing) -> tuple[Tensor, Tensor, Writing]:
        """One token a row, ids (B,) -> log p of the next (B, V), where it looked (B, S), and what to go on from."""
        vectors, weights, writing = self._step(self.gain * self.target(ids), memory, writing)
        return self.output(vectors).log_softmax(1), weights, writing

    def _step(self, embedded: Tensor, memory: Memory, writing: Writing) -> tuple[Tensor, Tensor, Writing]:
        x = embedded if writing.fed is None else torch.cat((embedded, writing.fed), 1)
        hidden, state = self.decoder.step(x, writing.state)
        vectors, weights = self._look(hidden, memory)
        return vectors, weights, Writing(state, None if writing.fed is None else vectors)

    def _stepwise(self, inputs: Tensor, memory: Memory, writing: Writing, sampling: float) -> Tensor:
        found: list[Tensor] = []
        embedded = self._read(self.target, inputs)
        for t in range(inputs.shape[1]):
            x = embedded[:, t]
            if t and sampling:
                own = self.gain * self.target(self.output(found[-1]).detach().argmax(1))
                x = torch.where(torch.rand(len(x), 1, device=x.device) < sampling, own, x)
            vectors, _, writing = self._step(x, memory, writing)
            found.append(vectors)
        return torch.stack(found, 1)

    def _look(self, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attentional vectors f (B, [T,] F) of the decoder's outputs, and the weights (B, [T,] S)."""
        contexts, weights = self.attention(hidden, memory)
        return torch.tanh(self.join(torch.cat((contexts, hidden), -1))), weights

    def _read(self, embedding: Embedding, ids: Tensor) -> Tensor:
        """Vectors (..., E) of size 1; a vocabulary for both languages has the target's entries."""
        vectors = embedding(ids)
        return self._drop(self.gain * vectors if embedding is self.target else vectors)

    def _drop(self, x: Tensor) -> Tensor:
        return drop(x, self.dropout, training=self.training)

    def extra_repr(self) -> str:
        said = ["input feeding"] if self.input_feeding else []
        said += ["tied"] if self.output.weight is self.target.weight else []
        return ", ".join([*said, f"dropout={self.dropout}"] if self.dropout else said)


def take_rows(writing: Writing, rows: Tensor) -> Writing:
    """The rows (N,) of it, in that order and as often as they are named."""
    state = map_state(lambda part: part[rows], writing.state)
    return Writing(state, None if writing.fed is None else writing.fed[rows])


def _side_by_side(directions: tuple[Any, ...]) -> Any:
    return type(directions[0])(*(torch.cat(parts, 1) for parts in zip(*directions, strict=True)))


def _check_widths(source: Embedding, encoder: Recurrent, decoder: Recurrent, reads: int) -> None:
    width = source.weight.shape[1]
    if (encoder.input_size, decoder.input_size) != (width, reads):
        raise ArgumentError(
            f"the encoder reads {encoder.input_size} features and the decoder {decoder.input_size}, but they are given "
            f"{width} and {reads}; build them with these input sizes."
        )
    directions = 1 + encoder.bidirectional
    wanted = tuple(directions * size for size in encoder.hidden_sizes)
    if decoder.bidirectional or decoder.hidden_sizes != wanted or decoder.output_size != encoder.output_size:
        raise ArgumentError(
            f"the decoder {decoder.extra_repr()} cannot start from the states of the encoder {encoder.extra_repr()}; "
            f"build it in one direction with hidden_size={list(wanted)}."
        )
