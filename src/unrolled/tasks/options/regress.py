"""Options of the regression task."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.

from __future__ import annotations

from dataclasses import dataclass

from unrolled.tasks.options.shared import SequenceOptions, option


@dataclass(kw_only=True)
class RegressOptions(SequenceOptions):
    """Options of `unrolled train regress`."""

    target: tuple[str, ...] = option(("target",), "column or columns that hold the numbers to learn")
    text: str | None = option(None, "column that holds the text; default: the input is numbers")
    sequence: str | None = option(None, "column that names the sequence a row is a step of; default: a row a sequence")
    inputs: str | None = option(None, "column whose cells are lists of numbers, or array of an .npz file")
    bidirectional: bool = option(False, "read each sequence in both directions")
    pooling: str = option("last", "how the steps become one vector", choices=("last", "mean", "max", "attention"))
    hidden: int = option(64, "hidden units of a layer")
    learning_rate: float = option(2e-3, "highest learning rate")
