from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from unrolled.data import CharVocabulary, WordVocabulary, build_vocabulary
from unrolled.decode import log_softmax
from unrolled.decode.ctc import prefix_beam
from unrolled.errors import ArgumentError
from unrolled.tasks import TASKS, Common, open_run
from unrolled.tasks.joined import join
from unrolled.tasks.language import LanguageTask

OURS = CharVocabulary("ab ,")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LanguageTask]:
    """Hardly trained models of characters and of words of one text, and of characters of many."""
    folder = tmp_path_factory.mktemp("language")
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(["ab", "ba", "a", "aab,"], size=3)) for _ in range(60)]
    (folder / "one.txt").write_text("\n".join(lines) + "\n")
    (folder / "many.csv").write_text("text\n" + "".join(f'"{line}"\n' for line in lines))
    found: dict[str, Any] = {}
    for name, file, units in (("char", "one.txt", "char"), ("word", "one.txt", "word"), ("ends", "many.csv", "char")):
        options = TASKS["language"].options(hidden=8, embedding=4, units=units, batch_size=4)
        common = Common(data=folder / file, out=folder / name, epochs=3, threads=1)
        TASKS["language"].train(options, common)
        found[name] = open_run(folder / name)
    return found


def spelt(model: LanguageTask, text: str, *, end: bool) -> float:
    """Log p of a text by the model's own scoring; letters of a word that it does not know are equally likely."""
    ids = model.vocabulary.encode(text).tolist()
    logits, state = model.module.step(_tensor([model.start]))
    total = 0.0
    if model.vocabulary.units == "word":
        pieces = zip(ids, model.vocabulary.pieces(text), strict=True)
        total -= math.log(4) * sum(len(piece) for unit, piece in pieces if unit == model.vocabulary.unknown)
    for unit in ids:
        total += float(log_softmax(logits.detach().double().numpy())[0, unit])
        logits, state = model.module.step(_tensor([unit]), state)
    last = model.border if model.ends else model.start
    return total + end * float(log_softmax(logits.detach().double().numpy())[0, last])


def _tensor(ids: list[int]) -> Any:
    import torch

    return torch.tensor(ids)


def walked(companion: Any, text: str) -> tuple[float, float]:
    """What the companion gives symbol by symbol, and for the end."""
    ids = OURS.encode(text).tolist()
    scores, state = companion.start()
    total = 0.0
    for unit in ids:
        total += float(scores[unit])
        rows, states = companion.advance([unit, int(OURS.first)], [state, state])
        scores, state = rows[0], states[0]
    return total, float(companion.ends([state])[0])


@pytest.mark.parametrize("name", ["char", "ends"])
def test_symbols_cost_what_the_language_model_says(models: dict[str, LanguageTask], name: str) -> None:
    model = models[name]
    total, end = walked(join(model, OURS), "ab ba, a")
    assert total == pytest.approx(spelt(model, "ab ba, a", end=False), rel=1e-5)
    assert total + end == pytest.approx(spelt(model, "ab ba, a", end=True), rel=1e-5)


def test_words_cost_what_the_language_model_says_where_they_end(models: dict[str, LanguageTask]) -> None:
    model = models["word"]
    companion = join(model, OURS)
    for text in ("aab, b", "ab", "a,b ,", "bb aab", "", "ab "):
        assert sum(walked(companion, text)) == pytest.approx(spelt(model, text, end=True), rel=1e-5), text
    assert walked(companion, "aab ")[0] == pytest.approx(spelt(model, "aab", end=False), rel=1e-5)


def test_letters_are_charged_for_the_likeliest_word_that_begins_so(models: dict[str, LanguageTask]) -> None:
    companion = join(models["word"], OURS)
    scores, _ = companion.start()
    words = {word: spelt(models["word"], word, end=False) for word in ("ab", "ba", "a", "b")}
    assert scores[OURS.encode("b")[0]] == pytest.approx(max(words["b"], words["ba"]), rel=1e-5)
    before, _ = walked(companion, "ab")
    assert before == pytest.approx(words["ab"], rel=1e-5)


def test_the_search_prefers_what_the_language_model_knows(models: dict[str, LanguageTask]) -> None:
    rng = np.random.default_rng(3)
    logs = log_softmax(rng.normal(size=(4, len(OURS))))
    alone = {h.symbols: h.score for h in prefix_beam(logs, 3000)}
    for name in ("char", "word", "ends"):
        companion = join(models[name], OURS)
        best = prefix_beam(logs, 3000, companion=companion, weight=2.0)
        for hypothesis in best[:3]:
            text = OURS.decode(hypothesis.symbols)
            expected = alone[hypothesis.symbols] + 2.0 * spelt(models[name], text, end=True)
            assert hypothesis.score == pytest.approx(expected, abs=1e-3)
    assert math.isfinite(best[0].score)


def test_letters_that_make_no_word_are_dearer_than_words(models: dict[str, LanguageTask]) -> None:
    companion = join(models["word"], OURS)
    apart, joined = (sum(walked(companion, text)) for text in ("ab ba", "abba"))
    assert apart > joined


def test_unlike_units_are_refused(models: dict[str, LanguageTask]) -> None:
    with pytest.raises(
        ArgumentError, match="the language model reads units of char and the transcription puts out word"
    ):
        join(models["char"], WordVocabulary(["ab"]))
    assert join(models["word"], build_vocabulary("word", ["ab ba"])) is not None


def test_a_character_that_the_language_model_does_not_know_is_unknown_to_it(models: dict[str, LanguageTask]) -> None:
    scores, _ = join(models["char"], CharVocabulary("aq")).start()
    logits, _ = models["char"].module.step(_tensor([models["char"].start]))
    logs = log_softmax(logits.detach().double().numpy())[0]
    assert scores[3] == pytest.approx(logs[models["char"].vocabulary.unknown])
