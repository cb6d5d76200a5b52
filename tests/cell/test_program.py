from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from batteries.cell_laws import printed_equations_equal_the_trace
from unrolled import cells
from unrolled.cell import (
    Cell,
    Initial,
    Sizes,
    correspondence,
    initial_values,
    layouts,
    recurrent_dropout,
    state,
    tanh,
    to_latex,
    to_text,
    trace,
    zoneout,
)
from unrolled.cell.initial import keeping_gates

SIZES = Sizes(5, 12, 12)


def test_recurrent_bias_only_where_it_is_not_the_same_as_the_other() -> None:
    assert trace(cells.GRU()).recurrent_biased == ("n",)
    for name in ("lstm", "lstm-peephole", "rnn", "gru-reset-before", "janet", "leaky", "slstm"):
        assert trace(cells.by_name(name)).recurrent_biased == ()


def test_the_order_of_states_is_part_of_a_program() -> None:
    program = trace(cells.LSTM())
    turned = replace(program, state=dict(reversed(program.state.items())))
    assert turned != program
    assert replace(turned, state=dict(program.state)) == program


def test_matrices_exist_only_where_the_equations_use_them() -> None:
    for name in ("indrnn", "mingru", "minlstm"):
        assert "U" not in trace(cells.by_name(name)).parameters(SIZES)
    shapes = trace(cells.ProjectedLSTM()).parameters(Sizes(5, 12, 4))
    assert shapes["U"] == (48, 4)
    assert shapes["products.p"] == (4, 12)
    assert trace(cells.SLSTM(heads=3)).parameters(SIZES)["U"] == (48, 4)


def test_text_and_latex_of_the_gru() -> None:
    program = trace(cells.GRU())
    assert to_text(program).splitlines() == [
        "r = σ(W_r x[t] + b_r + U_r h[t-1])",
        "z = σ(W_z x[t] + b_z + U_z h[t-1])",
        "n = tanh(W_n x[t] + b_n + r ⊙ (U_n h[t-1] + c_n))",
        "h[t] = (1 - z) ⊙ n + z ⊙ h[t-1]",
    ]
    assert r"h_{t} &= \left(1 - z\right) \odot n + z \odot h_{t-1}" in to_latex(program)


def test_latex_has_one_index_a_name_and_powers_of_ten() -> None:
    for name in cells.names():
        latex = to_latex(trace(cells.by_name(name)))
        assert not re.search(r"_\w*_|_\{[^}]*_|\}_\{[^}]*\}_|\de-", latex), name
    latex = to_latex(trace(cells.LayerNormLSTM()))
    assert r"\mathit{gain}_{x,i}" in latex and "+ 10^{-5}" in latex and "v_{1} &=" in latex


def test_gate_value_is_what_consumes_it() -> None:
    program = trace(cells.JANET())
    kinds = {gate: program.nodes[i].operation for gate, i in program.gate_values.items()}
    assert kinds == {"f": "sigmoid", "g": "tanh"}
    leaky = trace(cells.LeakyIntegrator())
    assert leaky.nodes[leaky.gate_values["h"]].operation == "tanh"


def test_programs_are_equal_by_what_they_compute() -> None:
    assert trace(cells.GRU()) == trace(cells.GRU())
    assert trace(cells.GRU()) != trace(cells.GRUResetBefore())
    assert hash(trace(cells.Elman("tanh"))) != hash(trace(cells.Elman("relu")))


class Twisted(Cell):
    gates = ("b", "a")
    state = state(q="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        q = tanh(u.b + x.b) * s.q + tanh(x.a + u.a)
        return q, self.next(q=q)


class Straight(Cell):
    gates = ("new", "keep")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        h = tanh(x.new + u.new) + s.h * tanh(x.keep + u.keep)
        return h, self.next(h=h)


def test_correspondence_finds_the_parts() -> None:
    found = correspondence(trace(Twisted()), trace(Straight()))
    assert found is not None
    assert found.gates == ("a", "b")
    assert correspondence(trace(Twisted()), trace(cells.UGRNN())) is None


def test_layout_reorders() -> None:
    torch_order = layouts.LAYOUTS["torch", "LSTM"].gates
    onnx_order = layouts.LAYOUTS["onnx", "LSTM"].gates
    assert [torch_order[i] for i in layouts.order(torch_order, onnx_order)] == list(onnx_order)


def test_recurrent_weights_start_orthogonal_per_gate_and_head() -> None:
    for cell, blocks, width in ((cells.LSTM(), 4, 12), (cells.SLSTM(heads=3), 12, 4)):
        values = initial_values(trace(cell), SIZES, np.random.default_rng(3))
        for block in values["U"].reshape(blocks, width, width):
            np.testing.assert_allclose(block @ block.T, np.eye(width), atol=1e-12)


def test_forget_bias_and_chrono() -> None:
    program = trace(cells.LSTM())
    plain = initial_values(program, SIZES, np.random.default_rng(3), Initial(forget_bias=1.5))["b"].reshape(4, 12)
    assert np.all(plain[1] == 1.5)
    assert np.all(plain[[0, 2, 3]] == 0)
    long = initial_values(program, SIZES, np.random.default_rng(3), Initial(chrono=400))["b"].reshape(4, 12)
    assert np.all((long[1] >= 0) & (long[1] <= np.log(399)))
    assert len(set(long[1])) == 12
    np.testing.assert_array_equal(long[0], -long[1])


@pytest.mark.parametrize(
    ("cell", "gates"),
    [
        (cells.LSTM(), {"f": 1}),
        (cells.GRU(), {"z": 1}),
        (cells.GRUResetBefore(), {"z": 1}),
        (cells.MinimalGated(), {"f": -1}),
        (cells.CoupledLSTM(), {"f": 1}),
        (cells.UGRNN(), {"g": 1}),
        (cells.MinGRU(), {"z": -1}),
        (cells.Elman(), {}),
        (cells.LeakyIntegrator(), {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Cell) else "",
)
def test_the_gate_that_keeps_the_state_is_found_in_the_equations(cell: Cell, gates: dict[str, int]) -> None:
    program = trace(cell)
    assert keeping_gates(program) == gates
    bias = initial_values(program, SIZES, np.random.default_rng(3), Initial(chrono=400))["b"]
    rows = dict(zip(program.gates, bias.reshape(-1, 12), strict=True))
    for gate, sign in gates.items():
        assert np.all((sign * rows[gate] >= 0) & (sign * rows[gate] <= np.log(399)))
        assert len(set(rows[gate])) == 12


def test_same_seed_same_start() -> None:
    program = trace(cells.GRU())
    one, two, other = (initial_values(program, SIZES, np.random.default_rng(s)) for s in (1, 1, 2))
    assert all(np.array_equal(one[k], two[k]) for k in one)
    assert not np.array_equal(one["U"], other["U"])


def test_transformations_declare_their_noise() -> None:
    zoned = zoneout(trace(cells.LSTM()), {"h": 0.1, "c": 0.0})
    assert {k: (n.keep, n.mean) for k, n in zoned.noise.items()} == {"zoneout_h": (0.1, 0.1)}
    dropped = recurrent_dropout(trace(cells.GRUResetBefore()), 0.25)
    assert [n.frequency for n in dropped.noise.values()] == ["sequence", "sequence"]
    assert [n.mean for n in dropped.noise.values()] == pytest.approx([1.0, 1.0])
    assert recurrent_dropout(trace(cells.GRU()), 0.0) is trace(cells.GRU())


@pytest.mark.parametrize("name", cells.names())
def test_every_cell_says_where_it_comes_from(name: str) -> None:
    text = type(cells.by_name(name)).__doc__ or ""
    assert "States:" in text
    assert any(year in text for year in map(str, range(1986, 2027)))


class Twice(Cell):
    """U h is used inside a sum with W x and outside of one, and a quotient of products must keep its brackets."""

    gates = ("h",)
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        a = tanh(x.h + u.h)
        h = a / (2.0 + a * s.h * (1.0 + u.h * u.h)) - (a - s.h) / (3.0 + a * a)
        return h, self.next(h=h)


def test_a_product_outside_the_sum_has_its_own_bias() -> None:
    assert trace(Twice()).recurrent_biased == ("h",)


def test_brackets_stay_where_they_matter() -> None:
    printed_equations_equal_the_trace(Twice())
    last = to_text(trace(Twice())).splitlines()[-1]
    assert last.startswith("h[t] = a / (2 + a ⊙ h[t-1] ⊙ (1 + (U_h h[t-1] + c_h) ⊙ (U_h h[t-1] + c_h)))")
    assert last.endswith(" - (a - h[t-1]) / (3 + a ⊙ a)")


class Quotient(Twice):
    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        h = x.h / (tanh(u.h) * tanh(s.h))
        return h, self.next(h=h)


def test_a_divisor_that_is_a_product_has_brackets() -> None:
    printed_equations_equal_the_trace(Quotient())


def test_what_zoneout_keeps_is_what_is_put_out() -> None:
    zoned = zoneout(trace(cells.LSTM()), {"h": 0.1})
    assert zoned.output == zoned.next[0]
    assert zoned.output != trace(cells.LSTM()).output
