"""How other libraries order the gates of a cell and where they keep biases; moving weights is one reorder.

Sources: the reference pages of torch.nn.LSTM/GRU, Keras 3 LSTM/GRU, ONNX LSTM/GRU (operator set 22), Flax linen and nnx
LSTMCell/GRUCell and the cuDNN developer guide (cudnnGetRNNWeightParams).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Biases = Literal["two", "one", "recurrent", "new"]


@dataclass(frozen=True)
class Layout:
    """Our gate names in another library's order.

    `biases`: "two" (input and recurrent for every gate), "one" (beside the input), "recurrent" (one, beside the
    recurrent product), or "new" (one beside the input, and a recurrent one for the GRU's n).
    `peepholes`: the order of the gates that see the cell state.
    `inputs_first`: matrices are (inputs, units) instead of (units, inputs).
    """

    gates: tuple[str, ...]
    biases: Biases
    peepholes: tuple[str, ...] = ()
    inputs_first: bool = False


# Kinds: "GRU" resets after the recurrent product, "GRUResetBefore" before it; every update gate weighs the old state.
LAYOUTS: dict[tuple[str, str], Layout] = {
    ("torch", "LSTM"): Layout(("i", "f", "g", "o"), "two"),
    ("torch", "GRU"): Layout(("r", "z", "n"), "two"),
    ("torch", "RNN"): Layout(("h",), "two"),
    ("cudnn", "LSTM"): Layout(("i", "f", "g", "o"), "two"),
    ("cudnn", "GRU"): Layout(("r", "z", "n"), "two"),
    ("cudnn", "RNN"): Layout(("h",), "two"),
    ("keras", "LSTM"): Layout(("i", "f", "g", "o"), "one", inputs_first=True),
    ("keras", "GRU"): Layout(("z", "r", "n"), "two", inputs_first=True),
    ("keras", "GRUResetBefore"): Layout(("z", "r", "n"), "one", inputs_first=True),
    ("keras", "RNN"): Layout(("h",), "one", inputs_first=True),
    ("onnx", "LSTM"): Layout(("i", "o", "f", "g"), "two", peepholes=("i", "o", "f")),
    ("onnx", "GRU"): Layout(("z", "r", "n"), "two"),
    ("onnx", "GRUResetBefore"): Layout(("z", "r", "n"), "two"),
    ("onnx", "RNN"): Layout(("h",), "two"),
    ("flax", "LSTM"): Layout(("i", "f", "g", "o"), "recurrent", inputs_first=True),
    ("flax", "GRU"): Layout(("r", "z", "n"), "new", inputs_first=True),
    ("flax", "RNN"): Layout(("h",), "one", inputs_first=True),
    ("nnx", "LSTM"): Layout(("i", "f", "g", "o"), "recurrent", inputs_first=True),
    ("nnx", "GRU"): Layout(("r", "z", "n"), "one", inputs_first=True),
    ("nnx", "RNN"): Layout(("h",), "one", inputs_first=True),
}


def order(gates: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[int, ...]:
    """Where each wanted gate stands among `gates`: the index that reorders stacked blocks."""
    return tuple(gates.index(gate) for gate in wanted)
