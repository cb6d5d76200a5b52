from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tasks.pens import SMALL, write_pens
from unrolled.data import CharVocabulary
from unrolled.data.documents import Origin
from unrolled.data.problems import Problems
from unrolled.data.signals import Features, Sound, Strokes
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.tasks import TASKS, Common, TranscribeOptions, open_run
from unrolled.tasks.clips import STEPS_AT_ONCE, Clips, fitting_reduction, typical, usable
from unrolled.tasks.model import Parts
from unrolled.tasks.search import Search
from unrolled.tasks.training import RunResult
from unrolled.tasks.transcribe import TranscribeTask, reductions_of
from unrolled.train import Interrupted, Observer, Step
from unrolled.train.edits import character_error_rate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pens.jsonl and test.jsonl."""
    found = tmp_path_factory.mktemp("pens")
    write_pens(found / "pens.jsonl", 80)
    write_pens(found / "test.jsonl", 30, seed=1)
    return found


def train(
    folder: Path, out: Path, options: dict[str, Any] | None = None, observers: Any = (), **common: Any
) -> RunResult:
    wanted = TranscribeOptions(**{**SMALL, **(options or {})})
    named = Common(**{"data": folder / "pens.jsonl", "out": out, "epochs": 2, "threads": 1, **common})
    return TASKS["transcribe"].train(wanted, named, observers)


@pytest.fixture(scope="module")
def good(folder: Path) -> TranscribeTask:
    """A run that has learnt, in one direction, so that it can be streamed too."""
    run = folder / "good"
    options = {"causal": True, "augment": 0.2, "validation": 0.0}
    result = train(folder, run, options, epochs=40, test=folder / "test.jsonl")
    assert result.test["character_error_rate"] < 0.1
    return task_of(run)


def task_of(run: Path) -> TranscribeTask:
    found = open_run(run)
    assert isinstance(found, TranscribeTask)
    return found


def test_it_learns_to_write_down_what_it_has_not_seen(good: TranscribeTask, folder: Path) -> None:
    clips = good.read_part(folder / "test.jsonl")
    answers = good.transcribe(clips.inputs)
    assert character_error_rate(clips.targets, answers) < 0.1
    metrics = good.evaluate(folder / "test.jsonl")
    assert metrics["character_error_rate"] == character_error_rate(clips.targets, answers)
    assert metrics["word_error_rate"] >= metrics["character_error_rate"]
    assert 0 < metrics["loss"] < 1
    beam = good.transcribe(clips.inputs, Search(beam=8))
    assert character_error_rate(clips.targets, beam) < 0.1


def test_a_sample_alone_is_what_it_is_in_a_batch(good: TranscribeTask, folder: Path) -> None:
    clips = good.read_part(folder / "test.jsonl")
    together = good.logs(clips.inputs)
    for place in (0, 7, 29):
        np.testing.assert_allclose(together[place], good.logs([clips.inputs[place]])[0], atol=1e-5)


def test_nothing_is_ever_put_out_as_unknown(good: TranscribeTask, folder: Path) -> None:
    with torch.no_grad():
        before = good.module.output.bias.clone()
        good.module.output.bias[good.vocabulary.unknown] += 50
    clips = good.read_part(folder / "test.jsonl")
    assert character_error_rate(clips.targets, good.transcribe(clips.inputs)) < 0.1
    assert good.measure(clips)["loss"] < 1
    with torch.no_grad():
        good.module.output.bias.copy_(before)


def test_a_network_that_does_not_spell_yet_is_told_apart(good: TranscribeTask, folder: Path) -> None:
    clips = good.read_part(folder / "test.jsonl")
    assert good.conclude(Parts(clips), folder).lines == ()
    with torch.no_grad():
        before = good.module.output.bias.clone()
        good.module.output.bias[good.blank] += 50
    assert "it hardly spells yet" in " ".join(good.conclude(Parts(clips, clips), folder).lines)
    with torch.no_grad():
        good.module.output.bias.copy_(before)


def test_loss_is_the_measured_one(good: TranscribeTask, folder: Path) -> None:
    options = TranscribeOptions(augment=0.0, batch_size=30)
    clips = good.read_part(folder / "test.jsonl")
    batch = next(good.source(clips, options, seed=0).epoch(0))
    good.module.eval()
    loss, weight, _ = good.loss(batch, None)
    assert weight == sum(map(len, clips.targets))
    assert float(loss.detach()) == pytest.approx(good.measure(clips)["loss"], rel=1e-4)


def test_each_symbol_has_its_time(good: TranscribeTask, folder: Path) -> None:
    clips = good.read_part(folder / "test.jsonl")
    place = next(k for k, text in enumerate(clips.targets) if len(text) == 3 and " " not in text)
    logs = good.logs([clips.inputs[place]])[0]
    spans = good.align(logs, clips.targets[place])
    # Letter k is written by points 5 k to 5 k + 4, and a network in one direction has seen it when it says so.
    assert [span.start // 5 for span in spans] == [0, 1, 2]
    assert [good.time_of(span.start) for span in spans] == [span.start for span in spans]
    with pytest.raises(ArgumentError, match="'aq' has a symbol that the model does not know"):
        good.align(logs, "aq")


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru", "layers": 2, "reduction": 2, "reduce_by": "pyramid", "layer_norm": True, "dropout": 0.2},
        {"cell": "mingru", "reduction": 2, "features": "offsets", "units": "word"},
        {"cell": "lstm-peephole", "variational": True, "zoneout": 0.1, "minimum": 2, "lowercase": True},
    ],
)
def test_every_option_survives_the_run_folder(folder: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    result = train(folder, tmp_path / "run", {"hidden": 6, **options}, test=folder / "pens.jsonl")
    model = task_of(tmp_path / "run")
    assert model.evaluate(folder / "pens.jsonl") == pytest.approx(result.test, rel=1e-4)
    assert model.module.reductions == {"pyramid": (1, 2)}.get(
        options.get("reduce_by", ""), (options.get("reduction", 1),)
    )
    assert math.isfinite(result.test["loss"])


class Stop(Observer):
    """Presses Ctrl-C after four steps."""

    def on_step(self, step: Step) -> None:
        if step.step == 4:
            signal.raise_signal(signal.SIGINT)


def test_a_resumed_run_has_the_numbers_of_one_that_never_stopped(folder: Path, tmp_path: Path) -> None:
    options = {"hidden": 6, "causal": True, "dropout": 0.2, "ema": 0.9}
    train(folder, tmp_path / "whole", options)
    with pytest.raises(Interrupted, match="go on with --resume"):
        train(folder, tmp_path / "run", options, observers=(Stop(),))
    named = Common(out=tmp_path / "run", resume=True)
    assert TASKS["transcribe"].train(TranscribeOptions(), named).training.resumed_from == 4
    whole, parts = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "run"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_same_seed_gives_the_same_batches_wherever_an_epoch_is_entered(folder: Path) -> None:
    parts = TranscribeTask.read(folder / "pens.jsonl", TranscribeOptions(), Common())
    model = TranscribeTask.build(parts, TranscribeOptions(**SMALL))
    source = model.source(parts.train, TranscribeOptions(**SMALL), seed=3)
    whole = list(source.epoch(2))
    for again, batch in zip(source.epoch(2, 3), whole[3:], strict=True):
        torch.testing.assert_close(again.inputs, batch.inputs)
    assert any(
        a.inputs.shape != b.inputs.shape or not a.inputs.equal(b.inputs)
        for a, b in zip(whole, source.epoch(1), strict=True)
    )


def test_from_another_run_goes_on_with_its_vocabulary_and_sizes(
    good: TranscribeTask, folder: Path, tmp_path: Path
) -> None:
    options = {"learning_rate": 1e-5, "hidden": 5, "augment": 0.0}
    result = train(folder, tmp_path / "run", options, epochs=1, test=folder / "test.jsonl", from_run=folder / "good")
    assert result.test["character_error_rate"] < 0.1
    write_pens(tmp_path / "more.jsonl", 12)
    rows = (tmp_path / "more.jsonl").read_text().splitlines()
    bad = json.dumps({**json.loads(rows[0]), "text": "aXb"})
    (tmp_path / "more.jsonl").write_text("\n".join([*rows, bad]))
    with pytest.raises(DataError, match=r"more\.jsonl, row 13: the text has a character \('X'\) that the training"):
        train(folder, tmp_path / "other", data=tmp_path / "more.jsonl", from_run=folder / "good")
    (folder / "story.txt").write_text("abc " * 200)
    TASKS["language"].train(
        TASKS["language"].options(hidden=4, embedding=4),
        Common(data=folder / "story.txt", out=tmp_path / "language", epochs=1, threads=1),
    )
    with pytest.raises(RunError, match="a transcription starts from another transcription"):
        train(folder, tmp_path / "third", from_run=tmp_path / "language")


def spoilt(folder: Path, out: Path, **changes: Any) -> Path:
    """pens.jsonl with a row 2 that says otherwise."""
    rows = [json.loads(line) for line in (folder / "pens.jsonl").read_text().splitlines()]
    rows[1] |= changes
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return out


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"text": "aab" * 9, "strokes": [[[0, 0], [1, 1]]]},
            "the input has 2 steps and its text needs 36; give a longer",
        ),
        ({"text": " "}, "the text in column 'text' is empty"),
        ({"strokes": [[]]}, "stroke 1 has no points; take it out"),
        ({"strokes": "oh"}, "column|the name ends in"),
    ],
)
def test_bad_rows_are_named_before_training_starts(
    folder: Path, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    path = spoilt(folder, tmp_path / "bad.jsonl", **changes)
    with pytest.raises(DataError, match=rf"bad\.jsonl, row 2: .*({sentence})"):
        train(folder, tmp_path / "run", data=path)
    assert not (tmp_path / "run").exists()
    told: list[Any] = []
    named = Common(data=path, out=tmp_path / "run", epochs=1, threads=1, skip_bad=True)
    TASKS["transcribe"].train(TranscribeOptions(**{**SMALL, "hidden": 4}), named, notify=told.append)
    assert any("1 left out because they cannot be used" in str(event) and "row 2" in str(event) for event in told)
    assert math.isfinite(read_loss(tmp_path / "run"))


def read_loss(run: Path) -> float:
    return float(json.loads((run / "config.json").read_text())["results"]["valid"]["loss"])


def test_an_unknown_character_of_another_file_is_named(folder: Path, tmp_path: Path) -> None:
    path = spoilt(folder, tmp_path / "test.jsonl", text="a?")
    for part in ("valid", "test"):
        with pytest.raises(DataError, match=r"test\.jsonl, row 2: the text has a character \('\?'\) that the training"):
            train(folder, tmp_path / "run", **{part: path})
    model = task_of(folder / "good") if (folder / "good").exists() else None
    if model is not None:  # measured all the same: it counts as wrong
        assert math.isfinite(model.evaluate(path)["loss"])


def test_a_test_sample_too_short_for_its_text_counts_as_wrong(
    good: TranscribeTask, folder: Path, tmp_path: Path
) -> None:
    path = spoilt(folder, tmp_path / "short.jsonl", text="abc" * 9, strokes=[[[0, 0], [1, 1]]])
    metrics = good.evaluate(path)
    assert math.isfinite(metrics["loss"])
    assert metrics["character_error_rate"] > good.evaluate(folder / "pens.jsonl")["character_error_rate"]


def clips_of(lengths: list[int], texts: list[str], signal: Any) -> Clips:
    samples = [np.zeros((n, signal.width), np.float32) for n in lengths]
    return Clips(samples, texts, origins=[Origin(Path("x"), k) for k in range(len(texts))], signal=signal)


def test_clips_of_minutes_are_read_a_few_at_a_time(good: TranscribeTask) -> None:
    rng = np.random.default_rng(5)
    samples = [rng.normal(size=(length, 3)).astype(np.float32) for length in rng.integers(14_000, 25_000, size=9)]
    clips = Clips(samples, ["ab c"] * 9, signal=good.signal)
    seen = []
    hook = good.module.register_forward_hook(lambda module, inputs, outputs: seen.append(inputs[0].shape[:2].numel()))
    assert math.isfinite(good.measure(clips)["loss"])
    hook.remove()
    batches = list(good.source(clips, TranscribeOptions(augment=0.0), 0).epoch(0))
    seen += [batch.inputs.shape[:2].numel() for batch in batches]
    assert max(seen) <= STEPS_AT_ONCE < sum(map(len, samples)) / 2
    assert sum(len(batch.lengths) for batch in batches) == 9
    assert good.activations(batches[0]) < 32 * STEPS_AT_ONCE * good.plan.hidden


def test_a_scale_is_learnt_from_a_million_steps_at_most() -> None:
    samples = [np.full((300_000, 1), place, np.float32) for place in range(10)]
    assert [int(sample[0, 0]) for sample in typical(samples)] == [0, 3, 6, 9]
    assert typical(samples[:3]) == samples[:3]


def test_reduction_leaves_steps_for_every_symbol() -> None:
    vocabulary = CharVocabulary("abc")
    assert fitting_reduction(clips_of([8 * 4] * 9, ["abca"] * 9, Strokes()), vocabulary) == 1
    assert fitting_reduction(clips_of([40 * 4] * 9, ["abca"] * 9, Strokes()), vocabulary) == 8
    assert fitting_reduction(clips_of([13 * 4] * 9, ["abca"] * 9, Sound()), vocabulary) == 4
    assert fitting_reduction(clips_of([13 * 4] * 9, ["aaaa"] * 9, Sound()), vocabulary) == 2
    assert fitting_reduction(clips_of([99] * 9, ["a"] * 9, Features(3)), vocabulary) == 1
    # one that would become too short among nine keeps all from being joined more
    assert fitting_reduction(clips_of([13 * 4] * 9 + [5], ["abca"] * 10, Sound()), vocabulary) == 1


def test_only_what_can_be_spelt_is_usable() -> None:
    clips = clips_of([4, 3, 9], ["ab", "aa", "x"], Strokes())
    problems = Problems(skip=True)
    kept = usable(clips, CharVocabulary("ab"), 2, problems)
    assert (kept.targets, kept.reduction) == (["ab"], 2)
    short, strange = map(str, problems.found)
    assert short == (
        "x, row 1: the input has 3 steps, 2 after each 2 became one, and its text needs 3; "
        "give a longer input, a shorter text or a smaller --reduction"
    )
    assert strange == (
        "x, row 2: the text has a character ('x') that the training texts do not teach; "
        "correct it, take the row out or train on texts that have it"
    )
    with pytest.raises(DataError, match="no sample of it can be used"):
        usable(clips, CharVocabulary("z"), 1, Problems(skip=True))


def test_reductions_of_a_pyramid() -> None:
    def of(layers: int, reduction: int, by: str = "pyramid") -> tuple[int, ...]:
        return reductions_of(TranscribeOptions(layers=layers, reduce_by=by), reduction)

    assert of(3, 4, "strided") == (4,)
    assert (of(3, 4), of(3, 2), of(2, 8), of(1, 4)) == ((1, 2, 2), (1, 2, 1), (4, 2), (4,))
    with pytest.raises(ArgumentError, match="reduction=3 cannot be made of twos"):
        of(3, 3)
    with pytest.raises(ArgumentError, match="reduction=0 must be from 1 to 64"):
        of(3, 0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"reductions": [0]}, "no usable 'reductions'"),
        ({"reductions": [10**9]}, "no usable 'reductions'"),
        ({"reductions": [1, 1, 1]}, "the vocabulary or the reductions do not fit"),
        ({"signal": {"kind": "smell"}}, "the signal is none that is known"),
        ({"signal": {"kind": "features", "count": 3}}, "the signal has 3 features a step, the network reads 7"),
        ({"scaler": {}}, "a scaler needs"),
    ],
)
def test_a_changed_schema_is_refused(good: TranscribeTask, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RunError, match=sentence):
        TranscribeTask.restore(good.plan, {**good.schema(), **change}, good.vocabulary)


def test_refusals(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"augment=-1\.0 must be 0 or more"):
        train(folder, tmp_path / "a", {"augment": -1.0})
    with pytest.raises(ArgumentError, match="reduce_by is 'magic', it must be strided or pyramid"):
        train(folder, tmp_path / "b", {"reduce_by": "magic", "reduction": 2})
    train(folder, tmp_path / "c", {"hidden": 4}, epochs=1)
    with pytest.raises(ArgumentError, match="this run reads in both directions, so it needs the whole input"):
        task_of(tmp_path / "c").stream()
