"""What keeps a recurrent layer from learning its data by heart: rates, and the program that they make of a cell's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from unrolled.cell.program import Program
from unrolled.cell.transforms import recurrent_dropout, zoneout
from unrolled.errors import ArgumentError


@dataclass(frozen=True)
class Regularisation:
    """Rates at which a `Recurrent` layer forgets on purpose while it trains; nothing is dropped in evaluation.

    - `input_dropout`, `output_dropout`: zero single features before the first and after the last layer.
    - `dropout`: the same between layers, where `torch.nn.LSTM(dropout=...)` has it.
    - `variational`: these three keep one mask for all steps of a call (Gal and Ghahramani 2016).
    - `zoneout`: units that keep their old state in a step, one rate or a rate a state such as `{"h": 0.05, "c": 0.5}`
      (Krueger et al. 2017).
    - `recurrent_dropout`: zero units of what the recurrent matrices read, one mask for all steps (the same paper as
      `variational`).
    - `weight_drop`: zero entries of U itself, once a call (Merity et al. 2018).
    - `layer_norm`: normalise the input of every layer after the first over its features (Ba et al. 2016).

    Masks are drawn from torch's generator once a call; in truncated back-propagation that is once a window.
    Raises ArgumentError for a rate outside 0 <= rate < 1.
    """

    input_dropout: float = 0.0
    dropout: float = 0.0
    output_dropout: float = 0.0
    variational: bool = False
    zoneout: float | Mapping[str, float] = 0.0
    recurrent_dropout: float = 0.0
    weight_drop: float = 0.0
    layer_norm: bool = False

    def __post_init__(self) -> None:
        for name in ("input_dropout", "dropout", "output_dropout", "zoneout", "recurrent_dropout", "weight_drop"):
            value = getattr(self, name)
            for rate in value.values() if name == "zoneout" and isinstance(value, Mapping) else (value,):
                check_rate(name, rate)

    def __str__(self) -> str:
        changed = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        return ", ".join(name if value is True else f"{name}={value}" for name, value in changed)


def check_rate(name: str, rate: object) -> None:
    """ArgumentError unless 0 <= rate < 1."""
    if not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise ArgumentError(f"{name} is {rate}, but it is the share that is dropped; give a number from 0 to below 1.")


def regularised(program: Program, regularisation: Regularisation) -> Program:
    """The cell's program with zoneout and recurrent dropout in it; ArgumentError where it has nothing to drop."""
    if not program.recurrent:
        for name in ("recurrent_dropout", "weight_drop"):
            if getattr(regularisation, name):
                raise ArgumentError(f"{name} needs recurrent matrices, but {program.name} has none; leave it at 0.")
    rates = regularisation.zoneout
    if not isinstance(rates, Mapping):
        rates = dict.fromkeys(program.state, rates)
    return zoneout(recurrent_dropout(program, regularisation.recurrent_dropout), rates)
