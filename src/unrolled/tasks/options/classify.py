"""Options of the classification task."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from unrolled.tasks.options.shared import SequenceOptions, option

KINDS = ("text", "sound", "series", "dna")


@dataclass(kw_only=True)
class ClassifyOptions(SequenceOptions):
    """Options of `unrolled train classify`.

    What is None depends on the data; `for_kind` fills it in as soon as their kind is known.
    """

    read_as: str = option(
        "auto",
        "what the sequences are; auto: told by the file's name, its columns and what is in them",
        choices=("auto", *KINDS),
    )
    text: str = option("text", "column that holds the text")
    file: str | None = option(None, "column that names files of sound, relative to the table")
    dna: str | None = option(None, "column that holds DNA")
    sequence: str | None = option(None, "column that names the series a row is a step of; default: a row a series")
    time: str | None = option(None, "column with the time of a step, of which the interval becomes an input")
    inputs: str | None = option(None, "column whose cells are lists of numbers, or array of an .npz file")
    missing: str | None = option(None, "word that stands for a missing number, such as NA; default: empty cells and ?")
    label: str = option("label", "column or array that holds the label; of folders and FASTA it is not needed")
    separator: str | None = option(None, "what parts several labels in one row of text; default: one label a row")
    rate: int | None = option(None, "sampling rate that sound is brought to, in Hz; default: the commonest, <= 32,000")
    bands: int = option(64, "mel bands of sound, from 20 Hz to half the rate")
    hop: float = option(0.01, "seconds from one step of sound to the next")
    pitch: bool = option(True, "read with sound how voiced each step is, and its pitch from 60 to 500 Hz")
    centre: bool | None = option(
        None,
        "take each sound's mean off each band, so that voices and rooms differ less; default: where --group is, but "
        "not with --no-bidirectional, which is for streams",
    )
    kmer: int = option(1, "letters of DNA that are read at once, at every place")
    both_strands: bool = option(False, "read DNA on both strands: learn from both, answer with the mean of both")
    positions: bool | None = option(
        None, "learn a vector for each place of text or DNA; default: DNA of one length, as cut around a point"
    )
    augment: float = option(None, "strength of random changes while training, 0 to 2; default: sound, series 1, else 0")
    class_weights: str = option("none", "weight of each class in the loss", choices=("none", "balanced"))
    cell: str = option("gru", "a cell's name (see `unrolled cells`) or file.py:Name for one of your own")
    hidden: int = option(None, "hidden units of a layer; default: text 128, else 64")
    convolutions: int = option(None, "layers of convolution in front; default: text none, DNA 1, sound and series 3")
    kernel: int = option(None, "steps that a convolution sees; default: sound 5, else 9")
    stride: int = option(None, "steps that each convolution makes one of; default: sound 2, else 1")
    embedding: int = option(None, "numbers that stand for one unit of text or DNA; default: text 256, DNA 16")
    input_dropout: float | None = option(
        None, "share of the input dropped; default: 0.5 where words are classified, 0.1 for characters, else 0"
    )
    dropout: float = option(
        None, "share dropped between the layers and before the output; default: series 0.3, else 0.5"
    )
    batch_size: int = option(None, "sequences in a batch; default: sound 32, series 16, else 64")
    learning_rate: float = option(2e-3, "highest learning rate")
    lowercase: bool | None = option(None, "read capital letters as small ones; default: where words are classified")
    settle: float = option(0.5, "share of the training before which the best weights are provisional")
    ema: float = option(0.995, "factor of a moving average of the weights, which is then what is kept; 0: none")
    validation: float = option(None, "share held out where no validation file is given; default: 0.1, few series 0")

    def for_kind(self, kind: str, count: int) -> ClassifyOptions:
        """The same with the defaults for data of this kind, of which there are so many."""
        defaults = DEFAULTS[kind] | {"validation": 0.0 if kind == "series" and count < FEW else 0.1}
        missing = {
            f.name: defaults[f.name] for f in fields(self) if f.name in defaults and getattr(self, f.name) is None
        }
        return replace(self, **missing)


# A tenth of fewer rows says too little about which weights are the best, and training misses it.
FEW = 500
DEFAULTS: dict[str, dict[str, Any]] = {
    "text": {
        "augment": 0.0, "hidden": 128, "convolutions": 0, "kernel": 9, "stride": 1, "embedding": 256, "dropout": 0.5,
        "batch_size": 64,
    },
    "sound": {
        "augment": 1.0, "hidden": 64, "convolutions": 3, "kernel": 5, "stride": 2, "embedding": 1, "dropout": 0.5,
        "batch_size": 32, "input_dropout": 0.0,
    },
    "series": {
        "augment": 1.0, "hidden": 64, "convolutions": 3, "kernel": 9, "stride": 1, "embedding": 1, "dropout": 0.3,
        "batch_size": 16, "input_dropout": 0.0,
    },
    "dna": {
        "augment": 0.0, "hidden": 64, "convolutions": 1, "kernel": 9, "stride": 1, "embedding": 16, "dropout": 0.5,
        "batch_size": 64, "input_dropout": 0.0, "word_dropout": 0.0, "lowercase": False,
    },
}  # fmt: skip
