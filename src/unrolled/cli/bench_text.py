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
    title = f"{row.cell} {row.phase}  {row.shape}"
    lines = [f"\n{title:<{WIDE}} least ms  median ms  x ours  GFLOP/s  of limit"]
    for name, times in row.times.items():
        speed = row.speed(name)
        lines.append(
            f"  {LABELS[name]:<{WIDE - 2}} {_ms(times.least):>8}  {_ms(times.median):>9}  {row.ratio(name):>6.2f}"
            f"  {speed / 1e9:>7.1f}  {speed / limit:>8.1%}"
        )
    return "\n".join([*lines, *_absent(row.absent)])


@text.register
def _(row: Ragged, limit: float) -> str:
    title = f"{row.cell} {row.phase}  {row.shape}, lengths 1 to {row.shape.steps}"
    lines = [f"\n{title:<{WIDE}} {'full ms':>8}  ragged ms   share  (of the steps: {row.steps:.2f})"]
    for name, times in row.ragged.items():
        full = row.full[name].least
        lines.append(f"  {LABELS[name]:<{WIDE - 2}} {_ms(full):>8}  {_ms(times.least):>9}  {row.share(name):>6.2f}")
    return "\n".join(lines)


@text.register
def _(row: Latency, limit: float) -> str:
    title = f"{row.cell}, one step  B={row.shape.batch} F={row.shape.input} H={row.shape.hidden}"
    lines = [f"\n{title:<{WIDE}} least us  median us  x ours"]
    for name, times in row.times.items():
        ratio = times.least / row.times[OURS].least
        lines.append(
            f"  {LABELS[name]:<{WIDE - 2}} {1e6 * times.least:>8.1f}  {1e6 * times.median:>9.1f}  {ratio:>6.2f}"
        )
    return "\n".join([*lines, *_absent(row.absent)])


@text.register
def _(row: Cold, limit: float) -> str:
    return (
        f"\n{f'{row.cell}, new to this machine':<{WIDE}}  seconds until the first training pass is done\n"
        f"  {'kernels compiled':<{WIDE - 2}} {row.compiled:>8.2f}\n"
        f"  {'kernels from the cache on disk':<{WIDE - 2}} {row.loaded:>8.2f}"
    )


@text.register
def _(row: Busy, limit: float) -> str:
    title = f"{row.cell} {row.phase}  {row.shape}"
    lines = [f"\n{title:<{WIDE}} alone ms  beside ms  slower  (medians; beside: a process that keeps a core busy)"]
    for name, times in row.beside.items():
        alone = row.alone[name].median
        lines.append(f"  {LABELS[name]:<{WIDE - 2}} {_ms(alone):>8}  {_ms(times.median):>9}  {row.slower(name):>6.2f}")
    return "\n".join(lines)


def summary(rows: Sequence[Row]) -> str:
    """Geometric means over the shapes; a dash where a library has not run all of them."""
    names = [name for name in LABELS if name != OURS and any(name in row.times for row in rows)]
    shapes = len({row.shape for row in rows})
    title = f"times as long as ours, geometric mean over {shapes} shape{'s' * (shapes > 1)}"
    lines = [f"\n{title:<{WIDE}}" + "".join(f" {LABELS[name]:>13}" for name in names)]
    for cell, phase in dict.fromkeys((row.cell, row.phase) for row in rows):
        chosen = [row for row in rows if (row.cell, row.phase) == (cell, phase)]
        lines.append(f"  {f'{cell} {phase}':<{WIDE - 2}}" + "".join(f" {_mean(chosen, name):>13}" for name in names))
    return "\n".join(lines)


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
    return f"{1e3 * seconds:.3f}"


def _absent(reasons: Mapping[str, str]) -> list[str]:
    return [f"  {LABELS.get(name, name):<{WIDE - 2}}        -  {reason}" for name, reason in reasons.items()]
