from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.data import compressed, read_documents, read_table, read_text
from unrolled.errors import DataError


def _zst(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    packed: bytes = zstandard.ZstdCompressor().compress(data)
    return packed


PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": _zst,
}
EVERY = pytest.mark.parametrize("suffix", list(PACK))
TEXT = "zwölf Boxkämpfer\njagen\n" * 4000


@EVERY
def test_texts_and_tables_are_unpacked(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.txt{suffix}").write_bytes(PACK[suffix](TEXT.encode()))
    (tmp_path / f"a.csv{suffix}").write_bytes(PACK[suffix](b"text,label\none,x\ntwo,y\n"))
    assert read_text(tmp_path / f"a.txt{suffix}") == TEXT
    assert read_table(tmp_path / f"a.csv{suffix}").records == [["one", "x"], ["two", "y"]]


@EVERY
def test_parts_written_one_after_another_are_one_text(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACK[suffix](TEXT.encode()) + PACK[suffix](b"and more"))
    assert read_text(path) == TEXT + "and more"


@EVERY
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_what_is_cut_short_is_said(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"a.txt{suffix}"
    packed = PACK[suffix](TEXT.encode())
    path.write_bytes(packed[: int(kept * len(packed))])
    with pytest.raises(DataError, match="cut short or damaged"):
        read_text(path)


@EVERY
def test_what_is_damaged_is_said(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(b"no " + PACK[suffix](TEXT.encode()))
    with pytest.raises(DataError, match="cut short or damaged"):
        read_text(path)


@EVERY
def test_a_bomb_is_refused_before_it_fills_the_memory(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "_FREE", 100_000)
    monkeypatch.setattr(compressed, "_MOST_TIMES", 2)
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACK[suffix](b"a" * 3_000_000))
    with pytest.raises(DataError, match="hardly data; unpack it yourself"):
        read_documents(path)
