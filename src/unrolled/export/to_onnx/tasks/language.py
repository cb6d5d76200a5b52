"""A language model: ids in, scores of what comes next out, the state handed on."""

from __future__ import annotations

import torch

from unrolled.export.to_onnx import parts
from unrolled.export.to_onnx.graph import FLOAT, INT64, Graph, Value
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
    ragged,
    random_states,
    sequence_samples,
    step_samples,
)
from unrolled.export.to_onnx.verify import Arrays, Artifact
from unrolled.models import LanguageNetwork
from unrolled.tasks.language import LanguageTask


def package(model: LanguageTask, *, int8: bool = False) -> Package:
    """model.onnx: ids (B, T) -> logits (B, T, V); step.onnx: ids (B,) -> logits (B, V)."""
    network, vocabulary = model.module, model.vocabulary
    never = [vocabulary.pad, vocabulary.unknown, *([] if model.ends else [model.border])]
    return Package(
        model.task,
        model.plan.program.name,
        [_whole(network, int8=int8), _step(network, int8=int8)],
        layer_states(network.recurrent),
        {
            "vocabulary": "vocabulary.json",
            "units": vocabulary.units,
            "ids": "the id `first`, then the ids of the text's units; units that the vocabulary lacks are `unknown`",
            "first": model.start,
            "unknown": vocabulary.unknown,
        },
        {
            "probabilities": "softmax(logits) over the last axis, of the unit that comes next",
            "never_drawn": never,
            "end_of_text": model.border if model.ends else None,
        },
        {"vocabulary.json": vocabulary.to_json()},
        int8=int8,
    )


def _whole(network: LanguageNetwork, *, int8: bool) -> Artifact:
    g = Graph("language model over sequences", int8=int8)
    ids = g.input("ids", INT64, ["batch", "steps"])
    lengths = input_lengths(g, ids)
    states = input_states(g, network.recurrent, ids.size(0))
    embedded = parts.embedding(g, ids, network.embedding, "embedding")
    outputs, after = sequences(g, network.recurrent, embedded, lengths, states)
    g.output("logits", _scores(g, outputs, network), FLOAT, ["batch", "steps", network.vocabulary_size])
    output_states(g, network.recurrent, after)
    samples = sequence_samples(
        lambda rng, rows, steps: {
            "ids": rng.integers(0, network.vocabulary_size, (rows, steps)),
            "lengths": ragged(rng, rows, steps),
            **random_states(rng, network.recurrent, rows),
        }
    )

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        ids, lengths = torch.from_numpy(given["ids"]), torch.from_numpy(given["lengths"])
        logits, state = network(ids, given_states(network.recurrent, given), lengths)
        return {"logits": logits.numpy(), **answered_states(network.recurrent, state)}

    return Artifact(WHOLE, g, samples, answer, method(network.recurrent))


def _step(network: LanguageNetwork, *, int8: bool) -> Artifact:
    g = Graph("language model, one step", int8=int8)
    ids = g.input("ids", INT64, ["batch"])
    states = input_states(g, network.recurrent, ids.size(0))
    embedded = parts.embedding(g, ids, network.embedding, "embedding")
    outputs, after = one_step(g, network.recurrent, embedded, states)
    g.output("logits", _scores(g, outputs, network), FLOAT, ["batch", network.vocabulary_size])
    output_states(g, network.recurrent, after)
    samples = step_samples(
        lambda rng, rows: {
            "ids": rng.integers(0, network.vocabulary_size, rows),
            **random_states(rng, network.recurrent, rows),
        }
    )

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        logits, state = network.step(torch.from_numpy(given["ids"]), given_states(network.recurrent, given))
        return {"logits": logits.numpy(), **answered_states(network.recurrent, state)}

    return Artifact(STEP, g, samples, answer, method(network.recurrent))


def _scores(g: Graph, outputs: Value, network: LanguageNetwork) -> Value:
    if network.project is not None:
        outputs = parts.linear(g, outputs, network.project, "project")
    return parts.output(g, outputs, network.output, "output", tied="embedding.weight" if network.tied else None)
