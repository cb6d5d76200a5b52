"""Gradients and Jacobians through time are those of autograd for each pair of steps, for every cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unrolled import cells
from unrolled.cell import ProgramCell
from unrolled.engine import step
from unrolled.errors import ArgumentError
from unrolled.inspect.gradient import gradient_through_time, spaced
from unrolled.inspect.jacobian import spectrum, step_jacobians
from unrolled.layers import Recurrent
from unrolled.layers.probe import every_step, watching

B, T, F, H = 3, 6, 3, 4


def random_layer(name: str, **options: Any) -> Recurrent:
    """Weights away from their start, in float64."""
    torch.manual_seed(5)
    cell = cells.by_name(name)
    if cell.heads > 1 or name == "lstm-projected":
        options.setdefault("structure", None)
    structure = options.pop("structure", 0)
    if structure is None and name == "lstm-projected":
        from unrolled.layers import Structure

        options["structure"] = Structure(output_size=2)
    layer = Recurrent(cell, F, H, **options).double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return layer


def by_hand(layer: Recurrent, x: Tensor, row: int, length: int) -> tuple[list[list[Tensor]], list[Any]]:
    """Outputs and states of one row step by step with a plain loop, one layer and direction after the other."""
    inputs = list(x[row, :length])
    outputs: list[list[Tensor]] = []
    states: list[Any] = []
    for part in layer.stack:
        both = []
        for d, direction in enumerate(part.directions):
            state = direction.initial_state(1)
            ys, kept = [], []
            for t in reversed(range(length)) if d else range(length):
                y, state = step(ProgramCell(layer.program), direction.weights(), inputs[t][None], state,
                                engine="reference")  # fmt: skip
                # What is handed on is a tensor of its own; the output is the state where the cell says so.
                state = layer.program.state_type(*(s.view_as(s) for s in state))
                if layer.program.output in layer.program.next:
                    y = state[layer.program.next.index(layer.program.output)]
                ys.append(y)
                kept.append(state)
            both.append(ys[::-1] if d else ys)
            states.append(kept)
        inputs = [torch.cat([ys[t] for ys in both], 1)[0] for t in range(length)]
        outputs.append(inputs)
    return outputs, states


def wanted(values: list[Tensor], states: list[Any], name: str) -> np.ndarray:
    """||d values / d state||_F^2 for each kept state, in the order of reading."""
    total = np.zeros(len(states))
    for value in values:
        found = torch.autograd.grad(value, [getattr(s, name) for s in states], retain_graph=True, allow_unused=True)
        total += [0.0 if g is None else float(g.pow(2).sum()) for g in found]
    return total


@pytest.mark.parametrize("name", cells.names())
def test_sizes_are_those_of_each_pair_of_steps(name: str) -> None:
    layer = random_layer(name)
    x, lengths = torch.randn(B, T, F, dtype=torch.float64), torch.tensor([T, 4, 5])
    weight = torch.randn(T, layer.output_size, dtype=torch.float64)

    def loss() -> Tensor:
        return (layer(x, lengths=lengths)[0] * weight).sum()

    (found,) = gradient_through_time(layer, loss, probes=0)
    losses, chains = ({s: np.zeros((B, T)) for s in layer.program.state} for _ in range(2))
    for row, length in enumerate(lengths.tolist()):
        outputs, (states,) = by_hand(layer, x, row, length)
        value = sum((outputs[0][t] * weight[t]).sum() for t in range(length))
        last = states[-1][0][0]
        for s in layer.program.state:
            losses[s][row, :length] = wanted([value], states, s)[::-1]
            chains[s][row, :length] = wanted(list(last), states, s)[::-1] / len(last)
    rows = np.array([(lengths.numpy() > d).sum() for d in range(T)])
    assert found.distances.tolist() == list(range(T))
    assert found.rows.tolist() == rows.tolist()
    for s in layer.program.state:
        np.testing.assert_allclose(found.loss[s], np.sqrt(losses[s].sum(0) / rows), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(found.chain[s], np.sqrt(chains[s].sum(0) / rows), rtol=1e-6, atol=1e-9)


def test_every_layer_and_direction_of_ragged_rows() -> None:
    layer = random_layer("gru", layers=2, bidirectional=True)
    x, lengths = torch.randn(B, T, F, dtype=torch.float64), torch.tensor([3, T, 5])
    found = gradient_through_time(layer, lambda: layer(x, lengths=lengths)[0].pow(2).sum(), probes=0)
    assert [(g.place.layer, g.place.backward) for g in found] == [(0, False), (0, True), (1, False), (1, True)]
    squares = np.zeros((4, B, T))
    for row, length in enumerate(lengths.tolist()):
        outputs, states = by_hand(layer, x, row, length)
        value = sum(y.pow(2).sum() for y in outputs[-1])
        for place, kept in enumerate(states):
            squares[place, row, :length] = wanted([value], kept, "h")[::-1]
    rows = np.array([(lengths.numpy() > d).sum() for d in range(T)])
    for place, one in enumerate(found):
        np.testing.assert_allclose(one.loss["h"], np.sqrt(squares[place].sum(0) / rows), rtol=1e-6)


@pytest.mark.parametrize("name", ["lstm", "slstm", "lstm-peephole"])
def test_the_engine_does_not_matter(name: str) -> None:
    layer = random_layer(name)
    x = torch.randn(B, T, F, dtype=torch.float64)
    found = []
    for engine in ("auto", "reference"):
        layer.engine = engine
        found += gradient_through_time(layer, lambda: layer(x)[0].pow(2).sum(), probes=0)
    for state in layer.program.state:
        np.testing.assert_allclose(found[0].loss[state], found[1].loss[state], rtol=1e-9, atol=1e-12)


def test_marks_and_random_vectors_agree_with_the_whole() -> None:
    layer = random_layer("lstm")
    x = torch.randn(40, 50, F, dtype=torch.float64)

    def loss() -> Tensor:
        return layer(x)[0][:, -1].pow(2).sum()

    (whole,) = gradient_through_time(layer, loss, probes=0)
    (part,) = gradient_through_time(layer, loss, marks=spaced, probes=64)
    assert len(part.distances) < 30
    assert part.distances[-1] == 49
    np.testing.assert_allclose(part.loss["c"], whole.loss["c"][part.distances], rtol=1e-9)
    np.testing.assert_allclose(part.reach, whole.reach[part.distances], rtol=0.15)


def test_watching_changes_neither_outputs_nor_gradients() -> None:
    layer = random_layer("gru-reset-before", layers=2, bidirectional=True)
    x, lengths = torch.randn(B, T, F, dtype=torch.float64), torch.tensor([T, 2, 4])
    plain = layer(x, lengths=lengths)[0]
    wanted = torch.autograd.grad(plain.pow(3).sum(), list(layer.parameters()))
    with watching(layer, marks=every_step):
        watched = layer(x, lengths=lengths)[0]
    got = torch.autograd.grad(watched.pow(3).sum(), list(layer.parameters()))
    torch.testing.assert_close(watched, plain, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)
    assert "through" not in vars(layer)


@pytest.mark.parametrize("name", cells.names())
def test_the_step_jacobian_is_autograds(name: str) -> None:
    layer = random_layer(name)
    x = torch.randn(1, T, F, dtype=torch.float64)
    with watching(layer, marks=every_step) as watch:
        layer(x)
    got = step_jacobians(watch.passages[0])
    direction = layer.stack[0].forwards
    state = direction.initial_state(1)
    for t in range(T):

        def flat(*parts: Tensor, t: int = t) -> Tensor:
            given = layer.program.state_type(*parts)
            after = step(ProgramCell(layer.program), direction.weights(), x[:, t], given, engine="reference")[1]
            return torch.cat(tuple(after), 1)[0]

        blocks = torch.autograd.functional.jacobian(flat, tuple(state))
        np.testing.assert_allclose(got[t], torch.cat([b[:, 0] for b in blocks], 1).numpy(), atol=1e-9)
        state = step(layer.program, direction.weights(), x[:, t], state, engine="reference")[1]


@pytest.mark.parametrize("reverse", [False, True])
def test_spectrum_of_a_chain_of_jacobians(reverse: bool) -> None:
    layer = random_layer("rnn", bidirectional=True)
    x, lengths = torch.randn(2, 30, F, dtype=torch.float64), torch.tensor([30, 25])
    with watching(layer, marks=every_step) as watch:
        layer(x, lengths=lengths)
    passage = watch.passages[int(reverse)]
    matrices = step_jacobians(passage, 1)
    assert len(matrices) == 25
    found = spectrum(passage, 1)
    assert found.exact
    np.testing.assert_allclose(found.singular[7], np.linalg.svd(matrices[7], compute_uv=False), rtol=1e-9)
    product = np.eye(H)
    for matrix in matrices:
        product = matrix @ product
    # The determinant knows nothing of the order of the exponents and is not hurt by what is small.
    assert np.isclose(found.lyapunov.sum() * 25, np.linalg.slogdet(matrices)[1].sum(), rtol=1e-6)
    assert abs(found.lyapunov[0] - np.log(np.linalg.norm(product, 2)) / 25) < 0.1
    estimate = spectrum(passage, 1, exact=False)
    steps = np.unique(np.linspace(0, 24, 25).astype(int))
    np.testing.assert_allclose(estimate.singular[:, 0], found.singular[steps, 0], rtol=1e-2)
    assert np.median(np.abs(estimate.radius / found.radius[steps] - 1)) < 0.1
    np.testing.assert_allclose(estimate.lyapunov[:2], found.lyapunov[:2], atol=0.1)


@pytest.mark.parametrize(
    ("name", "scale", "kind"), [("rnn", 3.0, "exploding"), ("rnn", 0.3, "vanishing"), ("lstm", 0.3, "vanishing")]
)
def test_scaled_recurrent_weights_are_recognised(name: str, scale: float, kind: str) -> None:
    torch.manual_seed(1)
    layer = Recurrent(cells.by_name(name), 8, 24).eval()
    with torch.no_grad():
        layer.stack[0].forwards.U.mul_(scale)  # type: ignore[union-attr]  # both have U
    x = torch.randn(6, 60, 8)
    (found,) = gradient_through_time(layer, lambda: layer(x)[0][:, -1].pow(2).sum(), marks=spaced)
    assert found.verdict.kind == kind
    assert found.verdict.step is not None
    assert found.verdict.step < 40
    assert found.verdict.advice in str(found.verdict)
    with watching(layer, marks=every_step) as watch:
        layer(x[:1])
    assert (spectrum(watch.passages[0]).lyapunov[0] > 0) == (kind == "exploding")


def test_a_perfect_memory_is_healthy() -> None:
    layer = random_layer("indrnn")
    with torch.no_grad():
        for parameter in layer.stack[0].forwards.vectors.values():
            parameter.fill_(1.0)
        layer.stack[0].forwards.W.abs_()
        layer.stack[0].forwards.b.fill_(1.0)  # type: ignore[union-attr]  # it has a bias
    x = torch.rand(2, 80, F, dtype=torch.float64)
    (found,) = gradient_through_time(layer, lambda: 2 * layer(x)[0][:, -1].sum())
    assert found.verdict.kind == "healthy"
    assert found.verdict.step is None
    assert abs(found.verdict.rate - 1) < 1e-6


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ArgumentError, match="ran through no recurrent layer"):
        gradient_through_time(torch.nn.Linear(2, 2), lambda: torch.zeros(()))
    layer = random_layer("rnn")
    x = torch.randn(2, 3, F, dtype=torch.float64)
    with pytest.raises(ArgumentError, match="one number that depends"):
        gradient_through_time(layer, lambda: layer(x)[0].detach().sum())


def test_records_have_a_form_in_json() -> None:
    layer = random_layer("gru")
    x = torch.randn(2, 5, F, dtype=torch.float64)
    (found,) = gradient_through_time(layer, lambda: 2 * layer(x)[0].sum())
    data = found.to_json()
    assert data["place"] == "layer 1"
    assert len(data["chain"]["h"]) == 5
    assert found.verdict.to_json()["kind"] == found.verdict.kind
