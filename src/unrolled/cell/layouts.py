"""How other libraries order the gates of a cell and where they keep biases; moving weights is one reorder.

Sources: the reference pages of torch.nn.LSTM/GRU, Keras 3 LSTM/GRU, ONNX LSTM/GRU (operator set 22), Flax linen
LSTMCell/GRUCell and the cuDNN developer guide (cudnnGetRNNWeightParams).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Layout:
    """Our gate names in another library's order.

    `biases`: "two" (input and recurrent for every gate), "one", or "new" (one, and a recurrent one for the GRU's n).
    `update`: what its update gate z weighs, the "old" state (as ours) or the "new" one.
    `reset`: whether the GRU's reset gate acts "after" the recurrent product (as our GRU) or "before" it.
    """

    gates: tuple[str, ...]
    biases: Literal["two", "one", "new"]
    update: Literal["old", "new"] = "old"
    reset: Literal["after", "before"] = "after"


LAYOUTS: dict[tuple[str, str], Layout] = {
    ("torch", "LSTM"): Layout(("i", "f", "g", "o"), "two"),
    ("torch", "GRU"): Layout(("r", "z", "n"), "two"),
    ("torch", "RNN"): Layout(("h",), "two"),
    ("cudnn", "LSTM"): Layout(("i", "f", "g", "o"), "two"),
    ("cudnn", "GRU"): Layout(("r", "z", "n"), "two"),
    ("cudnn", "RNN"): Layout(("h",), "two"),
    ("keras", "LSTM"): Layout(("i", "f", "g", "o"), "one"),
    ("keras", "GRU"): Layout(("z", "r", "n"), "two"),
    ("keras", "RNN"): Layout(("h",), "one"),
    ("onnx", "LSTM"): Layout(("i", "o", "f", "g"), "two"),
    ("onnx", "GRU"): Layout(("z", "r", "n"), "two", reset="before"),
    ("onnx", "RNN"): Layout(("h",), "two"),
    ("flax", "LSTM"): Layout(("i", "f", "g", "o"), "one"),
    ("flax", "GRU"): Layout(("r", "z", "n"), "new"),
    ("flax", "RNN"): Layout(("h",), "one"),
}


def order(gates: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[int, ...]:
    """Where each wanted gate stands among `gates`: the index that reorders stacked blocks."""
    return tuple(gates.index(gate) for gate in wanted)
