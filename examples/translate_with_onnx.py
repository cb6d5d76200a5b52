"""A translator exported to ONNX and run by ONNX Runtime alone: an encoder, a step, and a beam search of 40 lines."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import unrolled as ur


def write(folder: Path, inputs: dict[str, Any], longest: int, width: int = 1, length_penalty: float = 0.0) -> list[int]:
    """The best ids for one source or picture, followed `width` at a time (1: the likeliest id at every step)."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    rules = manifest["postprocessing"]
    encoder, step = (onnxruntime.InferenceSession(str(folder / f"{name}.onnx")) for name in ("encoder", "step"))
    given = dict(zip((o.name for o in encoder.get_outputs()), encoder.run(None, inputs), strict=True))
    for name, state in manifest["states"].items():
        if name not in given:
            given[name] = np.full(state["shape"], state["start"], state["type"])
    beam: list[tuple[float, list[int]]] = [(0.0, [])]
    ids, finished = np.array([rules["first"]]), []
    for length in range(longest + 1):
        found = dict(zip((o.name for o in step.get_outputs()), step.run(None, {"ids": ids, **given}), strict=True))
        logs = found["log_probabilities"].astype(np.float64)
        logs[:, rules["never_written"]] = -np.inf
        if length == longest:
            logs[:, [k for k in range(logs.shape[1]) if k != rules["end"]]] = -np.inf
        totals = (logs + np.array([[total] for total, _ in beam])).ravel()
        grown, rows = [], []
        for rank, place in enumerate(np.argsort(-totals, kind="stable")):
            if len(grown) == width or not np.isfinite(totals[place]):
                break
            row, chosen = divmod(int(place), logs.shape[1])
            if chosen != rules["end"]:
                grown.append((float(totals[place]), [*beam[row][1], chosen]))
                rows.append(row)
            elif rank < width:
                finished.append((totals[place] / ((5 + length + 1) / 6) ** length_penalty, beam[row][1]))
        if not grown or (width == 1 and finished):
            break
        beam, ids = grown, np.array([tokens[-1] for _, tokens in grown])
        carried = {name: found[state["becomes"]] for name, state in manifest["states"].items()}
        given = {name: np.broadcast_to(a, (logs.shape[0], *a.shape[1:]))[rows] for name, a in (given | carried).items()}
    return max(finished)[1]


def main() -> float:
    """Train a small translator for some seconds, export it, and say how many of its answers ONNX Runtime gives too."""
    rng = np.random.default_rng(0)
    numbers = [rng.integers(0, 9, size=rng.integers(1, 6)) for _ in range(300)]
    names, turned = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight"], "abcdefghi"
    sources = [" ".join(names[k] for k in row) for row in numbers]
    targets = [" ".join(turned[k] for k in row[::-1]) for row in numbers]
    translator = ur.Translator(units="word", hidden=32, embedding=16, epochs=20, learning_rate=0.02, batch_size=16)
    model = translator.fit(sources, targets).model_

    with tempfile.TemporaryDirectory() as place:
        for file in ur.export.onnx(translator, place).files:
            print(f"{file.path.name}: {file.bytes / 1000:.0f} kB, largest difference {file.largest[1]:.1e}")
        same = 0
        for source, answer in zip(sources[:20], model.predict(sources[:20]), strict=True):
            ids = model.translator.read([source])[0]
            longest = int(np.ceil(model.translator.stretch * len(ids))) + 10
            given = {"ids": ids[None], "lengths": np.array([len(ids)])}
            tokens = write(Path(place), given, longest, model.search.width, model.search.length_penalty)
            same += model.vocabulary.target.decode(tokens) == answer
    print(f"{same} of 20 translations by ONNX Runtime are those of the network, such as {source!r} -> {answer!r}")
    return same / 20


if __name__ == "__main__":
    main()
