"""`torch.nn.RNN`, `LSTM` and `GRU` computed by our engine: everything else about them stays torch's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from unrolled.cell import Cell, Program, trace
from unrolled.cell.layouts import LAYOUTS, order
from unrolled.cells import GRU as GRUCell
from unrolled.cells import LSTM as LSTMCell
from unrolled.cells import Elman, ProjectedLSTM
from unrolled.engine import Weights, scan

_CELLS: dict[str, Cell] = {"LSTM": LSTMCell(), "GRU": GRUCell(), "RNN_TANH": Elman("tanh"), "RNN_RELU": Elman("relu")}
_OURS = (torch.float32, torch.float64)


class DropIn(nn.RNNBase):
    """The computation that `RNN`, `LSTM` and `GRU` below put in place of torch's.

    It takes float32 and float64 on the CPU; other types and devices, and calls under autocast, go torch's own way.
    """

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:  # noqa: A002  # torch calls it so
        packed = isinstance(input, PackedSequence)
        data = input.data if packed else input
        states = hx if hx is None or isinstance(hx, (tuple, list)) else (hx,)
        if not self._fits(data, states, packed):
            torchs: tuple[Any, Any] = super().forward(input, hx)  # of nn.RNN, LSTM or GRU, which stand next in line
            return torchs
        outputs, after = self._packed(input, states) if packed else self._padded(input, states)
        return outputs, after if self.mode == "LSTM" else after[0]

    def _fits(self, data: Tensor, states: Sequence[Tensor] | None, packed: bool) -> bool:
        """Whether the call is ours; one that is at fault goes to torch too, which says so in its own words."""
        if data.device.type != "cpu" or data.dtype not in _OURS or torch.is_autocast_enabled("cpu"):
            return False
        if states is not None and len(states) != (2 if self.mode == "LSTM" else 1):
            return False
        return packed or (data.dim() in (2, 3) and all(s.dim() == data.dim() for s in states or ()))

    def _padded(self, x: Tensor, states: Sequence[Tensor] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        batched = x.dim() == 3
        if not batched:
            x = x.unsqueeze(0 if self.batch_first else 1)
            states = None if states is None else [s.unsqueeze(1) for s in states]
        rows = x.shape[0] if self.batch_first else x.shape[1]
        states = self._start(x, rows) if states is None else states
        self._check(x, states, None)
        outputs, after = self._run(x if self.batch_first else x.transpose(0, 1), states, None)
        # Who asks for time first may rely on torch's memory layout, for instance with outputs.view(...).
        outputs = outputs if self.batch_first else outputs.transpose(0, 1).contiguous()
        if not batched:
            return outputs.squeeze(0 if self.batch_first else 1), tuple(s.squeeze(1) for s in after)
        return outputs, after

    def _packed(self, x: PackedSequence, states: Sequence[Tensor] | None) -> tuple[PackedSequence, tuple[Tensor, ...]]:
        rows = int(x.batch_sizes[0])
        if states is None:
            states = self._start(x.data, rows)
        elif x.sorted_indices is not None:
            states = [s.index_select(1, x.sorted_indices) for s in states]
        self._check(x.data, states, x.batch_sizes)
        padded, lengths = pad_packed_sequence(PackedSequence(x.data, x.batch_sizes), batch_first=True)
        outputs, after = self._run(padded, states, lengths)
        data = pack_padded_sequence(outputs, lengths, batch_first=True).data
        if x.unsorted_indices is not None:
            after = tuple(s.index_select(1, x.unsorted_indices) for s in after)
        return PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices), after

    def _start(self, like: Tensor, rows: int) -> list[Tensor]:
        widths = [self.proj_size or self.hidden_size] + [self.hidden_size] * (self.mode == "LSTM")
        return [like.new_zeros(len(self._all_weights), rows, width) for width in widths]

    def _check(self, data: Tensor, states: Sequence[Tensor], batch_sizes: Tensor | None) -> None:
        hidden: Any = tuple(states) if self.mode == "LSTM" else states[0]
        self.check_forward_args(data, hidden, batch_sizes)

    def _run(self, xs: Tensor, states: Sequence[Tensor], lengths: Tensor | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """From xs (B, T, F) and states (L * D, B, H) to outputs (B, T, D * O) and states."""
        program = torch_program(self.mode, self.bias, self.proj_size > 0)
        directions = 2 if self.bidirectional else 1
        after = []
        for layer in range(self.num_layers):
            if layer and self.training and self.dropout:
                xs = self._drop(xs, lengths)
            outputs = []
            for direction in range(directions):
                k = layer * directions + direction
                weights = from_torch(program, self.mode, dict(zip(self._roles(), self.all_weights[k], strict=True)))
                start = program.state_type(*(s[k] for s in states))
                ys, last = scan(program, weights, xs, start, lengths=lengths, reverse=direction == 1)
                outputs.append(ys)
                after.append(last)
            xs = torch.cat(outputs, 2) if directions == 2 else outputs[0]
        return xs, tuple(torch.stack(parts) for parts in zip(*after, strict=True))

    def _roles(self) -> list[str]:
        return [name.split("_l")[0] for name in self._all_weights[0]]

    def _drop(self, xs: Tensor, lengths: Tensor | None) -> Tensor:
        """Dropout with torch's own mask for the same seed: drawn time first, or packed where the input was."""
        if lengths is None:
            return functional.dropout(xs.transpose(0, 1).contiguous(), self.dropout).transpose(0, 1)
        data, sizes, _, _ = pack_padded_sequence(xs, lengths, batch_first=True)
        return pad_packed_sequence(PackedSequence(functional.dropout(data, self.dropout), sizes), batch_first=True)[0]


class RNN(DropIn, nn.RNN):
    """`torch.nn.RNN` on our engine: same constructor, parameters, state dict, input forms and results."""


class LSTM(DropIn, nn.LSTM):
    """`torch.nn.LSTM` on our engine: same constructor, parameters, state dict, input forms and results."""


class GRU(DropIn, nn.GRU):
    """`torch.nn.GRU` on our engine: same constructor, parameters, state dict, input forms and results."""


@lru_cache
def torch_program(mode: str, bias: bool, projection: bool) -> Program:
    """The program of one of torch's modes."""
    return replace(trace(ProjectedLSTM() if projection else _CELLS[mode]), bias=bias)


def from_torch(program: Program, mode: str, named: dict[str, Tensor]) -> Weights:
    """The weights of our program from weight_ih, weight_hh, bias_ih, bias_hh and weight_hr of torch.

    Torch adds an input and a recurrent bias in every gate; where the two only ever occur as a sum, ours is that sum.
    """
    layout = LAYOUTS["torch", mode.split("_", maxsplit=1)[0]]
    wanted = order(layout.gates, program.gates)

    def reordered(stacked: Tensor) -> Tensor:
        if wanted == tuple(range(len(wanted))):
            return stacked
        return torch.cat([stacked.chunk(len(wanted))[gate] for gate in wanted])

    b = c = None
    if program.bias:
        separate = program.recurrent_biased
        inputs, recurrent = reordered(named["bias_ih"]), reordered(named["bias_hh"])
        rows = dict(
            zip(program.gates, zip(inputs.chunk(len(wanted)), recurrent.chunk(len(wanted)), strict=True), strict=True)
        )
        b = (
            torch.cat([i if gate in separate else i + r for gate, (i, r) in rows.items()])
            if separate
            else inputs + recurrent
        )
        c = torch.cat([rows[gate][1] for gate in separate]) if separate else None
    products = {name: named["weight_hr"] for name in program.products}  # noqa: C420  # the key may be absent
    return Weights(reordered(named["weight_ih"]), reordered(named["weight_hh"]), b, c, {}, products)
