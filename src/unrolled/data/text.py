"""Bytes of a file -> text: UTF-8 only, and whatever else the file may be is said in a sentence."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from unrolled.data.compressed import is_packed, plain_name, unpacked
from unrolled.data.problems import nearest
from unrolled.errors import DataError

STANDARD_INPUT = Path("standard input")
UTF8_MARK = b"\xef\xbb\xbf"

_SIGNATURES = {
    b"PAR1": "Parquet",
    b"PK\x03\x04": "a zip archive, a spreadsheet or .npz arrays",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "PDF",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"RIFF": "sound",
    b"fLaC": "sound",
    b"\x93NUMPY": ".npy arrays",
}


def suffix_of(path: Path) -> str:
    """The suffix in lower case that says what a file holds; an ending such as `.gz` behind it is looked through."""
    return plain_name(path).suffix.lower()


def missing(path: Path) -> DataError:
    """The error for a path that leads nowhere, with the nearest name in that folder."""
    names = [entry.name for entry in path.parent.iterdir()] if is_folder(path.parent) else []
    return DataError(f"there is no such file; check the path{nearest(path.name, names)}", path)


def is_folder(path: Path) -> bool:
    """Whether the path is a folder; a name that the system refuses is none, and reading it will say why."""
    try:
        return path.is_dir()
    except OSError:
        return False


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file open for reading, unpacked as the end of its name says; DataError where that fails."""
    try:
        with path.open("rb") as file:
            if not is_packed(path):
                yield file
                return
            with unpacked(file, path) as content:
                yield content
    except FileNotFoundError:
        raise missing(path) from None
    except IsADirectoryError:
        raise DataError("this is a folder, and a file is needed; name a file inside it", path) from None
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror}); check its name and permissions", path) from None


def decode_text(data: bytes, path: str | Path) -> str:
    r"""UTF-8 bytes as text, with the byte order mark gone and every line ended by `\n`.

    Raises DataError for bytes that are no text, and with the line for a byte that is not UTF-8.
    """
    check_plain(data, path)
    if b"\0" in data:
        raise _binary(data, path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if _kind(data) is not None:
            raise _binary(data, path) from None
        # The codec has cut off the byte order mark, so positions are those of error.object.
        raise not_utf8(error.object, error.start, path) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_plain(data: bytes, path: str | Path) -> None:
    """DataError for the beginning of a file in UTF-16."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError("the text is in UTF-16, and UTF-8 is needed; save the file again as UTF-8", path)


def not_utf8(data: bytes, place: int, path: str | Path, rows: int = 0) -> DataError:
    """The error for the byte at `place`, with `rows` rows before `data`."""
    before = data[:place]
    column = place - (before.rfind(b"\n") + 1) + 1
    return DataError(
        f"byte 0x{data[place]:02x} at byte {column} of this line is not UTF-8; "
        "convert the file to UTF-8 (it may be Latin-1)",
        path,
        rows + before.count(b"\n") + 1,
    )


def _kind(data: bytes) -> str | None:
    return next((name for signature, name in _SIGNATURES.items() if data.startswith(signature)), None)


def _binary(data: bytes, path: str | Path) -> DataError:
    kind = _kind(data)
    shown = f" ({kind})" if kind else ""
    return DataError(f"this is a binary file{shown}, and text in UTF-8 is needed; give a text file", path)


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file (or of a compressed one), never empty.

    Raises DataError for a file that is missing, unreadable, binary, not UTF-8 or empty.
    """
    path = Path(path)
    with opened(path) as file:
        data = file.read()
    text = decode_text(data, path)
    if not text.strip():
        what = "a header and a row" if suffix_of(path) in (".csv", ".tsv") else "at least one line of text"
        raise DataError(f"the file is empty; it needs {what}", path)
    return text


def text_lines(source: str) -> Iterator[str]:
    """The lines of a file, or for "-" of standard input, each as soon as it is there. Raises DataError with the row."""
    path = STANDARD_INPUT if source == "-" else Path(source)
    with contextlib.nullcontext(sys.stdin.buffer) if source == "-" else opened(path) as file:
        for row, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8-sig" if row == 1 else "utf-8")
            except UnicodeDecodeError:
                raise DataError("this line is not UTF-8; convert the input to UTF-8", path, row) from None


def read_standard_input() -> str:
    """The text piped into the command, never empty."""
    text = decode_text(sys.stdin.buffer.read(), STANDARD_INPUT)
    if not text.strip():
        raise DataError("nothing came in; pipe at least one line of text into the command", STANDARD_INPUT)
    return text
