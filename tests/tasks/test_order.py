"""Word order with a language model, against the cost of every permutation."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

import unrolled as ur
from unrolled.errors import ArgumentError
from unrolled.tasks import TASKS, Common, open_run
from unrolled.tasks.language import LanguageTask
from unrolled.tasks.order import _costs, coherence, reorder

SUBJECTS, VERBS, OBJECTS = ("Tom", "the cat", "my aunt"), ("sees", "feeds"), ("a dog", "the old man")


@pytest.fixture(scope="module", params=["char", "word", "byte", "subword"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LanguageTask:
    """A model of sentences, one a row or, of characters, one a line of a text; the weights are as they began."""
    if request.param == "subword":
        pytest.importorskip("tokenizers")
    rng = np.random.default_rng(4)
    folder = tmp_path_factory.mktemp(request.param)
    sentences = [f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)}." for _ in range(150)]
    sentences = [sentence[0].upper() + sentence[1:] for sentence in sentences]
    as_lines = request.param == "char"
    path = folder / ("in.txt" if as_lines else "in.csv")
    path.write_text("\n".join([*([] if as_lines else ["text"]), *sentences, ""]), encoding="utf-8")
    options = TASKS["language"].options(units=request.param, hidden=24, embedding=12, batch_size=4, window=24)
    common = Common(data=path, out=folder / "run", epochs=6, threads=1)
    result = TASKS["language"].train(options, common).model
    assert isinstance(result, LanguageTask)
    assert (result.ends, result.lines) == (not as_lines, as_lines)
    return result


def every_order(model: LanguageTask, spelled: list[list[str]], mark: str, first: list[str]) -> list[tuple[float, str]]:
    """Each order of the words in its cheapest spelling, the cheapest first; `first`: how each is written in front."""
    found = []
    for order in permutations(range(len(spelled))):
        texts = [first[order[0]]]
        for place in order[1:]:
            texts = [f"{text} {word}" for text in texts for word in spelled[place]]
        texts = [text + mark for text in texts]
        costs = _costs(model, texts)
        found.append((float(costs.min()), texts[int(costs.argmin())]))
    return sorted(found)


def test_the_best_orders_are_those_of_all_permutations(model: LanguageTask) -> None:
    wanted = every_order(
        model, [["sees"], ["dog"], ["Tom", "tom"], ["a"], ["Old", "old"]], ".", ["Sees", "Dog", "Tom", "A", "Old"]
    )
    found = reorder(model, "sees dog. Tom a Old", 4)
    assert [order.nats for order in found] == pytest.approx([cost for cost, _ in wanted[:4]], rel=1e-5)
    assert [order.text for order in found] == [text for _, text in wanted[:4]]
    assert all(order.proven for order in found)
    wide = reorder(model, "sees dog. Tom a Old", 4, exact=0, width=500)
    assert [order.text for order in wide] == [order.text for order in found]
    assert not any(order.proven for order in wide)


def test_a_word_with_a_capital_is_the_same_as_without(model: LanguageTask) -> None:
    found = reorder(model, "The sees dog the cat.", 30)
    assert len({order.text for order in found}) == 30
    assert all(order.text.lower().rstrip(".").split().count("the") == 2 for order in found)
    assert len(reorder(model, "The the", 5)) == 1


def test_kept_capitals_and_marks_stay_with_their_words(model: LanguageTask) -> None:
    words = ["sees", "dog.", "Tom", "a"]
    wanted = every_order(model, [[word] for word in words], "", words)
    found = reorder(model, " ".join(words), 2, keep=True)
    assert [order.text for order in found] == [text for _, text in wanted[:2]]


@pytest.mark.parametrize(
    ("text", "words", "mark"),
    [
        ("He sees her", {"he", "sees", "her"}, ""),
        ("sees her, he?!", {"sees", "her,", "he"}, "?!"),
        ("he said: go.” now", {"he", "said:", "go", "now"}, ".”"),
        ("sees . he her", {"sees", "he", "her"}, " ."),
        ("I met Mr. Fox and A. Bee", {"i", "met", "mr.", "fox", "and", "a.", "bee"}, ""),
        ("Stop. Go now. He", {"stop.", "go", "now.", "he"}, ""),
    ],
)
def test_marks_that_end_a_sentence_are_put_behind_it(text: str, words: set[str], mark: str, runs: Path) -> None:
    model = open_run(runs / "language")
    assert isinstance(model, LanguageTask)
    (order,) = reorder(model, text, exact=0, width=2)
    assert order.text.endswith(mark)
    body = order.text.removesuffix(mark)
    assert {word.lower() for word in body.split()} == words
    assert body[0].isupper() == (text != text.lower())
    assert len(reorder(model, text.lower(), exact=0, width=2)[0].text) == len(order.text)


def test_the_cost_is_that_of_a_line_of_its_own(model: LanguageTask) -> None:
    before, behind = model.line
    text = "Tom feeds a dog."
    ids = torch.tensor([[*before, *model.vocabulary.encode(text), *behind]])
    with torch.no_grad():
        logs = torch.log_softmax(model.module(ids[:, :-1])[0].double(), -1)
    nats = -sum(float(logs[0, t, ids[0, t + 1]]) for t in range(len(before) - 1, ids.shape[1] - 1))
    assert _costs(model, [text])[0] == pytest.approx(nats, rel=1e-5)


def test_sentences_in_order_rank_above_the_same_out_of_order(model: LanguageTask) -> None:
    texts = ["The cat feeds the old man.", "Old the feeds man cat the.", "Tom sees a dog.", "Dog a Tom sees.", "Tom."]
    found = coherence(model, texts, shuffles=12)
    assert found[0].gain > found[1].gain
    assert found[2].gain > found[3].gain
    assert found[0].rank > found[1].rank
    assert found[0].rank > 0.8
    assert (found[4].gain, found[4].rank) == (0, 0)
    assert coherence(model, texts, shuffles=12) == found


def test_symbols_are_put_in_order_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    starts = rng.integers(3, size=60)
    names = ["home page", "search", "item"]
    texts = ["".join(f"{names[(start + step) % 3]}\t" for step in range(3)) for start in starts]
    found = ur.LanguageModel(units="symbol", hidden=12, embedding=6, epochs=20, batch_size=4, learning_rate=0.02)
    found.validation = 0.0
    (order,) = found.fit(texts).reorder("item\thome page\tsearch\t", exact=3)
    assert order.text in texts
    assert order.proven
    assert found.coherence([texts[0], "search\thome page\titem\t"])[0].gain > 0


def test_refusals(runs: Path) -> None:
    model = open_run(runs / "language")
    assert isinstance(model, LanguageTask)
    with pytest.raises(ArgumentError, match="the text has no word to put in order; give at least one"):
        reorder(model, "  ")
    with pytest.raises(ArgumentError, match="the text has no word to put in order"):
        reorder(model, "?!")
    with pytest.raises(ArgumentError, match="count=0, exact=9 and width=64 find nothing"):
        reorder(model, "a b", 0)
    with pytest.raises(ArgumentError, match="shuffles is 0, it must be 1 or more"):
        coherence(model, ["a b"], 0)
