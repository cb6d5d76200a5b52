from __future__ import annotations

import pytest
import torch
from torch import nn

import unrolled as ur
from batteries.geometry import geometry_faults, parsed, words
from unrolled import cells
from unrolled.errors import ArgumentError
from unrolled.inspect.draw.picture import Line
from unrolled.inspect.draw.structure import count, structure_of
from unrolled.layers import Pooling, Recurrent, Regularisation, Structure
from unrolled.models import Embedding, ImageEncoder, LanguageNetwork, SequenceNetwork, TagNetwork, TranslationNetwork
from unrolled.models.caption import CaptionNetwork
from unrolled.models.distributions import Head
from unrolled.models.forecast import ForecastNetwork
from unrolled.models.front import Convolutions
from unrolled.models.shapes import ForecastShape
from unrolled.models.transcription import TranscriptionNetwork


class OneNumber(Head):
    size = 1

    def loss(self, parameters, truth): ...

    def quantiles(self, parameters, levels): ...

    def centre(self, parameters): ...

    def draw(self, parameters, rank): ...


def translator(cell, *, both: bool, layers: int = 1) -> TranslationNetwork:
    encoder = Recurrent(cell, 8, 6, layers=layers, bidirectional=both)
    decoder = Recurrent(cell, 8, [12 if both else 6] * layers)
    return TranslationNetwork(Embedding(30, 8), encoder, Embedding(40, 8), decoder)


def forecaster(**more) -> ForecastNetwork:
    return ForecastNetwork(Recurrent(cells.GRU(), 8, 12), ForecastShape(24, 12, 4, **more), OneNumber())


NETWORKS = {
    "one-layer classifier": lambda: SequenceNetwork(
        Embedding(65, 8), Recurrent(cells.Elman(), 8, 16), Pooling("last", 16), 3
    ),
    "both ways with convolutions": lambda: SequenceNetwork(
        None,
        Recurrent(cells.SLSTM(), 8, 10, bidirectional=True),
        Pooling("last", 20, bidirectional=True),
        2,
        front=Convolutions(5, 8, 2, stride=2),
    ),
    "two-layer tagger": lambda: TagNetwork(
        Embedding(500, 8), Recurrent(cells.GRU(), 8, 10, layers=2, bidirectional=True), 9, crf=True
    ),
    "language model": lambda: LanguageNetwork(65, 8, Recurrent(cells.LayerNormLSTM(), 8, 12, layers=2), tied=True),
    "translator": lambda: translator(cells.LSTM(), both=True, layers=2),
    "translator forwards": lambda: translator(cells.GRU(), both=False),
    "captioner": lambda: CaptionNetwork(ImageEncoder((8,), 0), 50, Recurrent(cells.LSTM(), 8, 12)),
    "captioner of features": lambda: CaptionNetwork(None, 50, Recurrent(cells.GRU(), 8, 12), features=9),
    "pyramid": lambda: TranscriptionNetwork(
        [Recurrent(cells.LSTM(), 6, 5, bidirectional=True) for _ in "x"]
        + [Recurrent(cells.LSTM(), 20, 5, bidirectional=True) for _ in "xx"],
        (1, 2, 2),
        29,
    ),
    "strided": lambda: TranscriptionNetwork([Recurrent(cells.GRU(), 24, 8)], (4,), 29),
    "forecast": lambda: forecaster(attention="additive"),
    "forecast fed back": lambda: forecaster(recursive=True),
    "layer": lambda: Recurrent(
        cells.ProjectedLSTM(), 8, 16, regularisation=Regularisation(zoneout=0.1), structure=Structure(output_size=4)
    ),
    "unrolled layer": lambda: ur.unroll(Recurrent(cells.MinLSTM(), 8, 16), 5),
    "torch.nn.LSTM": lambda: nn.LSTM(3, 4, 2, bidirectional=True),
    "torch.nn.RNN inside": lambda: nn.Sequential(nn.Linear(3, 3), nn.RNN(3, 4, nonlinearity="relu")),
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    with torch.random.fork_rng():
        return NETWORKS[request.param]()


@pytest.mark.parametrize("view", ["rolled", "unrolled"])
def test_nothing_lies_on_anything_else(network: nn.Module, view: str) -> None:
    assert geometry_faults(ur.draw(network, view)) == []


def test_convolutions_read_what_the_network_reads() -> None:
    chain = structure_of(NETWORKS["both ways with convolutions"]()).chain
    assert chain.reads == "5 numbers" and chain.blocks[0].detail == "9 steps wide, stride 2"


def test_all_blocks_sizes_and_weights_are_named(network: nn.Module) -> None:
    structure = structure_of(network)
    assert structure.parameters == count(next((m for m in network.modules() if isinstance(m, nn.RNN)), network))
    for view in ("rolled", "unrolled"):
        found = words(ur.draw(network, view).svg())
        chains = [c for c in (structure.chain, structure.source) if c is not None]
        for block in (b for c in chains for b in c.blocks):
            assert (block.program.name if block.program else block.name) in found
            assert any(w.startswith(block.name) and w.endswith(block.detail) for w in found)
            assert not block.parameters or any(w.startswith(f"{block.parameters:,} weights") for w in found)
        assert f"{structure.parameters:,} weights in all, as many for 10 steps as for 10,000." in found


def test_weights_of_the_blocks_add_up(network: nn.Module) -> None:
    structure = structure_of(network)
    chains = [c for c in (structure.chain, structure.source) if c is not None]
    held = sum(b.parameters for c in chains for b in c.blocks)
    if not isinstance(network, ForecastNetwork):  # its places and its linear part are no block
        assert held == structure.parameters


def test_messages_go_from_each_copy_to_the_next() -> None:
    picture = ur.draw(Recurrent(cells.GRU(), 8, 16, bidirectional=True), steps=4)
    there = [line for line in picture.lines() if line.part == "message"]
    back = [line for line in picture.lines() if line.part == "message-back"]
    assert len(there) == len(back) == 3 + 2  # between four copies, and at both ends
    assert all(line.points[0][0] < line.points[-1][0] and line.arrow for line in there)
    assert all(line.points[0][0] > line.points[-1][0] and line.arrow for line in back)


@pytest.mark.parametrize("steps", [1, 5, 12])
def test_as_many_copies_as_steps_and_one_set_of_weights(steps: int) -> None:
    layer = Recurrent(cells.LSTM(), 3, 5)
    boxes = [box for box in ur.draw(layer, steps=steps).boxes() if box.part == "forward"]
    assert len(boxes) == steps
    assert geometry_faults(ur.draw(layer, steps=steps)) == []
    assert len([b for b in ur.draw(ur.unroll(layer, steps)).boxes() if b.part == "forward"]) == steps
    for many in (steps, None):
        assert f"{count(layer)} weights, the same at every step" in words(ur.draw(layer, steps=many).svg())


def test_a_layer_in_one_direction_has_no_backward_copies() -> None:
    parts = {box.part for box in ur.draw(Recurrent(cells.LSTM(), 3, 5)).boxes()}
    assert "backward" not in parts


@pytest.mark.parametrize("both", [False, True])
def test_unrolled_gives_the_numbers_of_the_loop(both: bool) -> None:
    torch.manual_seed(3)
    layer = Recurrent(cells.PeepholeLSTM(), 4, 6, layers=2, bidirectional=both)
    x = torch.randn(3, 7, 4)
    loop, state = layer(x)
    chain, after = ur.unroll(layer, 7)(x)
    torch.testing.assert_close(chain, loop)
    for mine, theirs in zip(after, state, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(tuple(a), tuple(b))
    assert count(ur.unroll(layer, 7)) == count(layer)


def test_the_rolled_picture_has_a_loop_a_layer() -> None:
    def loops(picture) -> list[Line]:
        return [line for line in picture.lines() if line.part.startswith("message") and len(line.points) == 4]

    assert len(loops(ur.draw(nn.GRU(3, 4, 3), "rolled"))) == 3
    assert len(loops(ur.draw(nn.GRU(3, 4, 3, bidirectional=True), "rolled"))) == 6


def test_draw_of_a_model_shows_its_own_cell() -> None:
    layer = Recurrent(cells.GRU(), 3, 4)
    assert ur.draw(layer, "cell").svg() == ur.draw(cells.GRU()).svg()
    assert set(ur.drawings(layer)) == {"rolled", "unrolled", "cell"}
    assert set(ur.drawings(translator(cells.GRU(), both=False), name="translate")) == {"rolled", "unrolled", "cell"}


def test_a_fitted_estimator_is_drawn() -> None:
    pytest.importorskip("sklearn")
    model = ur.Classifier(cell="gru", hidden=4, epochs=1)
    with pytest.raises(ArgumentError, match=r"Classifier was not fitted yet; call fit first"):
        ur.draw(model)
    model.fit(["up up", "down", "up", "down down"] * 5, ["a", "b", "a", "b"] * 5)
    assert "GRU" in words(ur.draw(model).svg())


def test_the_document_is_valid_and_as_large_as_it_says(network: nn.Module) -> None:
    picture = ur.draw(network)
    assert float(parsed(picture.svg("dark")).get("width", 0)) == picture.width


def test_refusals() -> None:
    layer = Recurrent(cells.GRU(), 3, 4)
    with pytest.raises(ArgumentError, match=r"there is no view 'side'; choose one of rolled, unrolled, cell"):
        ur.draw(layer, "side")
    with pytest.raises(ArgumentError, match=r"a cell has no rolled view; draw a layer of it"):
        ur.draw(cells.GRU(), "rolled")
    with pytest.raises(ArgumentError, match=r"13 steps do not fit a picture; give 1 to 12"):
        ur.draw(layer, steps=13)
    with pytest.raises(ArgumentError, match=r"Linear holds no recurrent layer; draw one, such as"):
        ur.draw(nn.Linear(2, 2))
    with pytest.raises(ArgumentError, match=r"Sequential holds 2 recurrent layers"):
        ur.draw(nn.Sequential(nn.GRU(2, 2), nn.GRU(2, 2)))
    with pytest.raises(ArgumentError, match=r"a str cannot be drawn; give a cell, a layer, a network or an estimator"):
        ur.draw("gru")


def test_weights_after_a_pooling_are_not_said_to_serve_every_step() -> None:
    network = NETWORKS["one-layer classifier"]()
    found = words(ur.draw(network).svg())
    assert f"{count(network.output)} weights" in found
    assert f"{count(network.recurrent)} weights, the same at every step" in found
