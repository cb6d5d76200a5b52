"""Drop-in `RNN`, `LSTM` and `GRU`: torch's modules with our engine inside."""

from __future__ import annotations

from unrolled.layers.drop_in import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN"]
