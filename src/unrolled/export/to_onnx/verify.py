"""A written file is run in ONNX Runtime and compared with our own answer; one that differs is deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.errors import ExportError
from unrolled.export.to_onnx.graph import OPERATORS, Array, Graph, library

# Of the largest number of an output, or of 1 where all are smaller: what two ways of adding up float32 may differ by.
TOLERANCE = 1e-4

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Sample:
    """Inputs by name for one run, and how large they are, such as "4 x 9"."""

    size: str
    inputs: Arrays


@dataclass(frozen=True)
class Artifact:
    """A graph that becomes a file, inputs to try it with, and what our own network answers for them."""

    file: str
    graph: Graph
    samples: Sequence[Sample]
    answer: Callable[[Arrays], Arrays]
    method: str = ""


@dataclass(frozen=True)
class Written:
    """A file that gives our own answers: its size in bytes, and for each output the largest relative difference."""

    path: Path
    bytes: int
    method: str
    sizes: tuple[str, ...]
    differences: Mapping[str, float]
    operators: int = OPERATORS
    inputs: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    outputs: Sequence[Mapping[str, Any]] = field(default=(), repr=False)

    @property
    def largest(self) -> tuple[str, float]:
        """The output that differs most, and by how much."""
        return max(self.differences.items(), key=lambda item: item[1])


def write(artifact: Artifact, folder: Path) -> Written:
    """Write the file and prove it; raises ExportError, and leaves no file, where an answer is another than ours."""
    content = artifact.graph.model().SerializeToString()
    path = folder / artifact.file
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    try:
        session = open_session(part)
        differences: dict[str, float] = {}
        for sample in artifact.samples:
            for name, found in _compare(session, artifact, sample).items():
                differences[name] = max(differences.get(name, 0.0), found)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return Written(
        path, len(content), artifact.method, tuple(sample.size for sample in artifact.samples), differences,
        inputs=[_described(i) for i in session.get_inputs()], outputs=[_described(o) for o in session.get_outputs()],
    )  # fmt: skip


def open_session(model: Path) -> Any:
    """The file in ONNX Runtime, on one thread."""
    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _described(value: Any) -> dict[str, Any]:
    kind = value.type.removeprefix("tensor(").removesuffix(")").replace("float", "float32").replace("32_", "")
    return {"name": value.name, "type": kind, "shape": value.shape}


def _compare(session: Any, artifact: Artifact, sample: Sample) -> dict[str, float]:
    names = [output.name for output in session.get_outputs()]
    got = dict(zip(names, session.run(names, dict(sample.inputs)), strict=True))
    wanted = artifact.answer(sample.inputs)
    return {name: _difference(artifact.file, sample.size, name, got[name], wanted[name]) for name in names}


def _difference(file: str, size: str, name: str, got: Array, wanted: Array) -> float:
    """How far an output is from ours, in units of the largest number of it; ExportError where that is too far."""
    where = f"{file} was written and deleted again, because its output {name!r} for inputs of {size}"
    if got.shape != wanted.shape:
        raise ExportError(f"{where} has the shape {got.shape} and ours {wanted.shape}; please report this cell.")
    if not wanted.size:
        return 0.0
    exact, found = (np.asarray(values, np.float64) for values in (wanted, got))
    scale = max(1.0, float(np.abs(exact[np.isfinite(exact)]).max(initial=0.0)))
    with np.errstate(invalid="ignore"):
        apart = np.where((exact == found) | (np.isnan(exact) & np.isnan(found)), 0.0, np.abs(exact - found))
    largest = float(apart.max())
    if not largest <= TOLERANCE * scale:
        raise ExportError(
            f"{where} differs from ours by {largest:.3g} where numbers go up to {scale:.3g}; please report this cell."
        )
    return largest / scale
