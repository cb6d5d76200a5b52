"""The small runtime: one step of a language model beside torch and ONNX Runtime, and how soon it is ready.

The logits of all contestants are compared first, and nothing is timed where they differ. The contestants take turns,
and each counts with its median and its least turn. Import, load and memory are those of fresh processes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from reporting import Claim, Table, parse, parser, report

from unrolled import runtime
from unrolled.export import onnx
from unrolled.runtime.language import Language
from unrolled.tasks.folder import VOCABULARY, Config, write_config, write_json
from unrolled.tasks.language import LanguageTask
from unrolled.tasks.model import Parts
from unrolled.tasks.options import LanguageOptions
from unrolled.tasks.run import write_weights

UNITS, EMBEDDING = 256, 64
CELLS = ("lstm", "gru")
ALPHABET = [chr(code) for code in range(33, 127)]
# Microseconds that a step may take, and seconds that the import may.
MOST, MOST_IMPORT = 30.0, 0.3
TURN, TURNS = 50, 200
NETWORK, PUSH, LISTED, TORCH, ONNX = "network", "push", "push, 5 next", "torch network", "onnxruntime step"
REMARKS = (
    "Answers without torch.\n\n"
    "A language model of {units} units over {size} characters, its weights random. Microseconds a unit of text, the "
    "least turn of {turn} and behind it the median: 'network' is id to logits, 'push' the whole of stream.push for one "
    "character without and with the five likeliest next ones, 'torch network' the same stream's network in torch, "
    "'onnxruntime step' the exported step with one thread. The least of several fresh processes: import {load:.2f} s, "
    "ready to push after {ready:.2f} s, {memory:.0f} MiB."
)
# Prints the seconds of the import, those until a push was answered, and what it took in MiB.
FRESH = """
import sys, time
begin = time.perf_counter()
from unrolled.runtime import load
imported = time.perf_counter() - begin
model = load(sys.argv[1])
model.stream().push("a")
ready = time.perf_counter() - begin
most = next((line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), "0")
print(imported, ready, int(most) / 1024, int("torch" in sys.modules))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, time, report."""
    begin = time.perf_counter()
    options = parse(parser("The small runtime beside torch and ONNX Runtime."), arguments)
    units, turns = (16, 2) if options.quick else (UNITS, TURNS)
    rows = []
    with tempfile.TemporaryDirectory(prefix="unrolled-") as name:
        for cell in CELLS:
            model, run = written(Path(name) / cell, cell, units)
            found = timed(contestants(model, run, Path(name) / f"{cell}-onnx"), turns)
            rows.append((cell, *(f"{1e6 * least:.1f} ({1e6 * middle:.1f})" for least, middle in found.values())))
            least = {what: pair[0] for what, pair in found.items()}
            print(
                "runtime: " + "  ".join(f"{what} {1e6 * seconds:.1f} us" for what, seconds in least.items()), flush=True
            )
            if cell == CELLS[0]:
                slowest = least
        started = fresh(run, 1 if options.quick else 5)
    claims = [
        Claim("a step of the LSTM network, microseconds", 1e6 * slowest[NETWORK], MOST, most=True),
        Claim("a push of one character to it, microseconds", 1e6 * slowest[PUSH], MOST, most=True),
        Claim("the same with the five likeliest next ones, microseconds", 1e6 * slowest[LISTED], MOST, most=True),
        Claim("import of the runtime, seconds", started["load"], MOST_IMPORT, most=True),
    ]
    remarks = REMARKS.format(units=units, size=len(ALPHABET), turn=TURN, **started)
    table = Table(("cell", NETWORK, PUSH, LISTED, TORCH, ONNX), tuple(rows))
    return report("runtime", options, claims, table=table, begin=begin, remarks=remarks)


def written(folder: Path, cell: str, units: int) -> tuple[LanguageTask, Path]:
    """A model with random weights, and its run folder."""
    torch.manual_seed(0)
    text = "".join(np.random.default_rng(0).choice(ALPHABET, 4000))
    model = LanguageTask.build(Parts([text]), LanguageOptions(hidden=units, embedding=EMBEDDING, cell=cell))
    folder.mkdir()
    nothing: dict[str, Any] = {"options": {}, "common": {}, "data": {}}
    write_config(
        folder,
        Config(task="language", network=model.plan.to_json(), schema=model.schema(), parameters=0, **nothing),
    )
    write_json(folder / VOCABULARY, model.vocabulary.to_json())
    write_weights(folder, model.module)
    return model, folder


def contestants(model: LanguageTask, run: Path, folder: Path) -> dict[str, Callable[[], Any]]:
    """What is timed, each reading a unit after the other; raises SystemExit where their logits differ."""
    ours = runtime.load(run)
    if not isinstance(ours, Language):
        raise SystemExit("the run is no language model")
    units = model.vocabulary.encode("".join(ALPHABET))
    step, network, theirs = onnx_step(model, folder), ours.unit_network(), model.stream(next=0).network
    theirs.layers.state = model.module.initial_state(1)  # type: ignore[attr-defined]  # torch's own kind of network
    for unit in units:
        found = [network.read(np.array([unit])), theirs.read(np.array([unit])), step(int(unit))]
        if not all(np.allclose(one, found[0], atol=1e-4) for one in found):
            raise SystemExit("the contestants' logits differ, so nothing is timed")
    one, unit = units[:1], int(units[0])
    plain, listed = ours.stream(next=0), ours.stream()
    return {
        NETWORK: lambda: network.read(one),
        PUSH: lambda: plain.push(ALPHABET[0]),
        LISTED: lambda: listed.push(ALPHABET[0]),
        TORCH: lambda: theirs.read(one),
        ONNX: lambda: step(unit),
    }


def onnx_step(model: LanguageTask, folder: Path) -> Callable[[int], Any]:
    """The exported step in ONNX Runtime, which goes on from the state that it left behind."""
    import onnxruntime

    onnx(model, folder)
    choices = onnxruntime.SessionOptions()
    choices.intra_op_num_threads = choices.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "step.onnx", choices, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs() if entry.name != "ids"]
    state = [np.zeros((1, int(entry.shape[1])), np.float32) for entry in session.get_inputs() if entry.name != "ids"]

    def step(unit: int) -> Any:
        logits, *state[:] = session.run(None, {"ids": np.array([unit]), **dict(zip(names, state, strict=True))})
        return logits

    return step


def timed(found: Mapping[str, Callable[[], Any]], turns: int) -> dict[str, tuple[float, float]]:
    """Seconds of each call: the least and the median turn."""
    times: dict[str, list[float]] = {what: [] for what in found}
    for _ in range(turns):
        for what, call in found.items():
            begin = time.perf_counter()
            for _ in range(TURN):
                call()
            times[what].append((time.perf_counter() - begin) / TURN)
    return {what: (min(seconds), median(seconds)) for what, seconds in times.items()}


def fresh(run: Path, repeats: int) -> dict[str, float]:
    """The least of several processes; raises SystemExit where torch was loaded."""
    found = []
    for _ in range(repeats):
        command = [sys.executable, "-c", FRESH, str(run)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # words of our own
        found.append([float(word) for word in done.stdout.split()])
    if any(row[3] for row in found):
        raise SystemExit("the runtime loaded torch")
    return {name: min(row[place] for row in found) for place, name in enumerate(("load", "ready", "memory"))}


if __name__ == "__main__":
    sys.exit(main())
