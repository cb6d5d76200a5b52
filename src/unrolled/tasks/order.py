"""Word order with a language model: jumbled words into their likeliest order, and how coherent an order is.

Where spelling would give the order away, it tells nothing unless it is kept: if any word has a capital, whichever word
comes first gets one, and a word with a capital may lose it further on, as the model finds likelier; the mark that ends
the sentence stands behind the last word, whichever that is. All other marks stay with their words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from unrolled.data import pad_ids
from unrolled.data.vocabulary import join_symbols, split_symbols
from unrolled.decode.reorder import Jumble, Order, Reorder, Spelling
from unrolled.errors import ArgumentError
from unrolled.layers import map_state

if TYPE_CHECKING:
    from unrolled.tasks.language import LanguageTask

_FINAL = re.compile(r"(?<=.)[.!?…]+[\"'”’)\]]*$|^[.!?…]+$")
_SHORTENED = {"mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "vs.", "etc.", "e.g.", "i.e.", "a.m.", "p.m.", "no."}
_I = re.compile(r"I(?:['’].*)?[,;:]?$")
_ROWS = 256


@dataclass(frozen=True)
class Ordered:
    """A text in some order and what it costs in nats; `proven`: no order of these words costs less."""

    text: str
    nats: float
    proven: bool


@dataclass(frozen=True)
class Coherence:
    """How much better a text is than other orders of its words.

    `gain`: nats a word by which it costs less than they do on average. `rank`: share of them that cost more.
    """

    gain: float
    rank: float


def reorder(
    model: LanguageTask, text: str, count: int = 1, *, exact: int = 9, width: int = 64, keep: bool = False
) -> list[Ordered]:
    """The `count` likeliest orders of the words of a text, likeliest first.

    Up to `exact` words the best of all orders are found and proven; of more, those of a beam of this width. `keep`:
    capitals and marks stay with their words. Raises ArgumentError.
    """
    if count < 1 or exact < 0 or width < 1:
        raise ArgumentError(f"count={count}, exact={exact} and width={width} find nothing; give at least 1, 0 and 1")
    words, mark = _words(model, text, keep=keep)
    before, behind = model.line
    free = not keep and model.vocabulary.units != "symbol"
    capital = free and any(_capital(word) for word in words)
    if free:  # "The" beside "the" is the same word
        words = [_lowered(word) if _lowered(word) in words else word for word in words]
    different = Counter(words)
    jumble = Jumble(
        tuple(different.values()),
        tuple(_spellings(model, [_raised(word)] if capital else [word], "") for word in different),
        tuple(_spellings(model, [word, _lowered(word)] if free else [word], " ") for word in different),
        _mark_units(model, words[0], mark),
        tuple(behind),
    )
    search = Reorder(jumble, _reader(model), _start(model, before))
    found = search.exact(count) if jumble.size <= exact else search.beam(count, width)
    return [Ordered(_joined(model, order, mark), order.nats, order.proven) for order in found]


def coherence(model: LanguageTask, texts: Sequence[str], shuffles: int = 20, seed: int = 0) -> list[Coherence]:
    """How coherent the order of each text is, beside `shuffles` random orders of its words.

    Capitals and the final mark tell nothing in these either. Raises ArgumentError.
    """
    if shuffles < 1:
        raise ArgumentError(f"shuffles is {shuffles}, it must be 1 or more")
    rng = np.random.default_rng(seed)
    variants = [_shuffled(model, text, shuffles, rng) for text in texts]
    costs = iter(_costs(model, [spelled for orders in variants for order in orders for spelled in order]).tolist())
    found = []
    for orders in variants:
        own, *others = [min(next(costs) for _ in order) for order in orders]
        words = len(_words(model, orders[0][0], keep=True)[0])
        gain = float(np.mean(others) - own) / words if others else 0.0
        found.append(Coherence(gain, float(np.mean(np.array(others) > own)) if others else 0.0))
    return found


def _words(model: LanguageTask, text: str, *, keep: bool) -> tuple[list[str], str]:
    """The words of a text, and the mark that ends it where there is one alone; raises ArgumentError without a word."""
    if model.vocabulary.units == "symbol":
        words, mark = split_symbols(text), ""
    else:
        words, mark = text.split(), ""
        ends = [place for place, word in enumerate(words) if not keep and _final(word)]
        if len(ends) == 1:
            word = words[ends[0]]
            at = _FINAL.search(word)
            start = 0 if at is None else at.start()
            mark = word[start:] if start else f" {word}"
            words[ends[0] : ends[0] + 1] = [word[:start]] if start else []
    if not words:
        raise ArgumentError("the text has no word to put in order; give at least one")
    return words, mark


def _final(word: str) -> bool:
    """Whether a word ends in the mark of a sentence; a single letter or a shortened word has a full stop of its own."""
    own = word.lower() in _SHORTENED or re.fullmatch(r"[^\W\d_]\.", word) is not None
    return not own and _FINAL.search(word) is not None


def _letter(word: str) -> int:
    return next((place for place, letter in enumerate(word) if letter.isalpha()), len(word))


def _capital(word: str) -> bool:
    """Whether a word has a capital that may be that of the first word; I has its own."""
    place = _letter(word)
    return word[place : place + 1].isupper() and not _I.match(word)


def _raised(word: str) -> str:
    place = _letter(word)
    return word[:place] + word[place : place + 1].upper() + word[place + 1 :]


def _lowered(word: str) -> str:
    """The word without a capital at its beginning, where it has that one alone."""
    place = _letter(word)
    if not _capital(word) or any(letter.isupper() for letter in word[place + 1 :]):
        return word
    return word[:place] + word[place : place + 1].lower() + word[place + 1 :]


def _spellings(model: LanguageTask, texts: Sequence[str], space: str) -> tuple[Spelling, ...]:
    """Spellings that the model can tell apart, with the space before the word where there is one."""
    space = "" if model.vocabulary.units == "symbol" else space
    found: dict[tuple[int, ...], str] = {}
    for text in texts:
        whole = _name(model, text)
        found.setdefault(tuple(model.vocabulary.encode(space + whole).tolist()), text)
    return tuple(Spelling(text, units) for units, text in found.items())


def _name(model: LanguageTask, word: str) -> str:
    """A word as its vocabulary reads it alone: a symbol with spaces in it needs its tab."""
    return join_symbols([word]) if model.vocabulary.units == "symbol" else word


def _mark_units(model: LanguageTask, word: str, mark: str) -> tuple[int, ...]:
    alone = model.vocabulary.encode(_name(model, word))
    return tuple(model.vocabulary.encode(word + mark)[len(alone) :].tolist()) if mark else ()


def _joined(model: LanguageTask, order: Order, mark: str) -> str:
    return join_symbols(order.words) if model.vocabulary.units == "symbol" else " ".join(order.words) + mark


@torch.no_grad()
def _start(model: LanguageTask, before: Sequence[int]) -> tuple[npt.NDArray[np.float64], Any]:
    model.module.eval()
    logits, state = model.module(torch.tensor([list(before)], device=model.device))
    return _logs(logits[:, -1]), state


def _reader(model: LanguageTask) -> Any:
    """The model as `decode.reorder` reads it."""

    @torch.no_grad()
    def read(units: npt.NDArray[np.int64], parts: Sequence[tuple[Any, Any]]) -> tuple[npt.NDArray[np.float64], Any]:
        rows = [torch.from_numpy(np.asarray(row)).to(model.device) for _, row in parts]

        def picked(*same: torch.Tensor) -> torch.Tensor:
            return torch.cat([one[row] for one, row in zip(same, rows, strict=True)])

        state = map_state(picked, *(state for state, _ in parts))
        logits, state = model.module.step(torch.from_numpy(units).to(model.device), state)
        return _logs(logits), state

    return read


def _logs(logits: torch.Tensor) -> npt.NDArray[np.float64]:
    logs: npt.NDArray[np.float64] = torch.log_softmax(logits, -1).cpu().numpy()
    return logs


def _shuffled(model: LanguageTask, text: str, shuffles: int, rng: np.random.Generator) -> list[list[str]]:
    """The text and other orders of its words, each in one or two spellings of the word that was first."""
    if model.vocabulary.units == "symbol":
        words, mark = _words(model, text, keep=True)
        orders = _orders(len(words), shuffles, rng)
        return [[join_symbols([words[i] for i in order])] for order in [range(len(words)), *orders]]
    words, mark = _words(model, text, keep=False)
    capital = _capital(words[0])
    found = [[" ".join(words) + mark]]
    for order in _orders(len(words), shuffles, rng):
        rest = [words[i] for i in order]
        heads = {words[0], _lowered(words[0])} if capital else {words[0]}
        spelled = []
        for head in sorted(heads):
            named = [head if i == 0 else words[i] for i in order]
            named[0] = _raised(rest[0]) if capital else rest[0]
            spelled.append(" ".join(named) + mark)
        found.append(list(dict.fromkeys(spelled)))
    return found


def _orders(size: int, count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Up to `count` different orders of 0..size-1 other than that one."""
    found: dict[tuple[int, ...], None] = {}
    for _ in range(4 * count):
        order = tuple(rng.permutation(size).tolist())
        if order != tuple(range(size)) and len(found) < count:
            found[order] = None
    return list(found)


@torch.no_grad()
def _costs(model: LanguageTask, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """What each text costs as a line of its own, in nats."""
    model.module.eval()
    before, behind = model.line
    costs = []
    for begin in range(0, len(texts), _ROWS):
        documents = model.vocabulary.encode_all(texts[begin : begin + _ROWS])
        rows = [np.concatenate([before, units, behind]).astype(np.int64) for units in documents]
        ids, lengths = pad_ids(rows)
        costs.append(model.nats(ids, lengths, np.full(len(rows), len(before) - 1)))
    return np.concatenate(costs)
