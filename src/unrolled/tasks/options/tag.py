"""Options of the tagging task."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unrolled.tasks.options.shared import NetworkOptions, option


@dataclass(kw_only=True)
class TagOptions(NetworkOptions):
    """Options of `unrolled train tag`."""

    also: tuple[Path, ...] = option((), "further training files of the same kind")
    label: str | None = option(
        None, "column of the label: its name (table; default: label) or number (CoNLL; default: the last)"
    )
    sequence: str | None = option(None, "column that names the sequence a row is a step of; default: a file a sequence")
    features: tuple[str, ...] = option((), "columns to read; default: all of numbers but counters and clocks")
    clock: str | None = option(
        None, "column of time stamps to read as time of day and weekend; default: one that spans several days"
    )
    scaling: str = option(
        "auto",
        "what numbers are scaled by: all training sequences, or each sequence by itself (not causal); auto: itself "
        "where there are several, of a hundred steps or more",
        choices=("auto", "training", "itself"),
    )
    drift: float | None = option(
        None,
        "deviation of the shift of each number's level while training, its own being 1; default: as far as the levels "
        "of the eighths of the data are apart, of ten sequences or more 0",
    )
    differences: bool = option(True, "read each number's change since the step before beside the number")
    causal: bool = option(False, "on-line use: the answer at a step depends on nothing after it")
    bidirectional: bool = option(True, "read each sequence in both directions, unless causal")
    crf: bool = option(False, "a conditional random field over the labels, decoded by Viterbi's algorithm")
    window: int | None = option(
        None, "most steps of a sequence read at once while training; default: 256, of a film 64"
    )
    characters: int = option(64, "hidden units of the layer that spells a word, in each direction; 0: words only")
    minimum: int = option(2, "words seen less often are known by their characters alone")
    vocabulary_size: int | None = option(None, "most words known")
    word_dropout: float = option(0.1, "share of the words read as unknown while training")
    vectors: Path | None = option(None, "pretrained word vectors (GloVe or fastText text format)")
    freeze_vectors: bool = option(False, "leave the pretrained vectors as they are")
    rate: float = option(5.0, "frames of a film read in a second")
    size: int = option(64, "height and width to which frames are brought")
    cell: str = option("gru", "a cell's name (see `unrolled cells`) or file.py:Name for one of your own")
    input_dropout: float | None = option(None, "share of the input dropped; default: 0.5 for words, else 0")
    dropout: float = option(0.5, "share dropped between the layers and before the output")
    learning_rate: float = option(2e-3, "highest learning rate")
    batch_size: int = option(32, "sequences in a batch")
    ema: float = option(0.995, "factor of a moving average of the weights, which is then what is kept; 0: none")
