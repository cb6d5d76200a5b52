from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from data.filming import grey_frames, write_film
from tasks.tagging import train_tagger
from unrolled.cli.main import main
from unrolled.data.film import open_film
from unrolled.data.film_labels import read_film_labels
from unrolled.errors import ArgumentError, DataError
from unrolled.tasks import open_run
from unrolled.tasks.film_input import FilmInput
from unrolled.tasks.tag import TagTask

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films whose middle is grey throughout: after light it is called "falling", after dark "rising"."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(3)
    for number in range(6):
        values, rows, at = [], ["start,end,label"], 0
        for _ in range(4):
            up = bool(rng.integers(2))
            length = int(rng.integers(3, 6))
            values += [20 if up else 230] * 2 + [125] * length
            rows.append(f"{at / 10},{(at + 2 + length) / 10},{'rising' if up else 'falling'}")
            at += 2 + length
        write_film(folder / f"f{number}.mp4", grey_frames(values, 16))
        (folder / f"f{number}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "film"
    options: dict[str, Any] = {"rate": 10.0, "size": 16, "causal": True, "dropout": 0.0, "hidden": 16, "embedding": 16}
    result = train_tagger(films, out, epochs=20, learning_rate=0.01, batch_size=2, validation=0.0, **options)
    assert result.model.measure(result.model.read_part(films))["accuracy"] > 0.9
    return out


def test_events_that_need_the_past_are_learnt(run: Path, films: Path) -> None:
    model = open_run(run)
    assert isinstance(model, TagTask)
    assert model.causal
    found = model.evaluate(films)
    assert found["accuracy"] > 0.9
    assert set(found["per_class"]) == {"falling", "rising"}


def test_a_frame_changes_nothing_before_it(run: Path, films: Path) -> None:
    model = open_run(run)
    assert isinstance(model, TagTask)
    frames = np.stack(list(open_film(films / "f0.mp4", rate=10, size=16).frames()))
    (before,) = model.probabilities([frames])
    spoilt = frames.copy()
    spoilt[9:] = 255 - spoilt[9:]
    (after,) = model.probabilities([spoilt])
    np.testing.assert_allclose(after[:9], before[:9], atol=1e-6)
    assert np.abs(after[9:] - before[9:]).max() > 1e-3
    np.testing.assert_allclose(
        before, model.probabilities([open_film(films / "f0.mp4", rate=10, size=16)])[0], atol=1e-6
    )


def test_the_estimator_takes_paths_of_films(films: Path, tmp_path: Path) -> None:
    paths = sorted(films.glob("*.mp4"))
    options: dict[str, Any] = {"rate": 10.0, "size": 16, "hidden": 8, "embedding": 8, "epochs": 1, "threads": 1}
    model = ur.Tagger(**options).fit(paths, None)
    truth = [list(read_film_labels(path.with_suffix(".csv"), open_film(path, rate=10, size=16))) for path in paths]
    assert [len(row) for row in model.predict(paths)] == [len(row) for row in truth]
    assert model.score(paths, None) == model.score(paths, truth)
    same = ur.Tagger(**options).fit(list(map(str, paths)), truth)
    np.testing.assert_array_equal(same.predict_proba(paths)[2], model.predict_proba(paths)[2])
    model.save(tmp_path / "run")
    np.testing.assert_array_equal(ur.load(tmp_path / "run").predict(paths)[1], model.predict(paths)[1])
    with pytest.raises(ArgumentError, match="X has 6 sequences and y has 2"):
        ur.Tagger(**options).fit(paths, truth[:2])
    other = tmp_path / "other.mp4"
    other.write_bytes(paths[0].read_bytes())
    with pytest.raises(DataError, match="the film has no labels; write them into"):
        ur.Tagger(**options).fit([other], None)
    with pytest.raises(ArgumentError, match="sequence 1 is no film; give"):
        model.predict([["a", "b"]])


def test_a_film_with_room_is_decoded_once_and_another_each_time(films: Path) -> None:
    film = open_film(films / "f0.mp4", rate=10, size=16)
    kept, without = FilmInput(10, 16), FilmInput(10, 16)
    without._room = 0
    for part in (film[2:9], film[11:12], film):
        np.testing.assert_array_equal(kept.collate([part]), without.collate([part]))
    assert list(kept._kept) == [film.path]
    assert not without._kept


def test_predictions_of_a_film(run: Path, films: Path, capsys: Captured) -> None:
    capsys.readouterr()
    film = films / "f1.mp4"
    assert main(["predict", str(run), str(film), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    assert len(found) == len(open_film(film, rate=10, size=16))
    assert [row["time"] for row in found[:3]] == [0.0, 0.1, 0.2]
    model: Any = open_run(run)
    assert [row["label"] for row in found] == model.predict([open_film(film, rate=10, size=16)])[0]
    assert main(["predict", str(run), str(film)]) == 0
    lines = capsys.readouterr().out.splitlines()
    changes = sum(a["label"] != b["label"] for a, b in pairwise(found))
    assert len(lines) == changes + 1
    assert lines[0].startswith(f"{film}  0:00:00.000 to ")
    assert main(["predict", str(run), "-"]) == 2


def test_refusals(run: Path, films: Path, tmp_path: Path, capsys: Captured) -> None:
    model: Any = open_run(run)
    with pytest.raises(
        ArgumentError, match="sequence 1 has 5 frames a second of 16 pixels, and this model reads 10 of 16"
    ):
        model.predict([open_film(films / "f0.mp4", rate=5, size=16)])
    with pytest.raises(ArgumentError, match=r"give bytes \(T, 16, 16, 3\)"):
        model.predict([np.zeros((4, 8, 8, 3), np.uint8)])
    with pytest.raises(ArgumentError, match="sequence 1 is no film"):
        model.predict(["f0.mp4"])
    (tmp_path / "bad.mp4").write_text("no film")
    (tmp_path / "bad.csv").write_text("start,end,label\n0,1,a\n")
    capsys.readouterr()
    assert main(["train", "tag", str(tmp_path / "bad.mp4"), "--out", str(tmp_path / "run")]) == 1
    assert "bad.mp4: the film cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_skip_bad_leaves_a_film_out(films: Path, tmp_path: Path) -> None:
    (tmp_path / "good.mp4").write_bytes((films / "f0.mp4").read_bytes())
    (tmp_path / "good.csv").write_bytes((films / "f0.csv").read_bytes())
    (tmp_path / "other.mp4").write_bytes((films / "f1.mp4").read_bytes())
    result = train_tagger(tmp_path, epochs=1, rate=10.0, size=16, skip_bad=True, out=tmp_path / "run")
    assert result.model.count(result.model.read_part(films / "f0.mp4")) > 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["data"]["held_out"] == "the last 10% of each sequence"


def test_no_film_that_can_be_used(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "bad.mp4").write_text("no film")
    capsys.readouterr()
    assert main(["train", "tag", str(tmp_path), "--skip-bad"]) == 1
    assert "none of it can be used, the first because of this: " in capsys.readouterr().err
