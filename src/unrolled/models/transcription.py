"""A network that reads a long sequence and scores a symbol or none at every step of a shorter one (CTC)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent, State
from unrolled.layers.lengths import as_lengths, valid
from unrolled.layers.regularisation import check_rate, drop


class TranscriptionNetwork(nn.Module):
    """Recurrent stages, each of which may first join R neighbouring steps, then logits: (B, T, F) -> (B, U, V).

    `reductions` has one R for each stage and U = ceil(T / prod R). One stage with R > 1 is a strided network, several
    with R = 2 are the pyramid of Chan et al. 2016. A last group that is not full is filled with zeros. `dropout` acts
    before every stage but the first and before the output, `norm` normalises the steps before the same stages. Raises
    ArgumentError where the widths do not fit.
    """

    def __init__(
        self,
        stages: Sequence[Recurrent],
        reductions: Sequence[int],
        outputs: int,
        dropout: float = 0.0,
        *,
        norm: bool = False,
    ) -> None:
        super().__init__()
        check_rate("dropout", dropout)
        for before, stage, factor in zip(stages, stages[1:], reductions[1:], strict=False):
            if stage.input_size != before.output_size * factor:
                raise ArgumentError(
                    f"a stage reads {stage.input_size} features, but {factor} steps of the one before have "
                    f"{before.output_size * factor}; build it for so many."
                )
        if len(stages) != len(reductions) or min(reductions, default=0) < 1:
            raise ArgumentError(f"{len(stages)} stages and reductions {list(reductions)}; give each stage one above 0.")
        self.stages = nn.ModuleList(stages)
        self.reductions = tuple(reductions)
        self.norms = nn.ModuleList(nn.LayerNorm(stage.output_size) for stage in stages[:-1]) if norm else None
        self.dropout = dropout
        self.output = nn.Linear(stages[-1].output_size, outputs)

    @property
    def reduction(self) -> int:
        """Input steps that become one output step."""
        product = 1
        for factor in self.reductions:
            product *= factor
        return product

    def forward(self, x: Tensor, lengths: Tensor | Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Logits (B, U, V) and how many steps of each row count, (B,)."""
        lengths = as_lengths(lengths, x.shape[0], x.shape[1], x.device)
        logits, _, lengths = self._through(x, None, lengths)
        return logits, lengths

    def advance(self, x: Tensor, states: Sequence[State] | None = None) -> tuple[Tensor, list[State]]:
        """The next part of a stream: x (B, T, F) -> logits (B, U, V) and the state of each stage.

        Parts whose T is a multiple of `reduction` give what the whole sequence would; only the last may be of another
        length. Raises ArgumentError if a stage reads in both directions.
        """
        if any(stage.bidirectional for stage in self.recurrents):
            raise ArgumentError(
                "a bidirectional network cannot answer before the sequence ends; train with --causal for streams."
            )
        logits, after, _ = self._through(x, states, None)
        return logits, after

    def _through(
        self, x: Tensor, states: Sequence[State] | None, lengths: Tensor | None
    ) -> tuple[Tensor, list[State], Tensor]:
        after = []
        for place, (stage, factor) in enumerate(zip(self.recurrents, self.reductions, strict=True)):
            if place:
                x = x if self.norms is None else self.norms[place - 1](x)
                x = drop(x, self.dropout, training=self.training)
            if lengths is not None and (factor > 1 or self.norms is not None):
                # What stands past a row's end must not get into its last group.
                x = x.where(valid(lengths, x.shape[1])[..., None], 0)
            x = join_steps(x, factor)
            lengths = None if lengths is None else -(-lengths // factor)
            x, state = stage(x, None if states is None else states[place], lengths=lengths)
            after.append(state)
        x = drop(x, self.dropout, training=self.training)
        full = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
        return functional.linear(x, self.output.weight, self.output.bias), after, full

    @property
    def recurrents(self) -> list[Recurrent]:
        """The stages, first to last."""
        return [stage for stage in self.stages if isinstance(stage, Recurrent)]

    def extra_repr(self) -> str:
        return f"reductions={self.reductions}" + (f", dropout={self.dropout}" if self.dropout else "")


def join_steps(x: Tensor, factor: int) -> Tensor:
    """(B, T, F) -> (B, ceil(T / factor), factor * F), the features of neighbouring steps side by side."""
    if factor == 1:
        return x
    x = functional.pad(x, (0, 0, 0, -x.shape[1] % factor))
    return x.reshape(x.shape[0], x.shape[1] // factor, factor * x.shape[2])


def ctc_cost(logits: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor, blank: int = 0) -> Tensor:
    """-log p(target) of each row in nats, (B,), with p the sum over all alignments (Graves et al. 2006).

    logits (B, U, V), targets (B, L) int64. Infinite for a row that is shorter than its target needs.
    """
    # The loss of torch computes in logarithms, for which half precision is too coarse.
    logs = logits.float().log_softmax(-1).transpose(0, 1)
    return functional.ctc_loss(logs, targets, lengths, target_lengths, blank=blank, reduction="none")
