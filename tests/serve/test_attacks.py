"""The attack folder: what a stranger could put into a run or send, tried; none executes, escapes or exhausts."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import resource
import shutil
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.serving import Client, served, serving
from tasks.pens import SMALL as PENS
from tasks.pens import write_pens
from unrolled.cli.main import main
from unrolled.errors import RunError
from unrolled.serve.model import open_models
from unrolled.tasks import TASKS, Common, open_run
from unrolled.tasks.model import TaskModel

EVIL = '</script><script>document.title="run"</script><img src=x onerror=alert(1)>'
TEN_GB = 10_000_000_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose labels are HTML."""
    folder = tmp_path_factory.mktemp("attack")
    rng = np.random.default_rng(9)
    rows = [{"text": " ".join(rng.choice(["red", "blue"], 4)), "label": (EVIL, "cold")[k % 2]} for k in range(24)]
    (folder / "moods.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--hidden", "6", "--embedding", "4", "--epochs", "1", "--threads", "1", "--quiet"]
    assert main(["train", "classify", str(folder / "moods.jsonl"), "--out", str(folder / "run"), *options]) == 0
    return folder / "run"


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def change(run: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    config = json.loads((run / "config.json").read_text())
    edit(config)
    (run / "config.json").write_text(json.dumps(config))


class Bomb:
    """What writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.marker, "executed")


def test_pickled_weights_are_not_loaded(copy: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickled = pickle.dumps(Bomb(marker))
    pickle.loads(pickled)
    assert marker.read_text() == "executed"  # it would work
    marker.unlink()
    for name in ("weights.pt", "weights.pkl", "model.bin", "vocabulary.pkl"):
        (copy / name).write_bytes(pickled)
    assert "copy" in open_models([str(copy)])
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickled)
    for name, content in (("weights.safetensors", pickled), ("weights.safetensors", archive.getvalue()),
                          ("vocabulary.json", pickled), ("config.json", pickled)):  # fmt: skip
        before = (copy / name).read_bytes()
        (copy / name).write_bytes(content)
        with pytest.raises(RunError):
            open_models([str(copy)])
        (copy / name).write_bytes(before)
    assert not marker.exists()


_opened: list[str] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event in ("open", "os.listdir", "os.system", "subprocess.Popen", "socket.connect"):
        _opened.append(f"{event} {arguments[0]}")


def test_a_path_in_the_config_leads_nowhere(copy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("text,label\na,b\n")

    def edit(config: dict[str, Any]) -> None:
        for name in ("common", "options", "data"):
            for key, value in config[name].items():
                if isinstance(value, str | type(None)):
                    config[name][key] = f"../{secret.name}"
        config["command"] = f"unrolled train classify {secret}"
        config["schema"]["reading"]["column"] = f"../{secret.name}"

    change(copy, edit)
    global _opened  # noqa: PLW0603 - a hook cannot be taken away again, only made deaf
    sys.addaudithook(_audit)
    _opened = []
    try:
        models = open_models([str(copy)])
        with serving(models) as client:
            assert client.post("/predict", {"inputs": ["red"]}).status == 200
            client.upload("/predict", "../../secret.csv", b"text\nred\n")
            client.upload("/predict", str(secret), b"text\nred\n")
            for path in ("/page/../../secret.csv", "/page/%2e%2e/secret.csv", f"/models/..%2f{secret.name}",
                         f"/sessions/..%2f{secret.name}", f"/{secret}"):  # fmt: skip
                assert client.get(path).status in (404, 405)
    finally:
        opened, _opened = _opened, None
    assert opened and not [one for one in opened if "secret" in one]
    assert not [one for one in opened if one.startswith(("os.system", "subprocess"))]


def _tensors(header: dict[str, Any], rest: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


HUGE: list[bytes] = [
    _tensors({"w": {"dtype": "F32", "shape": [TEN_GB // 4], "data_offsets": [0, TEN_GB]}}),
    _tensors({"w": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 16]}}, bytes(16)),
    _tensors({"w": {"dtype": "F32", "shape": [4], "data_offsets": [TEN_GB, TEN_GB + 16]}}, bytes(16)),
    struct.pack("<Q", TEN_GB) + b"{}",
    struct.pack("<Q", 2**64 - 1),
    b"",
]


def memory() -> float:
    """The most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("place", range(len(HUGE)))
def test_a_tensor_of_ten_gigabytes_takes_no_memory(copy: Path, place: int, client: Client) -> None:
    (copy / "weights.safetensors").write_bytes(HUGE[place])
    before = memory()
    with pytest.raises(RunError, match=r"weights\.safetensors is cut short or damaged"):
        open_models([str(copy)])
    import base64

    token = base64.b64encode(HUGE[place]).decode()
    assert client.post("/models/moods/sessions", {"state": token}).status == 422
    assert memory() - before < 50


@pytest.mark.parametrize("entry", ["hidden", "layers", "inputs"])
def test_sizes_in_the_config_are_checked_before_memory_is_taken(copy: Path, entry: str) -> None:
    change(copy, lambda config: config["network"].update({entry: 1_000_000_000}))
    before = memory()
    with pytest.raises(RunError, match="was changed or damaged"):
        open_models([str(copy)])
    assert memory() - before < 50


def test_what_would_unfold_is_not_taken(client: Client) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(50_000_000))
    packed = gzip.compress(json.dumps({"inputs": ["a" * 50_000_000]}).encode())
    before = memory()
    for name in ("x.npz", "x.zip", "x.csv.gz", "x.txt.gz", "x.csv.zst", "x.parquet", "x.npy"):
        reply = client.upload("/models/sums/predict", name, bomb.getvalue())
        assert reply.status == 415 and "is needed" in reply.error
    sent = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert client.post("/models/moods/predict", body=packed, headers=sent).status == 400
    assert memory() - before < 40


def small(task: str, data: Path, out: Path, **options: Any) -> TaskModel[Any]:
    TASKS[task].train(TASKS[task].options(**options), Common(data=data, out=out, epochs=1, threads=1))
    return open_run(out)


def png(width: int, height: int) -> bytes:
    """A picture of so many pixels in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + chunk(b"IEND", b"")
    )


def test_pictures_that_unfold(tmp_path: Path) -> None:
    from batteries.drawings import album

    table = album(tmp_path, 12)
    model = small("caption", table, tmp_path / "run", hidden=6, embedding=4, size=16, channels=(8, 8), batch_size=8)
    with serving(served(pictures=model)) as client:
        good = next(tmp_path.rglob("*.png")).read_bytes()
        assert client.upload("/predict", "a.png", good).json["predictions"][0]["caption"]
        before = memory()
        for size in ((60_000, 60_000), (2**31 - 1, 2), (0, 5), (20_000, 4_400)):
            reply = client.upload("/predict", "a.png", png(*size))
            assert reply.status == 422 and "file-1.png" in reply.error
        postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(secret) print\n"
        assert client.upload("/predict", "a.png", postscript).status == 422
        assert client.upload("/predict", "album.csv", b"image,caption\n/etc/passwd,x\n").status == 415
        assert memory() - before < 500


def test_sound_that_unfolds(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    rng = np.random.default_rng(1)
    for label in ("high", "low"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for place in range(4):
            soundfile.write(tmp_path / "clips" / label / f"{place}.wav", 0.1 * rng.normal(size=800), 8000)
    model = small("classify", tmp_path / "clips", tmp_path / "run", hidden=4, bands=8)
    quiet = io.BytesIO()
    soundfile.write(quiet, np.zeros(8000 * 400, np.int16), 8000, format="FLAC", subtype="PCM_16")
    with serving(served(sounds=model)) as client:
        good = (tmp_path / "clips" / "low" / "1.wav").read_bytes()
        assert client.upload("/predict", "a.wav", good).json["predictions"][0]["label"] in ("high", "low")
        assert len(quiet.getvalue()) < 100_000
        reply = client.upload("/predict", "a.flac", quiet.getvalue())
        assert reply.status == 422 and "steps" in reply.error
        # The head may also lie: no length at all, or a rate at which minutes are a moment.
        unknown = bytearray(quiet.getvalue())
        unknown[8 + 13] &= 0xF0
        unknown[8 + 14 : 8 + 18] = bytes(4)
        assert client.upload("/predict", "a.flac", bytes(unknown)).status == 422
        lying = bytearray(good)
        lying[24:28] = struct.pack("<I", 700_000)
        assert client.upload("/predict", "a.wav", bytes(lying)).status in (200, 422)
        assert client.upload("/predict", "list.csv", b"file,label\n/etc/passwd,low\n").status == 415


def test_strokes_that_unfold(tmp_path: Path) -> None:
    model = small("transcribe", write_pens(tmp_path / "pens.jsonl", 30), tmp_path / "run", **PENS)
    laughs = '<!DOCTYPE ink [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><ink><trace>&b;</trace></ink>'
    outside = '<!DOCTYPE ink [<!ENTITY a SYSTEM "file:///etc/passwd">]><ink><trace>&a;</trace></ink>'
    with serving(served(pen=model)) as client:
        for document in (laughs, outside):
            reply = client.upload("/predict", "a.inkml", document.encode())
            assert reply.status == 422 and "entities" in reply.error
        points = [[[0, 0], [1, 2], [2, 0]]]
        assert client.post("/predict", {"inputs": [points]}).status == 200
        for bad in ([[[0, 0], [1e999, 0]]], [[]], [], 5, [[[0]]], [[["a", "b"]]], [[[10**400, 0]]]):
            assert client.post("/predict", body=json.dumps({"inputs": [bad]}).replace("Infinity", "1e999").encode(),
                               headers={"Content-Type": "application/json"}).status == 422  # fmt: skip


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append(tag)
        self.attributes |= {name for name, _ in attrs}


def tags(page: str) -> list[str]:
    parser = Tags()
    parser.feed(page)
    return parser.found


def attributes(page: str) -> set[str]:
    parser = Tags()
    parser.feed(page)
    return parser.attributes


def test_html_in_labels_and_texts_is_text(run: Path, tmp_path: Path) -> None:
    with serving(open_models([f"moods={run}"])) as client:
        reply = client.post("/predict", {"inputs": [EVIL]})
        assert EVIL in reply.json["predictions"][0]["probabilities"]
        for one in (reply, client.get("/models"), client.post("/predict", {"inputs": [{EVIL: 1}]})):
            assert one.headers["content-type"] == "application/json"
            assert one.headers["x-content-type-options"] == "nosniff"
        wrong = client.post("/predict", {EVIL: 1})
        assert wrong.status == 422 and wrong.headers["content-type"] == "application/json"
        drawing = client.get("/models/moods/drawing").body.decode()
        assert "script" not in tags(drawing) and "img" not in tags(drawing)
    assert main(["inspect", str(run), "--literal", EVIL, "--out", str(tmp_path / "report.html"), "--quiet"]) == 0
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "onerror" in report and "img" not in tags(report) and tags(report).count("script") == 2


def test_html_in_a_caption_is_text(tmp_path: Path) -> None:
    from unrolled.tasks.caption_page import caption_page
    from unrolled.tasks.caption_text import Caption

    evil = Caption(EVIL, -1.0, tuple(EVIL.split()), np.ones((3, 4)) / 4)
    page = caption_page(EVIL, [tmp_path / f"{EVIL.replace('/', '')}.png"], [evil])
    assert "script" not in tags(page) and "onerror" in page and "onerror" not in attributes(page)
