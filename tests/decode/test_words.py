from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from unrolled.decode import Kind, WordBeam, kind_of

UNITS = ["", " ", "a", "b", ","]


class Chain:
    """A Markov chain over the units: its state is the unit read last, its words can be summed by hand."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        p = rng.random((len(UNITS), len(UNITS))) ** 2
        p[:, 0] = 0
        p[2:4, 2:4] *= 0.4  # words end soon, so that their sum is nearly complete
        self.p = p / p.sum(1, keepdims=True)

    def advance(self, ids: np.ndarray, rows: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert len(states) > rows.max()
        with np.errstate(divide="ignore"):
            return np.log(self.p[ids]), ids

    def beam(self, width: int) -> WordBeam[np.ndarray]:
        kinds = np.array([kind_of(u) for u in UNITS])
        return WordBeam(kinds, lambda ids: "".join(UNITS[i] for i in ids), self.advance, width, longest=14)

    def by_hand(self, last: int, *, in_word: bool) -> dict[str, float]:
        """Sum over up to three leading spaces and words of up to five letters."""
        found: dict[str, float] = {}
        first = self.p[last].copy()
        if in_word:
            first[2:4] = 0
            first /= first.sum()
        for spaces, letters in product(range(12), range(6)):
            for word in product((2, 3), repeat=letters):
                path = (1,) * spaces + word
                endings = (1, 4) if word else (4,)
                for ending in endings:
                    steps = (*path, ending)
                    p = first[steps[0]] * np.prod([self.p[a, b] for a, b in pairwise(steps)])
                    text = "".join(UNITS[u] for u in word) or ","
                    found[text] = found.get(text, 0.0) + p
        return found


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("last", "in_word"), [(2, True), (1, False)])
def test_a_wide_beam_sums_what_can_be_summed_by_hand(seed: int, last: int, in_word: bool) -> None:
    chain = Chain(seed)
    with np.errstate(divide="ignore"):
        first = np.log(chain.p[[last]])
    words = chain.beam(4000).words(first, np.array([last]), 5, in_word=in_word)
    by_hand = chain.by_hand(last, in_word=in_word)
    expected = sorted(by_hand.items(), key=lambda item: -item[1])[:5]
    assert [w for w, _ in words] == [w for w, _ in expected]
    np.testing.assert_allclose([p for _, p in words], [p for _, p in expected], rtol=2e-2)


def test_a_narrow_beam_finds_the_likeliest_word_and_never_too_much() -> None:
    chain = Chain(4)
    with np.errstate(divide="ignore"):
        first = np.log(chain.p[[1]])
    wide = dict(chain.beam(4000).words(first, np.array([1]), 50, in_word=False))
    narrow = chain.beam(6).words(first, np.array([1]), 3, in_word=False)
    assert narrow[0][0] == max(wide, key=lambda word: wide[word])
    assert all(p <= wide[word] + 1e-12 for word, p in narrow)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Kind.NOTHING),
        ("\n", Kind.SPACE),
        ("é", Kind.LETTER),
        ("'", Kind.LETTER),
        (" the", Kind.BEGIN),
        ("ing", Kind.LETTER),
        (";", Kind.MARK),
        (" (", Kind.MARK),
    ],
)
def test_kinds_of_units(text: str, kind: Kind) -> None:
    assert kind_of(text) == kind
