"""Sequences of symbols: any names, from a table a step a row, and the vocabulary that keeps them whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data.sequences import read_sequences
from unrolled.data.vocabulary import SymbolVocabulary, build_vocabulary, join_symbols, split_symbols
from unrolled.errors import ArgumentError, DataError

NAMES = st.lists(st.text("ab C4#,-", min_size=1).map(lambda name: " ".join(name.split())).filter(bool), max_size=6)


@given(names=NAMES)
def test_joined_symbols_are_parted_again_and_come_back_from_their_ids(names: list[str]) -> None:
    text = join_symbols(names)
    assert split_symbols(text) == names
    if names:
        vocabulary = build_vocabulary("symbol", [text, "x y"])
        ids = vocabulary.encode(text)
        assert [vocabulary.token(int(index)) for index in ids] == names
        assert split_symbols(vocabulary.decode(ids)) == names


def test_symbols_stay_whole_and_the_commonest_come_first() -> None:
    vocabulary = build_vocabulary("symbol", ["C#4 D4, C#4", "D4, C#4 rest"], minimum=2)
    assert isinstance(vocabulary, SymbolVocabulary)
    assert vocabulary.symbols == ["C#4", "D4,"]
    assert vocabulary.decode(vocabulary.encode("D4, rest C#4")) == "D4, <unk> C#4"
    with pytest.raises(ArgumentError, match="lowercase is for char and word units, and 'symbol' keeps the text"):
        build_vocabulary("symbol", ["a"], lowercase=True)


def write(folder: Path, *rows: str) -> Path:
    path = folder / "clicks.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_rows_are_the_steps_of_their_sequence_even_mixed(tmp_path: Path) -> None:
    path = write(tmp_path, "visit,page", "a,home page", "b,cart", "a,cart", "b,home  page", "a,pay")
    found = read_sequences(path, "visit", "page")
    assert [split_symbols(text) for text in found.texts] == [["home page", "cart", "pay"], ["cart", "home page"]]
    assert [origin.row for origin in found.origins] == [2, 3]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("a,", "clicks.csv, row 3: column 'page' is empty"),
        (",cart", "clicks.csv, row 3: column 'visit' is empty"),
        ("a,home\tpage", "clicks.csv, row 3: the symbol 'home.tpage' has a tab in it"),
        ("a,b,c", "clicks.csv, row 3: 3 cells where the first row names 2 columns"),
    ],
)
def test_a_bad_step_is_named_or_skipped(row: str, sentence: str, tmp_path: Path) -> None:
    path = write(tmp_path, "visit,page", "a,cart", row, "a,pay")
    with pytest.raises(DataError, match=sentence):
        read_sequences(path, "visit", "page")
    found = read_sequences(path, "visit", "page", skip_bad=True)
    assert found.texts == ["cart pay"]
    assert len(found.skipped) == 1


def test_missing_columns_and_tables_without_a_step_are_said(tmp_path: Path) -> None:
    path = write(tmp_path, "visit,page", ",", ",")
    with pytest.raises(DataError, match=r"there is no column 'pages'; .* \(nearest: 'page'\)"):
        read_sequences(path, "visit", "pages")
    with pytest.raises(DataError, match="no row holds a step of a sequence"):
        read_sequences(path, "visit", "page", skip_bad=True)
