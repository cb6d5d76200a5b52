"""A `Recurrent` layer as two models: one for whole sequences, one for a single step."""

from __future__ import annotations

import torch

from unrolled.export.to_onnx.graph import FLOAT, Graph
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

WHOLE, STEP = "model.onnx", "step.onnx"


def layer_artifacts(layer: Recurrent, *, int8: bool = False) -> list[Artifact]:
    """Both models, or the first alone where the layer reads in two directions."""
    found = [whole_layer(layer, WHOLE, int8=int8)]
    return found if layer.bidirectional else [*found, layer_step(layer, STEP, int8=int8)]


def layer_states(layer: Recurrent, prefix: str = "state", following: str = "next") -> dict[str, Carried]:
    """The inputs of the state with the outputs that they become."""
    pairs = zip(start_values(layer, prefix).items(), start_values(layer, following), strict=True)
    return {name: Carried(after, start) for (name, start), after in pairs}


def whole_layer(layer: Recurrent, file: str, *, int8: bool = False) -> Artifact:
    """Sequences: x (B, T, F), lengths (B,), states -> outputs (B, T, D * O), next states."""
    g = Graph(f"{layer.program.name} over sequences", int8=int8)
    x = g.input("x", FLOAT, ["batch", "steps", layer.input_size])
    lengths = input_lengths(g, x)
    outputs, after = sequences(g, layer, x, lengths, input_states(g, layer, x.size(0)))
    g.output("outputs", outputs, FLOAT, ["batch", "steps", layer.output_size])
    output_states(g, layer, after)
    samples = sequence_samples(
        lambda rng, rows, steps: {
            "x": numbers(rng, rows, steps, layer.input_size),
            "lengths": ragged(rng, rows, steps),
            **random_states(rng, layer, rows),
        }
    )

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        x, lengths = torch.from_numpy(given["x"]), torch.from_numpy(given["lengths"])
        outputs, state = layer(x, given_states(layer, given), lengths=lengths)
        return {"outputs": outputs.numpy(), **answered_states(layer, state)}

    return Artifact(file, g, samples, answer, method(layer))


def layer_step(layer: Recurrent, file: str, *, int8: bool = False) -> Artifact:
    """One step: x (B, F), states -> outputs (B, O), next states."""
    g = Graph(f"{layer.program.name}, one step", int8=int8)
    x = g.input("x", FLOAT, ["batch", layer.input_size])
    outputs, after = one_step(g, layer, x, input_states(g, layer, x.size(0)))
    g.output("outputs", outputs, FLOAT, ["batch", layer.output_size])
    output_states(g, layer, after)
    samples = step_samples(
        lambda rng, rows: {"x": numbers(rng, rows, layer.input_size), **random_states(rng, layer, rows)}
    )

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        outputs, state = layer.step(torch.from_numpy(given["x"]), given_states(layer, given))
        return {"outputs": outputs.numpy(), **answered_states(layer, state)}

    return Artifact(file, g, samples, answer, method(layer))
