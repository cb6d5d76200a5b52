"""Units, states and gates over a text: recorded, ranked, matched, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from unrolled import cells
from unrolled.cell import Cell, sigmoid, state
from unrolled.errors import ArgumentError
from unrolled.inspect.condition import health
from unrolled.inspect.patterns import (
    best_followers,
    exciting,
    following,
    joined,
    matches,
    rank,
    state_pattern,
    text_patterns,
)
from unrolled.inspect.states import States, Trace, Unit, last_values, path, record
from unrolled.layers import Recurrent
from unrolled.layers.probe import Place

LETTERS = 'ab ".'
QUOTES = 12


@dataclass(frozen=True)
class Toggle(Cell):
    """Each unit changes sides where its gate is open: h_t = h (1 - 2 q) + q."""

    gates = ("q",)
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        q = sigmoid(x.q)
        h = s.h * (1 - 2 * q) + q
        return h, self.next(h=h)


def quoting_text(seed: int = 0, length: int = 400) -> str:
    rng = np.random.default_rng(seed)
    return "".join(rng.choice(list(LETTERS), p=[0.4, 0.3, 0.15, 0.1, 0.05], size=length))


def read(text: str, layer: Recurrent) -> States:
    x = torch.eye(len(LETTERS))[[LETTERS.index(letter) for letter in text]][None]
    (found,) = record(layer, lambda: layer(x), {"": list(text)})
    return found


def planted() -> Recurrent:
    """Random units, one of which turns over at every quotation mark and nowhere else."""
    torch.manual_seed(4)
    layer = Recurrent(Toggle(), len(LETTERS), 20)
    direction = layer.stack[0].forwards
    with torch.no_grad():
        direction.W.normal_(0, 2)
        direction.W[QUOTES] = -30 * (1 - torch.eye(len(LETTERS))[LETTERS.index('"')])
        direction.W[QUOTES, LETTERS.index('"')] = 30
        direction.b.zero_()  # type: ignore[union-attr]  # it has a bias
    return layer


def test_the_planted_unit_is_the_first_that_follows_inside_quotes() -> None:
    states = read(quoting_text(), planted())
    pattern = text_patterns(states.labels)["inside quotes"]
    found = following(states, pattern)
    assert found[0].unit == Unit(Place("", 0), "h", QUOTES)
    assert found[0].score > 0.99
    assert found[1].score < 0.6
    assert best_followers(states)["inside quotes"].unit.number == QUOTES
    assert "high where the pattern is" in str(found[0])
    by_class = following(states, np.where(pattern > 0, "in", "out"))
    assert by_class[0].unit.number == QUOTES
    assert by_class[0].score == pytest.approx(found[0].score)
    assert str(by_class[0]).endswith("(eta 1.00)")


def test_traces_are_the_states_and_gates_of_the_layer() -> None:
    torch.manual_seed(0)
    layer = Recurrent(cells.LSTM(), 3, 4, layers=2, bidirectional=True)
    x, lengths = torch.randn(2, 6, 3), torch.tensor([6, 4])
    outputs, after = layer.eval()(x, lengths=lengths)
    (states,) = record(layer, lambda: layer(x, lengths=lengths), row=1)
    assert len(states) == 4
    assert states.labels == ("1", "2", "3", "4")
    top = np.concatenate([states.trace("h").values, states.trace("h", backward=True).values], 1)
    np.testing.assert_allclose(top, outputs[1, :4].detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(last_values(states.trace("c", 0)), after[0][0].c[1].detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(
        last_values(states.trace("h", 0, backward=True)), after[0][1].h[1].detach().numpy(), atol=1e-6
    )
    gates = {t.name: t.squashed for t in states.traces if t.kind == "gate"}
    assert {"i", "f", "o"} <= {name for name, squashed in gates.items() if squashed}
    assert not all(gates.values())
    values, units = states.stacked()
    assert values.shape == (4, 2 * 2 * 2 * 4)
    np.testing.assert_array_equal(states.values(units[5]), values[:, 5].astype(np.float32))
    with pytest.raises(ArgumentError, match="there is no 'z'"):
        states.trace("z")
    with pytest.raises(ArgumentError, match="ran through no recurrent layer"):
        record(torch.nn.Identity(), lambda: None)


def test_patterns_of_a_text_are_as_after_each_unit() -> None:
    found = text_patterns(list('a "b(c)" D4\nx'))
    assert found["inside quotes"].tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert found["inside brackets"].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert found["length of line"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1]
    assert found["capital"].tolist() == [0] * 9 + [1, 0, 0, 0]
    assert found["digit"][10] == 1
    assert text_patterns(["aaa"]) == {}
    words = text_patterns(["the", '"big', 'dog"', "."])
    assert words["inside quotes"].tolist() == [0, 1, 0, 0]
    assert text_patterns(list("a\u201cb\u201dc"))["inside quotes"].tolist() == [0, 1, 1, 0, 0]


def test_bad_patterns_are_refused() -> None:
    states = read("ab ab", planted())
    with pytest.raises(ArgumentError, match="there are 5 steps"):
        following(states, [1, 0])
    with pytest.raises(ArgumentError, match="same everywhere"):
        following(states, [1] * 5)


def test_units_of_classes() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(["cat", "dog", "owl"], 90)
    values = rng.normal(size=(90, 6))
    values[:, 4] += 3 * (labels == "owl")
    units = [Unit(Place("", 0), "h", k) for k in range(6)]
    found = rank(values, units, list(labels))
    assert found[0].unit.number == 4
    means = np.stack([values[labels == c, 4].mean() for c in labels for _ in (0,)])
    assert found[0].score == pytest.approx(means.std() / values[:, 4].std())


def test_passages_that_excite_a_unit() -> None:
    states = [read(quoting_text(seed), planted()) for seed in (1, 2)]
    unit = Unit(Place("", 0), "h", 3)
    found = exciting(states, unit, count=4, around=6)
    assert len(found) == 4
    best = max(float(s.values(unit).max()) for s in states)
    assert found[0].value == pytest.approx(best)
    assert [p.value for p in found] == sorted((p.value for p in found), reverse=True)
    for passage in found:
        assert passage.first <= passage.peak < passage.last
        assert passage.text == joined(states[passage.source].labels[passage.first : passage.last])
    lowest = exciting(states, unit, count=1, lowest=True)[0]
    assert lowest.value == pytest.approx(min(float(s.values(unit).min()) for s in states))
    with pytest.raises(ArgumentError, match="there is no layer 2 h"):
        exciting(states, Unit(Place("", 1), "h", 3))


def test_a_state_pattern_is_found_again_in_another_text() -> None:
    states = read('ab ab "ab ab" ab ab. ab ab ab', planted())
    values = states.trace("h").values[:, QUOTES]
    first, last = 6, 12
    assert values[first:last].min() > 0.9
    pattern = state_pattern(states, first, last, share=0.7)
    assert QUOTES in {unit.number for unit in pattern.units}
    only = type(pattern)(pattern.units[-1:], pattern.thresholds[-1:], pattern.length)
    single = type(pattern)((Unit(Place("", 0), "h", QUOTES),), np.array([0.5]), 6)
    other = read('a. "b ab a" b b "a"b', planted())
    found = matches(single, [other, states], count=3)
    assert (found[0].source, found[0].text) == (0, '"b ab a') or found[0].text == '"ab ab'
    assert {m.text for m in found} == {'"ab ab', '"b ab a', '"a'}
    assert matches(only, [other])
    with pytest.raises(ArgumentError, match="are not inside"):
        state_pattern(states, 5, 500)
    with pytest.raises(ArgumentError, match="no unit of"):
        state_pattern(states, 0, len(states))


def test_dead_saturated_and_redundant_units_are_found() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(200, 5)).astype(np.float32)
    values[:, 1] = 0.3
    values[:, 4] = -values[:, 2] + 0.01 * rng.normal(size=200)
    gate = np.stack([np.full(200, 0.01), np.full(200, 0.97), rng.uniform(0.2, 0.8, 200)], 1).astype(np.float32)
    place = Place("", 0)
    traces = (
        Trace(place, "h", "state", values),
        Trace(place, "f", "gate", gate, True),
        Trace(place, "n", "gate", gate),
    )
    found = health(States("", tuple("x" * 200), traces))
    assert [unit.number for unit in found.dead] == [1]
    assert [(r.first.number, r.second.number) for r in found.redundant] == [(2, 4)]
    assert found.redundant[0].correlation < -0.99
    (saturation,) = found.saturation
    assert saturation.closed.tolist() == [1, 0, 0]
    assert saturation.open.tolist() == [0, 1, 0]
    assert "1 of 5 units hardly move: layer 1 h[1]" in found.lines
    assert found.to_json()["dead"] == [{"place": "layer 1", "name": "h", "number": 1}]


def test_the_path_in_two_dimensions_is_the_best_plane() -> None:
    rng = np.random.default_rng(2)
    plane = rng.normal(size=(300, 2)) * [5, 2] @ rng.normal(size=(2, 7))
    values = (plane + 1 + 0.01 * rng.normal(size=(300, 7))).astype(np.float32)
    found = path(Trace(Place("", 0), "h", "state", values))
    assert found.explained.sum() > 0.999
    assert found.explained[0] > found.explained[1]
    back = found.points @ found.axes + found.mean
    np.testing.assert_allclose(back, values, atol=0.1)
    np.testing.assert_allclose(found.project(values), found.points, atol=1e-5)
    still = path(Trace(Place("", 0), "h", "state", np.ones((3, 1), np.float32)))
    assert not still.points.any()
