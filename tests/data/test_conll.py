from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.data import read_conll
from unrolled.data.conll import token_stream
from unrolled.errors import ArgumentError, DataError


def write(folder: Path, text: str, name: str = "a.conll") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_by_tabs_and_by_spaces(tmp_path: Path) -> None:
    data = read_conll(write(tmp_path, "The\tD\ndog\tN\n\n\nNew York\tN\n"))
    assert data.tokens == [("The", "dog"), ("New York",)]
    assert data.labels == [("D", "N"), ("N",)]
    assert [origin.row for origin in data.origins] == [1, 5]
    four = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n"
    assert read_conll(write(tmp_path, four)).labels == [("B-ORG", "O")]
    assert read_conll(write(tmp_path, four), "2").labels == [("NNP", "VBZ")]
    assert read_conll(write(tmp_path, four), "-2").labels == [("B-NP", "B-VP")]


def test_universal_dependencies(tmp_path: Path) -> None:
    rows = ("1-2\tdon't\t_\t_", "1\tdo\tdo\tAUX", "2\tn't\tnot\tPART", "2.1\tx\tx\tX", "3\t1999\t1999\tNUM")
    text = "# sent_id = 1\n# text = don't 1999\n" + "".join(f"{row}{6 * chr(9)}_\n" for row in rows)
    data = read_conll(write(tmp_path, text, "a.conllu"))
    assert data.tokens == [("do", "n't", "1999")]
    assert data.labels == [("AUX", "PART", "NUM")]


def test_a_hash_is_a_token_inside_a_sentence(tmp_path: Path) -> None:
    assert read_conll(write(tmp_path, "# a comment\nwe\tP\n# \tS\n1\tN\n")).tokens == [("we", "#", "1")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("The\tD\ndog\n", r"a.conll, row 2: 1 column\(s\) where 2 are needed"),
        ("The\ndog\n", r"a.conll, row 1: 1 column\(s\) where 2 are needed"),
        ("The\tD\n\na\tb\tN\n", r"row 3: 3 column\(s\) where 2 are needed, as on the other lines"),
        ("The\tD\n\tN\n", "row 2: the token of this line is empty"),
        ("The\t \n", "row 1: the label of this line is empty"),
        ("# only a comment\n", "no sentence was found here"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_conll(write(tmp_path, text))


def test_skip_bad_leaves_the_sentence_out_and_lists_it(tmp_path: Path) -> None:
    data = read_conll(write(tmp_path, "The\tD\ndog\n\nIt\tP\n"), skip_bad=True)
    assert data.tokens == [("It",)]
    assert [error.row for error in data.skipped] == [2]


@pytest.mark.parametrize("label", ["pos", "0"])
def test_a_label_that_is_no_column(tmp_path: Path, label: str) -> None:
    with pytest.raises(ArgumentError, match="is no column of a file without a header; give its number"):
        read_conll(write(tmp_path, "a\tb\n"), label)


def test_a_stream_gives_each_token_before_the_next_line_is_read() -> None:
    read: list[str] = []

    def lines() -> object:
        for line in ("The\n", "dog\n", "\n", "It\n"):
            read.append(line)
            yield line

    stream = token_stream(lines(), Path("standard input"))  # type: ignore[arg-type]
    assert next(stream) == (1, 1, "The")
    assert read == ["The\n"]
    assert list(stream) == [(1, 2, "dog"), (2, 4, "It")]
    with pytest.raises(DataError, match=r"standard input, row 2: 2 column\(s\) where 1 are needed"):
        list(token_stream(["The\n", "big dog\n"], Path("standard input")))


def test_the_real_treebank(real_data: Callable[[str], Path]) -> None:
    data = read_conll(real_data("tag/ewt-train.conll"))
    assert len(data) == 12_544
    assert len({label for row in data.labels for label in row}) == 17
