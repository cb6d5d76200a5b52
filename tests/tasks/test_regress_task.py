from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.errors import ArgumentError, DataError
from unrolled.tasks import Common, RegressOptions, open_run
from unrolled.tasks.regress import RegressTask


@pytest.fixture(scope="module")
def model(runs: Path) -> RegressTask:
    found = open_run(runs / "regress")
    assert isinstance(found, RegressTask)
    return found


def test_training_learns_several_numbers_in_their_own_units(train: Any, files: Path, tmp_path: Path) -> None:
    options = {"hidden": 16, "learning_rate": 0.03, "validation": 0.0}
    result = train("regress", tmp_path / "run", epochs=50, options=options, test=files / "sums.csv")
    model = open_run(tmp_path / "run")
    assert isinstance(model, RegressTask)
    examples = model.read_part(files / "sums.csv")
    truth, answers = np.array(examples.targets), model.predict(examples.inputs)
    assert answers.shape == (50, 2)
    assert ((truth - answers) ** 2).mean(0)[1] < 0.3 * truth.var(0)[1]
    metrics = model.evaluate(files / "sums.csv")
    assert metrics["mse"] == pytest.approx(float(((truth - answers) ** 2).mean()), rel=1e-6)
    assert metrics["mae"] == pytest.approx(float(np.abs(truth - answers).mean()), rel=1e-6)
    assert result.valid == {}
    assert result.test == pytest.approx(metrics, rel=1e-5)


def test_scales_are_learnt_on_the_training_part_alone(files: Path) -> None:
    parts = RegressTask.read(files / "sums.csv", RegressOptions(sequence="id", target=("sum",)), Common())
    model = RegressTask.build(parts, RegressOptions(sequence="id", target=("sum",)))
    train = np.array(parts.train.targets)
    np.testing.assert_allclose(model.target_scaler.mean, train.mean(0))
    np.testing.assert_allclose(model.target_scaler.scale, train.std(0))
    assert model.scaler is not None
    np.testing.assert_allclose(model.scaler.mean, np.concatenate(list(parts.train.inputs)).mean(0), rtol=1e-5)


def test_text_to_a_number(train: Any, files: Path, tmp_path: Path) -> None:
    options = {"text": "text", "target": ("stars",), "sequence": None}
    train("regress", tmp_path / "run", options=options, data=files / "rated.csv")
    model = open_run(tmp_path / "run")
    assert isinstance(model, RegressTask)
    assert model.predict(["blue blue", "red"]).shape == (2, 1)
    assert model.read_inputs(files / "rated.csv")[:1] == model.read_part(files / "rated.csv").inputs[:1]


@pytest.mark.parametrize("kind", ["wide", "listed", "npz"])
def test_other_forms_of_numbers(train: Any, tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(30, 5)).round(4)
    y = x.sum(1)
    if kind == "npz":
        path, options = tmp_path / "a.npz", {}
        np.savez(path, x=x, target=y)
    else:
        path = tmp_path / "a.csv"
        options = {"inputs": "xs"} if kind == "listed" else {}
        cells = [f'"{list(map(float, row))}"' if kind == "listed" else ",".join(map(str, row)) for row in x]
        head = "xs" if kind == "listed" else ",".join("abcde")
        path.write_text("\n".join([f"{head},target", *(f"{c},{t}" for c, t in zip(cells, y, strict=True))]) + "\n")
    options = {"target": ("target",), "sequence": None, **options}
    train("regress", tmp_path / "run", options=options, data=path)
    model = open_run(tmp_path / "run")
    assert isinstance(model, RegressTask)
    np.testing.assert_allclose(np.array(model.read_inputs(path))[..., 0], x, atol=1e-6)


def test_each_number_has_a_name(train: Any, model: RegressTask, tmp_path: Path) -> None:
    assert model.names == ["sum", "first"]
    rng = np.random.default_rng(4)
    np.savez(tmp_path / "a.npz", x=rng.normal(size=(20, 3)), y=rng.normal(size=(20, 2)))
    options = {"target": ("y",), "sequence": None}
    assert train("regress", tmp_path / "run", options=options, data=tmp_path / "a.npz").model.names == ["y 1", "y 2"]


def test_refusals(train: Any, model: RegressTask, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"sequence 1 is of shape \(4, 3\), this model reads 2 numbers a step"):
        model.predict([np.zeros((4, 3), np.float32)])
    with pytest.raises(ArgumentError, match="sequence 1 is a text, this model reads 2 numbers a step"):
        model.predict(["red"])
    with pytest.raises(DataError, match="there is no column 'total'"):
        train("regress", tmp_path / "r", options={"target": ("total",)})
    assert not (tmp_path / "r").exists()


def test_a_table_without_a_column_for_the_sequence_says_how_it_is_read(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i * 0.5},{-i},{i % 3}\n" for i in range(20))
    (tmp_path / "m.csv").write_text("machine,a,b,y\n" + rows, encoding="utf-8")
    wide = RegressTask.read(tmp_path / "m.csv", RegressOptions(target=("y",)), Common())
    assert wide.remarks == (
        "each row is one sequence of 3 steps (machine, a, b); give --sequence COLUMN if rows are steps",
    )
    long = RegressTask.read(tmp_path / "m.csv", RegressOptions(target=("y",), sequence="machine"), Common())
    assert long.remarks == ()
