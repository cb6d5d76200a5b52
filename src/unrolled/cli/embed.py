"""`unrolled embed RUN INPUT`: the vector that stands for each sequence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unrolled.cli.output import Output
from unrolled.cli.runs import Column, Input, Literal, Run, open_as, read_sequences
from unrolled.errors import RunError

Out = Annotated[Path | None, Parameter(help="write an array (N, E) in NumPy's .npy format instead of printing rows")]


def embed(
    run: Run,
    source: Input = None,
    /,
    *,
    literal: Literal = None,
    column: Column = None,
    out: Out = None,
    output: Output = Output(),
) -> None:
    """Turn each sequence into the vector that the answer is made of: one row of numbers each."""
    import numpy as np

    from unrolled.tasks.run import write_bytes

    model = open_as(run, "embed", "classify", "regress")
    inputs, rows = read_sequences(model, source, literal, column)
    if out is not None and out.exists():
        raise RunError(f"{out} is there already; choose another --out.")
    vectors = model.embed(inputs)
    if out is None:
        found = [{**row, "vector": vector} for row, vector in zip(rows, vectors, strict=True)]
        output.result({"vectors": found}, "\n".join(",".join(f"{x:.6g}" for x in vector) for vector in vectors))
        return
    content = io.BytesIO()
    np.save(content, vectors, allow_pickle=False)
    write_bytes(out, content.getvalue())
    size, width = vectors.shape
    output.result({"out": out, "shape": [size, width]}, f"{out}: {size:,} vectors of {width:,} numbers")
