"""Run folders of small trained networks, in which one file is damaged."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from fuzzing import seeds
from fuzzing.edits import edit_json
from fuzzing.law import either
from unrolled.errors import UnrolledError

_OPTIONS: dict[str, dict[str, Any]] = {
    "language": {"hidden": 4, "embedding": 3, "batch_size": 2, "window": 4},
    "classify": {"hidden": 4, "embedding": 3, "batch_size": 4},
    "regress": {"hidden": 4, "embedding": 3, "batch_size": 4, "text": "text", "target": ("target",)},
    "tag": {"hidden": 4},
    "forecast": {"hidden": 4, "horizon": 2},
    "translate": {"hidden": 4, "embedding": 3},
    "transcribe": {"hidden": 4},
    "caption": {"hidden": 4, "embedding": 3, "size": 16, "channels": (8, 8), "blocks": 0},
}
_SUFFIX = {"language": ".txt", "tag": ".conll", "translate": ".tsv", "transcribe": ".jsonl"}
# So many steps are taken by a training that goes on: enough to use all that was restored.
_STEPS = 2
TASKS_TRIED = tuple(_OPTIONS)


def _data(task: str) -> bytes:
    made = {
        "language": lambda: seeds.text()[0] * 20,
        "classify": lambda: b"text,label\n" + b"good day,up\nbad night,down\nfine,up\nawful,down\n" * 8,
        "regress": lambda: b"text,target\n" + b"good day,1\nbad night,2.5\nfine,0\nawful,4\n" * 8,
        "tag": lambda: b"The\tD\ncat\tN\nsat\tV\n\n" * 30,
        "forecast": lambda: b"month,value\n" + b"".join(b"%d-01,%d\n" % (1900 + k, k * k % 17) for k in range(60)),
        "translate": lambda: b"en\tes\n" + b"Go.\tVe.\nHi.\tHola.\nRun!\tCorre!\n" * 10,
        "transcribe": lambda: b"".join(
            json.dumps({"strokes": [[[0, k], [1, 2], [3, 1], [4, 4], [5, 0], [6, 1]]], "text": "ab"[k % 2]}).encode()
            + b"\n"
            for k in range(24)
        ),
        "caption": lambda: (
            b"image,caption\n" + b"one.png,a dot\none.png,a blot\ntwo.png,two dots\ntwo.png,a line\n" * 6
        ),
    }
    return made[task]()


@functools.cache
def trained(task: str) -> Path:
    """The folder of a run of one epoch; it is removed when the process ends."""
    import atexit

    from unrolled.tasks import TASKS, Common

    folder = Path(mkdtemp(prefix="unrolled-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / f"data{_SUFFIX.get(task, '.csv')}"
    file.write_bytes(_data(task))
    for name, picture in zip(("one", "two"), seeds.picture("PNG")() * 2, strict=False):
        (folder / f"{name}.png").write_bytes(picture)
    options = TASKS[task].options(**_OPTIONS[task])
    TASKS[task].train(options, Common(data=file, out=folder / "run", epochs=1, threads=1))
    return folder / "run"


PARTS = ("config.json", "vocabulary.json", "weights.safetensors")
CHECKPOINT = (
    "checkpoint.json",
    "checkpoint-N/state.json",
    *(f"checkpoint-N/{name}.safetensors" for name in ("weights", "optimiser", "carry", "random", "best")),
)


def file_of(task: str, name: str) -> bytes:
    """A file of the run as it was written."""
    return _place(trained(task), name).read_bytes()


def damage(task: str, names: tuple[str, ...] = PARTS) -> Callable[[bytes], bytes]:
    """Entropy to the name of a file of the run, chosen by its first byte, a line break, and its damaged content."""

    def wrap(entropy: bytes) -> bytes:
        name = names[entropy[0] % len(names)] if entropy else names[0]
        if not _place(trained(task), name).exists():
            name = names[0]
        data = file_of(task, name)
        made = edit_tensors(data, entropy[1:]) if name.endswith("tensors") else edit_json(data.decode(), entropy[1:])
        return name.encode() + b"\n" + made

    return wrap


def edit_tensors(data: bytes, entropy: bytes) -> bytes:
    """A safetensors file with a damaged description, cut short, or with another tensor than there was."""
    if len(entropy) % 3 == 1:
        return _with_another(data, *entropy.ljust(2, b"\0")[:2])
    size = int.from_bytes(data[:8], "little")
    if len(entropy) % 3 == 2:
        return data[: len(data) * entropy[0] // 256]
    head = edit_json(data[8 : 8 + size].decode(), entropy)
    return len(head).to_bytes(8, "little") + head + data[8 + size :]


def _with_another(data: bytes, which: int, how: int) -> bytes:
    named = load(data)
    name = sorted(named)[which % len(named)]
    tensor = named.pop(name)
    flat = tensor.reshape(-1)
    made = (
        flat, flat[:-1], np.append(flat, flat[:1]), tensor[None], flat[:0], tensor.astype(np.float64),
        tensor.astype(np.uint8), np.frombuffer(b"\xff" * tensor.nbytes, tensor.dtype).reshape(tensor.shape),
    )  # fmt: skip
    if how % 12 < len(made):
        named[name] = made[how % 12]
    elif how % 12 == len(made):
        named[f"{name}.strange"] = tensor
    return save({name: np.ascontiguousarray(array) for name, array in named.items()})


def open_damaged(task: str) -> Callable[[Path], object]:
    """Open the run with the file that `damage` made in place of its own, with torch and without."""

    def read(path: Path) -> object:
        from unrolled import runtime
        from unrolled.tasks.run import open_run

        with _replaced(task, path) as run:
            either(runtime.load, run, engine="numpy")
            return open_run(run)

    return read


def open_with_config(path: Path) -> object:
    """The same for a config.json of any bytes."""
    from unrolled.tasks.run import open_run

    run = _copy("language", path.parent)
    shutil.copyfile(path, run / "config.json")
    return open_run(run)


def resume_damaged(path: Path) -> object:
    """Go on with a language run that has a damaged file in its checkpoint, which its checksums know nothing of."""
    from unrolled.tasks import TASKS, Common
    from unrolled.train import Observer, Step

    class Enough(Observer):
        def on_step(self, step: Step) -> None:
            self.left -= 1
            if not self.left:
                raise UnrolledError("enough steps were taken")

        left = _STEPS

    shutil.rmtree(path.parent / "run-language", ignore_errors=True)
    with _replaced("language", path) as run:
        for sums in run.glob("checkpoint-*/SHA256SUMS"):
            files = sorted(file for file in sums.parent.iterdir() if file != sums)
            sums.write_text(
                "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
            )
        task = TASKS["language"]
        return task.train(task.options(), Common(out=run, resume=True, epochs=2, threads=1), [Enough()])


@contextlib.contextmanager
def _replaced(task: str, path: Path) -> Iterator[Path]:
    name, _, data = path.read_bytes().partition(b"\n")
    run = _copy(task, path.parent)
    place = _place(run, name.decode())
    kept = place.read_bytes()
    place.write_bytes(data)
    try:
        yield run
    finally:
        place.parent.mkdir(exist_ok=True)  # a training that goes on removes old checkpoints
        place.write_bytes(kept)


def _place(run: Path, name: str) -> Path:
    """A file of the run; checkpoint-N is the one there is."""
    folder, _, rest = name.rpartition("/")
    if not folder:
        return run / name
    inside = next(run.glob("checkpoint-*"))
    return inside / rest if (inside / rest).exists() else next(inside.glob("*.safetensors"))


def _copy(task: str, beside: Path) -> Path:
    run = beside / f"run-{task}"
    if not run.exists():
        shutil.copytree(trained(task), run)
    return run
