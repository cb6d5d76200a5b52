"""Options of the transcription task."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.

from __future__ import annotations

from dataclasses import dataclass

from unrolled.tasks.options.shared import NetworkOptions, TextOptions, option

TIME_REDUCTIONS = ("strided", "pyramid")


@dataclass(kw_only=True)
class TranscribeOptions(TextOptions, NetworkOptions):
    """Options of `unrolled train transcribe`."""

    text: str = option("text", "column that holds what was said or written")
    inputs: str | None = option(
        None, "column that names the files or holds the points; default: file, points or strokes"
    )
    features: str | None = option(
        None, "strokes: shape or offsets; sound: how many mel bands; pictures: rows of pixels; default: shape, 40, 32"
    )
    rate: int | None = option(
        None, "sampling rate that sound is brought to, in Hz; default: the first file's, at most 16000"
    )
    reduction: int | None = option(None, "steps that become one; default: by how many steps there are for a character")
    reduce_by: str = option(
        "strided",
        "where steps are joined; strided: before the first layer, pyramid: by two and two before the upper layers",
        choices=TIME_REDUCTIONS,
    )
    causal: bool = option(False, "read in one direction only, so that a stream can be transcribed as it arrives")
    augment: float = option(1.0, "strength of the chance changes to what is trained on; 0: none")
    units: str = option("char", "what is put out", choices=("char", "word", "subword"))
    lowercase: bool | None = option(None, "read and put out capital letters as small ones")
    hidden: int = option(128, "hidden units of a layer")
    layers: int = option(2, "recurrent layers")
    dropout: float = option(0.3, "share dropped between the layers and before the output")
    learning_rate: float = option(4e-3, "highest learning rate")
    settle: float = option(0.5, "share of the training before which the best weights are provisional")
    ema: float = option(0.99, "factor of a moving average of the weights, which is then what is kept; 0: none")
