"""Options of the language task."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.

from __future__ import annotations

from dataclasses import dataclass

from unrolled.tasks.options.shared import UNITS, NetworkOptions, TextOptions, option

SOFTMAX = ("full", "adaptive")


@dataclass(kw_only=True)
class LanguageOptions(TextOptions, NetworkOptions):
    """Options of `unrolled train language`."""

    text: str = option("text", "column of a table that holds the text, or the symbol of a step")
    sequence: str | None = option(None, "column that names the sequence a row is a step of; for symbols")
    units: str = option("char", "what one step reads; symbol: what stands between spaces or tabs", choices=UNITS)
    hidden: int = option(384, "hidden units of a layer")
    embedding: int = option(64, "numbers that stand for one unit of text")
    tied: bool = option(False, "one matrix for the embedding and the output")
    softmax: str = option(
        "full",
        "how the next unit is scored; adaptive: rare words in small spaces, faster for a large vocabulary",
        choices=SOFTMAX,
    )
    batch_size: int = option(32, "parallel streams through the text")
    window: int = option(32, "steps that the gradient goes back (truncated back-propagation through time)")
    stride: int | None = option(
        None, "steps by which windows advance, so that they overlap; default: the window", later=True
    )
    learning_rate: float = option(8e-3, "highest learning rate")
    warmup: float = option(0.05, "share of the steps in which the learning rate rises")
