"""What `unrolled bench` prints: blocks of the table for a person, the same numbers for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from statistics import geometric_mean
from typing import Any

from unrolled.bench.busy import Busy
from unrolled.bench.cold import Cold
from unrolled.bench.latency import Latency
from unrolled.bench.ragged import Ragged
from unrolled.bench.recurrent import OURS, REFERENCE, TORCH, Row
from unrolled.bench.suite import Found
from unrolled.bench.timing import Times

LABELS = {
    OURS: "ours, compiled",
    TORCH: "torch.nn",
    REFERENCE: "eager loop",
    "torch.compile": "torch.compile",
    "jax": "JAX lax.scan",
    "onnxruntime": "ONNX Runtime",
}
WIDE = 46


def head(facts: Mapping[str, Any]) -> str:
    """What is measured, on what."""
    libraries = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    policy = f", OMP_WAIT_POLICY={facts['wait_policy']}" if facts["wait_policy"] else ""
    threads = "1 thread" if facts["threads"] == 1 else f"{facts['threads']} threads"
    return (
        f"float32 on {threads} of a {facts['processor']} processor with {facts['vector_bits']}-bit vectors, "
        f"limit {facts['limit'] / 1e9:.0f} GFLOP/s; {libraries}{policy}\n"
        "Nothing was timed before its results were found equal to the eager loop's."
    )


@singledispatch
def text(result: Found, limit: float) -> str:
    """The block of one result."""
    raise TypeError(type(result).__name__)


@text.register
def _(row: Row, limit: float) -> str:
    lines = {
        name: f"{_ms(times.least)} {_ms(times.median)} {row.ratio(name):>8.2f} {row.speed(name) / 1e9:>8.1f}"
        f" {row.speed(name) / limit:>9.1%}"
        for name, times in row.times.items()
    }
    return _block(f"{row.cell} {row.phase}  {row.shape}", "  least ms  median ms   x ours  GFLOP/s  of limit", lines)


@text.register
def _(row: Ragged, limit: float) -> str:
    lines = {
        name: f"{_ms(row.full[name].least)} {_ms(times.least)} {row.share(name):>8.2f}"
        for name, times in row.ragged.items()
    }
    title = f"{row.cell} {row.phase}  {row.shape}, ragged"
    return _block(title, f"   full ms  ragged ms    share  (of the steps: {row.steps:.2f})", lines)


@text.register
def _(row: Latency, limit: float) -> str:
    lines = {
        name: f"{1e6 * times.least:>10.1f} {1e6 * times.median:>10.1f} {times.least / row.times[OURS].least:>8.2f}"
        for name, times in row.times.items()
    }
    title = f"{row.cell}, one step  B={row.shape.batch} F={row.shape.input} H={row.shape.hidden}"
    return _block(title, "  least us  median us   x ours", lines)


@text.register
def _(row: Cold, limit: float) -> str:
    lines = {"kernels compiled": f"{row.compiled:>10.2f}", "kernels from the cache on disk": f"{row.loaded:>10.2f}"}
    return _block(f"{row.cell}, first training pass of a process", "   seconds", lines)


@text.register
def _(row: Busy, limit: float) -> str:
    lines = {
        name: f"{_ms(row.alone[name].median)} {_ms(times.median)} {row.slower(name):>8.2f}"
        for name, times in row.beside.items()
    }
    title = f"{row.cell} {row.phase}  {row.shape}"
    return _block(title, "  alone ms  beside ms   slower  (medians; beside a process that keeps a core busy)", lines)


def _block(title: str, columns: str, lines: Mapping[str, str]) -> str:
    """A heading, and a line for each library."""
    width = max(WIDE, len(title) + 1)
    return "\n".join(
        ["", f"{title:<{width}}{columns}", *(f"  {LABELS.get(k, k):<{width - 2}}{line}" for k, line in lines.items())]
    )


def summary(rows: Sequence[Row]) -> str:
    """Geometric means over the shapes, a dash where a library has not run all of them; and why some were not timed."""
    names = [name for name in LABELS if name != OURS and any(name in row.times for row in rows)]
    shapes = len({row.shape for row in rows})
    chosen = {(r.cell, r.phase): [q for q in rows if (q.cell, q.phase) == (r.cell, r.phase)] for r in rows}
    lines = {
        f"{cell} {phase}": "".join(f"{_mean(found, name):>15}" for name in names)
        for (cell, phase), found in chosen.items()
    }
    title = f"x ours, geometric mean of {shapes} shape{'s' * (shapes > 1)}"
    return _block(title, "".join(f"{LABELS[name]:>15}" for name in names), lines) + _absent(rows)


def _absent(rows: Sequence[Row]) -> str:
    """Who was not timed, each reason once."""
    reasons = dict.fromkeys((LABELS[name], reason) for row in rows for name, reason in row.absent.items())
    return "".join(["\n\nnot timed" * bool(reasons), *(f"\n  {label:<15}{reason}" for label, reason in reasons)])


def data(found: Sequence[Found], limit: float) -> dict[str, object]:
    """The results for JSON; times in seconds."""
    kinds = {"rows": Row, "ragged": Ragged, "step": Latency, "cold": Cold, "busy": Busy}
    return {name: [_data(r, limit) for r in found if isinstance(r, kind)] for name, kind in kinds.items()}


def _data(result: Found, limit: float) -> dict[str, object]:
    values: dict[str, object] = {key: _times(value) for key, value in vars(result).items()}
    if isinstance(result, Row):
        values["ratio"] = {name: result.ratio(name) for name in result.times}
        values["flops_per_second"] = {name: result.speed(name) for name in result.times}
        values["share_of_limit"] = {name: result.speed(name) / limit for name in result.times}
    elif isinstance(result, Ragged):
        values["share"] = {name: result.share(name) for name in result.ragged}
    elif isinstance(result, Busy):
        values["slower"] = {name: result.slower(name) for name in result.beside}
    return values


def _times(value: object) -> object:
    """Least, median and number of the runs of every library."""
    if isinstance(value, dict) and all(isinstance(v, Times) for v in value.values()):
        return {k: {"least": v.least, "median": v.median, "runs": len(v.seconds)} for k, v in value.items()}
    return value


def _mean(rows: Sequence[Row], name: str) -> str:
    if any(name not in row.times for row in rows):
        return "-"
    return f"{geometric_mean([row.ratio(name) for row in rows]):.2f}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:>10.3f}"
