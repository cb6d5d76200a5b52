"""`unrolled export RUN`: the run as ONNX models that were tried, with what a program needs beside them, or halved."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from unrolled.cli.output import Flag, Output
from unrolled.cli.runs import Run
from unrolled.errors import DataError, UsageError

if TYPE_CHECKING:
    from unrolled.export.to_onnx import Accuracy, Export, Written

To = Annotated[
    Literal["onnx", "bfloat16"],
    Parameter(name="--to", help="the form; bfloat16: a run with weights of half the size"),
]
Out = Annotated[Path | None, Parameter(help="folder for the files; default: RUN/onnx, or RUN-bfloat16")]
Int8 = Annotated[Flag, Parameter(help="store matrices as int8, in a quarter of the room")]
Data = Annotated[
    Path | None,
    Parameter(help="with --int8 or bfloat16: a file as `evaluate` takes it, to measure what that costs in accuracy"),
]


def export(
    run: Run, /, *, to: To = "onnx", out: Out = None, int8: Int8 = False, data: Data = None, output: Output = Output()
) -> None:
    """Write a run as ONNX models, run them in ONNX Runtime at other sizes and compare them with our own answers."""
    if data is not None and not int8 and to == "onnx":
        raise UsageError("--data measures what int8 weights cost, and the weights stay float32; add --int8.")
    if data is not None and not data.exists():
        raise DataError("there is no such file to measure on; check --data", data)
    if to == "bfloat16":
        if int8:
            raise UsageError("--int8 is a form of ONNX models, and the form asked for is bfloat16; leave one out.")
        _halved(run, run.with_name(f"{run.name}-bfloat16") if out is None else out, data, output)
        return
    from unrolled.export.to_onnx import onnx

    def progress(name: str, place: int, count: int) -> None:
        what = f"{place + 1} of {count}: {name} is written and tried" if place < count else f"measuring on {name}"
        output.note(what)

    found = onnx(run, run / "onnx" if out is None else out, int8=int8, data=data, notify=progress)
    sys.stderr.flush()
    output.result(_as_data(run, to, found), text(found))


def _halved(run: Path, out: Path, data: Path | None, output: Output) -> None:
    """A run of half the size, and what that costs on `data`."""
    from unrolled.export.halved import halve

    found = halve(run, out, data=data)
    sizes = f"{_size(found.bytes_bfloat16)} of weights instead of {_size(found.bytes_float32)}"
    lines = [f"{found.run}: a run like any other, {sizes}"]
    if data is not None:
        lines += [f"on {data}:", f"{'':<20}  {'float32':>10}  {'bfloat16':>10}"]
        lines += [f"{name:<20}  {value:>10.4f}  {found.bfloat16[name]:>10.4f}" for name, value in found.float32.items()]
    result = {"run": found.run, "to": "bfloat16", "bytes_float32": found.bytes_float32}
    result |= {"bytes_bfloat16": found.bytes_bfloat16, "float32": found.float32, "bfloat16": found.bfloat16}
    output.result(result, "\n".join(lines))


def text(found: Export) -> str:
    """What was written, how large it is, and what was found when it was tried."""
    lines = [_file_line(file) for file in found.files]
    lines += [f"{found.manifest}: how inputs are made and outputs read"] if found.manifest is not None else []
    lines += [f"note: {remark}" for remark in found.remarks]
    return "\n".join([*lines, *(() if found.accuracy is None else _accuracy_lines(found.accuracy))])


def _file_line(file: Written) -> str:
    name, apart = file.largest
    node = f", {file.method}" if file.method else ""
    return (
        f"{file.path}: {_size(file.bytes)}, operator set {file.operators}{node}; same answers as ours for inputs of "
        f"{', '.join(file.sizes)} (largest difference {apart:.1e}, {name})"
    )


def _accuracy_lines(found: Accuracy) -> list[str]:
    wide = max(map(len, found.float32))
    lines = [f"on {found.data}:", f"{'':<{wide}}  {'float32':>10}  {'int8':>10}"]
    lines += [f"{name:<{wide}}  {value:>10.4f}  {found.int8[name]:>10.4f}" for name, value in found.float32.items()]
    return [*lines, f"{'size':<{wide}}  {_size(found.bytes_float32):>10}  {_size(found.bytes_int8):>10}"]


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _as_data(run: Path, to: str, found: Export) -> dict[str, object]:
    files = [
        {
            "file": file.path,
            "bytes": file.bytes,
            "operator_set": file.operators,
            "recurrent_node": file.method,
            "sizes": file.sizes,
            "largest_differences": file.differences,
        }
        for file in found.files
    ]
    whole = {"run": run, "to": to, "folder": found.folder, "task": found.task, "files": files}
    return {**whole, "manifest": found.manifest, "remarks": found.remarks, "accuracy": found.accuracy}
