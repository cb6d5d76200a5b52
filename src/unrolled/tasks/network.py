"""What a run's network is, as plain data: the cell's program and the sizes. Built from options or from config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from unrolled.cell import Initial, Program, Sizes
from unrolled.cell.regularisation import Regularisation
from unrolled.data.problems import quoted
from unrolled.errors import CellError, RunError

if TYPE_CHECKING:
    from unrolled.layers import Recurrent
    from unrolled.models.front import Convolutions
    from unrolled.tasks.options import NetworkOptions

_REGULARISATION = {f.name for f in fields(Regularisation)}


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """One recurrent network between an input and an output layer.

    `inputs` is the width of a step: the embedding's width where `vocabulary` units are embedded, else the numbers of a
    step. `outputs` is the width of the answer. `regularisation` holds the fields of `layers.Regularisation`.
    """

    program: Program
    inputs: int
    hidden: int
    layers: int
    outputs: int
    vocabulary: int | None = None
    chrono: int | None = None
    bidirectional: bool = False
    pooling: str | None = None
    tied: bool = False
    adaptive: bool = False
    dropout: float = 0.0
    word_dropout: float = 0.0
    frozen_embedding: bool = False
    convolutions: int | None = None
    kernel: int = 9
    stride: int = 1
    positions: int | None = None
    regularisation: Regularisation = Regularisation()

    def front(self) -> Convolutions | None:
        """The convolutions between the inputs and the recurrent layers, `hidden` channels wide, with fresh weights."""
        from unrolled.models.front import Convolutions

        if self.convolutions is None:
            return None
        return Convolutions(self.inputs, self.hidden, self.convolutions, kernel=self.kernel, stride=self.stride)

    @property
    def recurrent_inputs(self) -> int:
        """What the recurrent layers read at a step."""
        return self.inputs if self.convolutions is None else self.hidden

    def recurrent(self) -> Recurrent:
        """The recurrent layers with fresh weights."""
        from unrolled.layers import Recurrent

        return Recurrent(
            self.program,
            self.recurrent_inputs,
            self.hidden,
            layers=self.layers,
            bidirectional=self.bidirectional,
            regularisation=self.regularisation,
            initial=Initial(chrono=self.chrono),
        )

    @property
    def fewest_weights(self) -> int:
        """How many numbers are in the recurrent layers and what is before them, counted without building anything."""
        directions = 1 + self.bidirectional
        first = _count(self.program, Sizes(self.recurrent_inputs, self.hidden, self.hidden))
        deeper = _count(self.program, Sizes(directions * self.hidden, self.hidden, self.hidden))
        embedding = ((self.vocabulary or 0) + (self.positions or 0)) * self.inputs
        channels = self.inputs + (self.convolutions - 1) * self.hidden if self.convolutions else 0
        front = channels * self.kernel * self.hidden
        return directions * (first + (self.layers - 1) * deeper) + embedding + front

    def to_json(self) -> dict[str, Any]:
        """Plain data for config.json."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        return data | {"program": self.program.to_json(), "regularisation": asdict(self.regularisation)}

    @classmethod
    def from_json(cls, data: object) -> NetworkPlan:
        """What `to_json` wrote; raises RunError where it was changed or damaged.

        An entry with a default may be missing: the run is older than it, and defaults change nothing.
        """
        entries = {f.name: f.default for f in fields(cls)}
        required = {name for name, default in entries.items() if default is MISSING}
        if not isinstance(data, Mapping) or not required <= set(data) <= set(entries):
            raise RunError("the network's description lacks entries or has strange ones")
        data = {name: data.get(name, default) for name, default in entries.items()}
        for name, kinds in _KINDS.items():
            value = data[name]
            count = float not in kinds and type(value) is int
            if type(value) not in kinds or (count and not 1 <= value <= _MOST):
                raise RunError(f"the network's {name} is {quoted(value)}")
        regularisation = data["regularisation"]
        if isinstance(regularisation, Regularisation):
            regularisation = asdict(regularisation)
        if not isinstance(regularisation, Mapping) or set(regularisation) != _REGULARISATION:
            raise RunError("the network's regularisation lacks entries or has strange ones")
        try:
            rest = {k: v for k, v in data.items() if k not in ("program", "regularisation")}
            return cls(
                program=Program.from_json(data["program"]), regularisation=Regularisation(**regularisation), **rest
            )
        except (CellError, TypeError, ValueError) as error:
            raise RunError(str(error)) from None


# More than any memory holds, and a float still knows it.
_MOST = 2**40
_KINDS: dict[str, tuple[type, ...]] = {
    "inputs": (int,),
    "hidden": (int,),
    "layers": (int,),
    "outputs": (int,),
    "vocabulary": (int, type(None)),
    "chrono": (int, type(None)),
    "bidirectional": (bool,),
    "pooling": (str, type(None)),
    "tied": (bool,),
    "adaptive": (bool,),
    "dropout": (int, float),
    "word_dropout": (int, float),
    "frozen_embedding": (bool,),
    "convolutions": (int, type(None)),
    "kernel": (int,),
    "stride": (int,),
    "positions": (int, type(None)),
}


def _count(program: Program, sizes: Sizes) -> int:
    total = 0
    for shape in program.parameters(sizes).values():
        count = 1
        for side in shape:
            count *= side
        total += count
    return total


def regularisation_of(options: NetworkOptions) -> Regularisation:
    """The rates that an options object asks for."""
    return Regularisation(
        input_dropout=options.input_dropout or 0.0,
        dropout=options.dropout if options.layers > 1 else 0.0,
        variational=options.variational,
        zoneout=options.zoneout,
        recurrent_dropout=options.recurrent_dropout,
        weight_drop=options.weight_drop,
        layer_norm=options.layer_norm,
    )


def program_of(options: NetworkOptions) -> Program:
    """The program of the cell that an options object names."""
    from unrolled.tasks.cells import load_cell

    return load_cell(options.cell)
