"""Captioners: an encoder that looks at a picture once, and a step that writes one unit."""

from __future__ import annotations

import numpy as np
import torch

from unrolled.export.to_onnx import parts
from unrolled.export.to_onnx.graph import BOOL, FLOAT, INT64, UINT8, Array, Graph, Value
from unrolled.export.to_onnx.layer import STEP, layer_states
from unrolled.export.to_onnx.package import Package
from unrolled.export.to_onnx.recurrent import input_states, layer_norm, method, one_step, output_states
from unrolled.export.to_onnx.samples import (
    answered_states,
    given_states,
    numbers,
    random_states,
    sequence_samples,
)
from unrolled.export.to_onnx.verify import Arrays, Artifact, Sample
from unrolled.layers import Memory
from unrolled.models.caption import CaptionNetwork, View
from unrolled.tasks.caption import CaptionTask
from unrolled.tasks.pictures import as_tensor

ENCODER = "encoder.onnx"
# Pictures of these heights and widths, or so many regions.
_PICTURES = ((2, 32, 48), (1, 40, 24), (3, 17, 33))


def package(model: CaptionTask, *, int8: bool = False) -> Package:
    """encoder.onnx: pictures -> keys, values, mask, whole; step.onnx: ids (B,) and those -> log p (B, V)."""
    network = model.module
    return Package(
        model.task,
        model.plan.program.name,
        [_encoder(network, int8=int8), _step(model, int8=int8)],
        layer_states(network.recurrent),
        {
            "reader": vars(model.reader),
            "regions": "pictures as bytes (B, H, W, 3)"
            if network.encoder is not None
            else "regions (B, R, F) that another network made, as in training",
        },
        {
            "vocabulary": "vocabulary.json",
            "first": model.border,
            "end": model.border,
            "never_written": [model.vocabulary.pad, model.vocabulary.unknown],
            "longest": model.longest,
            "beam": model.beam,
            "loop": "what encoder.onnx puts out goes into step.onnx with the id `first` and the states at their start; "
            "what those become goes into the next call with the id that was chosen, until that is `end`",
        },
        {"vocabulary.json": model.vocabulary.to_json()},
        int8=int8,
    )


def _encoder(network: CaptionNetwork, *, int8: bool) -> Artifact:
    g = Graph("what a caption looks at", int8=int8)
    if network.encoder is not None:
        pictures = g.input("pictures", UINT8, ["batch", "height", "width", 3])
        scaled = pictures.cast(FLOAT).transpose(0, 3, 1, 2) / 255.0
        found = parts.regions(g, scaled, network.encoder, "encoder")
    else:
        found = g.input("regions", FLOAT, ["batch", "places", network.region_size])
    values = layer_norm(g, found, network.norm, "norm")
    keys = parts.linear(g, values, network.attention.key, "attention.key")
    whole = parts.linear(g, parts.total(values, 1, "ReduceMax"), network.whole, "whole")
    shape = values.cut(2, 0, 1).squeeze(2)
    mask = g.add("Equal", shape, shape)
    g.output("keys", keys, FLOAT, ["batch", "places", network.attention.key.out_features])
    g.output("values", values, FLOAT, ["batch", "places", network.region_size])
    g.output("mask", mask, BOOL, ["batch", "places"])
    g.output("whole", whole, FLOAT, ["batch", network.whole.out_features])
    rng = np.random.default_rng(0)

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        pictures = as_tensor(given["pictures" if "pictures" in given else "regions"])
        view = network.look(pictures)
        found = {name: getattr(view.regions, name).numpy() for name in ("keys", "values", "mask")}
        return found | {"whole": view.whole.numpy()}

    return Artifact(ENCODER, g, [_pictures(rng, network, *size) for size in _PICTURES], answer)


def _pictures(rng: np.random.Generator, network: CaptionNetwork, rows: int, height: int, width: int) -> Sample:
    if network.encoder is None:
        return Sample(f"{rows} x {height}", {"regions": numbers(rng, rows, height, network.region_size)})
    found: Array = rng.integers(0, 256, (rows, height, width, 3)).astype(np.uint8)
    return Sample(f"{rows} x {height} x {width}", {"pictures": found})


def _step(model: CaptionTask, *, int8: bool) -> Artifact:
    network = model.module
    g = Graph("one unit of a caption", int8=int8)
    ids = g.input("ids", INT64, ["batch"])
    keys = g.input("keys", FLOAT, ["batch", "places", network.attention.key.out_features])
    values = g.input("values", FLOAT, ["batch", "places", network.region_size])
    mask = g.input("mask", BOOL, ["batch", "places"])
    whole = g.input("whole", FLOAT, ["batch", network.whole.out_features])
    x = parts.embedding(g, ids, network.embed, "embed") + whole
    outputs, after = one_step(g, network.recurrent, x, input_states(g, network.recurrent, ids.size(0)))
    contexts, weights = parts.attention(g, outputs.unsqueeze(1), keys, values, mask, network.attention, "attention")
    joined = g.add("Concat", outputs, contexts.squeeze(1), axis=1)
    features = g.add("Tanh", parts.linear(g, joined, network.join, "join"))
    logs: Value = parts.log_softmax(parts.output(g, features, network.output, "output"))
    size = len(network.embed.weight)
    g.output("log_probabilities", logs, FLOAT, ["batch", size])
    g.output("attention", weights.squeeze(1), FLOAT, ["batch", "places"])
    output_states(g, network.recurrent, after)

    def make(rng: np.random.Generator, rows: int, places: int) -> Arrays:
        return {
            "ids": rng.integers(0, size, rows),
            "keys": numbers(rng, rows, places, network.attention.key.out_features),
            "values": numbers(rng, rows, places, network.region_size),
            "mask": np.ones((rows, places), bool),
            "whole": numbers(rng, rows, network.whole.out_features),
            **random_states(rng, network.recurrent, rows),
        }

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        memory = Memory(*(torch.from_numpy(given[name]) for name in ("keys", "values", "mask")))
        view = View(memory, torch.from_numpy(given["whole"]))
        ids, states = torch.from_numpy(given["ids"]), given_states(network.recurrent, given)
        logits, state, weights = network.step(view, ids, states)
        found = {"log_probabilities": logits.log_softmax(1).numpy(), "attention": weights.numpy()}
        return found | answered_states(network.recurrent, state)

    return Artifact(STEP, g, sequence_samples(make), answer, method(network.recurrent))
