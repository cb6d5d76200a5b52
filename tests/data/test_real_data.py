"""The readers on files that others wrote; skipped, with the reason, where the files are not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unrolled.data import (
    LengthBatches,
    TokenStreams,
    build_vocabulary,
    check_labels,
    read_documents,
    read_labelled,
    read_lines,
    read_series,
    read_table,
    read_text,
    shared_rows,
    split_rows,
)
from unrolled.errors import DataError

Find = Callable[[str], Path]


def test_shakespeare(real_data: Find) -> None:
    (text,) = read_documents(real_data("language/shakespeare.txt")).texts
    vocabulary = build_vocabulary("char", [text])
    assert (len(text), len(vocabulary)) == (1_115_394, 65 + 2)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    source = TokenStreams([ids], 32, 100, 0)
    assert source.targets == len(ids) - 1
    assert sum(int(window.lengths.sum()) for window in source.epoch(0)) == source.targets


def test_words_of_shakespeare_come_back(real_data: Find) -> None:
    text = read_text(real_data("language/shakespeare.txt"))
    vocabulary = build_vocabulary("word", [text])
    back = vocabulary.decode(vocabulary.encode(text))
    lines = list(zip(text.split("\n"), back.split("\n"), strict=True))
    # What differs has two spaces running, or one at an end.
    assert all(one == other or " ".join(one.split()) == other for one, other in lines)


def test_proverbs_are_lines(real_data: Find) -> None:
    assert len(read_lines(real_data("language/proverbs.txt"))) == 700


def test_sentences_with_feelings(real_data: Find) -> None:
    train, test = (read_labelled(real_data(f"classify/sst2-{part}.csv")) for part in ("train", "test"))
    assert (len(train), len(test)) == (6920, 1821)
    assert train.classes == ["negative", "positive"]
    check_labels(train)
    vocabulary = build_vocabulary("word", train.texts, minimum=2)
    lengths = np.array([len(ids) for ids in vocabulary.encode_all(train.texts)])
    batches = LengthBatches(lengths, 32, 0, shuffle=False)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches.epoch(0))
    assert lengths.sum() / padded > 0.93
    assert shared_rows(train.texts, test.texts) < 10


def test_surnames(real_data: Find) -> None:
    data = read_labelled(real_data("classify/names.csv"), "name", "language")
    assert len(data) == 20_050
    data = data.distinct()
    assert len(data) == 18_012
    train, held = split_rows(len(data), 0.2, 0, labels=data.labels)
    counts, held_counts = Counter(data.labels), Counter(data.labels[row] for row in held)
    assert len(train) + len(held) == len(data)
    for label, count in counts.items():
        assert abs(held_counts[label] - 0.2 * count) <= 1


def test_sentence_pairs_with_quotation_marks(real_data: Find) -> None:
    table = read_table(real_data("translate/spa-eng-train.tsv"))
    assert len(table) == 115_482
    assert 'Di "por favor".' in table.column("spanish")


def test_numbers_in_arrays_lists_and_rows(real_data: Find) -> None:
    digits = read_series(real_data("series/mnist1d.npz"), "y_train", inputs="x_train")
    assert (len(digits), digits.sequences[0].shape) == (4000, (40, 1))
    strokes = read_series(real_data("handwriting/numbers-dev.jsonl"), inputs="points")
    assert (len(strokes), strokes.sequences[0].shape[1]) == (500, 2)
    table = read_table(real_data("forecast/m4-hourly-train.csv"))
    series = read_series(table.path, features=table.columns[1:])
    assert len(series) == 414
    assert len({len(sequence) for sequence in series.sequences}) > 1


def test_sound_given_as_text_is_recognised(real_data: Find) -> None:
    with pytest.raises(DataError, match=r"this is a binary file \(sound\)"):
        read_text(real_data("audio/digits/0_george_0.flac"))
