from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from unrolled.data import build_vocabulary, load_vectors
from unrolled.errors import DataError

WORDS = ["the", "cat", "naïve", ". . .", "5"]


@pytest.fixture
def matrix() -> np.ndarray:
    return np.random.default_rng(7).normal(size=(len(WORDS), 4)).astype(np.float32)


def lines(matrix: np.ndarray) -> list[str]:
    return [" ".join([word, *map(str, row.tolist())]) for word, row in zip(WORDS, matrix, strict=True)]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])
@pytest.mark.parametrize("packed", [True, False])
def test_vectors_are_read(tmp_path: Path, matrix: np.ndarray, header: bool, end: str, packed: bool) -> None:
    text = "".join(line + end for line in [*(["5 4"] if header else []), *lines(matrix)]).encode()
    path = tmp_path / ("v.vec.gz" if packed else "v.vec")
    path.write_bytes(gzip.compress(text) if packed else text)
    read, found = load_vectors(path, ["<pad>", "<unk>", "cat", ". . .", "dog", "naïve", "cat"])
    assert read.dtype == np.float32
    np.testing.assert_array_equal(
        read, np.stack([0 * matrix[0], 0 * matrix[0], *matrix[[1, 3]], 0 * matrix[0], *matrix[[2, 1]]])
    )
    assert found == 4


def test_a_vocabulary_gives_the_words(tmp_path: Path, matrix: np.ndarray) -> None:
    path = tmp_path / "v.txt"
    path.write_text("\n".join(lines(matrix)), encoding="utf-8")
    vocabulary = build_vocabulary("word", ["the cat, the dog"])
    read, found = load_vectors(path, vocabulary.tokens)
    assert (read.shape, found) == ((len(vocabulary), 4), 2)
    np.testing.assert_array_equal(read[vocabulary.encode("cat")[0]], matrix[1])


def test_the_first_of_equal_words_counts(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("a 1 2\na 3 4\n")
    assert load_vectors(path, ["a"])[0].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("text", "row", "sentence"),
    [
        ("a 1 2 3\nb 1 2\n", 2, "2 numbers after the word where 3 are needed; mend the line or take it out"),
        ("2 3\na 1 2 3\n\nc\n", 4, "0 numbers after the word where 3 are needed"),
        ("word\n", 1, "0 numbers after the word where 1 are needed"),
        ("2 0\n", 1, "1 numbers after the word where 1 are needed"),
        ("a 1 2\nb 1 two\n", 2, "not every cell after the word is a finite number"),
        ("a 1 2\nb 1 nan\n", 2, "not every cell after the word is a finite number"),
        ("", None, "the file is empty; it needs a word and its numbers on each line"),
        ("\0\1\2", None, "this is a binary file, and word vectors as text are needed"),
        ("2 3\na\0\1\n", None, "this is a binary file, and word vectors as text are needed"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, row: int | None, sentence: str) -> None:
    path = tmp_path / "v.txt"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        load_vectors(path, ["a", "b"])
    where = f"{path}: " if row is None else f"{path}, row {row}: "
    assert str(caught.value).startswith(where + sentence)


def test_a_missing_or_damaged_file_is_said(tmp_path: Path, matrix: np.ndarray) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        load_vectors(tmp_path / "v.txt", ["a"])
    (tmp_path / "v.txt.gz").write_bytes(gzip.compress("\n".join(lines(matrix)).encode())[:-30])
    with pytest.raises(DataError, match="the compressed data is cut short or damaged"):
        load_vectors(tmp_path / "v.txt.gz", ["a"])
