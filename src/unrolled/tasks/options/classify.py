"""Options of the classification task."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.

from __future__ import annotations

from dataclasses import dataclass

from unrolled.tasks.options.shared import SequenceOptions, option


@dataclass(kw_only=True)
class ClassifyOptions(SequenceOptions):
    """Options of `unrolled train classify`."""

    text: str = option("text", "column that holds the text")
    label: str = option("label", "column that holds the label")
    separator: str | None = option(None, "what parts several labels in one row; default: one label a row")
    class_weights: str = option("none", "weight of each class in the loss", choices=("none", "balanced"))
    cell: str = option("gru", "a cell's name (see `unrolled cells`) or file.py:Name for one of your own")
    embedding: int = option(256, "numbers that stand for one unit of text")
    dropout: float = option(0.5, "share dropped between the layers and before the output")
    batch_size: int = option(64, "sequences in a batch")
    learning_rate: float = option(2e-3, "highest learning rate")
    lowercase: bool | None = option(None, "read capital letters as small ones; default: where words are classified")
    settle: float = option(0.5, "share of the training before which the best weights are provisional")
    ema: float = option(0.995, "factor of a moving average of the weights, which is then what is kept; 0: none")
