from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from unrolled import Recurrent, Regularisation, cells
from unrolled.errors import ArgumentError
from unrolled.models.transcription import TranscriptionNetwork, ctc_cost, join_steps


def network(reductions: tuple[int, ...], *, bidirectional: bool = False, norm: bool = False) -> TranscriptionNetwork:
    stages, width = [], 3
    for factor in reductions:
        stages.append(Recurrent(cells.GRU(), width * factor, 5, bidirectional=bidirectional))
        width = stages[-1].output_size
    net = TranscriptionNetwork(stages, reductions, 4, norm=norm).double()
    for normalisation in net.norms or ():
        torch.nn.init.normal_(normalisation.bias)
    return net


@pytest.mark.parametrize("reductions", [(1,), (3,), (2, 2), (1, 2, 2)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_nothing(reductions: tuple[int, ...], bidirectional: bool) -> None:
    torch.manual_seed(0)
    net = network(reductions, bidirectional=bidirectional, norm=True)
    lengths = torch.tensor([7, 12, 1, 4])
    x = torch.randn(4, 12, 3, dtype=torch.float64)
    rows = [x[i, :n] for i, n in enumerate(lengths)]
    logits, steps = net(x, lengths)
    assert steps.tolist() == [-(-n // net.reduction) for n in lengths.tolist()]
    for i, row in enumerate(rows):
        alone, _ = net(row[None])
        torch.testing.assert_close(logits[i, : steps[i]], alone[0])


@pytest.mark.parametrize("reductions", [(1,), (4,), (1, 2, 2)])
def test_parts_of_a_stream_give_what_the_whole_does(reductions: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    net = network(reductions)
    x = torch.randn(2, 19, 3, dtype=torch.float64)
    whole, _ = net(x)
    found, states = [], None
    for part in (x[:, :4], x[:, 4:16], x[:, 16:]):
        logits, states = net.advance(part, states)
        found.append(logits)
    torch.testing.assert_close(torch.cat(found, 1), whole)


def test_joining_keeps_the_order_of_time_and_fills_up_with_zeros() -> None:
    x = torch.randn(2, 5, 3)
    joined = join_steps(x, 2)
    assert joined.shape == (2, 3, 6)
    torch.testing.assert_close(joined[:, 1], torch.cat([x[:, 2], x[:, 3]], 1))
    torch.testing.assert_close(joined[:, 2], torch.cat([x[:, 4], torch.zeros(2, 3)], 1))


def test_cost_is_minus_the_log_of_the_sum_over_all_alignments() -> None:
    torch.manual_seed(2)
    logits = torch.randn(2, 5, 3)
    targets, lengths, counts = torch.tensor([[2, 2], [1, 0]]), torch.tensor([5, 3]), torch.tensor([2, 1])
    costs = ctc_cost(logits, lengths, targets, counts)
    for row in range(2):
        logs = logits[row].log_softmax(-1)
        steps, target = int(lengths[row]), targets[row, : counts[row]].tolist()
        paths = [path for path in product(range(3), repeat=steps) if spelt(path) == target]
        total = torch.logsumexp(torch.stack([logs_of(logs, path) for path in paths]), 0)
        torch.testing.assert_close(costs[row], -total)


def spelt(path: tuple[int, ...]) -> list[int]:
    return [s for place, s in enumerate(path) if s != 0 and (place == 0 or path[place - 1] != s)]


def logs_of(logs: Tensor, path: tuple[int, ...]) -> Tensor:
    return logs[torch.arange(len(path)), list(path)].sum()


def test_dropout_is_for_training_alone() -> None:
    torch.manual_seed(3)
    stage = Recurrent(cells.GRU(), 3, 5, regularisation=Regularisation())
    net = TranscriptionNetwork([stage], [1], 4, dropout=0.5)
    x = torch.randn(1, 6, 3)
    assert not torch.equal(net(x)[0], net(x)[0])
    net.eval()
    assert torch.equal(net(x)[0], net(x)[0])


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="a stage reads 5 features, but 2 steps of the one before have 10"):
        TranscriptionNetwork([Recurrent(cells.GRU(), 3, 5), Recurrent(cells.GRU(), 5, 5)], [1, 2], 4)
    with pytest.raises(ArgumentError, match="1 stages and reductions"):
        TranscriptionNetwork([Recurrent(cells.GRU(), 3, 5)], [0], 4)
    with pytest.raises(ArgumentError, match="cannot answer before the sequence ends; train with --causal"):
        network((1,), bidirectional=True).advance(torch.zeros(1, 2, 3))
