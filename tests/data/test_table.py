from __future__ import annotations

import builtins
import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import read_table
from unrolled.errors import DataError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_are_counted_as_an_editor_counts(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\n"two\nlines",x\n\n"a ""mark"", too",y\n')
    table = read_table(path)
    assert table.columns == ("text", "label")
    assert table.column("text") == ["two\nlines", 'a "mark", too']
    assert table.rows == [2, 5]
    assert len(table) == 2


@pytest.mark.parametrize(
    ("name", "text"), [("a.tsv", "x\ty, z\n1\t2\n"), ("a.csv", "x;y, z\n1;2\n"), ("a.csv", "x\ty| z\n1\t2\n")]
)
def test_separators(tmp_path: Path, name: str, text: str) -> None:
    # A comma in the first line of a .csv decides for commas.
    path = write(tmp_path, name, text.replace(", ", "| ") if name == "a.csv" else text)
    table = read_table(path)
    assert table.records == [["1", "2"]]


def test_unnamed_columns_get_their_place(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a.csv", ",text,\n0,a,b\n")).columns == ("column 1", "text", "column 3")


def test_blank_lines_of_a_single_column_are_empty_cells(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a.csv", "text\na\n\nb\n\n"))
    assert table.column("text") == ["a", "", "b"]
    assert table.rows == [2, 3, 4]


def test_long_cells_and_the_limit_of_the_csv_module(tmp_path: Path) -> None:
    before = csv.field_size_limit(1234)
    try:
        long = "word " * 100_000
        assert read_table(write(tmp_path, "a.csv", f"text\n{long}\n")).column("text") == [long]
        assert csv.field_size_limit() == 1234
    finally:
        csv.field_size_limit(before)


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=6)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=8), st.sampled_from(["csv", "tsv"]))
def test_what_the_csv_module_wrote_is_read_back(tmp_path_factory: Any, records: list[list[str]], kind: str) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="," if kind == "csv" else "\t", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerows([["left", "right"], *records])
    path = tmp_path_factory.mktemp("tables") / f"a.{kind}"
    path.write_bytes(buffer.getvalue().encode())
    assert read_table(path).records == records


def test_json_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "a.jsonl",
        '{"text": "é", "n": 3}\n\n{"text": "b", "points": [[1.5, 2], [3, 4]], "good": true}\n'
        '{"n": null, "text": "c"}\n',
    )
    table = read_table(path)
    assert table.columns == ("text", "n", "points", "good")
    assert table.column("n") == ["3", "", ""]
    assert json.loads(table.column("points")[1]) == [[1.5, 2], [3, 4]]
    assert table.column("good") == ["", "true", ""]
    assert table.rows == [1, 3, 4]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet is read through pyarrow")
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": ["é", "b"], "n": [1.5, None], "points": [[1, 2], [3]]})
    pytest.importorskip("pyarrow.parquet").write_table(table, path)
    table = read_table(path)
    assert table.records == [["é", "1.5", "[1, 2]"], ["b", "", "[3]"]]
    assert table.rows == [1, 2]


def test_parquet_without_pyarrow_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "pyarrow":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataError, match="pyarrow, which is not installed; run \"pip install 'unrolled\\[data\\]'\""):
        read_table(write(tmp_path, "a.parquet", "PAR1"))


def test_damaged_parquet_is_said(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet is read through pyarrow")
    with pytest.raises(DataError, match="this is not a readable Parquet file"):
        read_table(write(tmp_path, "a.parquet", "PAR1 and nothing"))


def test_gzip_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"x,y\n1,2\n"))
    assert read_table(path).column("y") == ["2"]


def test_a_wrong_column_names_those_there_are(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a.csv", "review,Sentiment\na,b\n"))
    with pytest.raises(DataError) as caught:
        table.column("sentimnt")
    assert str(caught.value).endswith(
        "there is no column 'sentimnt'; the columns are 'review', 'Sentiment' (nearest: 'Sentiment')"
    )


@pytest.mark.parametrize(
    ("name", "text", "row", "sentence"),
    [
        ("a.csv", "x,y\n1,2\n1,2,3\n", 3, "3 cells where the first row names 2 columns; put a cell that contains ','"),
        ("a.csv", "x,y\n1,2\n\n1\n", 4, "1 cells where the first row names 2 columns"),
        ("a.csv", 'x,y\n1,"2\n3,4\n', 2, "the quotation marks of this row do not pair"),
        ("a.csv", 'x,y\n1,2\n"a"b,2\n', 3, "the quotation marks of this row do not pair"),
        ("a.csv", "x,y,x\n1,2,3\n", 1, "the column name 'x' occurs twice in the first row; rename one of them"),
        ("a.csv", "x,y\n", None, "the table has no rows to read"),
        ("a.jsonl", '{"a": 1}\nno\n', 2, "the line is not JSON; write one object {...} a line"),
        ("a.jsonl", '{"a": 1}\n[1, 2]\n', 2, "the line is not a JSON object with names and values"),
        ("a.jsonl", '{"a": 1}\n{}\n', 2, "the line is not a JSON object with names and values"),
        ("a.jsonl", "[" * 100_000, 1, "the line is not JSON"),
        ("a.jsonl", '{"a": "\\ud83d"}\n', 1, "an escape \\ud... of the line is half a character; write both halves"),
        ("a.xlsx", "x", None, "a table is needed (.csv, .jsonl, .parquet, .tsv, told by the name's end)"),
    ],
)
def test_bad_tables_are_named(tmp_path: Path, name: str, text: str, row: int | None, sentence: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.row == row
    where = f"{path}: " if row is None else f"{path}, row {row}: "
    assert str(caught.value).startswith(where + sentence)


def test_bad_rows_can_be_skipped_and_are_listed(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a.csv", 'x,y\n1,2\n1\n"a"b,2\n3,4\n'), skip_bad=True)
    assert table.column("x") == ["1", "3"]
    assert table.rows == [2, 5]
    assert [error.row for error in table.skipped] == [3, 4]


def test_a_missing_table_is_said_before_its_kind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read_table(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="there is no such file"):
        read_table(tmp_path / "a.parquet")


def test_parquet_damaged_inside_is_said(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet is read through pyarrow")
    path = tmp_path / "t.parquet"
    table = pyarrow.table({"text": [f"row {k}" for k in range(50)]})
    pytest.importorskip("pyarrow.parquet").write_table(table, path)
    data = bytearray(path.read_bytes())
    data[4:60] = b"\xff" * 56
    path.write_bytes(data)
    with pytest.raises(DataError, match="this is not a readable Parquet file"):
        read_table(path)
