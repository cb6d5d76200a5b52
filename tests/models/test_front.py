from __future__ import annotations

import pytest
import torch

from unrolled.cells import GRU
from unrolled.errors import ArgumentError
from unrolled.layers import Pooling, Recurrent
from unrolled.models.front import Convolutions
from unrolled.models.sequence import SequenceNetwork


@pytest.fixture
def front() -> Convolutions:
    torch.manual_seed(0)
    made = Convolutions(3, 5, 2, kernel=3, stride=2)
    made(torch.randn(4, 11, 3), torch.tensor([11, 7, 3, 9]))  # averages that are not those of the start
    return made


@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_nothing(front: Convolutions, training: bool) -> None:
    x, lengths = torch.randn(3, 10, 3), torch.tensor([10, 6, 1])
    x = x * (torch.arange(10)[None, :, None] < lengths[:, None, None])
    longer = torch.cat((x, torch.zeros(3, 7, 3)), 1)
    saved = {name: value.clone() for name, value in front.state_dict().items()}
    found, after = front.train(training)(x, lengths)
    front.load_state_dict(saved)
    more, again = front(longer, lengths)
    assert after.tolist() == again.tolist() == [3, 2, 1]
    torch.testing.assert_close(found, more[:, : found.shape[1]])
    assert not more[:, found.shape[1] :].any()
    assert not found[1, 2:].any() and not found[2, 1:].any()


def test_in_evaluation_an_answer_does_not_depend_on_the_batch(front: Convolutions) -> None:
    x, lengths = torch.randn(3, 9, 3), torch.tensor([9, 9, 9])
    together, _ = front.eval()(x, lengths)
    for row in range(3):
        torch.testing.assert_close(front(x[row : row + 1], lengths[:1])[0][0], together[row])


def test_channels_are_normalised_over_true_steps(front: Convolutions) -> None:
    norm = front.norms[1]
    seen: list[torch.Tensor] = []
    norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    front.train()(torch.randn(6, 21, 3), torch.tensor([21, 3, 8, 13, 20, 5]))
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[0].std(0, unbiased=False), torch.ones(5), atol=1e-3, rtol=0)


def test_a_single_step_can_be_learnt_from(front: Convolutions) -> None:
    found, lengths = front.train()(torch.randn(1, 1, 3), torch.tensor([1]))
    assert found.shape == (1, 1, 5) and lengths.tolist() == [1] and found.isfinite().all()


def test_a_network_with_convolutions_pools_over_the_steps_they_leave() -> None:
    torch.manual_seed(1)
    front = Convolutions(3, 5, 2, kernel=3, stride=2)
    network = SequenceNetwork(None, Recurrent(GRU(), 5, 4), Pooling("attention", 4), 2, front=front).eval()
    x, lengths = torch.randn(2, 12, 3), torch.tensor([12, 5])
    weights = network.attention(x, lengths)
    assert weights.shape == (2, 3)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    x[1, 5:] = float("nan")  # whatever stands there
    torch.testing.assert_close(network(x, lengths)[1], network(x[1:, :5], lengths[1:])[0])


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(
        ArgumentError, match="convolutions=2 of kernel=4 and stride=1 from 3 to 5 channels cannot be made"
    ):
        Convolutions(3, 5, 2, kernel=4)
    with pytest.raises(ArgumentError, match="the convolutions put out 5 features, but the recurrent layer takes 6"):
        SequenceNetwork(None, Recurrent(GRU(), 6, 4), Pooling("max", 4), 2, front=Convolutions(3, 5, 1))
