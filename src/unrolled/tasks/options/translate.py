"""Options of the translation task."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.

from __future__ import annotations

from dataclasses import dataclass

from unrolled.tasks.options.shared import UNITS, NetworkOptions, TextOptions, option


@dataclass(kw_only=True)
class TranslateOptions(TextOptions, NetworkOptions):
    """Options of `unrolled train translate`."""

    source: str | None = option(None, "column that is translated; default: the first")
    target: str | None = option(None, "column that holds the translation; default: the second")
    header: bool = option(True, "the first line names the columns")
    ratio: float = option(9.0, "a side more than so many times as long as the other is refused; 0: any lengths")
    units: str = option("subword", "what one step reads and writes", choices=UNITS)
    vocabulary_size: int | None = option(None, "most units known of each language; default: 5000 subwords, else all")
    minimum: int = option(2, "units seen less often are unknown")
    joint: bool = option(False, "one vocabulary and one embedding for both languages")
    attention: str = option(
        "multiplicative",
        "how a step compares itself with each place of the source",
        choices=("additive", "multiplicative"),
    )
    input_feeding: bool = option(False, "the decoder also reads where it looked before; slower, step by step")
    bidirectional: bool = option(True, "read the source in both directions, each half as wide")
    tied: bool = option(True, "one matrix for the translation's embedding and the output")
    label_smoothing: float = option(0.1, "share of the probability that is spread over all units in training")
    scheduled_sampling: float = option(
        0.0, "chance that training reads the network's own word, after the five epochs in which it rises; slower"
    )
    beam: int = option(5, "translations followed at a time")
    length_penalty: float = option(0.6, "0: short translations win; larger: long ones are preferred")
    coverage_penalty: float = option(0.0, "how much a source word that was never looked at costs")
    hidden: int = option(512, "hidden units of a layer of the decoder")
    embedding: int = option(256, "numbers that stand for one unit of text")
    dropout: float = option(0.3, "share dropped after the embeddings, between the layers and before the output")
    batch_size: int = option(64, "pairs in a batch")
    learning_rate: float = option(2e-3, "highest learning rate")
    settle: float = option(0.5, "share of the training before which the best weights are provisional")
    validation: float = option(0.02, "share of the pairs held out where no validation file is given")
