from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from unrolled.cli.main import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prices") / "prices.csv"
    days = [str(day) for day in np.arange("2024-01-01", "2024-06-01", dtype="datetime64[D]") if np.is_busday(day)]
    walk = 100 + np.random.default_rng(2).normal(size=len(days)).cumsum()
    rows = [f"{day},{value:.2f},up" for day, value in zip(days, walk, strict=True)]
    path.write_text("\n".join(["date,close,mood", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(prices: Path) -> Path:
    out = prices.parent / "run"
    command = ["train", "forecast", prices, "--time", "date", "--target", "close", "--horizon", 5, "--out", out]
    small = ["--hidden", 6, "--embedding", 4, "--epochs", 1, "--threads", 1, "--quiet"]
    assert main([*map(str, command), *map(str, small)]) == 0
    return out


def test_training_shows_the_simple_forecasts_and_says_what_it_means(
    prices: Path, tmp_path: Path, capsys: Captured
) -> None:
    command = ["train", "forecast", prices, "--target", "close", "--horizon", 5, "--out", tmp_path / "run"]
    small = ["--hidden", 6, "--embedding", 4, "--epochs", 1, "--threads", 1, "--backtest", 3]
    assert main([*map(str, command), *map(str, small)]) == 0
    captured = capsys.readouterr()
    assert "test part, 3 forecasts:" in captured.out
    for name in ("model", "naive", "seasonal naive", "drift", "linear map"):
        assert f"\n{name:<14}" in captured.out
    assert "the model " in captured.out
    assert f"forecasts drawn in {tmp_path / 'run' / 'forecast.png'}" in captured.out
    assert "rare that any model forecasts prices better" in captured.err
    assert main([*map(str, command[:-1]), str(tmp_path / "two"), *map(str, small), "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["comparison"]["windows"] == 3
    assert found["comparison"]["mae"] == pytest.approx(found["test"]["mae"])
    assert Path(found["forecast_picture"]).exists()


def test_a_forecast_goes_on_with_the_dates(run: Path, prices: Path, capsys: Captured) -> None:
    assert main(["predict", str(run), str(prices), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["time"] for row in found["predictions"]] == [
        "2024-06-03", "2024-06-04", "2024-06-05", "2024-06-06", "2024-06-07",
    ]  # fmt: skip
    assert set(found["predictions"][0]["values"]) == {"forecast", "q0.1", "q0.25", "q0.5", "q0.75", "q0.9"}
    assert main(["predict", str(run), str(prices), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["forecast"]) for row in rows] == [row["values"]["forecast"] for row in found["predictions"]]
    assert rows[0]["target"] == "close"
    assert main(["predict", str(run), str(prices)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["target", "time", "forecast"]
    assert lines[1].split()[1] == "2024-06-03"


def test_a_file_is_measured_beside_the_simple_forecasts(run: Path, prices: Path, capsys: Captured) -> None:
    assert main(["evaluate", str(run), str(prices)]) == 0
    assert "seasonal naive" in capsys.readouterr().out
    assert main(["evaluate", str(run), str(prices), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert set(metrics["baselines"]["drift"]) == {"smape", "mase", "owa", "mse", "mae", "quantile_loss"}
    assert metrics["verdict"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("date,close\n2024-01-01,1\n2024-01-02,nan\n", "prices.csv, row 3: column 'close' holds 'nan'"),
        ("date,close\n2024-01-01,1\n2024-01-02,-inf\n", "prices.csv, row 3: column 'close' holds '-inf'"),
        ("date,close\n2024-01-02,1\n2024-01-01,2\n", "prices.csv, row 3: the time '2024-01-01' comes after"),
        ("date,close\n2024-01-01,1\n2024-01-01,2\n", "prices.csv, row 3: the time '2024-01-01' is the time of row 2"),
        ("date,close\n2024-01-01,1\n2024-01-02,2,3\n", "prices.csv, row 3: 3 cells where the first row names 2"),
        ("date,close\n2024-01-01,1\n2024-01-02,2\n2024-01-03,2\n", "has 3 steps, and a horizon of 5"),
        ("date,price\n2024-01-01,1\n2024-01-02,2\n", "there is no column 'close'"),
    ],
)
def test_bad_files_are_one_sentence_and_no_run(content: str, words: str, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(content, encoding="utf-8")
    command = [
        "train",
        "forecast",
        path,
        "--time",
        "date",
        "--target",
        "close",
        "--horizon",
        5,
        "--out",
        tmp_path / "r",
    ]
    assert main([*map(str, command), "--quiet"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert not (tmp_path / "r").exists()


def test_bad_rows_may_be_skipped_and_are_listed(prices: Path, tmp_path: Path, capsys: Captured) -> None:
    head, *rows = prices.read_text(encoding="utf-8").splitlines()
    rows[20] = rows[20].split(",")[0] + ",nan,up"
    rows[30] = rows[29]
    path = tmp_path / "prices.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    command = ["train", "forecast", path, "--target", "close", "--horizon", 5, "--out", tmp_path / "r", "--skip-bad"]
    small = ["--hidden", 6, "--embedding", 4, "--epochs", 1, "--threads", 1]
    assert main([*map(str, command), *map(str, small)]) == 0
    said = capsys.readouterr().err
    assert "warning: 2 left out because" in said
    assert f"{path}, row 22: column 'close' holds 'nan'" in said
    assert f"{path}, row 32: the time '{rows[29][:10]}' is the time of row 31 too" in said


@pytest.mark.parametrize("arguments", [["-"], ["--literal", "1,2,3"], []])
def test_a_forecast_needs_a_file(arguments: list[str], run: Path, capsys: Captured) -> None:
    assert main(["predict", str(run), *arguments]) == 2
    assert "a forecast needs the file that the series are in" in capsys.readouterr().err
