"""The conditional random field against brute force over all sequences of labels."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.models import ConditionalRandomField

K = 3
LENGTHS = (4, 1, 3, 2)


@pytest.fixture
def crf() -> ConditionalRandomField:
    torch.manual_seed(3)
    found = ConditionalRandomField(K).double()
    for parameter in found.parameters():
        torch.nn.init.normal_(parameter)
    return found


@pytest.fixture
def emissions() -> Tensor:
    return torch.randn(len(LENGTHS), max(LENGTHS), K, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def score(crf: ConditionalRandomField, e: Tensor, path: tuple[int, ...]) -> Tensor:
    """s(y), term by term."""
    found = crf.start[path[0]] + crf.end[path[-1]] + sum(e[t, k] for t, k in enumerate(path))
    return found + sum(crf.transitions[a, b] for a, b in pairwise(path))


def test_likelihood_decoding_and_marginals_are_those_of_all_sequences(
    crf: ConditionalRandomField, emissions: Tensor
) -> None:
    lengths = torch.tensor(LENGTHS)
    labels = torch.randint(K, emissions.shape[:2], generator=torch.Generator().manual_seed(7))
    likelihood = crf.log_likelihood(emissions, labels, lengths)
    decoded = crf.decode(emissions, lengths)
    marginals = crf.marginals(emissions, lengths)
    for row, length in enumerate(LENGTHS):
        paths = list(product(range(K), repeat=length))
        scores = torch.stack([score(crf, emissions[row], path) for path in paths])
        log_z = scores.logsumexp(0)
        given = score(crf, emissions[row], tuple(labels[row, :length].tolist()))
        torch.testing.assert_close(likelihood[row], given - log_z)
        assert decoded[row, :length].tolist() == list(paths[int(scores.argmax())])
        for t in range(length):
            wanted = [sum((s - log_z).exp() for s, p in zip(scores, paths, strict=True) if p[t] == k) for k in range(K)]
            torch.testing.assert_close(marginals[row, t], torch.stack(wanted))


def test_what_lies_past_a_length_counts_for_nothing(crf: ConditionalRandomField, emissions: Tensor) -> None:
    lengths = torch.tensor(LENGTHS)
    labels = torch.zeros(emissions.shape[:2], dtype=torch.int64)
    spoilt, other = emissions.clone(), labels.clone()
    for row, length in enumerate(LENGTHS):
        spoilt[row, length:] = 1e6
        other[row, length:] = K - 1
    torch.testing.assert_close(
        crf.log_likelihood(spoilt, other, lengths), crf.log_likelihood(emissions, labels, lengths)
    )
    assert torch.equal(crf.decode(spoilt, lengths), crf.decode(emissions, lengths))
    assert not crf.decode(spoilt, lengths)[1, 1:].any()


def test_the_likelihood_has_a_gradient(crf: ConditionalRandomField, emissions: Tensor) -> None:
    lengths, labels = torch.tensor(LENGTHS), torch.ones(emissions.shape[:2], dtype=torch.int64)
    assert torch.autograd.gradcheck(lambda e: crf.log_likelihood(e, labels, lengths), emissions.requires_grad_())


def test_refusals(crf: ConditionalRandomField, emissions: Tensor) -> None:
    lengths = torch.tensor(LENGTHS)
    with pytest.raises(ArgumentError, match=r"emissions are \(4, 4, 2\); give \(B, T, 3\)"):
        crf.decode(emissions[:, :, :2], lengths)
    with pytest.raises(ArgumentError, match="lengths must be 4 numbers from 1 to 4"):
        crf.decode(emissions, lengths - 1)
    with pytest.raises(ArgumentError, match=r"labels are \(4, 3\)"):
        crf.log_likelihood(emissions, torch.zeros(4, 3, dtype=torch.int64), lengths)
