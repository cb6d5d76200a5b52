"""Language models of symbols: what is clicked, played or read next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data.split import hold_out
from unrolled.errors import ArgumentError, RunError
from unrolled.tasks import TASKS, Common, open_run
from unrolled.tasks.language import LanguageTask

PAGES = ("home page", "search", "item", "cart")


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Visits, their rows mixed, in which each page is followed by the next or the one after it."""
    rng = np.random.default_rng(5)
    steps = []
    for visit in range(80):
        page = int(rng.integers(4))
        for _ in range(int(rng.integers(2, 9))):
            steps.append((rng.random(), visit, PAGES[page]))
            page = (page + int(rng.integers(1, 3))) % 4
    order = sorted(range(len(steps)), key=lambda place: (place // 20, steps[place][0] if place % 2 else 0.5))
    path = tmp_path_factory.mktemp("clicks") / "clicks.csv"
    path.write_text("visit,page\n" + "".join(f"v{steps[i][1]},{steps[i][2]}\n" for i in order), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(clicks: Path) -> Path:
    out = clicks.parent / "run"
    TASKS["language"].train(options(), Common(data=clicks, out=out, epochs=6, threads=1))
    return out


def options(**more: Any) -> Any:
    sizes = {"hidden": 8, "embedding": 6, "batch_size": 4, "window": 8, "learning_rate": 0.02}
    columns = {"units": "symbol", "sequence": "visit", "text": "page"}
    return TASKS["language"].options(**{**sizes, **columns, **more})


def test_the_next_symbols_are_whole_names_with_their_probabilities(run: Path, clicks: Path) -> None:
    model = open_run(run)
    assert isinstance(model, LanguageTask)
    found = model.complete("home page\tsearch\t", 9)
    assert {name for name, _ in found} == {*PAGES, ""}
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
    assert 0.9 < sum(p for _, p in found) <= 1
    assert set(model.evaluate(clicks)) == {"loss", "perplexity"}
    assert model.evaluate(clicks)["loss"] < np.log(5)


def test_the_next_unit_is_listed_where_that_is_asked_for(runs: Path) -> None:
    found = open_run(runs / "language").complete("abc", 3, single=True)
    assert all(len(unit) == 1 for unit, _ in found)
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)


def test_bad_steps_are_skipped_where_that_is_asked_for(clicks: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(clicks.read_text(encoding="utf-8") + "v1,\n", encoding="utf-8")
    parts = LanguageTask.read(bad, options(), Common(data=bad, skip_bad=True))
    assert len(parts.skipped) == 1
    assert "column 'page' is empty" in str(parts.skipped[0])


def test_steps_of_a_sequence_are_symbols_and_nothing_else(clicks: Path) -> None:
    with pytest.raises(ArgumentError, match="units is 'char', but the rows of a sequence are symbols; give symbol"):
        LanguageTask.read(clicks, options(units="char"), Common(data=clicks))


def test_the_held_out_part_begins_with_a_whole_symbol() -> None:
    rng = np.random.default_rng(9)
    for end in ("\t", " "):
        texts = [end.join(rng.choice(["aaaa", "bbbbbb", "cc"], size=n)) + end for n in (30, 4, 25)]
        for fraction in (0.07, 0.31, 0.5):
            train, valid = hold_out(texts, fraction, units="symbol")
            assert "".join(train) + "".join(valid or []) == "".join(texts)
            assert (valid or [""])[0].split(end)[0] in ("aaaa", "bbbbbb", "cc")
            assert abs(len("".join(valid or [])) / len("".join(texts)) - fraction) < 0.05


def test_the_held_out_part_begins_with_a_whole_word() -> None:
    text = "one\ttwo three four five six seven eight nine ten"
    for fraction in (0.1, 0.4, 0.7):
        (train,), valid = hold_out([text], fraction, units="word")
        assert train + (valid or [""])[0] == text
        assert train.split() + (valid or [""])[0].split() == text.split()


def test_runs_from_before_sequences_open_and_damaged_ones_do_not(run: Path) -> None:
    model = open_run(run)
    assert isinstance(model, LanguageTask)
    old = {name: value for name, value in model.schema().items() if name != "sequence"}
    assert LanguageTask.restore(model.plan, old, model.vocabulary).sequence is None
    with pytest.raises(RunError, match="no usable 'sequence'"):
        LanguageTask.restore(model.plan, {**old, "sequence": 3}, model.vocabulary)


def test_unknown_symbols_are_named(run: Path) -> None:
    model = open_run(run)
    assert isinstance(model, LanguageTask)
    assert model.unknown("home page\tcart\thome\t") == ["home"]
    assert model.unknown("home page") == ["home", "page"]
