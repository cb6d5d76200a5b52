from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from unrolled.data.histories import read_histories
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.tasks import TASKS, Common, ForecastOptions, open_run
from unrolled.tasks.forecast import ForecastTask
from unrolled.tasks.training import RunResult
from unrolled.train import Interrupted, Observer, Step

SMALL: dict[str, Any] = {"hidden": 6, "embedding": 4, "horizon": 4, "batch_size": 16}
Train = Callable[..., RunResult]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """hourly.csv (two targets with a day), shops.csv (long, counts, covariates), m4-train.csv and m4-test.csv."""
    folder = tmp_path_factory.mktemp("series")
    rng = np.random.default_rng(5)
    hours = np.arange(24 * 12)
    load = 10 + 4 * np.sin(2 * np.pi * hours / 24) + 0.3 * rng.normal(size=len(hours))
    times = [
        str(time).replace("T", " ") for time in np.datetime64("2024-01-01T00:00:00") + hours.astype("timedelta64[h]")
    ]
    rows = [f"{t},{a:.4f},{b:.4f}" for t, a, b in zip(times, load, load[::-1] * 3 - 20, strict=True)]
    write(folder / "hourly.csv", "date,load,other", rows)
    shops = []
    for shop in ("north", "south"):
        open_days = rng.integers(0, 2, size=80)
        sold = rng.poisson(3 + 6 * open_days)
        shops += [
            f"{shop},{day},{sold[k]},{rng.normal():.3f},{open_days[k]}"
            for k, day in enumerate(np.arange("2024-01-01", "2024-03-21", dtype="datetime64[D]"))
        ]
    write(folder / "shops.csv", "shop,day,sold,visitors,open", shops)
    series = [np.round(50 + 10 * (np.arange(70) % 12) + rng.normal(size=70), 2) for _ in range(3)]
    head = ",".join(f"V{k}" for k in range(1, 68))
    write(folder / "m4-train.csv", head, [",".join([f"H{k}", *map(str, one[:66])]) for k, one in enumerate(series)])
    head = ",".join(f"V{k}" for k in range(1, 6))
    write(folder / "m4-test.csv", head, [",".join([f"H{k}", *map(str, one[66:])]) for k, one in enumerate(series)])
    return folder


def write(path: Path, head: str, rows: list[str]) -> None:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def train(files: Path) -> Train:
    def run(out: Path | None, *, data: str = "hourly.csv", observers: Any = (), **more: Any) -> RunResult:
        common = {name: more.pop(name) for name in list(more) if name in Common.__dataclass_fields__}
        options = ForecastOptions(**{**SMALL, **more})
        wanted = Common(data=files / data, out=out, **{"epochs": 1, "threads": 1, **common})
        return TASKS["forecast"].train(options, wanted, observers)

    return run


@pytest.fixture(scope="module")
def hourly(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on hourly.csv that was trained a while."""
    run = tmp_path_factory.mktemp("runs") / "hourly"
    train(run, epochs=5, learning_rate=0.01, hidden=12)
    return run


def test_it_learns_a_season_and_says_so(hourly: Path) -> None:
    found = json.loads((hourly / "comparison.json").read_text(encoding="utf-8"))
    assert found["part"] == "validation"
    assert found["mase"] < 0.5 * found["baselines"]["naive"]["mase"]
    assert set(found["baselines"]) == {"naive", "seasonal naive", "drift", "linear map"}
    for metrics in (found, *found["baselines"].values()):
        assert {"smape", "mase", "owa", "mse", "mae", "quantile_loss"} <= set(metrics)
    assert found["verdict"][0].startswith("the model ")
    assert (hourly / "forecast.png").read_bytes()[:4] == b"\x89PNG"


def test_a_run_that_is_opened_again_forecasts_the_same_beyond_the_end(hourly: Path, files: Path) -> None:
    first, second = (open_run(hourly) for _ in range(2))
    assert isinstance(first, ForecastTask)
    assert isinstance(second, ForecastTask)
    histories = read_histories(files / "hourly.csv", first.reading.layout)
    one, two = first.forecast(histories), second.forecast(histories)
    assert [(f.series, f.target) for f in one] == [("", "load"), ("", "other")]
    assert one[0].times == ("2024-01-13 00:00:00", "2024-01-13 01:00:00", "2024-01-13 02:00:00", "2024-01-13 03:00:00")
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.values, b.values)
        assert a.quantiles.shape == (4, 5)
        assert (np.diff(a.quantiles, axis=1) >= 0).all()
    truth = 10 + 4 * np.sin(2 * np.pi * np.arange(4) / 24)
    assert np.abs(one[0].values - truth).max() < 2


def test_scales_seasons_and_linear_map_come_from_the_training_part(files: Path, tmp_path: Path) -> None:
    options = ForecastOptions(**SMALL)
    text = (files / "hourly.csv").read_text(encoding="utf-8").splitlines()
    parts = ForecastTask.read(files / "hourly.csv", options, Common())
    held = len(parts.train.lines[0])
    assert held == 288 - 29
    changed = [f"{row.split(',')[0]},{k * 1000},{-k}" for k, row in enumerate(text[1 + held :])]
    write(tmp_path / "h.csv", text[0], [*text[1 : 1 + held], *changed])
    others = ForecastTask.read(tmp_path / "h.csv", options, Common())
    assert others.train.reading == parts.train.reading
    assert parts.train.lines[0].scale.mean == pytest.approx(parts.train.lines[0].values.mean())
    maps = [ForecastTask.build(p, options).module.get_buffer("linear_map") for p in (parts, others)]
    assert torch.equal(maps[0], maps[1])
    assert maps[0].abs().sum() > 0


def test_the_linear_part_starts_as_the_linear_map_of_the_report(files: Path) -> None:
    options = ForecastOptions(**SMALL)
    module = ForecastTask.build(ForecastTask.read(files / "hourly.csv", options, Common()), options).module
    assert torch.equal(module.linear.weight, module.get_buffer("linear_map")[:-1].T)


def test_few_windows_are_learnt_for_few_steps_and_the_best_weights_are_kept(files: Path) -> None:
    options = ForecastOptions(**SMALL)
    parts = ForecastTask.read(files / "hourly.csv", options, Common())
    model = ForecastTask.build(parts, options)
    for count, steps in ((50, 200), (10_000, 1000), (10**8, 4000)):
        model._learnt = count
        assert model.epochs(50) * 50 == steps
    assert options.settle == 0


class Stop(Observer):
    def __init__(self, after: int) -> None:
        self.after = after

    def on_step(self, step: Step) -> None:
        if step.step == self.after:
            signal.raise_signal(signal.SIGINT)


def test_a_resumed_run_equals_one_that_was_never_stopped(train: Train, tmp_path: Path) -> None:
    train(tmp_path / "whole", dropout=0.2)
    with pytest.raises(Interrupted):
        train(tmp_path / "parts", dropout=0.2, observers=(Stop(7),))
    TASKS["forecast"].train(ForecastOptions(), Common(out=tmp_path / "parts", resume=True))
    whole, parts = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize(
    "options",
    [
        {"distribution": "point"},
        {"distribution": "gaussian", "recursive": True, "segment": 3, "context": 12},
        {"distribution": "student-t", "attention": "multiplicative", "bidirectional": True},
        {"recursive": True, "context": 10},
        {"joint": True, "calendar": False, "cell": "lstm", "layers": 2, "dropout": 0.1},
        {"season": (1,), "quantiles": (0.5,)},
    ],
    ids="-".join,
)
def test_every_way_to_forecast_trains_and_is_measured(
    options: dict[str, Any], train: Train, files: Path, tmp_path: Path
) -> None:
    result = train(tmp_path / "run", **options)
    assert np.isfinite(result.valid["mase"])
    model = open_run(tmp_path / "run")
    assert isinstance(model, ForecastTask)
    parts = ForecastTask.read(files / "hourly.csv", ForecastOptions(**{**SMALL, **options}), Common())
    assert parts.valid is not None
    assert model.measure(parts.valid)["mae"] == pytest.approx(result.valid["mae"], rel=1e-4)


def test_counts_with_covariates_of_past_and_future(train: Train, files: Path, tmp_path: Path) -> None:
    columns = {"series": "shop", "time": "day", "target": ("sold",), "past": ("visitors",), "known": ("open",)}
    train(tmp_path / "run", data="shops.csv", distribution="negative-binomial", **columns)
    model = open_run(tmp_path / "run")
    assert isinstance(model, ForecastTask)
    assert model.reading.widths == (1, 1 + 4)
    with pytest.raises(DataError, match=r"shops\.csv, row 2: open must be known for the 4 steps to forecast .* has 0"):
        model.forecast(read_histories(files / "shops.csv", model.reading.layout))
    rows = (files / "shops.csv").read_text(encoding="utf-8").splitlines()
    ahead = [f"{shop},2024-03-{21 + k},,,1" for shop in ("north", "south") for k in range(4)]
    write(tmp_path / "more.csv", rows[0], [*rows[1:], *[row.replace(",,,1", ",,0,1") for row in ahead]])
    found = model.forecast(read_histories(tmp_path / "more.csv", model.reading.layout))
    assert [(f.series, f.target, f.times[0] if f.times else "") for f in found] == [
        ("north", "", "2024-03-21"),
        ("south", "", "2024-03-21"),
    ]
    for one in found:
        np.testing.assert_array_equal(one.quantiles, np.round(one.quantiles))
        assert (one.quantiles >= 0).all()
    fed_back = {**columns, "past": (), "recursive": True, "context": 14}
    again = train(tmp_path / "again", data="shops.csv", distribution="negative-binomial", **fed_back).model
    assert isinstance(again, ForecastTask)
    for one in again.forecast(read_histories(tmp_path / "more.csv", again.reading.layout)):
        np.testing.assert_array_equal(one.quantiles, np.round(one.quantiles))
    with pytest.raises(DataError, match="is no count, and a negative binomial forecasts"):
        train(tmp_path / "r", distribution="negative-binomial")


def test_a_row_a_series_goes_on_in_the_test_file(train: Train, files: Path, tmp_path: Path) -> None:
    result = train(tmp_path / "run", data="m4-train.csv", test=files / "m4-test.csv")
    assert result.conclusion.data["comparison"]["windows"] == 3
    assert result.conclusion.data["comparison"]["part"] == "test"
    model = result.model
    assert isinstance(model, ForecastTask)
    assert model.reading.seasons == (12,)
    rows = [line.split(",") for line in (files / "m4-test.csv").read_text(encoding="utf-8").splitlines()[1:]]
    before = read_histories(files / "m4-train.csv", model.reading.layout)
    errors = [
        np.abs(found.values - np.array(row[1:], dtype=float)) / 60
        for found, row in zip(model.forecast(before), rows, strict=True)
    ]
    assert np.isfinite(errors).all()


def test_files_of_later_times_go_on_and_others_stand_by_themselves(files: Path, tmp_path: Path) -> None:
    head, *rows = (files / "hourly.csv").read_text(encoding="utf-8").splitlines()
    pieces = {"train": rows[:200], "valid": rows[200:240], "test": rows[240:], "whole": rows, "apart": rows[230:]}
    for name, lines in pieces.items():
        write(tmp_path / f"{name}.csv", head, lines)

    def begins(valid: str, test: str) -> list[tuple[int, int]]:
        common = Common(valid=tmp_path / f"{valid}.csv", test=tmp_path / f"{test}.csv")
        parts = ForecastTask.read(tmp_path / "train.csv", ForecastOptions(**SMALL), common)
        assert parts.valid is not None
        assert parts.test is not None
        return [(part.lines[0].begin, len(part.lines[0])) for part in (parts.valid, parts.test)]

    assert begins("valid", "test") == [(200, 240), (240, 288)]
    assert begins("whole", "apart") == [(200, 288), (0, 58)]
    assert begins("apart", "whole") == [(0, 58), (200, 288)]


def test_a_backtest_holds_horizons_out_at_the_end(files: Path) -> None:
    parts = ForecastTask.read(files / "hourly.csv", ForecastOptions(**SMALL, backtest=5), Common())
    assert parts.test is not None
    assert (parts.test.lines[0].begin, len(parts.test.lines[0])) == (268, 288)
    assert parts.valid is not None
    assert len(parts.valid.lines[0]) == 268
    model = ForecastTask.build(parts, ForecastOptions(**SMALL, backtest=5))
    assert model.compare(parts.test).windows == 5 * 2


def test_series_too_short_for_the_horizon_are_named(tmp_path: Path) -> None:
    write(tmp_path / "m.csv", "V1,V2,V3,V4,V5,V6,V7,V8,V9", ["a,1,2,3,4,5,6,7,8", "b,1,2,3,,,,,"])
    options = ForecastOptions(**{**SMALL, "horizon": 3})
    with pytest.raises(
        DataError, match=r"m\.csv, row 3: the series 'b' has 3 steps, and a horizon of 3 .* at least 8;"
    ):
        ForecastTask.read(tmp_path / "m.csv", options, Common())
    parts = ForecastTask.read(tmp_path / "m.csv", options, Common(skip_bad=True))
    assert [line.series for line in parts.train.lines] == ["a"]
    assert len(parts.skipped) == 1
    with pytest.raises(DataError, match="no series is long enough for the horizon"):
        ForecastTask.read(tmp_path / "m.csv", replace(options, horizon=30), Common(skip_bad=True))
    write(tmp_path / "t.csv", "V1,V2,V3", ["a,1,2"])
    with pytest.raises(DataError, match=r"t\.csv, row 2: the series 'a' has fewer steps to measure than the horizon"):
        ForecastTask.read(tmp_path / "m.csv", options, Common(skip_bad=True, test=tmp_path / "t.csv"))


def test_constant_series_are_forecast_as_what_they_are(train: Train, tmp_path: Path) -> None:
    rows = [f"{k},7,{7 + 0.1 * np.sin(k):.4f}" for k in range(60)]
    write(tmp_path / "flat.csv", "step,flat,wave", rows)
    result = train(tmp_path / "run", data=str(tmp_path / "flat.csv"), time="step", epochs=2)
    model = result.model
    assert isinstance(model, ForecastTask)
    flat = model.forecast(read_histories(tmp_path / "flat.csv", model.reading.layout))[0]
    assert np.isfinite(flat.quantiles).all()
    assert np.abs(flat.values - 7).max() < 0.5
    assert flat.times == ("60", "61", "62", "63")
    write(tmp_path / "flat.csv", "step,flat", [f"{k},7" for k in range(60)])
    alone = train(tmp_path / "alone", data=str(tmp_path / "flat.csv"), time="step")
    assert np.isnan(alone.valid["mase"])
    assert json.loads((tmp_path / "alone" / "comparison.json").read_text())["mase"] is None


def test_what_is_said_before_training(files: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    days = [str(d) for d in np.arange("2024-01-01", "2024-06-01", dtype="datetime64[D]") if np.is_busday(d)]
    walk = 100 + np.random.default_rng(1).normal(size=len(days)).cumsum()
    write(tmp_path / "p.csv", "Date,Close", [f"{d},{v:.2f}" for d, v in zip(days, walk, strict=True)])
    common = Common(data=tmp_path / "p.csv", out=tmp_path / "run", epochs=1, threads=1)
    TASKS["forecast"].train(ForecastOptions(**SMALL), common, notify=lambda event: heard.append(str(event)))
    said = "\n".join(heard)
    assert "season of 5 steps (by the time stamps)" in said
    assert "it is rare that any model forecasts prices better than by repeating the last one" in said
    remarks = ForecastTask.read(files / "hourly.csv", ForecastOptions(**SMALL), Common()).remarks
    assert not [remark for remark in remarks if "prices" in remark]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"horizon": 0}, "horizon=0 must be at least 1"),
        ({"backtest": -1}, "backtest=-1 must be at least 0"),
        ({"context": 0}, "context=0 must be at least 1"),
        ({"season": (0,)}, "must be steps, at least 1"),
        ({"validation": 1.0}, "validation=1.0 is no share"),
        ({"quantiles": (0.9, 0.1)}, "must ascend between 0 and 1"),
        ({"recursive": True, "bidirectional": True}, "outputs can only be fed back forwards"),
        ({"recursive": True, "joint": True}, "covariates of the past are not known while outputs are fed back"),
        ({"context": 20, "segment": 3}, "is not made of whole segments"),
    ],
)
def test_options_that_do_not_fit_leave_no_folder(
    options: dict[str, Any], words: str, train: Train, tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match=words):
        train(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_groups_are_refused(train: Train, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="series are divided by time, not by group; leave group out"):
        train(tmp_path / "run", group="date")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("reading", "scales"), {"/load": [0, -1, 1, True], "/other": [0, 1, 1, True]}),
        (("reading", "step"), {"unit": "moon", "count": 1, "digits": 10}),
        (("reading", "layout"), {}),
        (("reading",), {}),
        (("shape",), {}),
        (("shape", "context"), 0),
        (("quantiles",), ["many"]),
        (("distribution",), "guess"),
    ],
)
def test_a_damaged_schema_is_one_sentence(hourly: Path, tmp_path: Path, place: tuple[str, ...], value: Any) -> None:
    run = Path(shutil.copytree(hourly, tmp_path / "run"))
    config = json.loads((run / "config.json").read_text())
    entry = config["schema"]
    for name in place[:-1]:
        entry = entry[name]
    entry[place[-1]] = value
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=r"config\.json was changed or damaged"):
        open_run(run)


def test_a_file_to_measure_needs_a_history(hourly: Path, files: Path, tmp_path: Path) -> None:
    model = open_run(hourly)
    found = model.evaluate(files / "hourly.csv")
    assert found["windows"] > 100
    head, *rows = (files / "hourly.csv").read_text(encoding="utf-8").splitlines()
    write(tmp_path / "short.csv", head, rows[:4])
    with pytest.raises(DataError, match="no series has a horizon of 4 steps after half of it"):
        model.evaluate(tmp_path / "short.csv")


def test_another_runs_weights_are_a_start(hourly: Path, train: Train, tmp_path: Path) -> None:
    result = train(tmp_path / "run", from_run=hourly)
    assert result.model.plan.hidden == 12
