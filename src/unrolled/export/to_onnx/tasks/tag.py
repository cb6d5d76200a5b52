"""Taggers: scores of the labels at every step of words, numbers or frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unrolled.export.to_onnx import parts
from unrolled.export.to_onnx.graph import FLOAT, INT64, UINT8, Array, Graph, Value
from unrolled.export.to_onnx.layer import STEP, WHOLE, layer_states
from unrolled.export.to_onnx.package import Package
from unrolled.export.to_onnx.recurrent import (
    input_lengths,
    input_states,
    method,
    one_step,
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
from unrolled.export.to_onnx.steps import array
from unrolled.export.to_onnx.verify import Arrays, Artifact
from unrolled.models import FrameEncoder, TagNetwork, WordEncoder, Words
from unrolled.tasks.step_inputs import FORMS, WordInput
from unrolled.tasks.tag import TagTask

_SPELLING = 7


def package(model: TagTask, *, int8: bool = False) -> Package:
    """model.onnx: scores (B, T, K); step.onnx: scores (B, K), where a step depends on nothing after it."""
    network = model.module
    artifacts, remarks = [_whole(network, int8=int8)], []
    if model.plan.bidirectional:
        remarks.append(f"there is no {STEP}, because the network reads in both directions")
    else:
        artifacts.append(_step(network, int8=int8))
    return Package(
        model.task,
        model.plan.program.name,
        artifacts,
        {} if model.plan.bidirectional else layer_states(network.recurrent),
        _inputs(model),
        {"classes": model.classes, **_decision(network)},
        {} if model.vocabulary is None else {"vocabulary.json": model.vocabulary.to_json()},
        tuple(remarks),
        int8=int8,
    )


def _inputs(model: TagTask) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": model.reader.kind, "layout": model.layout.to_json(), **model.reader.to_json()}
    if isinstance(model.reader, WordInput):
        found |= {
            "vocabulary": "vocabulary.json",
            "forms": list(FORMS),
            "which": "for every word the place of its spelling among the rows of `characters`; equal words share one",
        }
    return found


def _decision(network: TagNetwork) -> dict[str, Any]:
    if network.crf is None:
        return {"answer": "the class of the largest score at every step", "probabilities": "softmax(scores)"}
    field = network.crf
    numbers_of = {name: getattr(field, name).tolist() for name in ("start", "transitions", "end")}
    return {
        "answer": "the classes y with the largest start[y_1] + sum of scores[t, y_t] + sum of transitions[y_t, y_t+1] "
        "+ end[y_T], by Viterbi's algorithm",
        "viterbi": [
            "best = start + scores[0]",
            "for t from 1: came[t] = argmax over i of best[i] + transitions[i]; best = max of the same + scores[t]",
            "y = [argmax(best + end)]; for t from T - 1 down to 1: put came[t][y[0]] in front of y",
        ],
        **numbers_of,
    }


def _whole(network: TagNetwork, *, int8: bool) -> Artifact:
    g = Graph("a label at every step", int8=int8)
    features = _features(g, network, "batch", "steps")
    lengths = input_lengths(g, features)
    both = network.recurrent.bidirectional
    states = None if both else input_states(g, network.recurrent, features.size(0))
    outputs, after = sequences(g, network.recurrent, features, lengths, states)
    scores = parts.linear(g, outputs, network.output, "output")
    g.output("scores", scores, FLOAT, ["batch", "steps", network.output.out_features])
    if not both:
        output_states(g, network.recurrent, after)
    samples = sequence_samples(
        lambda rng, rows, steps: {
            **_random(rng, network, rows, steps),
            "lengths": ragged(rng, rows, steps),
            **({} if both else random_states(rng, network.recurrent, rows)),
        }
    )

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        features, lengths = network.encode(_taken(given)), torch.from_numpy(given["lengths"])
        if both:
            return {"scores": network.read(features, lengths).numpy()}
        states = given_states(network.recurrent, given)
        outputs, state = network.recurrent(features, states, lengths=lengths)
        return {"scores": network.output(outputs).numpy(), **answered_states(network.recurrent, state)}

    return Artifact(WHOLE, g, samples, answer, method(network.recurrent))


def _step(network: TagNetwork, *, int8: bool) -> Artifact:
    g = Graph("the label of one step", int8=int8)
    features = _features(g, network, "batch")
    outputs, after = one_step(g, network.recurrent, features, input_states(g, network.recurrent, features.size(0)))
    scores = parts.linear(g, outputs, network.output, "output")
    g.output("scores", scores, FLOAT, ["batch", network.output.out_features])
    output_states(g, network.recurrent, after)
    samples = step_samples(
        lambda rng, rows: {**_random(rng, network, rows), **random_states(rng, network.recurrent, rows)}
    )

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        whole = {name: array[:, None] if name in _STEPWISE else array for name, array in given.items()}
        features = network.encode(_taken(whole))[:, 0]
        scores, state = network.step(features, given_states(network.recurrent, given))
        return {"scores": scores.numpy(), **answered_states(network.recurrent, state)}

    return Artifact(STEP, g, samples, answer, method(network.recurrent))


# Inputs with an axis of time; a spelling has none, because words share it.
_STEPWISE = ("x", "frames", "words", "forms", "which")


def _features(g: Graph, network: TagNetwork, *axes: str) -> Value:
    """The inputs of a network and the features (..., F) that its encoder makes of them."""
    encoder = network.encoder
    if isinstance(encoder, WordEncoder):
        return _words(g, encoder, list(axes))
    if isinstance(encoder, FrameEncoder):
        return _frames(g, encoder, list(axes))
    x = g.input("x", FLOAT, [*axes, network.recurrent.input_size])
    return x if encoder is None else g.add("Tanh", x)


def _words(g: Graph, encoder: WordEncoder, axes: list[int | str]) -> Value:
    """[word; its form; its spelling], as `WordEncoder` has them."""
    words, forms = g.input("words", INT64, axes), g.input("forms", INT64, axes)
    vectors = g.add("Gather", g.weight("word.weight", array(encoder.words.weight)), words, axis=0)
    found = [vectors, g.add("Gather", g.weight("form.weight", array(encoder.forms)), forms, axis=0)]
    if encoder.characters is not None and encoder.spelling is not None and encoder.pooling is not None:
        which = g.input("which", INT64, axes)
        characters = g.input("characters", INT64, ["spellings", "letters"])
        read = parts.embedding(g, characters, encoder.characters, "character")
        lengths = g.input("spelling_lengths", INT64, ["spellings"])
        outputs, _ = sequences(g, encoder.spelling, read, lengths, name="spelling")
        spelled = parts.pooling(g, outputs, lengths, encoder.pooling, "pooling")
        found.append(g.add("Gather", spelled, which, axis=0))
    return g.add("Concat", *found, axis=-1)


def _frames(g: Graph, encoder: FrameEncoder, axes: list[int | str]) -> Value:
    """Frames (..., 3, S, S) of bytes -> (..., E), as `FrameEncoder` has it."""
    size = encoder.size
    frames = g.input("frames", UINT8, [*axes, 3, size, size])
    flat = frames.reshape(-1, 3, size, size).cast(FLOAT) / 255.0
    read = g.add("Relu", parts.regions(g, flat, encoder.images, "images"))
    squeezed = g.add("Relu", parts.linear(g, read, encoder.squeeze, "squeeze"))
    joined = parts.linear(g, squeezed.reshape(0, encoder.join.in_features), encoder.join, "join")
    shape = [frames.size(axis) for axis in range(len(axes))]
    return g.add("Relu", joined).reshape(*shape, encoder.output_size)


def _random(rng: np.random.Generator, network: TagNetwork, *axes: int) -> dict[str, Array]:
    encoder = network.encoder
    if isinstance(encoder, FrameEncoder):
        size = encoder.size
        return {"frames": rng.integers(0, 256, (*axes, 3, size, size)).astype(np.uint8)}
    if not isinstance(encoder, WordEncoder):
        return {"x": numbers(rng, *axes, network.recurrent.input_size)}
    found = {
        "words": rng.integers(0, len(encoder.words.weight), axes),
        "forms": rng.integers(0, len(encoder.forms), axes),
    }
    if encoder.characters is None:
        return found
    spellings = 3
    return found | {
        "which": rng.integers(0, spellings, axes),
        "characters": rng.integers(0, len(encoder.characters.weight), (spellings, _SPELLING)),
        "spelling_lengths": ragged(rng, spellings, _SPELLING, 1),
    }


def _taken(given: Arrays) -> Any:
    """Inputs (B, T, ...) by name as the encoder takes them."""
    tensors = {name: torch.from_numpy(array) for name, array in given.items()}
    if "words" not in tensors:
        return tensors["x" if "x" in tensors else "frames"]
    nothing = torch.zeros(1, 1, dtype=torch.int64)
    rest = (tensors.get(name, nothing) for name in ("which", "characters", "spelling_lengths"))
    return Words(tensors["words"], tensors["forms"], *rest)
