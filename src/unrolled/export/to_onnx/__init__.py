"""Export to ONNX: nodes written by hand, run in ONNX Runtime and compared with our own answer."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from unrolled.errors import ArgumentError
from unrolled.export.to_onnx.graph import library
from unrolled.export.to_onnx.layer import layer_artifacts, layer_states, whole_layer
from unrolled.export.to_onnx.package import Accuracy, Export, Notify, Package, check_folder, write_package
from unrolled.export.to_onnx.rounding import in_evaluation, round_weights
from unrolled.export.to_onnx.verify import Written, write
from unrolled.layers import Recurrent
from unrolled.tasks.model import TaskModel

__all__ = ["Accuracy", "Export", "Written", "onnx"]

_TASKS = "unrolled.export.to_onnx.tasks"
_HOMES = {
    "language": f"{_TASKS}.language:package",
    "classify": f"{_TASKS}.sequence:classify",
    "regress": f"{_TASKS}.sequence:regress",
    "tag": f"{_TASKS}.tag:package",
    "transcribe": f"{_TASKS}.transcribe:package",
    "translate": f"{_TASKS}.translate:package",
    "caption": f"{_TASKS}.caption:package",
    "forecast": f"{_TASKS}.forecast:package",
}


def onnx(
    what: Any, out: str | Path, *, int8: bool = False, data: str | Path | None = None, notify: Notify = lambda *_: None
) -> Export:
    """Write a layer or a trained model as ONNX, run it in ONNX Runtime at other sizes, compare it with our own answer.

    `what` is a `Recurrent`, a trained model, a fitted estimator or the folder of a run. `out` is a folder for
    `model.onnx` (whole sequences), `step.onnx` (one step, where there is one), `manifest.json` and what belongs to it;
    a layer may also go into a single file, a name that ends in .onnx. `int8` stores matrices in a quarter of the room,
    and `data`, a file as `evaluate` takes it, then says what that costs in accuracy. `notify` is told of each file.

    Raises ExportError, and leaves no file, where the answers differ; EngineError where onnx or onnxruntime is not
    installed; RunError where nothing can be written.
    """
    for name in ("onnx", "onnxruntime"):
        library(name)
    if data is not None and not int8:
        raise ArgumentError("data is for measuring what int8 weights cost, and the weights stay float32; add int8.")
    model = _model(what)
    if isinstance(model, Recurrent):
        return _layer(model, Path(out), int8=int8, data=data, notify=notify)
    home, _, name = _HOMES[model.task].partition(":")
    package: Callable[..., Package] = getattr(import_module(home), name)
    check_folder(Path(out))
    exact = deepcopy(model)
    in_evaluation(exact.module)
    if not int8:
        return write_package(package(exact), Path(out), notify)
    rounded = deepcopy(exact)
    round_weights(rounded.module)
    found = write_package(package(rounded, int8=True), Path(out), notify)
    if data is None:
        return found
    notify(str(data), len(found.files), len(found.files))
    accuracy = Accuracy(
        str(data), _metrics(exact, Path(data)), _metrics(rounded, Path(data)), _size(package(exact)), found.bytes
    )
    return replace(found, accuracy=accuracy)


def _model(what: Any) -> Recurrent | TaskModel[Any]:
    if isinstance(what, str | Path):
        from unrolled.tasks import open_run

        return open_run(what)
    found = getattr(what, "model_", what)
    if not isinstance(found, Recurrent | TaskModel):
        raise ArgumentError(
            f"a {type(what).__name__} cannot be exported; give a Recurrent layer, a fitted estimator, a trained model "
            "or the folder of a run."
        )
    return found


def _layer(what: Recurrent, out: Path, *, int8: bool, data: str | Path | None, notify: Notify) -> Export:
    if data is not None:
        raise ArgumentError("a layer alone has no metrics that data could be measured by; leave data out.")
    layer = deepcopy(what)
    in_evaluation(layer)
    if int8:
        round_weights(layer)
    if out.suffix == ".onnx":
        out.parent.mkdir(parents=True, exist_ok=True)
        return Export(out.parent, "layer", (write(whole_layer(layer, out.name, int8=int8), out.parent),))
    package = Package("layer", layer.program.name, layer_artifacts(layer, int8=int8), layer_states(layer), int8=int8)
    return write_package(package, out, notify)


def _metrics(model: TaskModel[Any], data: Path) -> dict[str, float]:
    """What `evaluate` measures, but for tables and counts."""
    return {name: value for name, value in model.evaluate(data).items() if isinstance(value, float)}


def _size(package: Package) -> int:
    return sum(artifact.graph.model().ByteSize() for artifact in package.artifacts)
