"""What a classifier reads as a stream, by how its files were read. No torch: the small runtime has the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unrolled.data import Scaler, Vocabulary
from unrolled.errors import ArgumentError
from unrolled.streams.numbers import SeriesInput
from unrolled.streams.protocol import Input
from unrolled.streams.text import BasesInput, TextInput
from unrolled.streams.transcript import SignalInput

if TYPE_CHECKING:
    from unrolled.tasks.reading import Reading


def classify_input(reading: Reading, vocabulary: Vocabulary | None, scaler: Scaler | None, *, marks: bool) -> Input:
    """Text, bases, samples of sound or rows; raises ArgumentError where the features need the whole input."""
    if reading.both_strands:
        raise ArgumentError(
            "this run reads DNA on both strands, and the other one begins at the end; train it without "
            "--both-strands for streams"
        )
    if vocabulary is not None:
        return BasesInput(vocabulary, reading.kmer) if reading.kind == "dna" else TextInput(vocabulary)
    if scaler is None:
        raise TypeError("numbers have a scaler")
    if reading.kind == "sound":
        return SignalInput(reading.feed, 1, scaler)
    return SeriesInput(scaler, missing=True, marks=marks)
