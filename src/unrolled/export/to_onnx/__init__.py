"""Export to ONNX: nodes written by hand, run in ONNX Runtime and compared with our own answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unrolled.errors import ArgumentError
from unrolled.export.to_onnx.layer import layer_artifacts, layer_states, whole_layer
from unrolled.export.to_onnx.package import Accuracy, Export, Notify, Package, write_package
from unrolled.export.to_onnx.rounding import copied, in_evaluation, round_weights
from unrolled.export.to_onnx.verify import Written, write
from unrolled.layers import Recurrent

__all__ = ["Accuracy", "Export", "Written", "onnx"]


def onnx(
    what: Any, out: str | Path, *, int8: bool = False, data: str | Path | None = None, notify: Notify = lambda *_: None
) -> Export:
    """Write a layer as ONNX, run it in ONNX Runtime at other sizes and compare it with our own answer.

    `what` is a `Recurrent`. `out` is a folder for `model.onnx` (whole sequences), `step.onnx` (one step, where the
    layer has one) and `manifest.json`; a layer may also go into a single file, a name that ends in .onnx. `int8` stores
    matrices in a quarter of the room.

    Raises ExportError, and leaves no file, where the answers differ; EngineError where onnx or onnxruntime is not
    installed; RunError where nothing can be written.
    """
    out = Path(out)
    if not isinstance(what, Recurrent):
        raise ArgumentError(f"a {type(what).__name__} cannot be exported; give a Recurrent layer.")
    layer = copied(what)
    in_evaluation(layer)
    if int8:
        round_weights(layer)
    if out.suffix == ".onnx":
        out.parent.mkdir(parents=True, exist_ok=True)
        return Export(out.parent, "layer", (write(whole_layer(layer, out.name, int8=int8), out.parent),))
    package = Package(
        "layer", layer.program.name, layer_artifacts(layer, int8=int8), layer_states(layer), int8=int8
    )  # fmt: skip
    return write_package(package, out, notify)
