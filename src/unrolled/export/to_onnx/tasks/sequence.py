"""Classifiers and regressors: a sequence in, one answer out; step by step with a running answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from unrolled.export.to_onnx import parts
from unrolled.export.to_onnx.graph import FLOAT, INT64, Array, Graph, Value
from unrolled.export.to_onnx.layer import STEP, WHOLE, layer_states
from unrolled.export.to_onnx.package import Package
from unrolled.export.to_onnx.recurrent import (
    input_lengths,
    input_states,
    method,
    one_step,
    output_states,
    sequences,
    start_values,
)
from unrolled.export.to_onnx.samples import (
    numbers,
    ragged,
    sequence_samples,
)
from unrolled.export.to_onnx.verify import Arrays, Artifact, Carried, folded
from unrolled.layers import Pooling
from unrolled.models import Embedding, SequenceNetwork
from unrolled.tasks.classify import ClassifyTask
from unrolled.tasks.regress import RegressTask

# Below every score, so that the first step replaces it.
_LEAST = -1e30


def classify(model: ClassifyTask, *, int8: bool = False) -> Package:
    """The classes' scores and probabilities."""
    kind = "several" if model.several else "one"
    after = {
        "classes": model.classes,
        "labels": "one, the likeliest class" if kind == "one" else "any number, every class likelier than 0.5",
    }
    if model.reading.both_strands:
        after["both_strands"] = "the mean of the logits of a sequence and of its reverse complement"
    before = _inputs(model) | {"reading": model.reading.to_json(), "marks_of_known_numbers": model.marks}
    return _package(model, "Sigmoid" if model.several else "Softmax", before, after, int8=int8)


def regress(model: RegressTask, *, int8: bool = False) -> Package:
    """The numbers, as the network puts them out; the scaler of the targets is in the manifest."""
    after = {"names": model.names, "scaler": model.target_scaler.to_json(), "answer": "values * scale + mean"}
    return _package(model, None, _inputs(model), after, int8=int8)


def _inputs(model: ClassifyTask | RegressTask) -> dict[str, Any]:
    if model.vocabulary is None:
        scaler = None if model.scaler is None else model.scaler.to_json()
        return {"x": "(number - mean) / scale at every step", "scaler": scaler}
    return {"vocabulary": "vocabulary.json", "units": model.vocabulary.units, "unknown": model.vocabulary.unknown}


def _package(
    model: ClassifyTask | RegressTask,
    link: str | None,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    int8: bool,
) -> Package:
    network = model.module
    artifacts, states = [_whole(network, link, int8=int8)], {}
    why = _no_steps(network)
    if why is None:
        states = layer_states(network.recurrent) | _running_states(network)
        artifacts.append(_step(network, link, states, int8=int8))
    return Package(
        model.task,
        model.plan.program.name,
        artifacts,
        states,
        before,
        after,
        {} if model.vocabulary is None else {"vocabulary.json": model.vocabulary.to_json()},
        () if why is None else (f"there is no {STEP}, because {why}",),
        int8=int8,
    )


def _no_steps(network: SequenceNetwork) -> str | None:
    if network.recurrent.bidirectional:
        return "the network reads in both directions"
    return "convolutions read several steps at once" if network.front is not None else None


def _input(g: Graph, network: SequenceNetwork, *axes: str) -> Value:
    """Ids, or numbers (..., F)."""
    if isinstance(network.embed, Embedding):
        return g.input("ids", INT64, list(axes))
    return g.input("x", FLOAT, [*axes, _width(network)])


def _width(network: SequenceNetwork) -> int:
    """Numbers of a step."""
    if network.front is None:
        return network.recurrent.input_size
    first: Any = network.front.convolutions[0]
    return int(first.in_channels)


def _random(rng: np.random.Generator, network: SequenceNetwork, *axes: int) -> dict[str, Array]:
    if isinstance(network.embed, Embedding):
        return {"ids": rng.integers(0, len(network.embed.weight), axes)}
    return {"x": numbers(rng, *axes, _width(network))}


def _answers(g: Graph, vector: Value, network: SequenceNetwork, link: str | None) -> None:
    scores = parts.linear(g, vector, network.output, "output")
    shape: list[int | str] = ["batch", network.output.out_features]
    g.output("values" if link is None else "logits", scores, FLOAT, shape)
    if link is not None:
        found = parts.softmax(scores) if link == "Softmax" else g.add(link, scores)
        g.output("probabilities", found, FLOAT, shape)


def _ours(network: SequenceNetwork, link: str | None, given: Arrays, lengths: torch.Tensor) -> dict[str, Array]:
    scores = network(torch.from_numpy(given["ids" if "ids" in given else "x"]), lengths)
    if link is None:
        return {"values": scores.numpy()}
    return {
        "logits": scores.numpy(),
        "probabilities": (scores.softmax(1) if link == "Softmax" else scores.sigmoid()).numpy(),
    }


def _whole(network: SequenceNetwork, link: str | None, *, int8: bool) -> Artifact:
    g = Graph("one answer for a sequence", int8=int8)
    x = _input(g, network, "batch", "steps")
    lengths = input_lengths(g, x)
    if isinstance(network.embed, Embedding):
        x = parts.embedding(g, x, network.embed, "embed")
    if network.front is not None:
        x, lengths = parts.convolutions(g, x, lengths, network.front, "front")
    outputs, _ = sequences(g, network.recurrent, x, lengths)
    vector = parts.pooling(g, outputs, lengths, network.pooling, "pooling")
    g.output("vector", vector, FLOAT, ["batch", network.pooling.size])
    _answers(g, vector, network, link)
    samples = sequence_samples(
        lambda rng, rows, steps: {**_random(rng, network, rows, steps), "lengths": ragged(rng, rows, steps)}
    )

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        lengths = torch.from_numpy(given["lengths"])
        x = torch.from_numpy(given["ids" if "ids" in given else "x"])
        return {"vector": network.encode(x, lengths).numpy(), **_ours(network, link, given, lengths)}

    return Artifact(WHOLE, g, samples, answer, method(network.recurrent))


def _running_states(network: SequenceNetwork) -> dict[str, Carried]:
    """What the pooling, and the places of an embedding, carry from step to step beside the recurrent state."""
    size, kind = network.pooling.size, network.pooling.kind
    zeros, least = np.zeros((1, size), np.float32), np.full((1, 1), _LEAST, np.float32)
    found: dict[str, Array] = {}
    if kind == "mean":
        found = {"sum": zeros, "count": np.zeros((1, 1), np.float32)}
    if kind == "max":
        found = {"largest": zeros + np.float32(_LEAST)}
    if kind == "attention":
        found = {"sum": zeros, "weight": np.zeros((1, 1), np.float32), "largest": least}
    carried = {f"pooled_{name}": Carried(f"next_pooled_{name}", start) for name, start in found.items()}
    if isinstance(network.embed, Embedding) and network.embed.positions is not None:
        carried["place"] = Carried("next_place", np.zeros(1, np.int64))
    return carried


def _step(network: SequenceNetwork, link: str | None, states: Mapping[str, Carried], *, int8: bool) -> Artifact:
    g = Graph("one answer for the steps so far", int8=int8)
    x = _input(g, network, "batch")
    batch = x.size(0)
    layer_start = start_values(network.recurrent)
    given = input_states(g, network.recurrent, batch)
    widths = {
        name: state.start.shape[1]
        for name, state in states.items()
        if name not in layer_start and name != "place" and state.start is not None
    }
    running = {name: g.input(name, FLOAT, ["batch_or_1", width]).expand(batch, width) for name, width in widths.items()}
    if isinstance(network.embed, Embedding):
        place = g.input("place", INT64, ["batch_or_1"]).expand(batch) if "place" in states else None
        x = parts.embedding(g, x, network.embed, "embed", place)
        if place is not None:
            g.output("next_place", g.add("Add", place, g.integers(1)), INT64, ["batch"])
    outputs, after = one_step(g, network.recurrent, x, given)
    vector, running = _pooled(g, outputs, running, network.pooling)
    _answers(g, vector, network, link)
    output_states(g, network.recurrent, after)
    for name, value in running.items():
        g.output(f"next_{name}", value, FLOAT, ["batch", widths[name]])
    samples = sequence_samples(lambda rng, rows, steps: _random(rng, network, rows, steps))

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        (rows,) = {array.shape[:2] for array in given.values()}
        return _ours(network, link, given, torch.full((rows[0],), rows[1]))

    return Artifact(STEP, g, samples, answer, method(network.recurrent), folded(states))


def _pooled(g: Graph, outputs: Value, before: Mapping[str, Value], layer: Pooling) -> tuple[Value, dict[str, Value]]:
    """`Pooling` of the steps so far, from the last output (B, F) and what it carries."""
    if layer.kind == "last":
        return outputs, {}
    if layer.kind == "mean":
        total, count = before["pooled_sum"] + outputs, before["pooled_count"] + 1.0
        return total / count, {"pooled_sum": total, "pooled_count": count}
    if layer.kind == "max":
        largest = g.add("Max", before["pooled_largest"], outputs)
        return largest, {"pooled_largest": largest}
    # Sums of exp(score - largest): they are rescaled where a step has a larger score than all before.
    score = parts.attention_scores(g, outputs, layer, "pooling").unsqueeze(1)
    largest = g.add("Max", before["pooled_largest"], score)
    old, new = (g.add("Exp", one - largest) for one in (before["pooled_largest"], score))
    total, weight = before["pooled_sum"] * old + outputs * new, before["pooled_weight"] * old + new
    return total / weight, {"pooled_sum": total, "pooled_weight": weight, "pooled_largest": largest}
