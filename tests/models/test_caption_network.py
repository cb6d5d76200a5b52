from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from unrolled import cells
from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent
from unrolled.models import ImageEncoder
from unrolled.models.caption import CaptionNetwork
from unrolled.models.embedding import UNKNOWN


def network(cell: Any = None, *, layers: int = 1, features: int | None = None, **more: Any) -> CaptionNetwork:
    torch.manual_seed(3)
    encoder = ImageEncoder((8, 16)) if features is None else None
    recurrent = Recurrent(cell or cells.GRU(), 5, 7, layers=layers)
    return CaptionNetwork(encoder, 11, recurrent, features=features, **more).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 12, 16)


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(0, 11, (3, 6))


@pytest.mark.parametrize("attention", ["additive", "multiplicative"])
@pytest.mark.parametrize("cell", [cells.GRU(), cells.LSTM(), cells.IndRNN()])
def test_step_by_step_is_the_whole_caption(cell: Any, attention: str, images: torch.Tensor, ids: torch.Tensor) -> None:
    model = network(cell, layers=2, attention=attention)
    view = model.look(images)
    logits, weights = model(view, ids)
    assert logits.shape == (3, 6, 11)
    assert weights.shape == (3, 6, 12)
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 6))
    state = None
    for t in range(6):
        found, state, looked = model.step(view, ids[:, t], state)
        torch.testing.assert_close(found, logits[:, t], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(looked, weights[:, t], atol=1e-5, rtol=1e-4)


def test_rows_of_a_view_are_pictures_of_their_own(images: torch.Tensor, ids: torch.Tensor) -> None:
    model = network()
    together = model(model.look(images).take(torch.tensor([2, 0, 2])), ids)[0]
    torch.testing.assert_close(together[0], model(model.look(images[2:]), ids[:1])[0][0], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(together[0, -1], model(model.look(images[:1]), ids[:1])[0][0, -1], atol=1e-3)


def test_the_loss_is_cross_entropy_within_the_lengths(images: torch.Tensor, ids: torch.Tensor) -> None:
    model, lengths = network(), torch.tensor([6, 2, 4])
    targets = torch.randint(0, 11, (3, 6))
    view = model.look(images)
    logits = model(view, ids)[0]
    inside = torch.arange(6) < lengths[:, None]
    expected = functional.cross_entropy(logits[inside], targets[inside])
    torch.testing.assert_close(model.loss(view, ids, targets, lengths), expected)
    changed = targets.masked_fill(~inside, 3)
    torch.testing.assert_close(model.loss(view, ids, changed, lengths), expected)


def test_where_a_region_lies_weighs_as_much_as_what_is_seen_there() -> None:
    encoder = network().encoder
    assert encoder is not None
    seen, placed = encoder.place.weight.detach().flatten(1).split((16, 2), 1)
    assert placed.norm() > seen.norm()


def test_every_weight_learns(images: torch.Tensor, ids: torch.Tensor) -> None:
    model = network(dropout=0.1).train()
    model.loss(model.look(images), ids, ids.roll(1, 1), torch.tensor([6, 5, 6])).backward()
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert missing == []


def test_dropout_acts_in_training_alone(images: torch.Tensor, ids: torch.Tensor) -> None:
    model = network(dropout=0.5)
    view = model.look(images)
    torch.testing.assert_close(model(view, ids)[0], model(model.look(images), ids)[0])
    model.train()
    assert not torch.allclose(model(view, ids)[0], model(view, ids)[0])


def test_words_are_read_as_unknown_in_training_alone(images: torch.Tensor, ids: torch.Tensor) -> None:
    model = network(word_dropout=0.999999)
    view = model.look(images)
    torch.testing.assert_close(model(view, ids)[0], network()(view, ids)[0])
    unknown = model(view, torch.full_like(ids, UNKNOWN))[0]
    torch.testing.assert_close(model.train()(view, ids)[0], unknown)


def test_features_are_read_as_regions(ids: torch.Tensor) -> None:
    model = network(features=9)
    regions = torch.randn(3, 5, 9)
    logits, weights = model(model.look(regions), ids)
    assert (logits.shape, weights.shape) == ((3, 6, 11), (3, 6, 5))
    order = torch.randperm(5)
    again, moved = model(model.look(regions[:, order]), ids)
    torch.testing.assert_close(again, logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(moved, weights[..., order], atol=1e-5, rtol=1e-4)
    with pytest.raises(
        ArgumentError, match=r"the features have the shape \(3, 5, 8\), but this network reads \(B, R, 9\)"
    ):
        model.look(torch.randn(3, 5, 8))


def test_refusals() -> None:
    one_way, both = Recurrent(cells.GRU(), 5, 7), Recurrent(cells.GRU(), 5, 7, bidirectional=True)
    with pytest.raises(ArgumentError, match="build the recurrent layer with bidirectional=False"):
        CaptionNetwork(None, 11, both, features=4)
    with pytest.raises(ArgumentError, match="give one of the two"):
        CaptionNetwork(None, 11, one_way)
    with pytest.raises(ArgumentError, match="give one of the two"):
        CaptionNetwork(ImageEncoder((8,)), 11, one_way, features=4)
    model = CaptionNetwork(None, 11, one_way, features=4)
    with pytest.raises(ArgumentError, match=r"needs one id a row, \(B,\)"):
        model.step(model.look(torch.randn(2, 3, 4)), torch.zeros(2, 1, dtype=torch.int64))
