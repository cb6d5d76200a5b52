"""One layer of a stack: a cell in one or both directions, with what stands around it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unrolled.engine import Capture, Tokens
from unrolled.layers.direction import Call, Direction
from unrolled.layers.drawn import Drawn, draw_mask, masked
from unrolled.layers.lengths import valid


class Layer(nn.Module):
    """y = x + f(dropout(norm(x))), where f is the cell in one or both directions, their features side by side.

    Normalisation, dropout and the sum are there only where they were asked for.
    """

    def __init__(
        self,
        directions: Sequence[Direction],
        *,
        norm: nn.Module | None,
        dropout: float,
        variational: bool,
        residual: bool,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.forwards = directions[0]
        self.backwards = directions[1] if len(directions) == 2 else None
        self.dropout = dropout
        self.variational = variational
        self.residual = residual

    @property
    def directions(self) -> tuple[Direction, ...]:
        return (self.forwards,) if self.backwards is None else (self.forwards, self.backwards)

    @property
    def output_size(self) -> int:
        return sum(direction.output_size for direction in self.directions)

    def draw(self, batch: int, steps: int, *, packed: bool = False) -> Drawn:
        """All that is left to chance in a call, and the parameters; masks of every step as bits where `packed`."""
        first = self.forwards
        rate = self.dropout if self.training else 0.0
        mask = draw_mask(batch, steps, first.sizes.input, rate, first.W, variational=self.variational, packed=packed)
        both = [(d.weights(), d.noise(batch, steps, packed=packed)) for d in self.directions]
        return Drawn(mask, tuple(w for w, _ in both), tuple(n for _, n in both))

    def run(
        self,
        call: Call,
        drawn: Drawn,
        xs: Tensor | Tokens | None,
        state: tuple[Any, ...],
        captures: Sequence[Capture | None],
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """From xs (B, T, F), tokens or None to outputs (B, T, D * O) and the state of each direction."""
        inner = xs
        if isinstance(inner, Tensor):
            if self.norm is not None:
                own = self.norm if drawn.norm is None else partial(functional_call, self.norm, dict(drawn.norm))
                inner = own(inner)
            inner = masked(inner, drawn.mask)
            if inner.dtype != drawn.weights[0].W.dtype:  # under autocast, which casts again where that is faster
                inner = inner.to(drawn.weights[0].W.dtype)
        outputs, after = [], []
        for i, direction in enumerate(self.directions):
            ys, last = call.scan(
                direction.program,
                drawn.weights[i],
                inner,
                state[i],
                steps=call.steps if inner is None else None,
                noise=drawn.noise[i],
                lengths=call.lengths,
                reverse=i == 1,
                capture=captures[i],
                engine=call.engine,
            )
            outputs.append(ys)
            after.append(last)
        joined = torch.cat(outputs, 2) if len(outputs) == 2 else outputs[0]
        return self._add(joined, xs, call), tuple(after)

    def _add(self, outputs: Tensor, xs: Tensor | Tokens | None, call: Call) -> Tensor:
        if not self.residual or not isinstance(xs, Tensor):
            return outputs
        outputs = outputs + xs
        # The cell's outputs are zero past a row's length; its padded inputs need not be.
        return outputs if call.lengths is None else outputs.where(valid(call.lengths, call.steps)[..., None], 0)

    def extra_repr(self) -> str:
        said = [f"dropout={self.dropout}"] if self.dropout else []
        return ", ".join([*said, "residual"] if self.residual else said)
