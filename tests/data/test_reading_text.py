from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from unrolled.data import read_inputs, read_lines, read_text
from unrolled.errors import DataError


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_line_ends_and_byte_order_mark_are_made_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"\xef\xbb\xbfone\r\ntwo\rthree \xc3\xa9\n")
    assert read_text(path) == "one\ntwo\nthree é\n"


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    assert read_text(write(tmp_path / "a.txt.gz", gzip.compress("naïve\n".encode()))) == "naïve\n"


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.txt", b"", "the file is empty; it needs at least one line of text"),
        ("a.txt", b" \n\t\n", "the file is empty; it needs at least one line of text"),
        ("a.csv", b"\n", "the file is empty; it needs a header and a row"),
        ("a.txt", b"PAR1\0\0data", "this is a binary file (Parquet), and text in UTF-8 is needed; give a text file"),
        ("a.txt", b"%PDF-1.7\n%\xe2\xe3", "this is a binary file (PDF), and text in UTF-8 is needed; give a text file"),
        ("a.txt", b"some\0thing", "this is a binary file, and text in UTF-8 is needed; give a text file"),
        ("a.txt", "text".encode("utf-16"), "the text is in UTF-16, and UTF-8 is needed; save the file again as UTF-8"),
        (
            "a.txt.gz",
            gzip.compress(bytes(range(256)))[:-40],
            "the compressed data is cut short or damaged; write or copy the file again",
        ),
        ("a.txt.gz", b"plain", "the compressed data is cut short or damaged; write or copy the file again"),
    ],
)
def test_what_is_no_text_is_said(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    path = write(tmp_path / name, data)
    with pytest.raises(DataError) as caught:
        read_text(path)
    assert str(caught.value) == f"{path}: {sentence}"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_invalid_utf8_is_named_with_its_line(tmp_path: Path, mark: bytes) -> None:
    path = write(tmp_path / "a.txt", mark + "é first\nsecond\ncaf".encode() + b"\xe9 here\nlast\n")
    with pytest.raises(DataError) as caught:
        read_text(path)
    assert caught.value.row == 3
    assert "row 3: byte 0xe9 at byte 4 of this line is not UTF-8" in str(caught.value)


def test_a_text_that_begins_like_a_binary_file_is_text(tmp_path: Path) -> None:
    assert read_text(write(tmp_path / "a.txt", b"RIFF is a format.")) == "RIFF is a format."


def test_a_missing_file_is_named_with_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv", b"x")
    with pytest.raises(DataError, match=r"no such file; check the path \(nearest: 'reviews.csv'\)"):
        read_text(tmp_path / "reviws.csv")
    with pytest.raises(DataError, match=r"no such file; check the path$"):
        read_text(tmp_path / "nowhere" / "reviews.csv")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this is a folder, and a file is needed"):
        read_text(tmp_path)


def test_a_name_that_the_system_refuses_is_said() -> None:
    with pytest.raises(DataError, match=r"cannot be read .*; check its name and permissions"):
        read_inputs("a text given where a path belongs " * 20)


class FakeInput:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_standard_input_is_read_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", FakeInput(b"one\ntwo\n"))
    lines = read_lines("-")
    assert lines.texts == ["one", "two"]
    assert [origin.row for origin in lines.origins] == [1, 2]


def test_bad_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", FakeInput(b"one\n\xff\n"))
    with pytest.raises(DataError, match="standard input, row 2: byte 0xff"):
        read_lines("-")
    monkeypatch.setattr("sys.stdin", FakeInput(b""))
    with pytest.raises(DataError, match="standard input: nothing came in"):
        read_lines("-")
