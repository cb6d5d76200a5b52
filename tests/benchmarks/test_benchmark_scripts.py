"""The project's own benchmarks still run: each with `--quick`, on data that it makes."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from unrolled.engine.cpu.target import processor

ROOT = Path(__file__).parent.parent.parent
Find = Callable[[str], ModuleType]
SCRIPTS = (
    "shakespeare",
    "sentiment",
    "surnames",
    "memory",
    "horizon",
    "copying",
    "mnist1d",
    "tasks",
    "engines",
    "avx2",
    "large_text",
    "server",
    "stream",
    "runtime",
)


@pytest.fixture
def benchmark_named(monkeypatch: pytest.MonkeyPatch) -> Find:
    """Import a script of benchmarks/ as it is when started from there."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))

    def find(name: str) -> ModuleType:
        return importlib.import_module(name)

    return find


def run(module: ModuleType, name: str, results: Path, *more: str) -> dict[str, Any]:
    assert module.main(["--quick", "--results", str(results), *more]) == 0
    return json.loads((results / f"{name}.json").read_text(encoding="utf-8"))


def check(result: dict[str, Any], tmp_path: Path) -> None:
    assert result["quick"]
    assert result["claims"]
    assert all(len(row) == len(result["table"]["columns"]) for row in result["table"]["rows"])
    if result["picture"]:
        assert (tmp_path / result["picture"]).read_bytes().startswith(b"\x89PNG")


def test_shakespeare(benchmark_named: Find, tmp_path: Path) -> None:
    result = run(benchmark_named("shakespeare"), "shakespeare", tmp_path)
    check(result, tmp_path)
    (row,) = result["table"]["rows"]
    # Made text with about 0.6 nats in it, of 26 letters that chance alone would leave at 3.3.
    assert 0.5 < row[1] < 3.2
    # Read at once from beginning to end, and at sixteen places at once with a run-up.
    assert row[1] == pytest.approx(row[2], rel=0.02)


def test_sentiment(benchmark_named: Find, tmp_path: Path) -> None:
    check(run(benchmark_named("sentiment"), "sentiment", tmp_path, "--seeds", "1"), tmp_path)


def test_surnames(benchmark_named: Find, tmp_path: Path) -> None:
    result = run(benchmark_named("surnames"), "surnames", tmp_path, "--seeds", "1")
    check(result, tmp_path)
    # 150 made names; the twenty that are in the file twice are counted once.
    assert int(result["remarks"].rsplit(maxsplit=2)[-2]) <= 150


def test_memory(benchmark_named: Find, tmp_path: Path) -> None:
    result = run(benchmark_named("memory"), "memory", tmp_path)
    check(result, tmp_path)
    assert [row[0] for row in result["table"]["rows"]] == ["rnn", "lstm", "gru"]
    longer = run(benchmark_named("memory"), "memory-600", tmp_path, "--length", "600")
    assert [row[0] for row in longer["table"]["rows"]] == ["lstm", "gru"]
    assert longer["remarks"].startswith("The adding problem: which cells remember a number over 600 steps.")


def test_horizon(benchmark_named: Find, tmp_path: Path) -> None:
    result = run(benchmark_named("horizon"), "horizon", tmp_path)
    check(result, tmp_path)
    assert [row[0] for row in result["table"]["rows"]] == ["rnn", "lstm", "gru"]


def test_copying(benchmark_named: Find, tmp_path: Path) -> None:
    result = run(benchmark_named("copying"), "copying", tmp_path)
    check(result, tmp_path)
    assert [row[0] for row in result["table"]["rows"]] == ["lstm", "gru"]


def test_mnist1d(benchmark_named: Find, tmp_path: Path) -> None:
    result = run(benchmark_named("mnist1d"), "mnist1d", tmp_path)
    check(result, tmp_path)
    assert [row[0] for row in result["table"]["rows"]] == ["lstm", "gru"]


def test_copy_memory_and_what_chance_makes_of_it(benchmark_named: Find) -> None:
    copying = benchmark_named("copying")
    inputs, targets = copying.copying(7, 30, np.random.default_rng(1))
    assert inputs.shape == targets.shape == (7, 50)
    assert (targets[:, -10:] == inputs[:, :10]).all()
    assert (targets[:, :-10] == copying.BLANK).all()
    assert (inputs[:, 10:39] == copying.BLANK).all()
    assert (inputs[:, 39] == copying.SIGN).all()
    assert (inputs[:, 40:] == copying.BLANK).all()
    assert len(inputs[:, :10].unique()) > 5


def test_the_pause_grows_when_the_symbols_are_known(benchmark_named: Find) -> None:
    copying = benchmark_named("copying")
    pause = copying.Pause(1000)
    for _ in range(50):
        pause.learnt(np.log(copying.KINDS))
    assert pause.steps == 10
    grown = []
    for _ in range(5000):
        pause.learnt(0.0)
        grown.append(pause.steps)
    assert grown == sorted(grown)
    assert 10 < grown[20] < 1000 == grown[-1]


def test_series_are_moved_scaled_and_made_noisy(benchmark_named: Find) -> None:
    mnist1d = benchmark_named("mnist1d")
    rng = np.random.default_rng(4)
    series = rng.normal(size=(50, 40)).astype(np.float32)
    found = mnist1d.varied(series, rng)
    assert found.dtype == np.float32
    likeness = [
        [np.corrcoef(np.roll(a, shift), b)[0, 1] for shift in range(40)] for a, b in zip(series, found, strict=True)
    ]
    assert (np.max(likeness, axis=1) > 0.97).all()
    assert len(set(np.argmax(likeness, axis=1))) > 15
    assert 0.05 < np.std(found.std(1) / series.std(1)) < 0.2


def test_the_adding_problem_and_what_chance_makes_of_it(benchmark_named: Find) -> None:
    memory, fresh = benchmark_named("memory"), benchmark_named("fresh")
    batches = fresh.FreshBatches(lambda rng, step: memory.adding(50, 20, rng), seed=3)
    inputs, sums = next(batches.epoch(2, start=4))
    assert inputs.shape == (50, 20, 2)
    marks = inputs[..., 1]
    assert (marks[:, :10].sum(1) == 1).all()
    assert (marks[:, 10:].sum(1) == 1).all()
    assert sums == pytest.approx((inputs[..., 0] * marks).sum(1))
    again, other = next(batches.epoch(2, start=4))[0], next(batches.epoch(2, start=5))[0]
    assert (again == inputs).all()
    assert not (other == inputs).all()
    assert len(list(batches.epoch(0))) == len(batches)
    _, many = memory.adding(20_000, 20, np.random.default_rng(0))
    assert float((many - 1).square().mean()) == pytest.approx(memory.CHANCE, rel=0.05)


def test_engines(benchmark_named: Find, tmp_path: Path) -> None:
    result = run(benchmark_named("engines"), "engines", tmp_path)
    check(result, tmp_path)
    assert len(result["table"]["rows"]) == 4 * 2 * 2


@pytest.mark.skipif(processor().bits < 256 or not processor().triple.startswith("x86_64"), reason="it has no AVX2")
def test_avx2(benchmark_named: Find, tmp_path: Path) -> None:
    result = run(benchmark_named("avx2"), "avx2", tmp_path)
    check(result, tmp_path)
    assert len(result["table"]["rows"]) == 3 * 2
    assert "UNROLLED_TARGET" not in os.environ


def test_stream(benchmark_named: Find, tmp_path: Path) -> None:
    result = run(benchmark_named("stream"), "stream", tmp_path)
    check(result, tmp_path)
    names = ["language", "language, next 5", "tag", "classify", "classify sound"]
    assert [row[0] for row in result["table"]["rows"]] == names
    benchmark_named("stream").main(["--quick", "--results", str(tmp_path), "--only", "tag"])
    assert [row[0] for row in json.loads((tmp_path / "stream.json").read_text())["table"]["rows"]] == names


def test_a_full_run_without_the_real_data_says_where_it_is(
    benchmark_named: Find, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNROLLED_DATA", str(tmp_path / "none"))
    with pytest.raises(SystemExit, match="set UNROLLED_DATA"):
        benchmark_named("surnames").main(["--results", str(tmp_path)])


def test_claims_are_reached_from_the_right_side(benchmark_named: Find) -> None:
    claim = benchmark_named("reporting").Claim
    assert claim("error", 0.5, 1.0, most=True).reached
    assert not claim("error", 1.5, 1.0, most=True).reached
    assert claim("accuracy", 1.5, 1.0).reached
    assert not claim("accuracy", float("nan"), 1.0).reached
    assert not claim("error", float("nan"), 1.0, most=True).reached
    assert str(claim("error", 1.5, 1.0, most=True)) == "error: 1.5 (at most 1: missed)"


def test_a_missed_target_is_told_in_the_exit_code(benchmark_named: Find, tmp_path: Path) -> None:
    reporting = benchmark_named("reporting")
    options = reporting.parse(reporting.parser("A test."), ["--results", str(tmp_path)])

    def told(value: float) -> int:
        table, claim = reporting.Table(("a",), ((1,),)), reporting.Claim("accuracy", value, 0.8)
        return reporting.report("surnames", options, [claim], table=table, begin=0.0, remarks="Title.\n\nText.")

    assert (told(0.9), told(0.7)) == (0, 1)
    summary = benchmark_named("summary")
    assert summary.main(["--results", str(tmp_path), "--page", str(tmp_path / "page.md")]) == 0
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "## Title\n\nText.\n" in page
    assert "| accuracy | 0.7 | at least 0.8 | **no** |" in page
    assert page.count("Not measured yet.") == len(summary.NAMES) - 1


def test_the_page_of_results_is_what_the_results_say(benchmark_named: Find) -> None:
    summary = benchmark_named("summary")
    written = summary.PAGE.read_text(encoding="utf-8")
    assert written == summary.page(summary.RESULTS, summary.PAGE.parent), "run benchmarks/summary.py"


def test_every_script_is_tested() -> None:
    helpers = {"animals", "fresh", "reporting", "pictures", "row", "summary"}
    elsewhere = {"long", "kills", "cost", "precision"}  # test_survival_scripts
    elsewhere |= {"distributed"}  # starts six processes; what it measures is tested in train/test_distributed.py
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} == {*SCRIPTS, *elsewhere, *helpers}
