from __future__ import annotations

import io
import random
import sys
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import pytest

from batteries.geometry import geometry_faults, parsed, words
from unrolled import cells
from unrolled.cell import (
    Cell,
    Program,
    layer_norm,
    maximum,
    sigmoid,
    square,
    state,
    tanh,
    trace,
    vector,
    where,
    zoneout,
)
from unrolled.errors import ArgumentError, RunError
from unrolled.inspect.draw.cell import cell_picture
from unrolled.inspect.draw.diagram import diagram
from unrolled.inspect.draw.label import said, symbol, text
from unrolled.inspect.draw.layers import ascending, layered
from unrolled.inspect.draw.picture import Box, Picture, Text


@dataclass(frozen=True)
class OwnCell(Cell):
    """Two memories of different speed, a normalisation, a choice, a power, <b>names</b> & all."""

    gates = ("k", "v", "fast")
    state = state(h="output", slow="hidden")
    vectors = {"rate": vector(0.5), "gain": vector(1.0)}

    def update(self, x, u, s, p):
        k = sigmoid(x.k + u.k)
        value = tanh(x.v + u("v", k * s.h))
        slow = (1 - p.rate) * s.slow + p.rate * value
        kept = where(slow > 0.5, slow, square(value))
        mixed = maximum(layer_norm(kept) * p.gain, 0.1) / (1.0 + abs(x.fast - u.fast))
        h = tanh(mixed - slow)
        return h, self.next(h=h, slow=slow)


PROGRAMS = {name: trace(cells.by_name(name)) for name in cells.names()} | {
    "own": trace(OwnCell()),
    "lstm with zoneout": zoneout(trace(cells.LSTM()), {"h": 0.1, "c": 0.3}),
    "slstm with exponential forget gate": trace(cells.SLSTM(exponential_forget=True)),
    "layer norm of each gate alone": trace(cells.LayerNormLSTM(together=False)),
}


@cache
def drawn(name: str) -> Picture:
    return cell_picture(PROGRAMS[name])


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_lies_on_anything_else(name: str) -> None:
    assert geometry_faults(drawn(name)) == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_part_is_labelled_in_valid_xml(name: str) -> None:
    program = PROGRAMS[name]
    found = words(drawn(name).svg())
    for part in diagram(program).parts:
        if part.kind != "join":
            assert "".join(run.text for run in part.label) in found
        if part.name and part.kind in ("gate", "function"):
            assert part.name in found


@pytest.mark.parametrize("name", PROGRAMS)
def test_all_gates_states_and_parameters_are_shown(name: str) -> None:
    program = PROGRAMS[name]
    shown = diagram(program)
    assert {p.name for p in shown.parts if p.kind == "state"} == set(program.state)
    assert {p.name for p in shown.parts if p.kind == "next"} == set(program.state)
    text_of_all = " ".join([said(p.label) + " " + p.title for p in shown.parts])
    for gate in program.gates:
        assert f"W_{gate}" in text_of_all
    for k in program.recurrent:
        assert f"U_{k}" in text_of_all or f"U_{k} " in text_of_all


@pytest.mark.parametrize("name", PROGRAMS)
def test_lines_go_forward_and_lanes_are_straight(name: str) -> None:
    layout = layered(diagram(PROGRAMS[name]))
    for link in layout.links:
        left, right = layout.elements[link.left], layout.elements[link.right]
        assert right.layer == left.layer + 1
        if left.lane is not None and left.lane == right.lane:
            assert left.row == right.row == left.lane
    for layer in layout.layers:
        rows = [layout.elements[i].row for i in layer]
        assert all(a < b for a, b in pairwise(rows))


def test_the_lstm_is_the_one_of_the_textbooks() -> None:
    parts = diagram(PROGRAMS["lstm"]).parts
    boxes = sorted((p.name, said(p.label)) for p in parts if p.kind == "gate")
    assert boxes == [("f", "σ"), ("g", "tanh"), ("i", "σ"), ("o", "σ")]
    assert sorted(said(p.label) for p in parts if p.kind in ("operation", "function")) == ["+", "tanh", "⊙", "⊙", "⊙"]
    layout = layered(diagram(PROGRAMS["lstm"]))
    assert layout.lanes == 1


def test_the_same_cell_gives_the_same_picture() -> None:
    assert cell_picture(PROGRAMS["gru"]).svg() == drawn("gru").svg()


def test_a_program_from_json_draws_the_same() -> None:
    program = PROGRAMS["own"]
    assert cell_picture(Program.from_json(program.to_json())).svg() == drawn("own").svg()


def test_a_picture_says_how_large_it_is() -> None:
    picture = drawn("lstm")
    root = parsed(picture.svg("dark"))
    assert (float(root.get("width", 0)), float(root.get("height", 0))) == (picture.width, picture.height)
    assert root.get("viewBox") == f"0 0 {picture.width:g} {picture.height:g}"


def test_light_and_dark_differ_in_colours_alone() -> None:
    picture = drawn("lstm")
    assert picture.svg("light") != picture.svg("dark")
    assert words(picture.svg("light")) == words(picture.svg("dark"))


def test_labels_cannot_break_out_of_the_document() -> None:
    evil = "</text><script>alert(1)</script>&\"' \x00\x1b"
    box = Box(0, 0, 100, 30, "learnt", title=evil)
    picture = Picture(evil, evil, items=[box, Text(50, 15, text(evil)), Text(50, 60, symbol(evil, evil))]).fit()
    svg = picture.svg()
    assert not [element for element in parsed(svg).iter() if "script" in element.tag]
    assert words(svg)[0] == evil.replace("\x00", "\N{REPLACEMENT CHARACTER}").replace(
        "\x1b", "\N{REPLACEMENT CHARACTER}"
    )


def test_png_and_pdf(tmp_path) -> None:
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    picture = drawn("gru")
    with image.open(io.BytesIO(picture.png(scale=1.0))) as found:
        assert abs(found.width - picture.width) <= 1 and abs(found.height - picture.height) <= 1
    picture.save(tmp_path / "gru.pdf", "dark")
    assert (tmp_path / "gru.pdf").read_bytes().startswith(b"%PDF")
    assert picture.pdf() == picture.pdf()


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr("unrolled.inspect.draw.raster.find_spec", lambda name: None)
    with pytest.raises(ArgumentError, match=r"a PNG needs matplotlib.*unrolled\[plot\]"):
        drawn("rnn").png()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert drawn("rnn").svg()


def test_refusals(tmp_path) -> None:
    picture = drawn("rnn")
    with pytest.raises(ArgumentError, match=r"no theme 'sepia'; choose one of light, dark"):
        picture.svg("sepia")
    with pytest.raises(ArgumentError, match=r"does not say which format.*\.svg, \.png or \.pdf"):
        picture.save(tmp_path / "cell.gif")
    with pytest.raises(RunError, match=r"cannot be written"):
        picture.save(tmp_path / "missing" / "cell.svg")


def test_ascending_is_the_best_there_is() -> None:
    chance = random.Random(1)
    for _ in range(50):
        pulls = [[(chance.randint(0, 4), chance.choice((1.0, 2.0)))] for _ in range(3)]

        def cost(rows, pulls=pulls):
            return sum(w * abs(z - v) for z, pull in zip(rows, pulls, strict=True) for v, w in pull)

        found = ascending(pulls, 0)
        every = [(a, b, c) for a in range(5) for b in range(a, 5) for c in range(b, 5)]
        assert found == sorted(found)
        assert cost(found) == min(cost(rows) for rows in every)


def random_program(seed: int) -> Program:
    """A cell of random equations, such as nobody would write."""
    chance = random.Random(seed)
    names = tuple(f"g{k}" for k in range(chance.randint(1, 4)))
    states = {"h": "output"} | {f"s{k}": "hidden" for k in range(chance.randint(0, 2))}
    alone = [tanh, sigmoid, abs, lambda a: 1 - a, lambda a: -a, lambda a: a * 0.5, square, layer_norm]
    pairs = [lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a - b, lambda a, b: a / b, maximum,
             lambda a, b: where(a > 0.0, a, b)]  # fmt: skip

    class Random(Cell):
        gates = names
        state = states
        vectors = {f"v{k}": vector() for k in range(chance.randint(0, 2))}

        def update(self, x, u, s, p):
            values = [getattr(x, g) for g in names] + [getattr(s, n) for n in states]
            values += [getattr(p, v) for v in self.vectors]
            values += [getattr(x, g) + u(g, chance.choice((s.h, values[0]))) for g in names if chance.random() < 0.7]
            for _ in range(chance.randint(3, 12)):
                if chance.random() < 0.4:
                    values.append(chance.choice(alone)(chance.choice(values)))
                else:
                    values.append(chance.choice(pairs)(chance.choice(values[-6:]), chance.choice(values)))
            return values[-1], self.next(**{n: chance.choice(values[-5:]) for n in states})

    return trace(Random())


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_equations_nothing_lies_on_anything_else(seed: int) -> None:
    picture = cell_picture(random_program(seed))
    assert geometry_faults(picture) == []
    assert parsed(picture.svg()) is not None


def leaves_of(program: Program, node: int) -> set[str]:
    """The states that a node depends on, and x."""
    found: set[str] = set()
    open_, seen = [node], set()
    while open_:
        i = open_.pop()
        if i in seen:
            continue
        seen.add(i)
        kind = program.nodes[i].operation
        found |= {"x"} if kind == "gate" else {str(program.nodes[i].name)} if kind == "state" else set()
        open_ += program.nodes[i].arguments
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_result_is_reached_from_what_it_depends_on(name: str) -> None:
    program = PROGRAMS[name]
    parts = diagram(program).parts

    def reached(place: int) -> set[str]:
        part = parts[place]
        if part.kind in ("state", "input"):
            return {part.name}
        return set().union(*(reached(source) for source in part.sources))

    wanted = dict(zip(program.state, program.next, strict=True)) | {"y": program.output}
    for place, part in enumerate(parts):
        if part.kind == "next" or (part.kind == "output" and "y" not in program.state):
            assert reached(place) == leaves_of(program, wanted[part.name])


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_source_is_wired_to_its_reader_and_arrows_end_at_boxes(name: str) -> None:
    shown = diagram(PROGRAMS[name])
    layout = layered(shown)
    before: dict[int, set[int]] = {}
    for link in layout.links:
        left = layout.elements[link.left]
        before.setdefault(link.right, set()).add(left.net)
        assert left.net == link.net
    for i, element in enumerate(layout.elements):
        if element.part is not None:
            assert before.get(i, set()) == set(shown.parts[element.part].sources)
        else:
            assert before[i] == {element.net}
    boxes = list(drawn(name).boxes())
    ends = [line.points[-1] for line in drawn(name).lines() if line.arrow]
    results = len(shown.program.state) + 1
    touching = [end for end in ends if any(touches(end, box) for box in boxes)]
    assert len(ends) - len(touching) == results


def touches(point: tuple[float, float], box: Box) -> bool:
    (x, y), slack = point, 0.7
    return box.x - slack <= x <= box.x + box.width / 2 + slack and box.y - slack <= y <= box.y + box.height + slack
