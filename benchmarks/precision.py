"""Sixteen bits: what bfloat16 changes of a training's result, of its time, and of a run's size.

The same character model of Shakespeare is trained with products in float32 and in bfloat16, where the processor has
them; then the float32 run is rounded to bfloat16 (`unrolled export --to bfloat16`) and measured again. On a CPU the
recurrent layers stay in float32 whatever is asked for, because the compiled kernels know no other type; what changes is
the output layer. The seconds are those of the processor, on one thread.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from reporting import Claim, Table, data_folder, parse, parser, report

from unrolled.export.halved import halve
from unrolled.tasks import TASKS, Common
from unrolled.train.precision import supported
from unrolled.train.settings import PrecisionName

CHARACTERS, QUICK_CHARACTERS = 300_000, 3_000
MOST_WORSE, MOST_OF_SIZE = 1.01, 0.55


def make(folder: Path) -> None:
    """Text for a quick run."""
    (folder / "language").mkdir()
    words = random.Random(3).choices(("to", "be", "or", "not", "that", "is", "the"), k=2 * QUICK_CHARACTERS)
    (folder / "language" / "shakespeare.txt").write_text(" ".join(words), encoding="utf-8")


def train(text: Path, run: Path, precision: str, *, quick: bool) -> tuple[float, float]:
    """Validation loss, and seconds of the processor."""
    options = TASKS["language"].options(hidden=16 if quick else 128)
    begin = time.process_time()
    found = TASKS["language"].train(options, Common(data=text, out=run, epochs=1, threads=1, precision=precision))
    return found.valid["loss"], time.process_time() - begin


def main(arguments: Sequence[str] | None = None) -> int:
    """Train in each type, round, report."""
    begin = time.perf_counter()
    options = parse(parser("Sixteen bits."), arguments)
    names: tuple[PrecisionName, ...] = ("float32", "bfloat16")
    kinds = [name for name in names if supported(name, torch.device("cpu"))]
    with data_folder(options.quick, make) as data, tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        whole = (data / "language" / "shakespeare.txt").read_text(encoding="utf-8")
        text, held = folder / "text.txt", folder / "held.txt"
        count = QUICK_CHARACTERS if options.quick else CHARACTERS
        text.write_text(whole[:count], encoding="utf-8")
        held.write_text(whole[count : count + count // 5], encoding="utf-8")
        trained = {name: train(text, folder / name, name, quick=options.quick) for name in kinds}
        half = halve(folder / "float32", folder / "half", data=held)
    claims = [
        Claim("size of the rounded weights over that in float32", half.bytes_bfloat16 / half.bytes_float32,
              1.0 if options.quick else MOST_OF_SIZE, most=True),
        Claim("loss with rounded weights over that in float32", half.bfloat16["loss"] / half.float32["loss"],
              MOST_WORSE, most=True),
    ]  # fmt: skip
    if "bfloat16" in trained:
        ratio = trained["bfloat16"][0] / trained["float32"][0]
        claims.append(Claim("validation loss of a training in bfloat16 over that in float32", ratio, 1.02, most=True))
    rows: list[tuple[str | float | int, ...]] = [
        (f"trained in {name}", round(loss, 4), round(seconds, 1)) for name, (loss, seconds) in trained.items()
    ]
    for name, measured in (("float32", half.float32), ("bfloat16", half.bfloat16)):
        rows.append((f"{name} weights, on other text", round(measured["loss"], 4), ""))
    table = Table(("what", "nats a character", "seconds"), tuple(rows))
    return report("precision", options, claims, table=table, begin=begin, remarks=str(__doc__))


if __name__ == "__main__":
    raise SystemExit(main())
