"""The cells that come with the library: equations and nothing else."""

from __future__ import annotations

from difflib import get_close_matches

from unrolled.cell import ACTIVATIONS, Cell
from unrolled.cells.elman import Elman, Jordan
from unrolled.cells.gru import GRU, UGRNN, GRUResetBefore, MinimalGated
from unrolled.cells.independent import IndRNN, LeakyIntegrator
from unrolled.cells.layernorm import LayerNormGRU, LayerNormLSTM
from unrolled.cells.lstm import JANET, LSTM, CoupledLSTM, PeepholeLSTM, ProjectedLSTM
from unrolled.cells.minimal import MinGRU, MinLSTM
from unrolled.cells.xlstm import SLSTM
from unrolled.errors import CellError

__all__ = [
    "GRU",
    "JANET",
    "LSTM",
    "SLSTM",
    "UGRNN",
    "CoupledLSTM",
    "Elman",
    "GRUResetBefore",
    "IndRNN",
    "Jordan",
    "LayerNormGRU",
    "LayerNormLSTM",
    "LeakyIntegrator",
    "MinGRU",
    "MinLSTM",
    "MinimalGated",
    "PeepholeLSTM",
    "ProjectedLSTM",
    "by_name",
    "names",
]

_CELLS: dict[str, Cell] = {
    "rnn": Elman(),
    "rnn-sigmoid": Elman("sigmoid"),
    "rnn-relu": Elman("relu"),
    "jordan": Jordan(),
    "lstm": LSTM(),
    "lstm-peephole": PeepholeLSTM(),
    "lstm-projected": ProjectedLSTM(),
    "lstm-layernorm": LayerNormLSTM(),
    "lstm-coupled": CoupledLSTM(),
    "gru": GRU(),
    "gru-reset-before": GRUResetBefore(),
    "gru-layernorm": LayerNormGRU(),
    "mgu": MinimalGated(),
    "janet": JANET(),
    "ugrnn": UGRNN(),
    "indrnn": IndRNN(),
    "leaky": LeakyIntegrator(),
    "slstm": SLSTM(),
    "mingru": MinGRU(),
    "minlstm": MinLSTM(),
}


def names() -> tuple[str, ...]:
    """The names that `by_name` and `--cell` know."""
    return tuple(_CELLS)


def by_name(name: str) -> Cell:
    """A cell with its default hyper-parameters, by its name, its class or the activation of a plain network.

    Raises CellError with the nearest name.
    """
    key = name.lower().replace("_", "-")
    if key in _CELLS:
        return _CELLS[key]
    for cell in _CELLS.values():
        if type(cell).__name__.lower() == key.replace("-", ""):
            return cell
    if key in ACTIVATIONS:
        return Elman(key)
    near = get_close_matches(key, _CELLS, 1, 0.4)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise CellError(f"there is no cell {name!r}, but {', '.join(_CELLS)}{hint}")
