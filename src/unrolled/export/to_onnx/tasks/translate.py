"""Translators: an encoder that reads the source once, and a step that writes one unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unrolled.export.to_onnx import parts
from unrolled.export.to_onnx.graph import BOOL, FLOAT, INT64, Graph, Value
from unrolled.export.to_onnx.layer import STEP
from unrolled.export.to_onnx.package import Package
from unrolled.export.to_onnx.recurrent import (
    input_lengths,
    input_states,
    method,
    one_step,
    output_states,
    sequences,
    state_names,
)
from unrolled.export.to_onnx.samples import (
    answered_states,
    given_states,
    numbers,
    ragged,
    random_states,
    sequence_samples,
)
from unrolled.export.to_onnx.verify import Arrays, Artifact, Carried
from unrolled.layers import Memory
from unrolled.models import Embedding, TranslationNetwork
from unrolled.models.translation import Writing
from unrolled.tasks.translate import TranslateTask

ENCODER = "encoder.onnx"


def package(model: TranslateTask, *, int8: bool = False) -> Package:
    """encoder.onnx: ids (B, S) -> keys, values, mask, states; step.onnx: ids (B,) and those -> log p (B, V)."""
    network, target = model.module, model.vocabulary.target
    return Package(
        model.task,
        model.plan.program.name,
        [_encoder(network, int8=int8), _step(network, int8=int8)],
        _carried(network),
        {
            "vocabulary": "vocabulary.json",
            "units": model.vocabulary.units,
            "ids": "the ids of the source text, then the id `border`",
            "border": model.translator.border,
        },
        {
            "first": model.translator.border,
            "end": model.translator.border,
            "never_written": [target.pad],
            "unknown": target.unknown,
            "longest": "`stretch` times the number of ids, rounded up, and 10",
            "stretch": model.translator.stretch,
            "loop": "what encoder.onnx puts out goes into step.onnx with the id `first`; what its states become goes "
            "into the next call with the id that was chosen, until that is `end`",
            "unknown_words": "an unknown unit is replaced by the source unit with the largest attention",
            "beam": model.schema()["beam"],
        },
        {"vocabulary.json": model.vocabulary.to_json()},
        int8=int8,
    )


def _carried(network: TranslationNetwork) -> dict[str, Carried]:
    names = zip(state_names(network.decoder), state_names(network.decoder, "next"), strict=True)
    found = {sides[0][part]: Carried(after[0][part], None) for sides, after in names for part in sides[0]}
    return found | ({"fed": Carried("next_fed", None)} if network.input_feeding else {})


def _encoder(network: TranslationNetwork, *, int8: bool) -> Artifact:
    g = Graph("what a translation looks at", int8=int8)
    ids = g.input("ids", INT64, ["batch", "places"])
    lengths = input_lengths(g, ids)
    embedded = _read(g, ids, network, network.source)
    values, states = sequences(g, network.encoder, embedded, lengths, None, "encoder")
    keys = parts.linear(g, values, network.attention.key, "attention.key")
    mask = parts.inside(lengths, ids.size(1))
    wide = network.encoder.output_size
    g.output("keys", keys, FLOAT, ["batch", "places", network.attention.key.out_features])
    g.output("values", values, FLOAT, ["batch", "places", wide])
    g.output("mask", mask, BOOL, ["batch", "places"])
    for names, sides in zip(state_names(network.decoder), states, strict=True):
        for part, name in names[0].items():
            joined = [side[part] for side in sides]
            whole = joined[0] if len(joined) == 1 else g.add("Concat", *joined, axis=1)
            width = sum(d.sizes.of(d.program.state[part]) for d in network.encoder.stack[0].directions)
            g.output(name, whole, FLOAT, ["batch", width])
    if network.input_feeding:
        zeros = g.constant(np.zeros((1, network.width), np.float32))
        g.output("fed", zeros.expand(ids.size(0), network.width), FLOAT, ["batch", network.width])
    size = len(network.source.weight)
    samples = sequence_samples(
        lambda rng, rows, steps: {"ids": rng.integers(0, size, (rows, steps)), "lengths": ragged(rng, rows, steps)}
    )

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        memory, writing = network.encode(torch.from_numpy(given["ids"]), torch.from_numpy(given["lengths"]))
        found = {name: getattr(memory, name).numpy() for name in ("keys", "values", "mask")}
        found |= answered_states(network.decoder, writing.state, "state")
        return found if writing.fed is None else found | {"fed": writing.fed.numpy()}

    return Artifact(ENCODER, g, samples, answer, method(network.encoder))


def _read(g: Graph, ids: Value, network: TranslationNetwork, embedding: Embedding) -> Value:
    """Vectors of ids; those of the target, also where the source shares them, are multiplied where they are read."""
    shared = network.source is network.target
    found = parts.embedding(g, ids, embedding, "source" if embedding is network.source and not shared else "target")
    return found * network.gain if embedding is network.target else found


def _step(network: TranslationNetwork, *, int8: bool) -> Artifact:
    g = Graph("one unit of a translation", int8=int8)
    ids = g.input("ids", INT64, ["batch"])
    wide = network.encoder.output_size
    keys = g.input("keys", FLOAT, ["batch", "places", network.attention.key.out_features])
    values = g.input("values", FLOAT, ["batch", "places", wide])
    mask = g.input("mask", BOOL, ["batch", "places"])
    x = _read(g, ids, network, network.target)
    states = input_states(g, network.decoder, ids.size(0))
    if network.input_feeding:
        x = g.add("Concat", x, g.input("fed", FLOAT, ["batch", network.width]), axis=1)
    hidden, after = one_step(g, network.decoder, x, states, "decoder")
    contexts, weights = parts.attention(g, hidden.unsqueeze(1), keys, values, mask, network.attention, "attention")
    joined = g.add("Concat", contexts.squeeze(1), hidden, axis=1)
    vectors = g.add("Tanh", parts.linear(g, joined, network.join, "join"))
    tied = "target.weight" if network.output.weight is network.target.weight else None
    logs = parts.log_softmax(parts.output(g, vectors, network.output, "output", tied=tied))
    size = len(network.target.weight)
    g.output("log_probabilities", logs, FLOAT, ["batch", size])
    g.output("attention", weights.squeeze(1), FLOAT, ["batch", "places"])
    output_states(g, network.decoder, after)
    if network.input_feeding:
        g.output("next_fed", vectors, FLOAT, ["batch", network.width])

    def make(rng: np.random.Generator, rows: int, places: int) -> Arrays:
        lengths = ragged(rng, rows, places)
        given: dict[str, Any] = {
            "ids": rng.integers(0, size, rows),
            "keys": numbers(rng, rows, places, network.attention.key.out_features),
            "values": numbers(rng, rows, places, wide),
            "mask": np.arange(places) < lengths[:, None],
            **random_states(rng, network.decoder, rows),
        }
        if network.input_feeding:
            given["fed"] = numbers(rng, rows, network.width)
        return given

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        memory = Memory(*(torch.from_numpy(given[name]) for name in ("keys", "values", "mask")))
        fed = torch.from_numpy(given["fed"]) if network.input_feeding else None
        writing = Writing(given_states(network.decoder, given), fed)
        logs, weights, after = network.step(torch.from_numpy(given["ids"]), memory, writing)
        found = {"log_probabilities": logs.numpy(), "attention": weights.numpy()}
        found |= answered_states(network.decoder, after.state)
        return found if after.fed is None else found | {"next_fed": after.fed.numpy()}

    return Artifact(STEP, g, sequence_samples(make), answer, method(network.decoder))
