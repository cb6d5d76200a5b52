"""From a trained network to translations: beam search, words copied from the source, where each one comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from unrolled.data import LengthBatches, pad_ids
from unrolled.data.vocabulary import PairVocabulary
from unrolled.decode import Advance, BeamSearch, Hypothesis
from unrolled.layers import Memory
from unrolled.models import TranslationNetwork
from unrolled.models.translation import Writing, take_rows

Ids = npt.NDArray[np.int64]
_BATCH = 32


@dataclass(frozen=True)
class Translation:
    """One translation, the log-probability of its units and the beam's score of it.

    `attention` (T, S) says how much each of `pieces` (T), the end among them, looked at each of `source` (S).
    """

    text: str
    log_probability: float
    score: float
    pieces: tuple[str, ...]
    source: tuple[str, ...]
    attention: npt.NDArray[np.floating]


@dataclass(frozen=True)
class _State:
    """What a step of the search goes on from; its rows are the hypotheses of the step before."""

    memory: Memory
    writing: Writing


class Translator:
    """A network with its vocabularies. `stretch`: how many times as long as its source a translation can be."""

    def __init__(self, network: TranslationNetwork, vocabulary: PairVocabulary, border: str, stretch: float) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.border = vocabulary.special(border)
        self.stretch = stretch

    def read(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text and the border, which is what an ending looks at."""
        return [np.append(ids, self.border) for ids in self.vocabulary.encode_all(texts)]

    @torch.no_grad()
    def translate(self, texts: Sequence[str], search: BeamSearch) -> list[list[Translation]]:
        """The best translations of each text, in the order of `texts`."""
        self.network.eval()
        encoded = self.read(texts)
        found: list[list[Translation]] = [[] for _ in texts]
        if texts:
            for rows in LengthBatches([len(ids) for ids in encoded], _BATCH, 0, shuffle=False).epoch(0):
                answers = self._search([encoded[row] for row in rows], search)
                for row, hypotheses in zip(rows.tolist(), answers, strict=True):
                    found[row] = [self._translation(texts[row], one) for one in hypotheses]
        return found

    def _search(self, encoded: Sequence[Ids], search: BeamSearch) -> list[list[Hypothesis]]:
        device = self.network.output.weight.device
        ids, lengths = pad_ids(encoded)
        state = _State(*self.network.encode(torch.from_numpy(ids).to(device), torch.from_numpy(lengths).to(device)))
        longest = np.ceil(self.stretch * lengths).astype(np.int64) + 10
        return search.search([self.border] * len(encoded), state, self._advance, longest, lengths)

    def _advance(self, tokens: Ids, rows: Ids, state: _State) -> Advance[_State]:
        device = state.memory.values.device
        chosen = torch.from_numpy(rows).to(device)
        memory = state.memory.take(chosen)
        ids = torch.from_numpy(tokens).to(device)
        logs, weights, writing = self.network.step(ids, memory, take_rows(state.writing, chosen))
        logs[:, self.vocabulary.pad] = -torch.inf
        return Advance(logs.cpu().numpy(), _State(memory, writing), weights.cpu().numpy())

    def _translation(self, text: str, found: Hypothesis) -> Translation:
        source = self.vocabulary.pieces(text)
        target = self.vocabulary.target
        attention = found.attention if found.attention is not None else np.zeros((0, len(source) + 1))
        # The border is no word that could be copied.
        copied = [source[int(row[:-1].argmax())] if source else "" for row in attention]
        written, pieces = [], []
        decoder, unknown = target.decoder(), target.decode([target.unknown])
        for token, word in zip(found.tokens, copied, strict=False):
            piece = decoder.push(token)
            if token == target.unknown:
                piece = piece.replace(unknown, word)
            written.append(piece)
            pieces.append(word if token == target.unknown else target.token(token))
        return Translation(
            "".join([*written, decoder.flush()]).strip(),
            found.log_probability,
            found.score,
            (*pieces, "</s>"),
            (*source, "</s>"),
            attention,
        )


def asked_search(
    own: BeamSearch,
    best: int = 1,
    width: int | None = None,
    length_penalty: float | None = None,
    coverage_penalty: float | None = None,
) -> BeamSearch:
    """A run's own search with what is asked for instead; the beam is at least `best` wide. Raises ArgumentError."""
    return replace(
        own,
        best=best,
        width=max(own.width, best) if width is None else width,
        length_penalty=own.length_penalty if length_penalty is None else length_penalty,
        coverage_penalty=own.coverage_penalty if coverage_penalty is None else coverage_penalty,
    )
