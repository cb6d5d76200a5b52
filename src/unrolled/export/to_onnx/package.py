"""What an export consists of, and how it gets onto the disk: models, what belongs to them, a manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unrolled import __version__
from unrolled.errors import RunError
from unrolled.export.to_onnx.graph import OPERATORS
from unrolled.export.to_onnx.verify import Artifact, Carried, Written, write

MANIFEST = "manifest.json"
_KIND = "unrolled export to onnx"


@dataclass(frozen=True)
class Package:
    """The models of one export and what a program needs to know of them.

    `preprocessing` and `postprocessing` are plain JSON: how what a user has becomes inputs, and outputs an answer.
    `files` are JSON files beside the manifest. `remarks` say what could not be exported, and why.
    """

    task: str
    cell: str
    artifacts: Sequence[Artifact]
    states: Mapping[str, Carried] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    postprocessing: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    int8: bool = False


@dataclass(frozen=True)
class Accuracy:
    """Metrics of the network on the user's data, with float32 weights and with int8 weights, and the files' sizes."""

    data: str
    float32: Mapping[str, float]
    int8: Mapping[str, float]
    bytes_float32: int
    bytes_int8: int


@dataclass(frozen=True)
class Export:
    """What was written, and what was found when it was tried in ONNX Runtime."""

    folder: Path
    task: str
    files: tuple[Written, ...]
    manifest: Path | None = None
    remarks: tuple[str, ...] = ()
    accuracy: Accuracy | None = None

    @property
    def bytes(self) -> int:
        """Of all models together."""
        return sum(file.bytes for file in self.files)


# Told of each file before it is written and tried: its name, its place, how many there are.
Notify = Callable[[str, int, int], None]


def check_folder(folder: Path) -> None:
    """RunError unless the folder is empty, not there yet, or holds an earlier export."""
    if folder.is_dir() and any(folder.iterdir()) and not _is_export(folder / MANIFEST):
        raise RunError(f"{folder} is there and holds something else than an export; choose another --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} could not be made ({error.strerror}); choose another --out.") from None


def _is_export(manifest: Path) -> bool:
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("kind") == _KIND


def write_package(package: Package, folder: Path, notify: Notify = lambda *_: None) -> Export:
    """Write and prove every model, then what belongs to it. Raises RunError and ExportError."""
    from unrolled.tasks.folder import write_json

    check_folder(folder)
    written = []
    for place, artifact in enumerate(package.artifacts):
        notify(artifact.file, place, len(package.artifacts))
        written.append(write(artifact, folder))
    for name, data in package.files.items():
        write_json(folder / name, data)
    manifest = folder / MANIFEST
    write_json(manifest, _manifest(package, written))
    return Export(folder, package.task, tuple(written), manifest, package.remarks)


def _manifest(package: Package, written: Sequence[Written]) -> dict[str, Any]:
    return {
        "kind": _KIND,
        "format": 1,
        "unrolled": __version__,
        "task": package.task,
        "cell": package.cell,
        "operator_set": OPERATORS,
        "weights": "int8" if package.int8 else "float32",
        "models": {
            file.path.name: {
                "inputs": list(file.inputs),
                "outputs": list(file.outputs),
                "recurrent_node": file.method,
                "verified": {"sizes": list(file.sizes), "largest_differences": dict(file.differences)},
            }
            for file in written
        },
        "states": {name: _carried(state) for name, state in package.states.items()},
        "preprocessing": dict(package.preprocessing),
        "postprocessing": dict(package.postprocessing),
        "files": sorted(package.files),
        "remarks": list(package.remarks),
    }


def _carried(state: Carried) -> dict[str, Any]:
    """The start as one number where all are equal."""
    start = state.start
    if start is None:
        return {"becomes": state.becomes, "start": "the output of the same name of the encoder"}
    value = start.flat[0].item() if (start == start.flat[0]).all() else start.tolist()
    return {"becomes": state.becomes, "type": str(start.dtype), "shape": list(start.shape), "start": value}
