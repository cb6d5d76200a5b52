"""Files to sequences to batches, with NumPy alone; every fault of a file is a `DataError` with its file and row."""

from __future__ import annotations

from unrolled.data.batches import LengthBatches, pad_ids, pad_numbers
from unrolled.data.conll import Tagged, read_conll
from unrolled.data.documents import Documents, Origin, read_documents, read_inputs, read_lines
from unrolled.data.labelled import Label, Labelled, check_labels, read_labelled
from unrolled.data.scaler import Scaler
from unrolled.data.sequences import read_sequences
from unrolled.data.series import Series, read_series
from unrolled.data.split import shared_rows, split_rows
from unrolled.data.steps import Steps, read_steps
from unrolled.data.streams import TokenStreams, Window
from unrolled.data.table import Table, is_table, read_table
from unrolled.data.targets import TextTargets, read_text_targets
from unrolled.data.text import read_text
from unrolled.data.vectors import load_vectors
from unrolled.data.vocabulary import (
    UNITS,
    ByteVocabulary,
    CharVocabulary,
    Decoder,
    SubwordVocabulary,
    SymbolVocabulary,
    Vocabulary,
    WordVocabulary,
    build_vocabulary,
    vocabulary_from_json,
    vocabulary_of_words,
)

__all__ = [
    "UNITS",
    "ByteVocabulary",
    "CharVocabulary",
    "Decoder",
    "Documents",
    "Label",
    "Labelled",
    "LengthBatches",
    "Origin",
    "Scaler",
    "Series",
    "Steps",
    "SubwordVocabulary",
    "SymbolVocabulary",
    "Table",
    "Tagged",
    "TextTargets",
    "TokenStreams",
    "Vocabulary",
    "Window",
    "WordVocabulary",
    "build_vocabulary",
    "check_labels",
    "is_table",
    "load_vectors",
    "pad_ids",
    "pad_numbers",
    "read_conll",
    "read_documents",
    "read_inputs",
    "read_labelled",
    "read_lines",
    "read_sequences",
    "read_series",
    "read_steps",
    "read_table",
    "read_text",
    "read_text_targets",
    "shared_rows",
    "split_rows",
    "vocabulary_from_json",
    "vocabulary_of_words",
]
