"""Small valid files of every format, made by the same writers that users have."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

_TEXT = 'Ça va? — I\'m "fine", 3.14 (so far).\nZwölf Boxkämpfer\tjagen 😀 Viktor.\n\nEnd.\n'


def _rng() -> np.random.Generator:
    return np.random.default_rng(3)


def text() -> list[bytes]:
    return [_TEXT.encode(), "\ufeffone\r\ntwo\rthree".encode()]


def csv() -> list[bytes]:
    """Tables with a column for every reader's default, and one for each other layout."""
    rng = _rng()
    head = "text,label,target,id,when,x,y,sequence,file"
    rows = [
        f'"a {word}, ""b""",{"up" if k % 2 else "down"},{rng.normal():.3f},{k // 3},2024-01-{k + 1:02d} 10:00,'
        f"{rng.normal():.2f},{k},ACGT{'NU-a'[k % 4]},clip{k}.wav"
        for k, word in enumerate(["one", "two", "three", "four", "five", "six", "seven"])
    ]
    wide = [",".join(f"{number:.2f}" for number in rng.normal(size=6)) for _ in range(4)]
    return [
        "\n".join([head, *rows, ""]).encode(),
        "\n".join(["a;b;c;d;e;target", *(row.replace(",", ";") for row in wide)]).encode(),
        "\n".join(["name,1,2,3", "n,1,2,", "m,3,4,5", "o,6,7,"]).encode(),
        b"month,value\n2020-01,1\n2020-02,2\n2020-03,4\n2020-04,8\n2020-05,16\n",
        b"start,end,label\n0,0.5,run\n0.6,1,jump\n",
        b"frame,label\n0,a\n1,a\n2,b\n3,b\n4,b\n5,c\n",
        b"id,when,x,y,target,label\n0,2024-01-01,1,2,7,a\n0,2024-01-02,2,3,7,a\n1,2024-01-05,0,1,8,b\n",
        b"text\nonly one column\n\nand a blank\n",
        b'inputs,target,label\n"[1, 2.5, -3]",1,a\n"[[1], [2]]",2,b\n',
    ]


def tsv() -> list[bytes]:
    return [
        b'english\tspanish\nGo.\tVe.\nHi.\tHola.\n"Quote\tCita\n',
        "Go.\tVe.\nça\tsí\n".encode(),
        b"start\tend\tlabel\n0\t1\ta\n",
    ]


def jsonl() -> list[bytes]:
    rows: list[dict[str, Any]] = [
        {"text": "one", "label": "a", "target": 1, "inputs": [1, 2, 3], "strokes": [[[0, 0], [1, 1.5, 7]], [[2, 2]]]},
        {"text": "two", "label": "b", "target": 2.5, "inputs": [[1], [2]], "strokes": [[0, 0], [1, 1]], "extra": None},
        {"text": "three", "label": "a", "target": -1, "inputs": [0.5], "strokes": [[[3, 4]]], "extra": {"deep": [1]}},
    ]
    return ["".join(json.dumps(row) + "\n" for row in rows).encode()]


def conll() -> list[bytes]:
    return [
        b"# sent_id = 1\nThe\tDET\ncat\tNOUN\n\n-DOCSTART-\n\nsat O\non B-x\n",
        b"1\tThe\tthe\tDET\t_\t_\t2\tdet\t_\t_\n1-2\tThe's\t_\t_\t_\t_\t_\t_\t_\t_\n2\tcat\tcat\tNOUN\t_\t_\t0\troot\t_\t_\n",
    ]


def ts() -> list[bytes]:
    return [
        (
            b"# a comment\n@problemName made\n@timeStamps false\n@missing true\n@univariate false\n@dimensions 2\n"
            b"@equalLength false\n@classLabel true up down\n@data\n1,2,?:3,4,5:up\n0.5,NaN:1,2:down\n"
        ),
        (
            b"@problemName made\n@timeStamps true\n@classLabel true a b\n@data\n"
            b"(0,1),(1,2.5),(3,4):a\n(2024-01-01 00:00:00,1),(2024-01-02 00:00:00,2):b\n"
        ),
    ]


def arrays() -> dict[str, bytes]:
    """The members of an .npz file that every reader of arrays can use."""
    rng = _rng()
    return {
        "x": rng.normal(size=(4, 5, 2)).astype(np.float32),
        "y": rng.integers(0, 2, size=4),
        "lengths": np.array([5, 3, 1, 5]),
        "names": np.array(["a.png", "b.png", "c.png", "d.png"]),
        "features": rng.normal(size=(4, 3)),
    }  # type: ignore[return-value]


def npz() -> list[bytes]:
    stored, packed = io.BytesIO(), io.BytesIO()
    np.savez(stored, **arrays())  # type: ignore[arg-type]
    np.savez_compressed(packed, **arrays())  # type: ignore[arg-type]
    return [stored.getvalue(), packed.getvalue()]


def npy() -> list[bytes]:
    rng = _rng()
    return [
        _saved(rng.normal(size=(5, 3))),
        _saved(rng.integers(0, 9, size=(2, 2))),
        _saved(np.asfortranarray(rng.normal(size=(3, 2)).astype("<f2"))),
    ]


def _saved(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def in_archive(member: bytes) -> bytes:
    """An .npz file with right checksums whose array "x" is these bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", member)
        archive.writestr("y.npy", _saved(np.arange(5)))
    return file.getvalue()


def parquet() -> list[bytes]:
    import pyarrow
    from pyarrow import parquet as library

    table = pyarrow.table({"text": ["one", "two", None], "label": ["a", "b", "a"], "target": [1.5, None, 2.0]})
    nested = pyarrow.table({"text": [[1, 2], []], "when": [date(2024, 1, 1), None]})
    found = []
    for content, kind in ((table, "zstd"), (table, "none"), (nested, "snappy")):
        file = io.BytesIO()
        library.write_table(content, file, compression=kind, row_group_size=2)
        found.append(file.getvalue())
    return found


def sound(suffix: str) -> Callable[[], list[bytes]]:
    def made() -> list[bytes]:
        import soundfile

        rng = _rng()
        found = []
        for rate, shape in ((8000, (400,)), (44_100, (600, 2))):
            file = io.BytesIO()
            samples = (0.3 * rng.normal(size=shape)).clip(-1, 1)
            soundfile.write(file, samples, rate, format=suffix.upper())
            found.append(file.getvalue())
        return found

    return made


def picture(kind: str) -> Callable[[], list[bytes]]:
    def made() -> list[bytes]:
        from PIL import Image

        pixels = _rng().integers(0, 256, size=(9, 14, 3), dtype=np.uint8)
        found = []
        for mode in ("RGB", "L") if kind == "JPEG" else ("RGB", "P", "L"):
            file = io.BytesIO()
            Image.fromarray(pixels).convert(mode).save(file, kind)
            found.append(file.getvalue())
        return found

    return made


def with_checksums(png: bytes) -> bytes:
    """A PNG whose chunks have the right lengths' checksums, so that the damage reaches the decoder."""
    out, place = png[:8], 8
    while place + 8 <= len(png):
        size = int.from_bytes(png[place : place + 4], "big")
        body = png[place + 4 : place + 8 + size]
        out += struct.pack(">I", size) + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + size
    return out


def film() -> list[bytes]:
    import av

    frames = _rng().integers(0, 256, size=(6, 16, 16, 3), dtype=np.uint8)
    found = []
    with TemporaryDirectory() as folder:
        for suffix in ("mp4", "mkv", "avi"):
            path = Path(folder) / f"film.{suffix}"
            with av.open(str(path), "w") as container:
                stream = container.add_stream("mpeg4", rate=5)
                stream.width = stream.height = 16
                stream.pix_fmt = "yuv420p"
                for frame in frames:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                container.mux(stream.encode())
            found.append(path.read_bytes())
    return found


def ink() -> list[bytes]:
    return [
        (
            b'<ink xmlns="http://www.w3.org/2003/InkML"><traceFormat><channel name="X"/><channel name="Y"/>'
            b"</traceFormat>"
            b'<trace>1 2, 3 4.5, \'1 \'1, "2 -3, !7 8</trace><trace type="penUp">1 1</trace><trace>5 6 7</trace></ink>'
        ),
    ]


def iam() -> list[bytes]:
    return [
        (
            b'<?xml version="1.0"?><WhiteboardCaptureSession><StrokeSet><Stroke colour="black">'
            b'<Point x="1" y="2" time="0.1"/><Point x="3" y="4" time="0.2"/></Stroke></StrokeSet>'
            b"</WhiteboardCaptureSession>"
        ),
    ]


def fasta() -> list[bytes]:
    return [b">one label=up\nACGTN\nacgu\n; remark\n>two class=down\nGGGG\n", b">a x\nA\n>b y\nC\n"]


def vectors() -> list[bytes]:
    return [b"3 4\none 1 2 3 4\ntwo 0.5 -1 2e3 4\nnew york 1 1 1 1\n", b"one 1 2\ntwo 3 4\n"]


def packed(kind: str) -> Callable[[], list[bytes]]:
    """Compressed texts and tables."""

    def made() -> list[bytes]:
        import zstandard

        pack: dict[str, Callable[[bytes], bytes]] = {
            "gz": lambda data: gzip.compress(data, mtime=0),
            "bz2": bz2.compress,
            "xz": lzma.compress,
            "zst": zstandard.ZstdCompressor().compress,
        }
        return [pack[kind](part) for part in (*text(), *csv()[:1])]

    return made


def vocabularies() -> list[str]:
    """The JSON of a vocabulary of each kind."""
    from unrolled.data import UNITS, build_vocabulary
    from unrolled.data.vocabulary.pair import PairVocabulary

    made = [build_vocabulary(units, [_TEXT], specials=("<s>",)) for units in UNITS]
    made.append(PairVocabulary(made[0], made[2]))
    return [json.dumps(vocabulary.to_json()) for vocabulary in made]
