"""Transcribers: what stands in front of the network, and log p of every symbol at every step (CTC)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from unrolled.export.to_onnx import parts
from unrolled.export.to_onnx.front import front_artifact
from unrolled.export.to_onnx.graph import FLOAT, INT64, Graph, Value
from unrolled.export.to_onnx.layer import STEP, WHOLE, layer_states
from unrolled.export.to_onnx.package import Package
from unrolled.export.to_onnx.recurrent import (
    States,
    input_lengths,
    input_states,
    layer_norm,
    method,
    output_states,
    sequences,
)
from unrolled.export.to_onnx.samples import (
    answered_states,
    given_states,
    numbers,
    ragged,
    random_states,
    sequence_samples,
    step_samples,
)
from unrolled.export.to_onnx.verify import Arrays, Artifact, Carried
from unrolled.layers import Recurrent
from unrolled.tasks.transcribe import TranscribeTask

_UNKNOWN = -100.0


def package(model: TranscribeTask, *, int8: bool = False) -> Package:
    """front.onnx: what was recorded -> x; model.onnx: x (B, T, F) -> log p (B, U, V); step.onnx: one step of the U."""
    vocabulary = model.vocabulary
    artifacts, states, remarks = [front_artifact(model), _whole(model, int8=int8)], {}, []
    if model.plan.bidirectional:
        remarks.append(f"there is no {STEP}, because the network reads in both directions")
    else:
        states = _carried(model)
        artifacts.append(_step(model, int8=int8))
    return Package(
        model.task,
        model.plan.program.name,
        artifacts,
        states,
        {"front": "front.onnx", "signal": model.signal.to_json(), "scaler": model.scaler.to_json()},
        {
            "vocabulary": "vocabulary.json",
            "blank": model.blank,
            "answer": "the likeliest id at every step below `steps`, repetitions taken once, without the blank; or "
            "a prefix beam search",
            "input_steps_of_one": model.module.reduction,
        },
        {"vocabulary.json": vocabulary.to_json()},
        tuple(remarks),
        int8=int8,
    )


def _stages(model: TranscribeTask) -> list[Recurrent]:
    return [stage for stage in model.module.stages if isinstance(stage, Recurrent)]


def _prefixes(model: TranscribeTask, name: str) -> list[str]:
    count = len(_stages(model))
    return [name] if count == 1 else [f"{name}_{place}" for place in range(count)]


def _carried(model: TranscribeTask) -> dict[str, Carried]:
    found: dict[str, Carried] = {}
    names = zip(_stages(model), _prefixes(model, "state"), _prefixes(model, "next"), strict=True)
    for stage, prefix, following in names:
        found |= layer_states(stage, prefix, following)
    return found


def _through(
    g: Graph, model: TranscribeTask, x: Value, lengths: Value, states: Sequence[States | None]
) -> tuple[Value, Value, list[States]]:
    """Log p (B, U, V), how many steps count (B,), and the state of each stage."""
    network, after = model.module, []
    for place, (stage, factor) in enumerate(zip(_stages(model), network.reductions, strict=True)):
        if place and network.norms is not None:
            x = layer_norm(g, x, network.norms[place - 1], f"norms.{place - 1}")
        x = parts.kept(parts.inside(lengths, x.size(1)).unsqueeze(2), x)
        x = _joined(g, x, factor, stage.input_size)
        lengths = parts.fewer(lengths, factor)
        x, state = sequences(g, stage, x, lengths, states[place], f"stages.{place}")
        after.append(state)
    logits = parts.linear(g, x, network.output, "output")
    known = np.ones(logits_width := network.output.out_features, bool)
    known[model.vocabulary.unknown] = False
    logits = g.add("Where", g.constant(known, f"known of {logits_width}"), logits, _UNKNOWN)
    return parts.log_softmax(logits), lengths, after


def _joined(g: Graph, x: Value, factor: int, width: int) -> Value:
    """Neighbouring steps side by side, the last group filled up with zeros."""
    if factor == 1:
        return x
    short = g.add("Mod", g.add("Sub", g.integers(0), x.size(1)), g.integers(factor))
    pads = g.add("Concat", g.integers(0, 0, 0, 0), short, g.integers(0), axis=0)
    return g.add("Pad", x, pads, 0.0).reshape(0, -1, width)


def _whole(model: TranscribeTask, *, int8: bool) -> Artifact:
    g = Graph("log p of symbols over sequences", int8=int8)
    x = g.input("x", FLOAT, ["batch", "steps", model.plan.inputs])
    lengths = input_lengths(g, x)
    logs, steps, _ = _through(g, model, x, lengths, [None] * len(_stages(model)))
    g.output("log_probabilities", logs, FLOAT, ["batch", "output_steps", model.plan.outputs])
    g.output("steps", steps, INT64, ["batch"])
    samples = sequence_samples(
        lambda rng, rows, steps: {
            "x": numbers(rng, rows, steps, model.plan.inputs),
            "lengths": ragged(rng, rows, steps),
        }
    )

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        logits, steps = model.module(torch.from_numpy(given["x"]), torch.from_numpy(given["lengths"]))
        return {"log_probabilities": _logs(model, logits), "steps": steps.numpy()}

    return Artifact(WHOLE, g, samples, answer, method(_stages(model)[0]))


def _step(model: TranscribeTask, *, int8: bool) -> Artifact:
    """X (B, R, F) -> log p (B, V), where R steps become one."""
    g = Graph("log p of symbols, one step", int8=int8)
    stages, joined = _stages(model), model.module.reduction
    x = g.input("x", FLOAT, ["batch", joined, model.plan.inputs])
    batch = x.size(0)
    names = zip(stages, _prefixes(model, "state"), strict=True)
    states: list[States | None] = [input_states(g, stage, batch, prefix) for stage, prefix in names]
    logs, _, after = _through(g, model, x, g.integers(joined).expand(batch), states)
    g.output("log_probabilities", logs.squeeze(1), FLOAT, ["batch", model.plan.outputs])
    for stage, state, prefix in zip(stages, after, _prefixes(model, "next"), strict=True):
        output_states(g, stage, state, prefix)

    def make(rng: np.random.Generator, rows: int) -> Arrays:
        given = {"x": numbers(rng, rows, joined, model.plan.inputs)}
        for stage, prefix in zip(stages, _prefixes(model, "state"), strict=True):
            given |= random_states(rng, stage, rows, prefix)
        return given

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        names = zip(stages, _prefixes(model, "state"), strict=True)
        logits, after = model.module.advance(
            torch.from_numpy(given["x"]), [given_states(stage, given, prefix) for stage, prefix in names]
        )
        found = {"log_probabilities": _logs(model, logits)[:, 0]}
        for stage, state, prefix in zip(stages, after, _prefixes(model, "next"), strict=True):
            found |= answered_states(stage, state, prefix)
        return found

    return Artifact(STEP, g, step_samples(make), answer, method(stages[0]))


def _logs(model: TranscribeTask, logits: torch.Tensor) -> np.ndarray:
    found: np.ndarray = model.without_unknown(logits).float().log_softmax(-1).numpy()
    return found
