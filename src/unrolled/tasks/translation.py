"""From a network to translations: beam search, words copied from the source, where each is from. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from unrolled.data import LengthBatches, pad_ids
from unrolled.data.vocabulary import PairVocabulary
from unrolled.decode import Advance, BeamSearch, Hypothesis

Ids = npt.NDArray[np.int64]
_BATCH = 32
BORDER = "<sentence>"


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


class Writer(Protocol):
    """A network that reads source sentences and writes a unit at a time, on arrays."""

    def begin(self, ids: Ids, lengths: Ids) -> Any:
        """Where the search starts after the sources ids (B, S), one row each."""
        ...

    def advance(self, tokens: Ids, rows: Ids, state: Any) -> Advance[Any]:
        """One token after these rows: log p (N, V), what to go on from, and where it looked (N, S)."""
        ...


class Translator:
    """A network with its vocabularies. `stretch`: how many times as long as its source a translation can be."""

    def __init__(self, network: Writer, vocabulary: PairVocabulary, border: str, stretch: float) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.border = vocabulary.special(border)
        self.stretch = stretch

    def read(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text and the border, which is what an ending looks at."""
        return [np.append(ids, self.border) for ids in self.vocabulary.encode_all(texts)]

    def translate(self, texts: Sequence[str], search: BeamSearch) -> list[list[Translation]]:
        """The best translations of each text, in the order of `texts`."""
        encoded = self.read(texts)
        found: list[list[Translation]] = [[] for _ in texts]
        if texts:
            for rows in LengthBatches([len(ids) for ids in encoded], _BATCH, 0, shuffle=False).epoch(0):
                answers = self._search([encoded[row] for row in rows], search)
                for row, hypotheses in zip(rows.tolist(), answers, strict=True):
                    found[row] = [self._translation(texts[row], one) for one in hypotheses]
        return found

    def _search(self, encoded: Sequence[Ids], search: BeamSearch) -> list[list[Hypothesis]]:
        ids, lengths = pad_ids(encoded)
        longest = np.ceil(self.stretch * lengths).astype(np.int64) + 10
        state = self.network.begin(ids, lengths)
        return search.search([self.border] * len(encoded), state, self._advance, longest, lengths)

    def _advance(self, tokens: Ids, rows: Ids, state: Any) -> Advance[Any]:
        found = self.network.advance(tokens, rows, state)
        found.log_probabilities[:, self.vocabulary.pad] = -np.inf
        return found

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


def search_of(vocabulary: PairVocabulary, **settings: Any) -> BeamSearch:
    """The beam search of a run."""
    return BeamSearch(vocabulary.special(BORDER), **settings)
