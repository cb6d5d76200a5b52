"""Text in parts: the same units as of the whole text, wherever it is cut."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import Vocabulary, build_vocabulary
from unrolled.data.vocabulary.encoder import LONGEST_WAIT
from unrolled.errors import ArgumentError

TEXT = (
    "Don't say 'tis 3,14 or 1.5... (so) -- said she!\n\nΟΔΥΣΣΕΥΣ ΟΔΟΣ' Σ'α, ΑΣ\u0301Α İstanbul; don 's new-\tfound  "
    "日本語のテキスト、はい。 naïve é e\u0301 \U0001f600\U0001f600 '' \"so\" a'Σ.b 'S"
)
KINDS = [("char", False), ("char", True), ("word", False), ("word", True), ("byte", False), ("subword", False)]
# Of the words above, so that what is hard comes often.
PIECES = st.lists(st.sampled_from([*TEXT.split(" "), " ", "\n", "\u00a0", "\x1c", "Σ", "'", "A", ".", "Σ\u0301", ""]))
VOCABULARIES = {kind: build_vocabulary(kind[0], [TEXT], lowercase=kind[1], size=None) for kind in KINDS}


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in pairwise(edges)]


def in_parts(vocabulary: Vocabulary, parts: list[str]) -> list[int]:
    """The ids, with the encoder saved and loaded between all parts."""
    encoder, found = vocabulary.encoder(), []
    for part in parts:
        found += encoder.push(part).tolist()
        saved = json.loads(json.dumps(encoder.save()))
        encoder = vocabulary.encoder()
        encoder.load(saved)
    return [*found, *encoder.finish().tolist()]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(pieces=PIECES, places=st.lists(st.integers(0, 500), max_size=12))
def test_any_cutting_gives_the_units_of_the_whole(kind: tuple[str, bool], pieces: list[str], places: list[int]) -> None:
    vocabulary, text = VOCABULARIES[kind], "".join(pieces)
    assert in_parts(vocabulary, cut(text, places)) == vocabulary.encode(text).tolist()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_letter_by_letter(kind: tuple[str, bool]) -> None:
    vocabulary = VOCABULARIES[kind]
    assert in_parts(vocabulary, list(TEXT)) == vocabulary.encode(TEXT).tolist()


SYMBOLS = ["a b  c", "a\tb\t c \t", "\ta b\tc", " a", "a \tb c\t"]


@pytest.mark.parametrize(
    ("known", "text"),
    [
        *(("a\tb\tc", text) for text in SYMBOLS),
        *(("New York\tBoston", text) for text in [*SYMBOLS, "New York\tBoston"]),
    ],
)
def test_symbols_letter_by_letter(known: str, text: str) -> None:
    vocabulary = build_vocabulary("symbol", [known])
    for parts in (list(text), [text], [text[:2], text[2:]]):
        assert in_parts(vocabulary, parts) == vocabulary.encode(text).tolist()


def test_symbols_that_were_parted_at_spaces_take_no_tab() -> None:
    encoder = build_vocabulary("symbol", ["a b c"]).encoder()
    assert len(encoder.push("a b ")) == 2
    with pytest.raises(ArgumentError, match="a tab came after symbols that were parted at spaces; part all of them"):
        encoder.push("c\tb")


def test_a_word_is_known_as_soon_as_its_end_is() -> None:
    encoder = VOCABULARIES["word", False].encoder()
    assert [len(encoder.push(part)) for part in ("say", " ", "sa", "id ", "she")] == [0, 1, 0, 1, 0]
    assert encoder.held == "she"


@pytest.mark.parametrize("kind", [("word", False), ("subword", False)], ids=str)
def test_what_is_held_back_is_bounded(kind: tuple[str, bool]) -> None:
    encoder = VOCABULARIES[kind].encoder()
    rng = np.random.default_rng(4)
    letters = "".join(rng.choice(list("abc"), LONGEST_WAIT // 2))
    encoder.push(letters)
    encoder.push(letters)
    with pytest.raises(ArgumentError, match="characters came without a place where a unit surely ends"):
        encoder.push("a")
    assert len(encoder.held) == LONGEST_WAIT
