from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from batteries.small_models import small_file, small_model
from runtime.saved_runs import alike, save
from streams.streamed import SOUNDS, hearer
from unrolled import runtime
from unrolled.data import Scaler
from unrolled.data.histories import read_histories
from unrolled.data.signals import Sound
from unrolled.errors import ArgumentError, RunError, UnrolledError
from unrolled.runtime.__main__ import main
from unrolled.tasks import open_run
from unrolled.tasks.folder import plan_of, read_config
from unrolled.tasks.model import Parts
from unrolled.tasks.options import TagOptions
from unrolled.tasks.tag import TagTask
from unrolled.tasks.tag_parts import Layout, TagExamples
from unrolled.tasks.transcribe import TranscribeTask

Make = Callable[..., tuple[Any, Any, Path]]
RNG = np.random.default_rng(3)
FRAMES = [RNG.integers(0, 256, (count, 12, 12, 3)).astype(np.uint8) for count in (70, 1, 5)]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A small model of a task in torch, the same run in the runtime, and the file that it was made for."""

    def of(task: str, kind: str = "", **options: Any) -> tuple[Any, Any, Path]:
        file = small_file(task, tmp_path, kind)
        folder = save(small_model(task, file, **options), tmp_path / "run")
        return open_run(folder), runtime.load(folder), file

    return of


def both(model: Any, folder: Path) -> tuple[Any, Any]:
    return open_run(save(model, folder)), runtime.load(folder)


def refused(model: Any, choices: dict[str, Any]) -> str | None:
    try:
        model.stream(**choices)
    except UnrolledError as error:
        return f"{type(error).__name__}: {error}"
    return None


def same_stream(theirs: Any, ours: Any, parts: Any, **choices: Any) -> None:
    """Equal answers to all parts, from a state of either, and at the end; or the same refusal."""
    refusals = [refused(model, choices) for model in (theirs, ours)]
    assert refusals[0] == refusals[1]
    if refusals[0] is not None:
        return
    first, second = theirs.stream(**choices), ours.stream(**choices)
    for part in parts:
        alike(second.push(part), first.push(part))
    again = ours.stream(first.state()), theirs.stream(second.state())
    wanted = first.finish()
    for stream in (second, *again):
        alike(stream.finish(), wanted)


LANGUAGE: tuple[dict[str, Any], ...] = (
    {},
    {"tied": True, "layers": 2},
    {"tied": True, "embedding": 7, "cell": "gru"},
    {"softmax": "adaptive", "hidden": 24, "units": "word"},
    {"units": "word", "layers": 2, "layer_norm": True},
)


@pytest.mark.parametrize("options", LANGUAGE, ids=str)
def test_language(make: Make, options: dict[str, Any]) -> None:
    theirs, ours, _ = make("language", "many" if "units" in options else "", **options)
    texts = ["abcd a\nb", "w1 w2 w3 w39", "d " * 300]
    alike([s.nats for s in ours.score(texts)], [s.nats for s in theirs.score(texts)])
    alike(ours.complete("abc", 4), theirs.complete("abc", 4))
    single = theirs.complete("ab", len(theirs.vocabulary), single=True)
    alike(ours.next_probabilities("ab"), dict(single))
    assert ours.continuation("a", 30, seed=3) == "".join(theirs.generate("a", 30, seed=3))
    assert ours.predict(texts) == [theirs.complete(text, 1)[0][0] for text in texts]
    same_stream(theirs, ours, ["a", "bcd w1 w", "2\n"])
    going_on = [m.stream(next=0) for m in (theirs, ours)]
    for stream in going_on:
        stream.push("abc")
    assert list(going_on[0].generate(20, seed=5)) == list(going_on[1].generate(20, seed=5))
    alike(going_on[1].push("d"), going_on[0].push("d"))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("", {"pooling": "attention"}),
        ("", {"pooling": "mean", "bidirectional": False, "layers": 2}),
        ("", {"pooling": "last", "convolutions": 2, "kernel": 3, "stride": 2, "bidirectional": False}),
        ("dna", {}),
        ("dna", {"both_strands": False, "kmer": 3, "bidirectional": False}),
        ("dna", {"both_strands": False, "positions": True, "bidirectional": False, "pooling": "attention"}),
    ],
    ids=str,
)
def test_classify(make: Make, kind: str, options: dict[str, Any]) -> None:
    theirs, ours, file = make("classify", kind, **options)
    inputs = ours.read(file)
    assert list(inputs) == list(theirs.read_inputs(file).inputs)
    np.testing.assert_allclose(ours.predict_proba(inputs), theirs.probabilities(inputs), atol=1e-5)
    np.testing.assert_allclose(ours.embed(inputs), theirs.embed(inputs), atol=1e-5)
    assert ours.predict(inputs) == theirs.predict(inputs)
    assert ours.answers(inputs)[0]["label"] == ours.predict(inputs)[0]
    same_stream(theirs, ours, [inputs[0][:4], inputs[0][4:]])
    assert ours.predict([]) == []


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "pooling": "mean"}, {"convolutions": 1}], ids=str)
def test_regress(make: Make, options: dict[str, Any]) -> None:
    theirs, ours, file = make("regress", **options)
    inputs = ours.read(file)
    np.testing.assert_allclose(ours.predict(inputs), theirs.predict(inputs), atol=1e-5, rtol=1e-5)
    assert list(ours.answers(inputs)[0]["values"]) == ["goal"]
    same_stream(theirs, ours, [inputs[0][:2], inputs[0][2:]])


def compare_tags(theirs: Any, ours: Any, inputs: Any) -> None:
    assert ours.predict(inputs) == theirs.predict(inputs)
    for mine, other in zip(ours.predict_proba(inputs), theirs.probabilities(inputs), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    same_stream(theirs, ours, [inputs[0][:1], inputs[0][1:]])


@pytest.mark.parametrize("kind", ["", "numbers"])
@pytest.mark.parametrize(
    "options", [{}, {"crf": True}, {"causal": True, "differences": True, "drift": 0.1}, {"characters": 0}], ids=str
)
def test_tag(make: Make, kind: str, options: dict[str, Any]) -> None:
    label = {"label": "label", "sequence": "part"} if kind else {}
    theirs, ours, file = make("tag", kind, **label, **options)
    inputs = list(theirs.read_part(file).inputs)
    compare_tags(theirs, ours, [*inputs, inputs[0][:1]])
    if kind:
        np.testing.assert_array_equal(ours.read(file)[0], inputs[0])


@pytest.mark.parametrize("options", [{"causal": True}, {"crf": True}], ids=str)
def test_tag_frames(tmp_path: Path, options: dict[str, Any]) -> None:
    labels = [["ab"[k % 2] for k in range(len(film))] for film in FRAMES]
    examples = TagExamples(FRAMES, labels, Layout("frames", "label", rate=5.0, size=12))
    model = TagTask.build(Parts(examples), TagOptions(hidden=6, embedding=5, **options))
    compare_tags(*both(model, tmp_path / "run"), FRAMES)


@pytest.mark.parametrize(
    "options",
    [
        {"attention": "additive"},
        {"distribution": "gaussian", "attention": "multiplicative", "known": ("open",)},
        {"distribution": "student-t", "bidirectional": True},
        {"distribution": "point", "recursive": True},
        {"distribution": "gaussian", "recursive": True, "known": ("open",)},
        {"recursive": True, "calendar": False},
    ],
    ids=str,
)
def test_forecast(make: Make, options: dict[str, Any]) -> None:
    theirs, ours, file = make("forecast", **{"target": ("sold",), **options})
    histories = read_histories(file, theirs.reading.layout)
    if theirs.reading.known is not None:
        histories = replace(histories, series=[replace(h, targets=h.targets[:-5]) for h in histories.series])
    for mine, other in zip(ours.predict(histories), theirs.forecast(histories), strict=True):
        size = 1e-5 * abs(other.quantiles).max()
        np.testing.assert_allclose(mine.values, other.values, atol=size)
        np.testing.assert_allclose(mine.quantiles, other.quantiles, atol=size)
        assert mine.times == other.times
    width = 1 + len(theirs.reading.layout.known)
    rows, choices = RNG.normal(size=(40, width)) + 5, {"start": "2024-03-01"} if theirs.reading.calendar else {}
    ahead: dict[str, Any] = {"ahead": RNG.normal(size=(50, 1))} if width > 1 else {}
    same_stream(theirs, ours, [rows[:30], {"rows": rows[30:], **ahead} if ahead else rows[30:]], **choices, **ahead)


def test_counts_have_the_same_centre_and_quantiles_of_the_same_distribution(make: Make) -> None:
    theirs, ours, file = make("forecast", target=("sold",), distribution="negative-binomial")
    histories = read_histories(file, theirs.reading.layout)
    (mine,), (other,) = ours.predict(histories), theirs.forecast(histories)
    np.testing.assert_allclose(mine.values, other.values, rtol=1e-5)
    assert np.abs(mine.quantiles - other.quantiles).max() <= 0.3 * other.quantiles.max()
    assert (np.diff(mine.quantiles, axis=1) >= 0).all() and (mine.quantiles == np.rint(mine.quantiles)).all()


@pytest.mark.parametrize(
    "options",
    [
        {"causal": True, "reduction": 2},
        {"reduction": 4, "reduce_by": "pyramid", "layer_norm": True},
        {"reduction": 4, "reduce_by": "pyramid", "causal": True},
    ],
    ids=str,
)
def test_transcribe(make: Make, options: dict[str, Any]) -> None:
    theirs, ours, file = make("transcribe", **options)
    samples = ours.read(file)
    for mine, other in zip(ours.logs(samples), theirs.logs(samples), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5, rtol=1e-5)
    assert ours.predict(samples) == theirs.transcribe(samples)
    pen = np.array([[k, k * k % 7, k == 0] for k in range(40)], float)
    same_stream(theirs, ours, [pen[:17], pen[17:]], beam=3)


def test_sound_is_heard_as_torch_hears_it(make: Make, tmp_path: Path) -> None:
    like, _, _ = make("transcribe", causal=True)
    signal = Sound(rate=8000, steady=True)
    wave = RNG.normal(size=8000).astype(np.float32)
    scaler = Scaler.fit([signal.mel(wave)])
    plan = replace(like.plan, inputs=signal.width)
    model = TranscribeTask(plan, like.vocabulary, signal=signal, scaler=scaler, reductions=(2,), columns=("text", None))
    theirs, ours = both(model, tmp_path / "sound")
    samples = [signal.mel(wave), signal.mel(wave[:3000])]
    for mine, other in zip(ours.logs(samples), theirs.logs(samples), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5, rtol=1e-5)
    same_stream(theirs, ours, [wave[:3001], wave[3001:]])


def test_a_sound_is_judged_as_torch_judges_it(tmp_path: Path) -> None:
    model, reading = hearer(pooling="attention")
    theirs, ours = both(model, tmp_path / "sound")
    inputs = [reading.heard(sound) for sound in SOUNDS]
    np.testing.assert_allclose(ours.predict_proba(inputs), theirs.probabilities(inputs), atol=1e-5)
    same_stream(theirs, ours, [SOUNDS[3][:999], SOUNDS[3][999:]])


def test_a_language_model_helps_a_transcriber(make: Make, tmp_path: Path) -> None:
    theirs, ours, _ = make("transcribe", causal=True)
    story = small_file("language", tmp_path)
    their_help, our_help = both(small_model("language", story), tmp_path / "helper")
    pen = np.array([[k, k * k % 7, k == 0] for k in range(30)], float)
    streams = theirs.stream(beam=4, language=their_help), ours.stream(beam=4, language=our_help)
    for stream in streams:
        stream.push(pen)
    alike(streams[1].finish(), streams[0].finish())
    with pytest.raises(ArgumentError, match="language is str; give a run of language, loaded by the runtime"):
        ours.stream(language="english")


@pytest.mark.parametrize(
    "options",
    [
        {"input_feeding": True},
        {"attention": "additive", "layers": 2, "tied": False},
        {"joint": True, "bidirectional": False},
    ],
    ids=str,
)
def test_translate(make: Make, options: dict[str, Any]) -> None:
    theirs, ours, _ = make("translate", **options)
    texts = ["the dog sees", "A Cat runs 42 zebra .", ""]
    for (mine, *_), (other, *_) in zip(ours.translate(texts), theirs.translate(texts), strict=True):
        assert (mine.text, mine.pieces, mine.source) == (other.text, other.pieces, other.source)
        assert mine.log_probability == pytest.approx(other.log_probability, abs=1e-5)
        np.testing.assert_allclose(mine.attention, other.attention, atol=1e-5)
    assert ours.predict(texts) == theirs.predict(texts)
    same_stream(theirs, ours, [])


@pytest.mark.parametrize("options", [{}, {"attention": "additive", "channels": (8,), "blocks": 0}], ids=str)
def test_caption(make: Make, options: dict[str, Any]) -> None:
    theirs, ours, file = make("caption", **options)
    pictures = theirs.read_part(file).images
    for mine, other in zip(ours.describe(pictures, best=2), theirs.describe(pictures, best=2), strict=True):
        assert [one.text for one in mine] == [one.text for one in other]
        assert mine[0].log_probability == pytest.approx(other[0].log_probability, abs=1e-5)
        np.testing.assert_allclose(mine[0].attention, other[0].attention, atol=1e-5)
    same_stream(theirs, ours, [])


def test_loading_and_streaming_load_no_torch(make: Make, tmp_path: Path) -> None:
    make("language")
    code = """
import sys
from unrolled.runtime import load
load(sys.argv[1]).stream().push("ab")
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=True)


def test_the_command(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs, _, file = make("classify")
    assert main([str(tmp_path / "run"), str(file), "--engine", "numpy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["label"] for line in lines] == theirs.predict(theirs.read_inputs(file).inputs)
    assert main([str(tmp_path / "nothing"), str(file)]) == 1
    assert "nothing is not a run folder" in capsys.readouterr().err


def changed(run: Path, **entries: Any) -> None:
    config = json.loads((run / "config.json").read_text())
    for name, value in entries.items():
        config["network" if name in config["network"] else "schema"][name] = value
    (run / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("task", "entries", "sentence"),
    [
        ("classify", {"hidden": 5}, r"run: .* in weights\.safetensors is .*, the network needs .*; copy the run again"),
        ("classify", {"pooling": "median"}, r"config\.json was changed or damaged \(pooling 'median' is not known\)"),
        ("classify", {"hidden": 10**6}, r"config\.json was changed or damaged \(the network has .* weights or more"),
        ("classify", {"classes": ["x"]}, "does not name a class for each output"),
        ("translate", {"attention": "dot"}, r"config\.json was changed or damaged \(attention 'dot' is not known\)"),
        ("forecast", {"distribution": "cauchy"}, r"was changed or damaged \(the distribution 'cauchy' is not known\)"),
        ("caption", {"longest": 0}, "has a longest caption of 0 units"),
        ("tag", {"crf": True}, r"crf\.start in weights\.safetensors is missing"),
    ],
)
def test_a_run_that_does_not_fit_together_is_refused(
    make: Make, tmp_path: Path, task: str, entries: dict[str, Any], sentence: str
) -> None:
    make(task, **({"target": ("sold",)} if task == "forecast" else {}))
    changed(tmp_path / "run", **entries)
    with pytest.raises(RunError, match=sentence):
        runtime.load(tmp_path / "run")


def test_weights_that_are_cut_short_or_too_many_are_refused(make: Make, tmp_path: Path) -> None:
    make("regress")
    weights = tmp_path / "run" / "weights.safetensors"
    whole = weights.read_bytes()
    save_file({**load_file(weights), "more": np.ones(2, np.float32)}, weights)
    with pytest.raises(RunError, match=r"more in weights\.safetensors is \(2,\), the network needs not used"):
        runtime.load(tmp_path / "run")
    weights.write_bytes(whole)
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(RunError, match="is cut short or damaged"):
        runtime.load(tmp_path / "run")
    weights.unlink()
    with pytest.raises(RunError, match=r"has no weights\.safetensors, so training did not end"):
        runtime.load(tmp_path / "run")
    with pytest.raises(ArgumentError, match="engine is 'gpu', it must be one of auto, compiled, numpy"):
        runtime.load(tmp_path / "run", engine="gpu")


def test_a_state_of_another_run_is_refused(make: Make) -> None:
    _, ours, _ = make("regress")
    state = ours.stream().state()
    make("regress", hidden=5)
    _, other, _ = make("regress", hidden=5)
    with pytest.raises(ArgumentError, match="another run"):
        other.stream(state)


def test_the_plan_of_a_run_says_what_it_would_take(make: Make, tmp_path: Path) -> None:
    make("language")
    with pytest.raises(RunError, match="weights or more"):
        plan_of(read_config(tmp_path / "run"), open_run(tmp_path / "run").vocabulary, most=3)
