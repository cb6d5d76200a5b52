"""Forecasts: the hourly series of the M4 competition, and the load of a transformer."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from row import Measured, Row, Target, Work

M4 = "forecast/m4-hourly-{}.csv"
ETT = "forecast/etth1.csv"
# Hours of twelve, four and four months of thirty days: Informer's split (Zhou et al. 2021).
SPLIT = (8640, 2880, 2880)
MINUTES = 5


def m4_hourly(work: Work) -> Measured:
    """Every series' next 48 hours, once, as in the competition."""
    test = ("--test", work.data / M4.format("test"), "--horizon", 48)
    found = work.train("forecast", work.data / M4.format("train"), "m4", *test, *work.limit(60 * MINUTES))
    beside = others(found, "owa") | {
        "Naive2": 1.0,
        "RNN of the organisers (published)": 1.036,
        "winner (published)": 0.440,
    }
    return Measured(part(found, "owa", "smape", "mase", "coverage"), beside, pictures(work, found, "m4-hourly"))


def etth1(work: Work) -> Measured:
    """All seven columns, the next 24 hours from every hour of the test months."""
    train, valid, test = pieces(work.data / ETT, work.folder)
    files = ("--valid", valid, "--test", test, "--horizon", 24)
    found = work.train("forecast", train, "etth1", *files, *work.limit(60 * MINUTES))
    beside = others(found, "mse") | {"LSTM (published)": 0.65}
    return Measured(part(found, "mse", "mae", "coverage"), beside, pictures(work, found, "etth1"))


def pieces(path: Path, folder: Path) -> list[Path]:
    """The file in three, each going on where the one before ends."""
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    found, start = [], 0
    for name, size in zip(("train", "valid", "test"), SPLIT, strict=True):
        found.append(folder / f"etth1-{name}.csv")
        found[-1].write_text("\n".join([head, *rows[start : start + size]]) + "\n", encoding="utf-8")
        start += size
    return found


def part(found: dict[str, Any], *names: str) -> dict[str, float]:
    """Metrics of the test part."""
    return {name: found["comparison"][name] for name in names}


def others(found: dict[str, Any], metric: str) -> dict[str, float]:
    """What the simple forecasts reach on the same windows."""
    return {name: metrics[metric] for name, metrics in found["comparison"]["baselines"].items()}


def pictures(work: Work, found: dict[str, Any], name: str) -> tuple[str, ...]:
    """The run's picture among the results."""
    if found["forecast_picture"] is None:
        return ()
    file = f"{name}.png"
    (work.pictures / file).write_bytes(Path(found["forecast_picture"]).read_bytes())
    return (file,)


def make_m4(folder: Path) -> None:
    """A few series with a season, in the competition's form."""
    chance = random.Random(0)
    series = [[100 + 20 * (step % 24) + chance.gauss(0, 5) for step in range(400)] for _ in range(4)]
    _write(folder / M4.format("train"), [[f"H{k}", *values[:352]] for k, values in enumerate(series)], 353)
    _write(folder / M4.format("test"), [[f"H{k}", *values[352:]] for k, values in enumerate(series)], 49)


def _write(path: Path, rows: Sequence[Sequence[object]], width: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[f"V{place}" for place in range(1, width + 1)], *rows])


def make_ett(folder: Path) -> None:
    """Two columns of hours with a daily season."""
    chance, start = random.Random(1), datetime(2016, 7, 1, tzinfo=UTC)
    path = folder / ETT
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("date", "load", "oil"))
        for hour in range(sum(SPLIT)):
            load, oil = abs(hour % 24 - 12) + chance.gauss(0, 1), chance.gauss(0, 1)
            date = (start + timedelta(hours=hour)).strftime("%Y-%m-%d %H:%M:%S")
            writer.writerow((date, f"{load:.3f}", f"{oil:.3f}"))


ROWS = (
    Row("m4 hourly, 48 hours ahead", M4.format("train"), (Target("owa", 0.52, most=True),), m4_hourly, make_m4),
    Row("etth1, 24 hours ahead", ETT, (Target("mse", 0.32, most=True),), etth1, make_ett),
)
