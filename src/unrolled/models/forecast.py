"""A network that reads what a series has done and says what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent
from unrolled.layers.attention import Attention
from unrolled.layers.regularisation import check_rate, drop
from unrolled.models.distributions import Head
from unrolled.models.shapes import FLOOR, ForecastShape


class Window(NamedTuple):
    """B windows of C steps of context and H of horizon, in units of each line's scale.

    context (B, C), seen (B, C) 1 where a value is known, past (B, C, P), known (B, C + H, Q), truth (B, H), counts
    (B, H) 1 where the truth is known; a value of the file is centre + unit * x, both (B, 1).
    """

    context: Tensor
    seen: Tensor
    past: Tensor
    known: Tensor
    truth: Tensor
    counts: Tensor
    centre: Tensor
    unit: Tensor


class Judged(NamedTuple):
    """Parameters (B, L, size) of the head beside the truth (B, L) in the window's own units and where it counts."""

    parameters: Tensor
    truth: Tensor
    counts: Tensor
    scale: Tensor


class ForecastNetwork(nn.Module):
    """Segments of a series -> recurrent layers -> parameters of each coming value.

    A window of C values is brought to x' = (x - level) / scale, by its own last value and deviation, and cut into
    segments of w values, which the recurrent layers read a step each (Lin et al. 2023).

    - *Direct*: the layers go on through the horizon, where they read places and known covariates alone; their outputs,
      with attention to those of the context on request, give the parameters. A linear map of x' is added (Lai et al.
      2018), which starts as the seasonal naive forecast or as a map that was fitted before (`start_from`).
    - *Recursive*: each output gives the parameters of the next segment, relative to the last value; draws of it are fed
      back (Salinas et al. 2020).
    """

    def __init__(self, recurrent: Recurrent, shape: ForecastShape, head: Head, dropout: float = 0.0) -> None:
        super().__init__()
        check_rate("dropout", dropout)
        if shape.recursive and recurrent.bidirectional:
            raise ArgumentError("outputs can only be fed back forwards; leave bidirectional or recursive out")
        self.recurrent, self.shape, self.head, self.dropout = recurrent, shape, head, dropout
        width, features = recurrent.input_size, recurrent.output_size
        covariates = shape.known + (0 if shape.recursive else shape.past)
        self.read = nn.Linear(shape.segment * (2 + covariates), width)
        self.attention = None if shape.attention is None else Attention(shape.attention, features, features)
        self.output = nn.Linear(features * (1 if self.attention is None else 2), shape.segment * head.size)
        if not shape.recursive:
            self.place = nn.Parameter(0.1 * torch.randn(shape.ahead, width))
            self.ahead = nn.Linear(shape.segment * shape.known, width, bias=False) if shape.known else None
            self.linear = nn.Linear(shape.context, shape.horizon)
            _seasonal_naive(self.linear, shape.seasons)

    def start_from(self, matrix: Tensor) -> None:
        """Let the linear part start as a map (C, H) of x - x_C to y - x_C instead; counts have another level."""
        if not self.shape.recursive and not self.head.counts:
            with torch.no_grad():
                self.linear.weight.copy_(matrix.T)

    def forward(self, window: Window) -> Judged:
        """What training judges: the horizon, or in a recursive network every segment after the first."""
        level, scale = self.normal(window)
        x, truth = (window.context - level) / scale, (window.truth - level) / scale
        if not self.shape.recursive:
            return Judged(self.direct(x, window), truth, window.counts, scale)
        whole = torch.cat([x, truth], 1)
        counts = torch.cat([window.seen, window.counts], 1)
        parameters = self._teach(whole, counts, window.known)
        size, end = self.shape.segment, self.shape.context + self.shape.horizon
        return Judged(parameters[:, : end - size], whole[:, size:], counts[:, size:], scale)

    def normal(self, window: Window) -> tuple[Tensor, Tensor]:
        """Level and scale (B, 1) of each window; counts are only divided, so that 0 stays 0."""
        x, seen = window.context, window.seen
        if self.head.counts:
            level = -window.centre / window.unit
            return level, (x - level).abs().mean(1, keepdim=True) + 1 / window.unit
        known = seen.sum(1, keepdim=True).clamp(min=1)
        mean = (x * seen).sum(1, keepdim=True) / known
        deviation = (((x - mean) * seen) ** 2).sum(1, keepdim=True) / known
        return x[:, -1:], deviation.sqrt() + FLOOR

    def direct(self, x: Tensor, window: Window) -> Tensor:
        """Parameters (B, H, size) of the horizon, from the context (B, C) in the window's own units."""
        shape, rows = self.shape, len(x)
        known, coming = window.known[:, : shape.context], window.known[:, shape.context :]
        steps = torch.cat([torch.stack([x, 1 - window.seen], 2), window.past, known], 2)
        context = functional.relu(self.read(self._segments(steps)))
        places = self.place.expand(rows, -1, -1)
        if self.ahead is not None:
            places = places + self.ahead(self._segments(self._whole(coming)))
        outputs, _ = self.recurrent(torch.cat([context, places], 1))
        before, after = outputs[:, : -shape.ahead], outputs[:, -shape.ahead :]
        if self.attention is not None:
            after = torch.cat([after, self.attention(after, self.attention.memory(before))[0]], 2)
        after = drop(after, self.dropout, training=self.training)
        parameters = self.output(after).view(rows, -1, self.head.size)[:, : shape.horizon]
        return self._moved(parameters, self.linear(x))

    def _teach(self, values: Tensor, seen: Tensor, known: Tensor) -> Tensor:
        """Parameters (B, L, size) of what follows the first segment, every true segment being read before the next."""
        values, seen, known = (self._whole(part) for part in (values, seen, known))
        inputs = self._inputs(values[:, : -self.shape.segment], seen[:, : -self.shape.segment], known)
        outputs, _ = self.recurrent(inputs)
        return self._next(outputs, values)

    def _inputs(self, values: Tensor, seen: Tensor, known: Tensor) -> Tensor:
        """What the recurrent layers read: a segment's values and the known covariates of the one after it."""
        coming = known[:, self.shape.segment : self.shape.segment + values.shape[1]]
        steps = torch.cat([torch.stack([values * seen, 1 - seen], 2), coming], 2)
        return functional.relu(self.read(self._segments(steps)))

    def _next(self, outputs: Tensor, values: Tensor) -> Tensor:
        parameters = self.output(drop(outputs, self.dropout, training=self.training))
        parameters = parameters.view(len(outputs), -1, self.head.size)
        size, count = self.shape.segment, outputs.shape[1]
        last = values[:, size - 1 :: size][:, :count]
        return self._moved(parameters, last.repeat_interleave(size, 1))

    @torch.no_grad()
    def forecast(
        self, window: Window, levels: Sequence[float], *, paths: int = 100, seed: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Centre (B, H) and quantiles (B, H, len(levels)) in the units of the lines."""
        level, scale = self.normal(window)
        x = (window.context - level) / scale
        if self.shape.recursive:
            centre, quantiles = self._fed_back(x, window, levels, scale, paths, seed)
        else:
            head, parameters = self.head.at(scale * window.unit), self.direct(x, window)
            centre, quantiles = head.centre(parameters), head.quantiles(parameters, levels)
        return centre * scale + level, quantiles * scale[..., None] + level[..., None]

    def _fed_back(
        self, x: Tensor, window: Window, levels: Sequence[float], scale: Tensor, paths: int, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Paths are drawn a segment at a time, each read before the next; quantiles are those of the paths."""
        shape, rows = self.shape, len(x)
        paths = paths if self.head.size > 1 else 1
        random = torch.Generator().manual_seed(seed)
        known = self._whole(window.known)
        outputs, state = self.recurrent(self._inputs(x, window.seen, known))
        outputs, values, known, scale = (
            part.repeat_interleave(paths, 0) for part in (outputs[:, -1:], x[:, -shape.segment :], known, scale)
        )
        rank_rows = torch.arange(rows, device=x.device).repeat_interleave(paths)
        state = tuple(tuple(type(cell)(*(part[rank_rows] for part in cell)) for cell in layer) for layer in state)
        head, drawn = self.head.at(scale * window.unit.repeat_interleave(paths, 0)), []
        for place in range(shape.ahead):
            # One rank for a whole segment: its values rise and fall together, as neighbours do.
            rank = torch.rand(len(values), 1, generator=random).to(x).clamp(1e-3, 1 - 1e-3)
            values = head.draw(self._next(outputs, values), rank.expand(-1, shape.segment))
            drawn.append(values)
            if place + 1 < shape.ahead:
                start = shape.context + place * shape.segment
                inputs = self._inputs(values, torch.ones_like(values), known[:, start:])
                outputs, state = self.recurrent(inputs, state)
        whole = torch.cat(drawn, 1)[:, : shape.horizon].view(rows, paths, shape.horizon)
        found = torch.quantile(whole, whole.new_tensor([*levels, 0.5]), dim=1).movedim(0, -1)
        return found[..., -1], found[..., :-1]

    def _segments(self, steps: Tensor) -> Tensor:
        """(B, n * w, F) as (B, n, w * F)."""
        return steps.reshape(len(steps), -1, self.shape.segment * steps.shape[2])

    def _whole(self, steps: Tensor) -> Tensor:
        """Steps (B, L, ...) filled up with 0 to whole segments."""
        short = -steps.shape[1] % self.shape.segment
        return steps if not short else torch.cat([steps, steps.new_zeros(len(steps), short, *steps.shape[2:])], 1)

    def _moved(self, parameters: Tensor, location: Tensor) -> Tensor:
        located = self.head.located
        return torch.cat([parameters[..., :located] + location[..., None], parameters[..., located:]], -1)

    def extra_repr(self) -> str:
        return f"{self.shape}, dropout={self.dropout}" if self.dropout else str(self.shape)


def _seasonal_naive(linear: nn.Linear, seasons: Sequence[int]) -> None:
    """Start as the mean of the seasonal naive forecasts, as the last value where there is no season."""
    horizon, context = linear.weight.shape
    fitting = [season for season in seasons if 1 < season <= context]
    with torch.no_grad():
        linear.weight.mul_(0.1)
        linear.bias.zero_()
        for season in fitting:
            for step in range(horizon):
                linear.weight[step, context - season + step % season] += 1 / len(fitting)
