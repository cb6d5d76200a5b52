"""A vector for each word of a sentence, made of the word, its characters and its outward form."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.layers import Pooling, Recurrent
from unrolled.models.embedding import Embedding

_FORM_WIDTH = 8


class Words(NamedTuple):
    """Sentences (B, T) as word ids and forms, and `which` of the U different spellings each word has.

    `characters` are ids (U, C), each spelling `spelling_lengths` (U,) of them long.
    """

    ids: Tensor
    forms: Tensor
    which: Tensor
    characters: Tensor
    spelling_lengths: Tensor


class WordEncoder(nn.Module):
    """[embedding of the word; last states of a recurrent layer over its characters; embedding of its form].

    `Words` -> (B, T, E) (Ling et al. 2015; Lample et al. 2016). Each spelling of a batch is read once. `spelling` may
    be None: words without characters.
    """

    def __init__(self, words: Embedding, forms: int, characters: Embedding | None, spelling: Recurrent | None) -> None:
        super().__init__()
        self.words = words
        self.forms = nn.Parameter(0.1 * torch.randn(forms, _FORM_WIDTH))
        self.characters = characters
        self.spelling = spelling
        self.pooling = None if spelling is None else Pooling("last", spelling.output_size, bidirectional=True)

    @property
    def output_size(self) -> int:
        """E."""
        spelled = 0 if self.spelling is None else self.spelling.output_size
        return int(self.words.weight.shape[1]) + _FORM_WIDTH + spelled

    def forward(self, words: Words) -> Tensor:
        parts = [self.words(words.ids), functional.embedding(words.forms, self.forms)]
        if self.characters is not None and self.spelling is not None and self.pooling is not None:
            read, _ = self.spelling(self.characters(words.characters), lengths=words.spelling_lengths)
            parts.append(functional.embedding(words.which, self.pooling(read, words.spelling_lengths)))
        return torch.cat(parts, 2)
