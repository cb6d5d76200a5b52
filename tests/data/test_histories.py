from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrolled.data.histories import Histories, Layout, bridged, read_histories
from unrolled.errors import DataError

DAYS = [f"2024-01-{day:02d}" for day in range(1, 21)]


def write(path: Path, head: str, *rows: str) -> Path:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(4).normal(size=(20, 3)).round(3)


@pytest.fixture
def daily(tmp_path: Path, numbers: np.ndarray) -> Path:
    rows = [f"{day},{a},{b},{c}" for day, (a, b, c) in zip(DAYS, numbers, strict=True)]
    return write(tmp_path / "daily.csv", "day,a,b,c", *rows)


def test_a_row_a_step_and_all_columns_are_targets(daily: Path, numbers: np.ndarray) -> None:
    found = read_histories(daily)
    assert found.layout == Layout(time="day", targets=("a", "b", "c"))
    assert found.remarks == ("the times are those of the column 'day'",)
    assert found.step is not None
    assert found.step.name == "1 d"
    np.testing.assert_array_equal(found.series[0].targets, numbers)
    assert found.series[0].times is not None
    assert [found.step.text(int(time)) for time in found.series[0].times] == DAYS


def test_covariates_and_future_rows(tmp_path: Path, numbers: np.ndarray) -> None:
    rows = [f"{day},{a},{b},{c}" for day, (a, b, c) in zip(DAYS, numbers, strict=True)]
    rows[-4:] = [f"{day},,{b},{c}" for day, (_, b, c) in zip(DAYS[-4:], numbers[-4:], strict=True)]
    path = write(tmp_path / "f.csv", "day,a,b,c", *rows)
    layout = Layout(targets=("a",), past=("b",), known=("c",))
    history = read_histories(path, layout).series[0]
    assert (len(history), history.ahead) == (16, 4)
    np.testing.assert_array_equal(history.targets[:, 0], numbers[:16, 0])
    np.testing.assert_array_equal(history.past[:, 0], numbers[:16, 1])
    np.testing.assert_array_equal(history.known[:, 0], numbers[:, 2])
    blank = [f"{day},,,{c}" for day, (_, _, c) in zip(DAYS[-4:], numbers[-4:], strict=True)]
    other = read_histories(write(tmp_path / "f.csv", "day,a,b,c", *rows[:-4], *blank), layout).series[0]
    np.testing.assert_array_equal(other.past, history.past)
    for bad, column in (("1,,2", "b"), ("1,2,", "c"), (",,", "c")):
        path = write(tmp_path / "f.csv", "day,a,b,c", *rows[:15], f"{DAYS[15]},{bad}", *blank)
        with pytest.raises(DataError, match=f"row 17: column '{column}' holds ''"):
            read_histories(path, layout)


def test_long_tables_may_mix_their_series(tmp_path: Path, numbers: np.ndarray) -> None:
    rows = [f"{day},{shop},{numbers[k, s]}" for k, day in enumerate(DAYS) for s, shop in enumerate(("x", "y"))]
    path = write(tmp_path / "long.csv", "day,shop,sold", *rows)
    found = read_histories(path, Layout(series="shop"))
    assert [history.name for history in found.series] == ["x", "y"]
    assert found.layout.targets == ("sold",)
    for place, history in enumerate(found.series):
        np.testing.assert_array_equal(history.targets[:, 0], numbers[:, place])


def test_a_row_a_series_as_in_m4(tmp_path: Path) -> None:
    path = write(tmp_path / "m4.csv", '"V1","V2","V3","V4"', '"H1","5","6.5","7"', '"H2","1","2",""')
    found = read_histories(path)
    assert found.layout.rows
    assert [(history.name, history.targets[:, 0].tolist()) for history in found.series] == [
        ("H1", [5, 6.5, 7]),
        ("H2", [1, 2]),
    ]
    assert [h.name for h in read_histories(path, found.layout).series] == ["H1", "H2"]


def test_missing_steps_are_unknown_values_and_said(tmp_path: Path, numbers: np.ndarray) -> None:
    rows = [f"{DAYS[k]},{numbers[k, 0]},{numbers[k, 1]}" for k in range(20) if k not in (5, 6, 11)]
    path = write(tmp_path / "gap.csv", "day,a,b", *rows)
    found = read_histories(path, Layout(targets=("a",), past=("b",)))
    targets = found.series[0].targets[:, 0]
    assert np.flatnonzero(np.isnan(targets)).tolist() == [5, 6, 11]
    assert found.remarks[-1] == "3 steps of time are missing and read as unknown values, never counted as truth"
    assert found.series[0].past[11, 0] == pytest.approx(numbers[[10, 12], 1].mean())


def test_holidays_of_weekdays_are_no_gaps(tmp_path: Path) -> None:
    days = [str(d) for d in np.arange("2024-01-01", "2024-02-01", dtype="datetime64[D]") if np.is_busday(d)]
    days.remove("2024-01-15")
    path = write(tmp_path / "p.csv", "Date,Close", *(f"{day},{k * 1.5}" for k, day in enumerate(days)))
    found = read_histories(path)
    assert found.step is not None
    assert found.step.name == "1 weekday"
    assert not np.isnan(found.series[0].targets).any()


BAD: dict[str, tuple[list[str], str]] = {
    "not a number": (["2024-01-01,1", "2024-01-02,many"], "row 3: column 'a' holds 'many', and a finite number"),
    "NaN": (["2024-01-01,1", "2024-01-02,nan", "2024-01-03,2"], "row 3: column 'a' holds 'nan'"),
    "infinity": (["2024-01-01,1", "2024-01-02,inf", "2024-01-03,2"], "row 3: column 'a' holds 'inf'"),
    "blank in between": (["2024-01-01,1", "2024-01-02,", "2024-01-03,2"], "row 3: column 'a' holds ''"),
    "unsorted": (
        ["2024-01-01,1", "2024-01-03,1", "2024-01-02,2"],
        "row 4: the time '2024-01-02' comes after '2024-01-03' in row 3; sort the rows by time",
    ),
    "duplicate": (
        ["2024-01-01,1", "2024-01-02,1", "2024-01-02,2"],
        "row 4: the time '2024-01-02' is the time of row 3 too; keep one row for each time",
    ),
    "no time": (["2024-01-01,1", "soon,1", "2024-01-03,2"], "row 3: column 'day' holds 'soon', and a time is needed"),
    "ragged": (["2024-01-01,1", "2024-01-02,1,7", "2024-01-03,2"], "row 3: 3 cells where the first row names 2"),
    "off the step": (
        ["2024-01-01,1", "2024-01-02,1", "2024-01-03,1", "2024-01-03 06:00,2", "2024-01-04 06:00,2"],
        "row 5: the time 2024-01-03 06:00:00 is off the step of 1 d",
    ),
    "a long gap": (
        ["2024-01-05,1", "2024-01-06,1", "2024-01-07,1", "2025-01-06,2"],
        "row 5: 364 steps of 1 d are missing before this row, more than can be filled in",
    ),
    "no values": (["2024-01-01,", "2024-01-02,"], "row 2: the series has no number to learn from"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_named(case: str, tmp_path: Path) -> None:
    rows, sentence = BAD[case]
    path = write(tmp_path / "in.csv", "day,a", *rows)
    with pytest.raises(DataError) as caught:
        read_histories(path, Layout(time="day"))
    assert f"in.csv, {sentence}" in str(caught.value)


@pytest.mark.parametrize(
    "case", ["not a number", "NaN", "infinity", "blank in between", "unsorted", "no time", "ragged"]
)
def test_skipped_rows_are_listed_and_leave_a_gap(case: str, tmp_path: Path) -> None:
    rows, sentence = BAD[case]
    path = write(tmp_path / "in.csv", "day,a", "2023-12-30,4", "2023-12-31,5", *rows)
    found = read_histories(path, Layout(time="day"), skip_bad=True)
    assert len(found.skipped) == 1
    assert sentence.split(": ", 1)[1][:20] in str(found.skipped[0])
    assert np.isfinite(found.series[0].targets[:2]).all()


def test_other_things_that_do_not_fit(daily: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no column 'd'; the columns are 'day', 'a', 'b', 'c'"):
        read_histories(daily, Layout(targets=("d",)))
    with pytest.raises(DataError, match="the column 'a' is named for two things"):
        read_histories(daily, Layout(targets=("a", "b"), past=("a",)))
    with pytest.raises(DataError, match="no column is left to be forecast"):
        read_histories(daily, Layout(time="day", past=("a", "b", "c")))
    twice = write(tmp_path / "twice.csv", "V1,V2,V3", "H1,1,2", "H1,3,4")
    with pytest.raises(DataError, match="row 3: the series 'H1' is in row 2 already"):
        read_histories(twice, form="rows")
    hole = write(tmp_path / "hole.csv", "V1,V2,V3,V4", "H1,1,,4", "H2,1,2,3")
    with pytest.raises(DataError, match="row 2: column 'V3' holds ''"):
        read_histories(hole)
    empty = write(tmp_path / "empty.csv", "V1,V2,V3", "H1,,", "H2,1,2")
    with pytest.raises(DataError, match="row 2: the series has no number"):
        read_histories(empty)
    assert [h.name for h in read_histories(empty, skip_bad=True).series] == ["H2"]


def test_a_layout_survives_json_and_damage_is_refused(daily: Path) -> None:
    layout = read_histories(daily).layout
    assert Layout.from_json(layout.to_json()) == layout
    for damaged in (None, {}, {**layout.to_json(), "targets": [3]}, {**layout.to_json(), "time": 3}):
        with pytest.raises(DataError, match="the layout of a table"):
            Layout.from_json(damaged)


def test_bridges_are_straight() -> None:
    column = np.array([np.nan, 1.0, np.nan, np.nan, 4.0, np.nan])
    np.testing.assert_allclose(bridged(column[:, None])[:, 0], [1, 1, 2, 3, 4, 4])
    assert (bridged(np.full((3, 1), np.nan)) == 0).all()


def test_real_series_are_read(real_data: object) -> None:
    def read(name: str) -> Histories:
        return read_histories(real_data(f"forecast/{name}"))  # type: ignore[operator]

    hourly = read("m4-hourly-train.csv")
    assert len(hourly.series) == 414
    assert {len(history) for history in hourly.series} == {700, 960}
    assert [len(read(name).series[0]) for name in ("airline-passengers.csv", "vix.csv")] == [144, 9235]
