from __future__ import annotations

from pathlib import Path

import pytest

from unrolled.data import Origin, read_documents, read_inputs, read_lines
from unrolled.errors import ArgumentError, DataError


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_text_file_is_one_document(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "one\n\ntwo\n")
    documents = read_documents(path)
    assert documents.texts == ["one\n\ntwo\n"]
    assert documents.origins == [Origin(path, None)]


def test_a_folder_is_one_document_a_file(tmp_path: Path) -> None:
    second = write(tmp_path, "b.txt", "second")
    write(tmp_path, ".hidden/c.txt", "never")
    first = write(tmp_path, "a/z.md", "first")
    documents = read_documents(tmp_path)
    assert documents.texts == ["first", "second"]
    assert [origin.path for origin in documents.origins] == [first, second]


def test_a_bad_file_in_a_folder_is_named_or_skipped(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "first")
    bad = write(tmp_path, "b.bin", b"\0\1\2")
    with pytest.raises(DataError, match="binary file") as caught:
        read_documents(tmp_path)
    assert caught.value.path == bad
    documents = read_documents(tmp_path, skip_bad=True)
    assert documents.texts == ["first"]
    assert [error.path for error in documents.skipped] == [bad]


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no text was found here"):
        read_documents(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "column"),
    [
        ("a.csv", "review\nfirst\nsecond\n", None),
        ("a.csv", "id,text\n1,first\n2,second\n", None),
        ("a.tsv", "id\treview\n1\tfirst\n2\tsecond\n", "review"),
        ("a.jsonl", '{"text": "first"}\n{"text": "second", "id": 3}\n', None),
    ],
)
@pytest.mark.parametrize("read", [read_documents, read_lines, read_inputs])
def test_a_table_is_one_text_a_row(tmp_path: Path, name: str, text: str, column: str | None, read: object) -> None:
    path = write(tmp_path, name, text)
    assert callable(read)
    documents = read(path, column=column)
    assert documents.texts == ["first", "second"]
    assert [origin.row for origin in documents.origins] == ([1, 2] if name == "a.jsonl" else [2, 3])


def test_the_column_must_be_told_where_it_is_open(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,review\n1,first\n")
    with pytest.raises(DataError, match="no column is named 'text'; say which of 'id', 'review' holds the text"):
        read_documents(path)


@pytest.mark.parametrize("read", [read_documents, read_lines, read_inputs])
def test_a_text_file_has_no_columns(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(DataError, match="a text file has no columns, so there is no 'review'"):
        read(write(tmp_path, "a.txt", "first"), column="review")


def test_an_empty_text_is_named_by_its_row_or_skipped(tmp_path: Path) -> None:
    path = write(
        tmp_path, "a.csv", "id,text\n" + "".join(f"{row},{'' if row == 7 else 'word'}\n" for row in range(2, 10))
    )
    with pytest.raises(DataError) as caught:
        read_documents(path)
    assert str(caught.value).startswith(f"{path}, row 7: the text in column 'text' is empty")
    documents = read_documents(path, skip_bad=True)
    assert len(documents) == 7
    assert [error.row for error in documents.skipped] == [7]


def test_ragged_and_empty_rows_are_both_listed(tmp_path: Path) -> None:
    documents = read_documents(write(tmp_path, "a.csv", "id,text\n1,a\n2\n3,\n"), skip_bad=True)
    assert [error.row for error in documents.skipped] == [3, 4]


def test_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "one\ntwo\n\n\n")
    lines = read_lines(path)
    assert lines.texts == ["one", "two"]
    assert lines.origins == [Origin(path, 1), Origin(path, 2)]


def test_an_empty_line_is_named_or_skipped(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "one\n \nthree\n")
    with pytest.raises(DataError, match=r"a\.txt, row 2: the line is empty"):
        read_lines(path)
    assert read_lines(path, skip_bad=True).texts == ["one", "three"]


def test_inputs_are_literal_or_a_path_or_a_folder(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "one\ntwo\n")
    assert read_inputs(literal="one\ntwo").texts == ["one\ntwo"]
    assert read_inputs(str(path)).texts == ["one", "two"]
    assert read_inputs(tmp_path).texts == ["one\ntwo\n"]


def test_inputs_are_asked_for_once(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"either a path .* or a literal text, and not both"):
        read_inputs()
    with pytest.raises(ArgumentError, match=r"either a path .* or a literal text, and not both"):
        read_inputs(tmp_path, literal="x")
    with pytest.raises(ArgumentError, match="the literal text is empty"):
        read_inputs(literal=" ")
