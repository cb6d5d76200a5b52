from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from unrolled.errors import DataError, RunError, TrainingError
from unrolled.tasks import TASKS, Common, open_run
from unrolled.tasks import folder as folder_module
from unrolled.tasks.curve import draw_curve, read_metrics
from unrolled.tasks.run import create_folder, read_config, write_bytes

TASK_NAMES = ("language", "classify", "regress")


@pytest.fixture(params=TASK_NAMES)
def run(request: pytest.FixtureRequest, runs: Path, tmp_path: Path) -> Path:
    """A copy of a run that may be spoilt."""
    return Path(shutil.copytree(runs / request.param, tmp_path / request.param))


@pytest.fixture
def language(runs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs / "language", tmp_path / "language"))


def change(run: Path, *path: str, to: Any) -> None:
    """Tamper with an entry of config.json."""
    data = json.loads((run / "config.json").read_text())
    place = data
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    (run / "config.json").write_text(json.dumps(data))


def refused(run: Path) -> str:
    with pytest.raises(RunError) as error:
        open_run(run)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert str(run) in sentence
    return sentence


def test_what_a_run_holds(run: Path) -> None:
    names = {path.name for path in run.iterdir() if not path.name.startswith("checkpoint")}
    wanted = {"config.json", "weights.safetensors", "metrics.jsonl", "curve.png"}
    names -= {"tensorboard"}
    assert names == wanted | ({"vocabulary.json"} if run.name != "regress" else set())
    config = read_config(run)
    assert config.command == f"unrolled train {run.name}"
    assert config.total_steps == config.results["step"]
    assert config.common["seed"] == 0
    assert config.data["threads"] == 1
    assert set(config.versions) >= {"python", "torch", "numpy"}
    assert config.results["valid"]["loss"] > 0
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert {row["part"] for row in read_metrics(run)} <= {"train", "valid"}


def test_a_loaded_model_has_the_weights_of_the_file(run: Path) -> None:
    model = open_run(run)
    saved = load_file(run / "weights.safetensors")
    assert {name: p.shape for name, p in model.module.named_parameters()} == {n: t.shape for n, t in saved.items()}
    for name, parameter in model.module.named_parameters():
        torch.testing.assert_close(parameter.detach(), saved[name])
    assert not model.module.training


def test_not_a_run_folder(tmp_path: Path) -> None:
    assert "is not a run folder (it has no config.json)" in refused(tmp_path)
    assert "is not a run folder" in refused(tmp_path / "nowhere")


def test_a_run_cut_short(run: Path) -> None:
    whole = (run / "weights.safetensors").read_bytes()
    (run / "weights.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "weights.safetensors is cut short or damaged" in refused(run)
    (run / "weights.safetensors").unlink()
    assert "training did not end; go on with it by --resume" in refused(run)
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text[: len(text) // 2])
    assert "config.json is cut short or no JSON" in refused(run)


def test_a_vocabulary_cut_short(language: Path) -> None:
    (language / "vocabulary.json").write_text("{")
    assert "vocabulary.json is cut short or no JSON" in refused(language)
    (language / "vocabulary.json").write_text('{"units": "char", "tokens": 3}')
    assert "vocabulary.json was changed or damaged" in refused(language)
    (language / "vocabulary.json").unlink()
    assert "vocabulary.json has None" in refused(language)


def test_a_run_of_another_version(run: Path) -> None:
    change(run, "format", to=2)
    assert "is a run of format 2" in refused(run)
    assert "this version reads format 1" in refused(run)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("task",), "juggle"),
        (("task",), 3),
        (("network", "hidden"), -1),
        (("network", "hidden"), 10**12),
        (("network", "hidden"), "12"),
        (("network", "layers"), 10**9),
        (("network", "vocabulary"), None),
        (("network", "pooling"), 5),
        (("network", "dropout"), 2.0),
        (("network", "regularisation"), {}),
        (("network", "program", "nodes"), [["print", [], None, None]]),
        (("network", "program"), None),
        (("network",), []),
        (("schema",), {}),
        (("parameters",), "many"),
    ],
)
def test_tampered_json(language: Path, path: tuple[str, ...], value: object) -> None:
    change(language, *path, to=value)
    sentence = refused(language)
    assert "changed or damaged" in sentence or "does not know" in sentence


def test_a_run_from_before_an_option_of_the_network_was_there(run: Path) -> None:
    before = {name: p.detach().clone() for name, p in open_run(run).module.named_parameters()}
    network = read_config(run).network
    change(run, "network", to={k: v for k, v in network.items() if k not in ("chrono", "regularisation")})
    assert all(torch.equal(before[name], p) for name, p in open_run(run).module.named_parameters())
    change(run, "network", to={**network, "colour": "red"})
    assert "lacks entries or has strange ones" in refused(run)


def test_missing_and_strange_entries(run: Path) -> None:
    data = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({k: v for k, v in data.items() if k != "schema"}))
    assert "changed or damaged (entry 'schema')" in refused(run)
    (run / "config.json").write_text("[1]")
    assert "is not the description of a run" in refused(run)


@pytest.mark.parametrize("task", ["classify", "regress"])
def test_a_tampered_schema(runs: Path, tmp_path: Path, task: str) -> None:
    run = Path(shutil.copytree(runs / task, tmp_path / task))
    schema = read_config(run).schema
    for name in schema:
        change(run, "schema", to={**schema, name: 1.5})
        assert "changed or damaged" in refused(run)
    change(run, "schema", to={**schema, "scaler": {"mean": [0.0], "scale": [1.0]}})
    assert "changed or damaged" in refused(run)


def test_weights_of_another_shape(language: Path) -> None:
    weights = load_file(language / "weights.safetensors")
    name = "output.bias"
    save_file({**weights, name: torch.zeros(len(weights[name]) + 1)}, language / "weights.safetensors")
    assert f"{name} in weights.safetensors is" in refused(language)
    save_file({**weights, "more": torch.zeros(2)}, language / "weights.safetensors")
    assert "more in weights.safetensors is (2,), the network needs not used" in refused(language)


def test_loading_never_needs_the_users_cell(train: Any, tmp_path: Path) -> None:
    cell = tmp_path / "mine.py"
    cell.write_text(
        "from dataclasses import dataclass\nfrom unrolled.cell import Cell, state, tanh\n"
        "@dataclass(frozen=True)\nclass Mine(Cell):\n"
        "    gates = ('n',)\n    state = state(h='output')\n"
        "    def update(self, x, u, s, p):\n        h = tanh(x.n + u.n) * 0.5\n        return h, self.next(h=h)\n"
    )
    result = train("classify", tmp_path / "run", options={"cell": f"{cell}:Mine"})
    before = result.model.probabilities(["red blue"])
    cell.unlink()
    model = open_run(tmp_path / "run")
    np.testing.assert_allclose(model.probabilities(["red blue"]), before, atol=1e-7)  # type: ignore[attr-defined]
    assert model.plan.program.name == "Mine"


def test_folders_are_numbered_and_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert create_folder(None, "tag") == Path("runs/tag-001")
    assert create_folder(None, "tag") == Path("runs/tag-002")
    (tmp_path / "runs" / "tag-009").mkdir()
    assert create_folder(None, "tag") == Path("runs/tag-010")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    with pytest.raises(RunError, match="full is there and not empty; choose another place"):
        create_folder(Path("full"), "tag")
    with pytest.raises(RunError, match="the run folder could not be made"):
        create_folder(Path("full/thesis.txt/run"), "tag")


def test_a_full_folder_is_refused_before_the_data_is_read(train: Any, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(RunError, match="not empty"):
        train("language", tmp_path, data=tmp_path / "missing.txt")


def test_bad_data_leaves_nothing_behind(train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("text,label\nred,warm\n,cold\n")
    with pytest.raises(DataError, match="row 3"):
        train("classify", None, data=tmp_path / "bad.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes(tmp_path / "a", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder_module.os, "fsync", full)
    with pytest.raises(RunError, match=r"a could not be written \(No space left on device\); make room"):
        write_bytes(tmp_path / "a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_training_that_diverges_keeps_its_last_good_weights(train: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="step"):
        train("regress", tmp_path / "run", options={"learning_rate": 1e38, "clip": 0.0}, epochs=20)
    model = open_run(tmp_path / "run")
    assert all(torch.isfinite(p).all() for p in model.module.parameters())


def test_no_picture_without_matplotlib(language: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.tasks.curve.find_spec", lambda name: None)
    assert "matplotlib is not installed" in str(draw_curve(language, "loss"))


def test_no_data_is_refused() -> None:
    with pytest.raises(ValueError, match="no training data was given; name a file or a folder"):
        TASKS["language"].train(TASKS["language"].options(), Common())
