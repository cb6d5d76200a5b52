from __future__ import annotations

import pytest
import torch

from unrolled.errors import ArgumentError
from unrolled.layers import Tokens
from unrolled.models import Embedding
from unrolled.models.embedding import UNKNOWN

WORDS, SIZE = 50, 8


def ids() -> torch.Tensor:
    return torch.randint(2, WORDS, (40, 10), generator=torch.Generator().manual_seed(1))


def test_each_id_has_its_vector() -> None:
    embedding = Embedding(WORDS, SIZE)
    assert torch.equal(embedding(ids()), embedding.weight[ids()])


@pytest.mark.parametrize("trainable", [False, True])
def test_pretrained_vectors_are_copied(trainable: bool) -> None:
    vectors = torch.randn(WORDS, SIZE, dtype=torch.float64)
    embedding = Embedding(WORDS, SIZE, vectors=vectors, trainable=trainable)
    torch.testing.assert_close(embedding.weight.detach(), vectors.float())
    assert embedding.weight.requires_grad == trainable
    vectors.zero_()
    assert embedding.weight.any()


def test_dropout_takes_whole_words_for_a_batch() -> None:
    embedding = Embedding(WORDS, SIZE, dropout=0.5)
    ratio = (embedding(ids()) / embedding.weight[ids()]).detach().round(decimals=4)
    assert set(ratio.unique().tolist()) == {0.0, 2.0}
    assert all(ratio[ids() == word].unique().numel() == 1 for word in ids().unique())
    assert torch.equal(embedding.eval()(ids()), embedding.weight[ids()])


def test_word_dropout_reads_single_tokens_as_unknown() -> None:
    embedding = Embedding(WORDS, SIZE, word_dropout=0.3)
    unknown = (embedding(ids()) == embedding.weight[UNKNOWN]).all(-1)
    assert 0.2 < unknown.float().mean() < 0.4
    assert not (embedding.eval()(ids()) == embedding.weight[UNKNOWN]).all(-1).any()


def test_representation_reads_well() -> None:
    assert repr(Embedding(5, 2, dropout=0.1)) == "Embedding(5 x 2, dropout=0.1)"
    assert repr(Embedding(5, 2, trainable=False)) == "Embedding(5 x 2, not trained)"


def test_errors_name_the_fault() -> None:
    with pytest.raises(ArgumentError, match=r"vectors have the shape \(3, 8\), but the embedding needs \(50, 8\)"):
        Embedding(WORDS, SIZE, vectors=torch.randn(3, SIZE))
    with pytest.raises(ArgumentError, match="word_dropout is 1, but"):
        Embedding(WORDS, SIZE, word_dropout=1)
    with pytest.raises(ArgumentError, match="encode the data with the vocabulary"):
        Embedding(WORDS, SIZE)(ids() + WORDS)


def test_positions_add_a_vector_for_each_place() -> None:
    torch.manual_seed(0)
    embedding = Embedding(7, 4, positions=3)
    ids = torch.randint(0, 7, (2, 5))
    assert embedding.positions is not None
    places = embedding.positions[[0, 1, 2, 2, 2]]
    torch.testing.assert_close(embedding(ids), embedding.weight[ids] + places)
    with pytest.raises(ArgumentError, match="the embedding is 7 x 4 with 0 positions, but all need at least 1"):
        Embedding(7, 4, positions=0)


def test_rows_are_what_is_returned_not_yet_looked_up() -> None:
    embedding = Embedding(6, 3)
    given = torch.randint(6, (2, 4))
    rows = embedding.rows(given)
    assert isinstance(rows, Tokens)
    torch.testing.assert_close(rows.dense(), embedding(given), rtol=0, atol=0)
    placed = Embedding(6, 3, positions=2)
    torch.testing.assert_close(placed.rows(given), placed(given), rtol=0, atol=0)


def test_a_hook_sees_what_a_recurrent_layer_reads() -> None:
    embedding, given = Embedding(6, 3), torch.randint(6, (2, 4))
    embedding.register_forward_hook(lambda module, inputs, found: 2 * found)
    torch.testing.assert_close(embedding.rows(given), 2 * embedding.weight[given], rtol=0, atol=0)
