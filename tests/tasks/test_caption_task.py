"""Captions of pictures that the tests draw themselves."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import unrolled as ur
from batteries.drawings import album, drawing
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.tasks import TASKS, Common, open_run
from unrolled.tasks.caption import CaptionTask
from unrolled.tasks.events import Duplicates, Event, Skipped, Split
from unrolled.tasks.pictures import Pictures
from unrolled.tasks.training import RunResult

pytest.importorskip("PIL")

SMALL: dict[str, Any] = {
    "hidden": 24,
    "embedding": 12,
    "size": 16,
    "channels": (8, 16),
    "learning_rate": 0.02,
    "batch_size": 16,
    "dropout": 0.0,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return album(tmp_path_factory.mktemp("album"), 120)


def train(table: Path, out: Path | None, notify: Any = None, **more: Any) -> RunResult:
    task = TASKS["caption"]
    common = {name: more.pop(name) for name in list(more) if hasattr(Common(), name)}
    options = task.options(**{**SMALL, **more})
    settings: dict[str, Any] = {"data": table, "out": out, "epochs": 1, "threads": 1, **common}
    return task.train(options, Common(**settings), (), notify)


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "caption"
    train(table, out, epochs=60, learning_rate=0.01)
    return out


@pytest.fixture(scope="module")
def model(run: Path) -> CaptionTask:
    found = open_run(run)
    assert isinstance(found, CaptionTask)
    return found


def test_it_learns_to_say_what_is_drawn(model: CaptionTask, tmp_path: Path) -> None:
    unseen = album(tmp_path, 60, seed=1)
    metrics = model.evaluate(unseen)
    assert metrics["exact_match"] > 0.9
    assert metrics["bleu_4"] > 90
    assert set(metrics) == {"loss", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "exact_match"}
    pixels, caption = drawing(random.Random(5))
    assert model.predict(pixels[None]) == [caption.lower()]


def test_where_it_looked_is_a_weight_for_each_region(model: CaptionTask) -> None:
    pictures = np.stack([drawing(random.Random(seed))[0] for seed in range(5)])
    found = model.describe(pictures, best=2)
    for several in found:
        assert len(several) == 2
        assert several[0].log_probability <= 0
        for caption in several:
            assert caption.attention.shape == (len(caption.units) + 1, 16)
            np.testing.assert_allclose(caption.attention.sum(1), 1, atol=1e-5)
            assert caption.text.replace(".", "").split() == [unit for unit in caption.units if unit != "."]


def test_answers_do_not_depend_on_the_batch(model: CaptionTask) -> None:
    pictures = np.stack([drawing(random.Random(seed))[0] for seed in range(70)])
    together = [found[0] for found in model.describe(pictures)]
    alone = [model.describe(picture[None])[0][0] for picture in pictures[60:]]
    assert [one.text for one in together[60:]] == [one.text for one in alone]
    for a, b in zip(together[60:], alone, strict=True):
        assert a.log_probability == pytest.approx(b.log_probability, abs=1e-4)


def test_the_log_probability_is_that_of_the_whole_caption(model: CaptionTask) -> None:
    pixels = np.stack([drawing(random.Random(seed))[0] for seed in range(4)])
    for picture in pixels:
        (found,) = model.describe(picture[None])[0]
        given = Pictures(picture[None], [(found.text,)], [Path("x")])
        metrics = model.measure(given)
        assert metrics["exact_match"] == 1
        assert -metrics["loss"] * (len(found.units) + 1) == pytest.approx(found.log_probability, rel=1e-4)


def test_several_captions_of_a_picture_are_all_learnt(table: Path, tmp_path: Path) -> None:
    lines = table.read_text(encoding="utf-8").splitlines()[1:61]
    rows = []
    for line in lines:
        name, caption, _ = line.split(",")
        rows.append({"image": name, "caption": [caption, caption.replace("block", "square")]})
    (tmp_path / "two.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    result = train(tmp_path / "two.jsonl", tmp_path / "run", images=table.parent, epochs=8)
    model = result.model
    examples = model.read_part(tmp_path / "two.jsonl")
    assert len(examples) == 60
    (batch,) = model.batches(examples.take(np.arange(10)), 16).epoch(0)
    assert batch.ids.shape[0] == 20
    assert torch.bincount(batch.owner).tolist() == [2] * 10
    units = model.vocabulary.tokens
    assert {"block", "square"} <= set(units)
    view = model._look(batch)
    expected = model.module.loss(view, batch.ids, batch.targets, batch.lengths)
    torch.testing.assert_close(model.loss(batch, None).loss, expected)


def test_a_batch_has_captions_of_every_length(model: CaptionTask) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
    captions = [("a small red block left of a large blue block" if k < 32 else "a block",) for k in range(64)]
    batches = list(model.batches(Pictures(pixels, captions, [Path("x")] * 64), 16, 0).epoch(0))
    assert len(batches) == 4
    assert all(len(batch.lengths.unique()) == 2 for batch in batches)


def test_what_is_known_is_told_and_groups_stay_together(table: Path, tmp_path: Path) -> None:
    told: list[Event] = []
    train(table, tmp_path / "run", told.append, test=table)
    (split,) = (event for event in told if isinstance(event, Split))
    assert (split.train, split.valid, split.test, split.unit) == (108, 12, 120, "pictures")
    parts = {event.part: event.rows for event in told if isinstance(event, Duplicates)}
    assert parts == {"test": 108}
    options = TASKS["caption"].options(**SMALL, validation=0.3)
    found = CaptionTask.read(table, options, Common(group="painter"))
    assert found.valid is not None
    assert not set(found.train.groups or ()) & set(found.valid.groups or ())
    assert "no painter in both parts" in found.how


def test_bad_rows_are_named_or_skipped_and_listed(tmp_path: Path) -> None:
    table = album(tmp_path, 20)
    (tmp_path / "3.png").write_bytes(b"no picture")
    lines = table.read_text(encoding="utf-8").splitlines()
    lines[7] = "6.png,,1"
    table.write_text("\n".join([*lines, "gone.png,A block.,1"]), encoding="utf-8")
    with pytest.raises(DataError, match=r"album\.csv, row 8: a caption in column 'caption' is empty"):
        train(table, tmp_path / "run")
    lines[7] = "6.png,A block.,1"
    table.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match=r"album\.csv, row 5: .*3\.png: this is no picture"):
        train(table, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    lines[7] = "6.png,,1"
    table.write_text("\n".join([*lines, "gone.png,A block.,1"]), encoding="utf-8")
    told: list[Event] = []
    train(table, tmp_path / "run", told.append, skip_bad=True)
    (skipped,) = (event for event in told if isinstance(event, Skipped))
    assert [sentence.split(": ")[0].split(", ")[1] for sentence in skipped.sentences] == ["row 8", "row 5", "row 22"]
    (split,) = (event for event in told if isinstance(event, Split))
    assert split.train + split.valid == 18


def test_features_are_read_instead_of_pixels(table: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    captions = [line.split(",")[:2] for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    place = {word: rng.normal(size=6) for word in ("red", "green", "blue", "left.", "right.")}
    values = [
        [sum(place[word] for word in caption.split() if word in place), rng.normal(size=6)] for _, caption in captions
    ]
    features = tmp_path / "features.npz"
    np.savez(features, names=np.array([name for name, _ in captions]), features=np.array(values))
    result = train(table, tmp_path / "run", features=features, size=None, epochs=15)
    assert result.valid["bleu_1"] > 80
    model = open_run(tmp_path / "run")
    assert isinstance(model, CaptionTask)
    assert model.evaluate(table)["bleu_1"] > 80
    assert len(model.describe(model.reader.asked(features)[0].images)) == 120
    with pytest.raises(DataError, match=r"this run reads features of pictures \(\.npz\)"):
        model.reader.asked(table.parent / "1.png")
    with pytest.raises(ArgumentError, match=r"this model reads regions \(N, R, 6\)"):
        model.describe(np.zeros((1, 2, 5), dtype=np.float32))
    with pytest.raises(ArgumentError, match="encoder and size say nothing; leave them out"):
        train(table, tmp_path / "r", features=features, size=8)


def test_a_torchvision_network_reads_the_pictures(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 12, 5, 4, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    models: Any = ModuleType("torchvision.models")
    models.get_model, models.list_models = (lambda name, weights: network), (lambda: ["tiny"])
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    result = train(table, tmp_path / "run", encoder="tiny", epochs=12)
    assert result.model.sight.features == 12
    assert result.valid["bleu_1"] > 50
    assert open_run(tmp_path / "run").evaluate(table)["bleu_1"] > 50
    assert ur.load(tmp_path / "run").predict([table.parent / "1.png"])[0]


def test_a_run_goes_on_to_the_last_bit(table: Path, tmp_path: Path) -> None:
    steady: dict[str, Any] = {"dropout": 0.2, "warmup": 0.0, "decay": "constant"}
    whole = train(table, tmp_path / "whole", epochs=2, **steady)
    train(table, tmp_path / "parts", epochs=1, **steady)
    again = train(table, tmp_path / "parts", epochs=2, resume=True, **steady)
    assert again.training.resumed_from == whole.training.step // 2
    for a, b in zip(whole.model.module.parameters(), again.model.module.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


def test_from_another_run(table: Path, run: Path, tmp_path: Path) -> None:
    result = train(table, tmp_path / "run", from_run=run, learning_rate=1e-9, hidden=99)
    assert result.valid["exact_match"] > 0.8
    assert result.model.plan.hidden == 24


@pytest.mark.parametrize("options", [{"cell": "lstm", "layers": 2}, {"attention": "additive"}, {"units": "char"}])
def test_cells_layers_attention_and_units_are_options(table: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    train(table, tmp_path / "run", **options)
    found = open_run(tmp_path / "run")
    assert isinstance(found, CaptionTask)
    assert len(found.predict(np.stack([drawing(random.Random(1))[0]]))) == 1


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("longest", 0, "a longest caption of 0 units"),
        ("beam", "wide", "no usable 'beam'"),
        ("sight", {}, "how the network looks at pictures"),
        (
            "sight",
            {"channels": [10**9], "blocks": 0, "attention": "additive", "features": None, "around": 3},
            "how the network looks",
        ),
        (
            "sight",
            {"channels": [8, 16], "blocks": 0, "attention": "additive", "features": None, "around": 2},
            "how the network looks",
        ),
        ("reader", {"image": 3}, "how pictures are read"),
    ],
)
def test_a_damaged_schema_is_refused(run: Path, tmp_path: Path, entry: str, value: Any, words: str) -> None:
    for name in ("vocabulary.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    config["schema"][entry] = value
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(RunError, match=words):
        open_run(tmp_path)


def test_refusals(table: Path, model: CaptionTask, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="beam=0 must be at least 1"):
        train(table, tmp_path / "r", beam=0)
    with pytest.raises(ArgumentError, match="size=0 must be at least 1"):
        train(table, tmp_path / "r", size=0)
    with pytest.raises(ArgumentError, match="give multiples of 8"):
        train(table, tmp_path / "r", channels=(5,))
    with pytest.raises(ArgumentError, match=r"this model reads bytes \(N, H, W, 3\)"):
        model.describe(np.zeros((1, 16, 16, 3), dtype=np.float32))
    with pytest.raises(DataError, match="this run reads pictures; give those"):
        model.reader.asked(Path("features.npz"))
    assert not (tmp_path / "r").exists()


def test_the_estimator(table: Path, tmp_path: Path) -> None:
    rng = random.Random(3)
    pairs = [drawing(rng, 16, 16 + 4 * (k % 2)) for k in range(60)]
    pictures, captions = [pixels for pixels, _ in pairs], [caption for _, caption in pairs]
    model = ur.Captioner(**{**SMALL, "hidden": 16}, epochs=2, threads=1, validation=0.0).fit(pictures, captions)
    assert 0 <= model.score(pictures[:9], captions[:9]) <= 100
    model.save(tmp_path / "run")
    again = ur.load(tmp_path / "run")
    assert again.predict(pictures[:5]) == model.predict(pictures[:5])
    assert again.predict([str(table.parent / "0.png")]) == model.predict([table.parent / "0.png"])
    assert len(again.describe(pictures[:2], best=2)[1]) == 2
    regions = np.random.default_rng(0).normal(size=(6, 5))
    several = [("a b", "b"), "a", ["b c"], "c", "a", "b"]
    other = ur.Captioner(hidden=4, embedding=4, epochs=1, threads=1).fit(regions, several)
    assert len(other.predict(regions[:, None])) == 6


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        ("a.png", ["x"], "give \\[picture\\]"),
        ([], [], "give \\[picture\\]"),
        ([np.zeros((4, 4, 3), dtype=np.uint8)], "x", "X has 1 pictures and y has no list"),
        ([np.zeros((4, 4, 3), dtype=np.uint8)], ["x", "y"], "X has 1 pictures and y has 2 captions"),
        ([np.zeros((4, 4, 3), dtype=np.uint8)], [[]], "y\\[0\\] is \\[\\]; give a caption"),
        ([np.zeros((4, 4, 3), dtype=np.uint8)], [" "], "y\\[0\\] is ' '; give a caption"),
        ([np.full((2, 3), np.nan)], ["x"], "give finite regions"),
        ([np.zeros((4, 4, 3), dtype=int)], ["x"], "give bytes \\(uint8\\)"),
    ],
)
def test_what_the_estimator_cannot_use_is_said(X: Any, y: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        ur.Captioner(hidden=4, epochs=1).fit(X, y)
