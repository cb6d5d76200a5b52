"""A classifier of sound, series and DNA: files as users have them, trained, saved, loaded, asked."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unrolled import Classifier, load
from unrolled.data.audio import read_sound
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.tasks import TASKS, Common, open_run
from unrolled.tasks.classify import ClassifyTask
from unrolled.tasks.events import Note, Skipped
from unrolled.tasks.options import ClassifyOptions
from unrolled.tasks.reading import Reading, recognise
from unrolled.tasks.training import RunResult
from unrolled.train import Interrupted, Observer, Step

RATE = 4000
SMALL = {"hidden": 8, "bands": 12, "ema": 0.0, "learning_rate": 0.02, "dropout": 0.1, "batch_size": 8, "embedding": 6}


def fit(data: Path, out: Path, told: list[Any] | None = None, *, epochs: int = 6, **options: Any) -> RunResult:
    names = {"valid", "test", "group", "skip_bad", "from_run", "max_time"}
    common = Common(
        data=data, out=out, epochs=epochs, threads=1, **{n: options.pop(n) for n in list(options) if n in names}
    )
    chosen = ClassifyOptions(**{**SMALL, **options})
    return TASKS["classify"].train(chosen, common, (), None if told is None else told.append)


def model_of(run: Path) -> ClassifyTask:
    found = open_run(run)
    assert isinstance(found, ClassifyTask)
    return found


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a class, high and low; some at another rate, one in FLAC."""
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for name, hertz in (("low", 300), ("high", 900)):
        (folder / name).mkdir()
        for number in range(12):
            rate = 2 * RATE if number == 0 else RATE
            times = np.arange(round(rate * rng.uniform(0.1, 0.3))) / rate
            tone = np.sin(2 * np.pi * hertz * rng.uniform(0.8, 1.2) * times) + 0.1 * rng.normal(size=len(times))
            soundfile.write(folder / name / f"{number}.{'flac' if number == 1 else 'wav'}", 0.4 * tone, rate)
    return folder


@pytest.fixture(scope="module")
def sound_run(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "sound"
    told: list[Any] = []
    fit(sounds, run, told, epochs=8, augment=0.5)
    notes = [event.text for event in told if isinstance(event, Note)]
    assert any(
        re.fullmatch(rf"read as sound of 0\.\d to 0\.\d s at {RATE:,} Hz, 12 mel bands and pitch each 10 ms", note)
        for note in notes
    )
    assert any(note.startswith("2 of 24 sounds had another rate") for note in notes)
    return run


def test_sound_from_a_folder_for_each_class(sounds: Path, sound_run: Path) -> None:
    model = model_of(sound_run)
    assert model.evaluate(sounds)["accuracy"] > 0.9
    assert (model.reading.kind, model.reading.rate, model.plan.stride) == ("sound", RATE, 2)
    one = model.read_inputs(sounds / "high" / "3.wav")
    assert model.predict(one.inputs) == ["high"]
    everything = model.read_inputs(sounds)
    assert len(everything.inputs) == 24 and everything.labels == []
    together = model.probabilities(everything.inputs)
    alone = np.concatenate([model.probabilities([row]) for row in everything.inputs])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def reading_of(path: Path, **options: Any) -> Reading:
    group = "speaker" if path.suffix == ".csv" else None
    return recognise(path, ClassifyOptions(file="clip" if group else None, label="what", **options), group)


def test_a_run_that_reads_forwards_can_hear_a_sound_as_it_comes(sounds: Path, tmp_path: Path) -> None:
    told: list[Any] = []
    fit(sounds, tmp_path / "run", told, epochs=1, bidirectional=False)
    assert any("levels as they are, so that it can stream" in event.text for event in told if isinstance(event, Note))
    model = model_of(tmp_path / "run")
    (features,) = model.reading.sounds([sounds / "high" / "3.wav"])
    stream = model.stream()
    stream.push(read_sound(sounds / "high" / "3.wav")[0])
    assert stream.finish()["label"] == model.predict([features])[0]


def test_sound_from_a_manifest(sounds: Path, tmp_path: Path) -> None:
    rows = [f"{file},{file.parent.name},{file.stem}" for file in sorted(sounds.rglob("*.wav"))]
    table = tmp_path / "m.csv"
    table.write_text("\n".join(["clip,what,speaker", *rows]) + "\n")
    reading = recognise(table, ClassifyOptions(label="what"), "speaker")
    assert (reading.kind, reading.column, reading.rate) == ("sound", "clip", RATE)
    result = fit(table, tmp_path / "run", label="what", group="speaker", epochs=1)
    assert "no speaker in both parts" in result.config.data["held_out"]
    centred = model_of(tmp_path / "run").reading
    assert centred.centre and not reading_of(sounds).centre and not reading_of(table, centre=False).centre
    forwards = reading_of(table, bidirectional=False)
    assert forwards.steady and not forwards.centre and not centred.steady
    assert reading_of(table, bidirectional=False, centre=True).centre
    np.testing.assert_allclose(centred.labelled(table).inputs[3][:, :12].mean(0), 0, atol=1e-5)
    of_table = model_of(tmp_path / "run").reading
    assert len(of_table.labelled(table).inputs) == len(of_table.unlabelled(table).inputs) == len(rows)


def test_a_bad_sound_is_named_with_its_row_or_skipped(sounds: Path, tmp_path: Path) -> None:
    good = sorted(sounds.rglob("*.wav"))
    short = tmp_path / "short.wav"
    short.write_bytes(good[0].read_bytes()[:200])
    rows = [f"{file},{file.parent.name}" for file in [*good[:3], short, *good[3:]]]
    table = tmp_path / "m.csv"
    table.write_text("\n".join(["file,label", *rows, "missing.wav,low"]) + "\n")
    with pytest.raises(DataError, match=r"m.csv, row 5: .*short.wav: the file is cut short"):
        fit(table, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    told: list[Any] = []
    fit(table, tmp_path / "run", told, epochs=1, skip_bad=True)
    (skipped,) = (event for event in told if isinstance(event, Skipped))
    assert "missing.wav: there is no such file" in str(skipped) or len(skipped.sentences) == 2
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "a.wav").write_bytes(good[0].read_bytes())
    with pytest.raises(DataError, match=r"a\.wav: this sound lies outside the folders of the classes"):
        fit(tmp_path / "lost", tmp_path / "other")
    with pytest.raises(DataError, match="sounds with labels are needed; give a folder for each class"):
        fit(good[0], tmp_path / "other", read_as="sound")


def _long_table(path: Path, missing: bool) -> Path:
    """Series that go up or down, observed at uneven times, some values missing."""
    rng = np.random.default_rng(4)
    lines = ["id,time,x,note,kind"]
    for number in range(40):
        kind = ("up", "down")[number % 2]
        time, value = 0.0, rng.normal()
        for _ in range(int(rng.integers(5, 12))):
            step = rng.uniform(0.1, 3)
            time, value = time + step, value + (step if kind == "up" else -step)
            shown = "" if missing and rng.random() < 0.3 else f"{value + 0.1 * rng.normal():.4f}"
            lines.append(f"s{number},{time:.3f},{shown},word,{kind}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_long_table_with_missing_values_and_uneven_time(tmp_path: Path) -> None:
    data, told = _long_table(tmp_path / "long.csv", missing=True), []
    options = {"sequence": "id", "time": "time", "label": "kind", "epochs": 25}
    fit(data, tmp_path / "run", told, test=data, **options)
    model = model_of(tmp_path / "run")
    assert model.evaluate(data)["accuracy"] > 0.85
    assert (model.marks, model.plan.inputs, model.reading.features) == (True, 4, ("x",))
    notes = [event.text for event in told if isinstance(event, Note)]
    assert any("numbers are missing; the last one before stands in, marked" in note for note in notes)
    assert any(
        re.fullmatch(r"read as series of \d+ to \d+ steps of \d numbers; the rows with one id are one", note)
        for note in notes
    )
    assert len(model.predict(model.read_inputs(data).inputs)) == 40


class Stop(Observer):
    """Presses Ctrl-C after a step."""

    def on_step(self, step: Step) -> None:
        if step.step == 7:
            signal.raise_signal(signal.SIGINT)


def test_a_resumed_run_with_augmentation_equals_one_that_was_never_stopped(tmp_path: Path) -> None:
    data = _long_table(tmp_path / "long.csv", missing=False)
    chosen = ClassifyOptions(**{**SMALL, "sequence": "id", "label": "kind", "time": "time", "augment": 1.0})
    common = {"data": data, "epochs": 3, "threads": 1}
    TASKS["classify"].train(chosen, Common(out=tmp_path / "whole", **common))
    with pytest.raises(Interrupted):
        TASKS["classify"].train(chosen, Common(out=tmp_path / "parts", **common), (Stop(),))
    TASKS["classify"].train(ClassifyOptions(), Common(out=tmp_path / "parts", resume=True))
    whole, parts = model_of(tmp_path / "whole").module.state_dict(), model_of(tmp_path / "parts").module.state_dict()
    assert any("running_mean" in name for name in whole)
    for name in whole:
        assert torch.equal(whole[name], parts[name]), name


def test_wide_tables_archives_and_ts_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(30, 9)).cumsum(1).astype(np.float32).round(3)
    y = np.where(x[:, -1] > x[:, 0], "up", "down")
    lines = [",".join([*map(str, row), label]) for row, label in zip(x, y, strict=True)]
    names = [f"t{i}" for i in range(9)]
    (tmp_path / "w.csv").write_text("\n".join([",".join([*names, "label"]), *lines]) + "\n")
    np.savez(tmp_path / "a.npz", x=x, y=y)
    head = "@problemName p\n@classLabel true up down\n@data\n"
    body = "\n".join(f"{','.join(map(str, row))}:{label}" for row, label in zip(x, y, strict=True))
    (tmp_path / "s.ts").write_text(head + body + "\n")
    found = {}
    for name in ("w.csv", "a.npz", "s.ts"):
        fit(tmp_path / name, tmp_path / name.replace(".", "-"), epochs=2)
        model = model_of(tmp_path / name.replace(".", "-"))
        found[name] = model.probabilities(model.read_inputs(tmp_path / name).inputs)
    np.testing.assert_allclose(found["w.csv"], found["s.ts"], atol=1e-6)
    np.testing.assert_allclose(found["a.npz"], found["s.ts"], atol=1e-6)
    assert recognise(tmp_path / "a.npz", ClassifyOptions(), None).label == "y"


def _splices(path: Path) -> Path:
    """Random bases with GT or AG in the middle."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(60):
        kind = ("EI", "IE")[number % 2]
        text = "".join(rng.choice(list("ACGT"), size=14))
        rows.append((text[:7] + {"EI": "GT", "IE": "AC"}[kind] + text[7:], kind))
    path.write_text("name,site,label\n" + "".join(f"n{i},{text},{kind}\n" for i, (text, kind) in enumerate(rows)))
    return path


@pytest.mark.parametrize("more", [{}, {"kmer": 3}, {"both_strands": True, "positions": False}])
def test_dna_as_bases_words_and_both_strands(more: dict[str, Any], tmp_path: Path) -> None:
    data = _splices(tmp_path / "s.csv")
    fit(data, tmp_path / "run", epochs=20 if not more else 2, **more)
    model = model_of(tmp_path / "run")
    assert (model.reading.kind, model.reading.column) == ("dna", "site")
    if not more:
        assert model.evaluate(data)["accuracy"] > 0.9
        assert model.plan.positions == 16
    assert model.vocabulary is not None
    assert model.vocabulary.units == ("word" if "kmer" in more else "char")
    texts = model.read_inputs(data).inputs[:5]
    np.testing.assert_allclose(
        model.probabilities([t.lower().replace("t", "u") for t in texts]), model.probabilities(texts)
    )
    if "both_strands" in more:
        from unrolled.data.genome import reverse_complement

        other = model.probabilities([reverse_complement(text) for text in texts])
        np.testing.assert_allclose(model.probabilities(texts), other, atol=1e-6)
        assert not torch.equal(*(torch.from_numpy(model.embed([t])) for t in texts[:2]))


def test_fasta_and_arrays_of_other_kinds_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "x.fasta").write_text(">a one\nACGT\n>b two\nGGGT\n")
    assert recognise(tmp_path / "x.fasta", ClassifyOptions(), None).kind == "dna"
    (tmp_path / "t.csv").write_text("text,label\nACGTACGT,a\nACGTAAAA,b\n")
    assert recognise(tmp_path / "t.csv", ClassifyOptions(), None).kind == "text"
    assert recognise(tmp_path / "t.csv", ClassifyOptions(dna="text"), None).kind == "dna"
    assert recognise(tmp_path / "t.csv", ClassifyOptions(read_as="dna"), None).column == "text"
    folder = tmp_path / "f" / "a"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("words")
    assert recognise(tmp_path / "f", ClassifyOptions(), None).kind == "text"
    (folder / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(
        DataError, match=r"the folder holds files of text \(1\) and sound \(1\); say which is meant with --read-as"
    ):
        recognise(tmp_path / "f", ClassifyOptions(), None)
    assert recognise(tmp_path / "f", ClassifyOptions(read_as="text"), None).kind == "text"


def test_options_that_contradict_one_another(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,label\n1,a\n2,b\n")
    with pytest.raises(ArgumentError, match="the options speak of dna and sound; give those of one kind"):
        recognise(tmp_path / "t.csv", ClassifyOptions(file="a", dna="a"), None)
    with pytest.raises(ArgumentError, match="time names a column of a long table; name its column of series too"):
        recognise(tmp_path / "t.csv", ClassifyOptions(time="a"), None)
    with pytest.raises(ArgumentError, match="several labels a row are for text, and the data is series"):
        recognise(tmp_path / "t.csv", ClassifyOptions(separator="|"), None)
    with pytest.raises(DataError, match="no column names files of sound; say which of 'a', 'label'"):
        recognise(tmp_path / "t.csv", ClassifyOptions(read_as="sound"), None)
    with pytest.raises(ArgumentError, match="convolutions=1 of kernel=4"):
        fit(_splices(tmp_path / "s.csv"), tmp_path / "run", kernel=4)


def test_a_tampered_reading_is_refused(sound_run: Path) -> None:
    data = model_of(sound_run).reading.to_json()
    assert Reading.from_json(json.loads(json.dumps(data))) == model_of(sound_run).reading
    older = {name: value for name, value in data.items() if name != "pitch"}
    assert Reading.from_json(older) == replace(model_of(sound_run).reading, pitch=False)
    for change in ({"kind": "film"}, {"rate": "fast"}, {"colour": 1}, {"features": 3}):
        with pytest.raises(RunError, match="the data's schema"):
            Reading.from_json({**data, **change})
    with pytest.raises(RunError, match="does not say how files are read"):
        Reading.from_json(None)


def test_defaults_depend_on_the_kind() -> None:
    given = ClassifyOptions(hidden=33)
    kinds = {kind: given.for_kind(kind, 100) for kind in ("text", "sound", "series", "dna")}
    assert {options.hidden for options in kinds.values()} == {33}
    assert [kinds[kind].batch_size for kind in kinds] == [64, 32, 16, 64]
    assert [kinds[kind].validation for kind in kinds] == [0.1, 0.1, 0.0, 0.1]
    assert given.for_kind("series", 1000).validation == 0.1


def test_arrays_in_memory_are_series(tmp_path: Path) -> None:
    from unrolled.tasks import Classifier

    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(int(rng.integers(4, 9)), 2)) + number % 2 for number in range(24)]
    labels = ["a" if number % 2 else "b" for number in range(24)]
    model = Classifier(hidden=8, epochs=15, threads=1, learning_rate=0.02).fit(rows, labels)
    assert model.score(rows, labels) > 0.9
    assert model.model_.plan.convolutions == 3
    model.save(tmp_path / "run")
    np.testing.assert_allclose(model_of(tmp_path / "run").probabilities(
        [row.astype(np.float32) for row in rows]), model.predict_proba(rows), atol=1e-6)  # fmt: skip
    texts = ["ACGTACGTAA", "GGGTACGTAA"] * 6
    dna = Classifier(read_as="dna", hidden=4, embedding=4, epochs=1, threads=1).fit(texts, [0, 1] * 6)
    with pytest.raises(DataError, match="'!' at place 2 of this sequence is no base"):
        dna.predict(["A!"])


def test_an_estimator_takes_paths_of_sounds(sounds: Path, sound_run: Path, tmp_path: Path) -> None:
    files = sorted(sounds.rglob("*.*"))
    labels = [file.parent.name for file in files]
    options = {name: value for name, value in SMALL.items() if name != "embedding"}
    model = Classifier(**options, read_as="sound", epochs=8, threads=1).fit(files, labels)
    assert model.score(files, labels) > 0.9
    assert model.model_.reading.rate == RATE
    model.save(tmp_path / "run")
    assert list(load(tmp_path / "run").predict([str(files[0])])) == list(model.predict(files[:1]))
    trained = load(sound_run)
    assert isinstance(trained, Classifier)
    assert (trained.predict(files) == np.array(labels)).mean() > 0.9
    assert trained.embed(files[:3]).shape == (3, 16)
    for wrong in ("a.wav", [], [1.0]):
        with pytest.raises(ArgumentError, match="X must be a sequence of paths of sounds"):
            trained.predict(wrong)
    with pytest.raises(DataError, match=r"nowhere\.wav: there is no such file"):
        trained.predict(["nowhere.wav"])


def test_a_table_that_is_not_clear_is_asked_about(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,b,label\n1,2,x\n1,inf,y\n")
    with pytest.raises(DataError, match=r"t\.csv, row 3: column 'b' is 'inf', and a finite number is needed"):
        fit(table, tmp_path / "run")
    table.write_text("day,what,label\nmonday,red,x\nnow,4,y\n")
    with pytest.raises(DataError, match="no column 'text'; say which of 'day', 'what', 'label' is the text"):
        fit(table, tmp_path / "run")
