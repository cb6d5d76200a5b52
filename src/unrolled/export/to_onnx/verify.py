"""A written file is run in ONNX Runtime and compared with our own answer; one that differs is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.errors import ExportError
from unrolled.export.to_onnx.graph import OPERATORS, Array, Graph, library

# Of a number, or of 1 where it is smaller: what two ways of adding up float32 may differ by.
TOLERANCE = 1e-4

Arrays = Mapping[str, Array]
# A session and inputs -> outputs by name.
Run = Callable[[Any, Arrays], dict[str, Array]]


def once(session: Any, given: Arrays) -> dict[str, Array]:
    """All outputs of one run."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(given)), strict=True))


def folded(states: Mapping[str, Carried]) -> Run:
    """A step after the other of inputs (B, T, ...): the outputs after the last, without the states."""

    def run(session: Any, given: Arrays) -> dict[str, Array]:
        carried = {name: state.start for name, state in states.items() if state.start is not None}
        found: dict[str, Array] = {}
        steps = next(iter(given.values())).shape[1]
        for t in range(steps):
            found = once(session, {name: array[:, t] for name, array in given.items()} | carried)
            carried = {name: found[state.becomes] for name, state in states.items()}
        following = {state.becomes for state in states.values()}
        return {name: array for name, array in found.items() if name not in following}

    return run


@dataclass(frozen=True)
class Carried:
    """An input that comes from the step before: the output that becomes it, and what it is at first, (1, ...).

    Where `start` is None, it is at first the output of the same name of the encoder.
    """

    becomes: str
    start: Array | None


@dataclass(frozen=True)
class Sample:
    """Inputs by name for one run, and how large they are, such as "4 x 9"."""

    size: str
    inputs: Arrays


@dataclass(frozen=True)
class Artifact:
    """A graph that becomes a file, inputs to try it with, and what our own network answers for them.

    `run` says how the file makes its answer of the inputs, where that is not by running it once.
    """

    file: str
    graph: Graph
    samples: Sequence[Sample]
    answer: Callable[[Arrays], Arrays]
    method: str = ""
    run: Run = once


@dataclass(frozen=True)
class Written:
    """A file that gives our own answers: its size in bytes, and how far each output is from ours at most."""

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
    path = folder / artifact.file
    with _one_sentence(artifact.file):
        content = artifact.graph.model().SerializeToString()
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    try:
        differences: dict[str, float] = {}
        with _one_sentence(artifact.file):
            session = open_session(part)
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


@contextmanager
def _one_sentence(file: str) -> Iterator[None]:
    """What the libraries say of a file that they cannot take, as an ExportError."""
    onnx, state = library(), library("onnxruntime.capi.onnxruntime_pybind11_state")
    kinds = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    try:
        yield
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, *kinds) as error:
        said = " ".join(str(error).split())[:300]
        raise ExportError(f"{file} was not written, because ONNX cannot run it ({said}); please report it.") from error


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
    got, wanted = artifact.run(session, sample.inputs), artifact.answer(sample.inputs)
    return {name: _difference(artifact.file, sample.size, name, got[name], wanted[name]) for name in got}


def _difference(file: str, size: str, name: str, got: Array, wanted: Array) -> float:
    """How far an output is from ours, in units of the largest number of it; ExportError where that is too far."""
    where = f"{file} was written and deleted again, because its output {name!r} for inputs of {size}"
    if got.shape != wanted.shape:
        raise ExportError(f"{where} has the shape {got.shape} and ours {wanted.shape}; please report it.")
    if not wanted.size:
        return 0.0
    exact, found = (np.asarray(values, np.float64) for values in (wanted, got))
    with np.errstate(invalid="ignore"):
        apart = np.where((exact == found) | (np.isnan(exact) & np.isnan(found)), 0.0, np.abs(exact - found))
        shares = apart / np.maximum(1.0, np.abs(exact))
    place = np.unravel_index(np.nan_to_num(shares, nan=np.inf).argmax(), shares.shape)
    if not shares[place] <= TOLERANCE:
        raise ExportError(
            f"{where} differs from ours by {apart[place]:.3g} where ours is {exact[place]:.3g}; please report it."
        )
    return float(shares[place])
