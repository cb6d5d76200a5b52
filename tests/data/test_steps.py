from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from unrolled.data import read_steps
from unrolled.data.steps import step_stream
from unrolled.errors import DataError


def write(folder: Path, text: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def sensors(tmp_path: Path) -> Path:
    """Two sequences whose rows are mixed, with a counter, a date, a constant and two measurements."""
    rng = np.random.default_rng(2)
    rows = [f"{n},2024-01-01 00:{n % 60:02},{n % 2},{rng.normal():.4f},{rng.normal():.4f},5,{'ab'[n % 3 == 0]}"
            for n in range(80)]  # fmt: skip
    return write(tmp_path, "\n".join(["no,date,video,x,y,k,phase", *rows]) + "\n")


def test_rows_of_one_sequence_stay_in_order(sensors: Path) -> None:
    data = read_steps(sensors, "phase", sequence="video")
    assert data.features == ("x", "y", "k")
    assert data.aside == {
        "no": "it rises in every step, as a counter or a clock does",
        "date": "it holds no numbers",
    }
    assert data.keys == ["0", "1"]
    table = [line.split(",") for line in sensors.read_text().split("\n")[1:-1]]
    np.testing.assert_allclose(data.sequences[1][:, 0], [float(row[3]) for row in table if row[2] == "1"], rtol=1e-6)
    assert data.labels[0] == tuple(row[6] for row in table if row[2] == "0")
    assert [origin.row for origin in data.origins] == [2, 3]


def test_without_a_column_for_the_sequence_all_rows_are_one(sensors: Path) -> None:
    data = read_steps(sensors, "phase")
    assert [sequence.shape for sequence in data.sequences] == [(80, 4)]
    assert data.keys == ["a"]


def test_columns_asked_for_are_read_whatever_they_hold(sensors: Path) -> None:
    assert read_steps(sensors, "phase", features=["no"]).sequences[0][:3, 0].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="row 2: column 'date' holds '2024-01-01 00:00', and a finite number is needed"):
        read_steps(sensors, "phase", features=["date"])


def hourly(hours: int, start: str = "2024-03-01 00:00") -> str:
    """A table of a reading an hour from a Friday on, in an order of columns of its own."""
    rng = np.random.default_rng(4)
    first = np.datetime64(start, "s")
    rows = [f"{rng.normal():.4f},{first + 3600 * n},{rng.normal():.4f},{'ab'[n % 2]}" for n in range(hours)]
    return "\n".join(["x,when,y,label", *rows]) + "\n"


def test_time_stamps_over_several_days_are_read_as_time_of_day_and_weekend(tmp_path: Path) -> None:
    data = read_steps(write(tmp_path, hourly(96)))
    assert (data.features, data.clock, data.aside) == (("x", "y"), "when", {})
    (rows,) = data.sequences
    assert rows.shape == (96, 5)
    angle = 2 * np.pi * np.arange(96) / 24
    np.testing.assert_allclose(rows[:, 2], np.sin(angle), atol=1e-6)
    np.testing.assert_allclose(rows[:, 3], np.cos(angle), atol=1e-6)
    assert rows[:, 4].tolist() == [0] * 24 + [1] * 48 + [0] * 24, "Friday, Saturday, Sunday, Monday"


def test_time_stamps_of_one_afternoon_are_not_read_unless_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, hourly(40))
    data = read_steps(path)
    assert data.clock is None
    assert data.aside == {"when": "it holds no numbers"}
    asked = read_steps(path, clock="when")
    assert (asked.features, asked.clock, asked.aside) == (("x", "y"), "when", {})
    np.testing.assert_array_equal(asked.sequences[0][:, :2], data.sequences[0])
    chosen = read_steps(path, features=["y"], clock="when").sequences[0]
    np.testing.assert_array_equal(chosen, asked.sequences[0][:, 1:])


def test_a_time_stamp_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, hourly(96).replace("2024-03-02T05:00:00", "at five"))
    assert read_steps(path).clock is None, "a column that is not time throughout is no clock by itself"
    with pytest.raises(DataError, match=r"row 31: column 'when' holds 'at five', and a time is needed; write it as"):
        read_steps(path, clock="when")
    data = read_steps(path, clock="when", skip_bad=True)
    assert data.sequences[0].shape == (95, 5)
    assert [error.row for error in data.skipped] == [31]
    with pytest.raises(DataError, match="there is no column 'wenn'"):
        read_steps(path, clock="wenn")


def test_a_stream_says_of_the_time_what_the_whole_table_says(tmp_path: Path) -> None:
    path = write(tmp_path, hourly(96))
    lines = path.read_text().splitlines(keepends=True)
    stream = step_stream(lines, ["x", "y"], None, path, clock="when")
    np.testing.assert_array_equal([values for _, _, values in stream], read_steps(path).sequences[0])
    keyed = step_stream(lines, ["y"], "label", path, clock="when")
    assert [key for _, key, _ in keyed] == list(read_steps(path).labels[0])
    with pytest.raises(DataError, match="row 2: column 'label' holds 'a', and a time is needed"):
        list(step_stream(lines, ["x"], None, path, clock="label"))
    with pytest.raises(DataError, match="row 1: there is no column 'wenn'"):
        list(step_stream(lines, ["x"], None, path, clock="wenn"))


def test_labels_need_not_be_there(sensors: Path) -> None:
    assert read_steps(sensors, None, features=["x"]).labels[0][0] == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x,label\n1,a\nnan,b\n", "row 3: column 'x' holds 'nan', and a finite number is needed"),
        ("x,label\n1,a\ninf,b\n", "row 3: column 'x' holds 'inf'"),
        ("x,label\n1,a\nwarm,b\n", "row 3: column 'x' holds 'warm'"),
        ("x,label\n1,a\n,b\n", "row 3: column 'x' holds ''"),
        ("x,label\n1,a\n2,\n", "row 3: the label in column 'label' is empty"),
        ("x,label\n1,a\n2,b,c\n", "row 3: 3 cells where the first row names 2 columns"),
        ("x,lable\n1,a\n", "there is no column 'label'.*nearest: 'lable'"),
        ("when,label\nmorning,a\nevening,b\n", "no column of numbers is left beside 'label'"),
    ],
)
def test_bad_tables_are_named(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_steps(write(tmp_path, text))


def test_skip_bad_leaves_rows_out_and_lists_them(tmp_path: Path) -> None:
    data = read_steps(write(tmp_path, "x,label\n1,a\nnan,b\n2,\n3,b\n4\n"), skip_bad=True)
    assert data.sequences[0][:, 0].tolist() == [1, 3]
    assert data.labels == [("a", "b")]
    assert sorted(error.row for error in data.skipped if error.row) == [3, 4, 6]
    with pytest.raises(DataError, match="no row has usable numbers and a label"):
        read_steps(write(tmp_path, "x,y,label\nnan,1,a\nnan,2,b\n"), features=["x"], skip_bad=True)


def test_a_stream_gives_each_row_before_the_next_is_read() -> None:
    read: list[str] = []

    def lines() -> Iterator[str]:
        for line in ("y,label,x,who\n", "1,a,2,p\n", "\n", "3,b,4,q\n"):
            read.append(line)
            yield line

    stream = step_stream(lines(), ["x", "y"], "who", Path("-"))
    row, key, values = next(stream)
    assert (row, key, values.tolist()) == (2, "p", [2, 1])
    assert len(read) == 2
    assert [(row, key) for row, key, _ in stream] == [(4, "q")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (["x\n", "1,2\n"], "row 2: 2 cells where the first row names 1 columns"),
        (["x\n", "1\n", "nan\n"], "row 3: column 'x' holds 'nan'"),
        (["y\n"], "row 1: there is no column 'x'; the columns are 'y'"),
        (["x\n", '"1\n'], "the quotation marks of this row do not pair"),
    ],
)
def test_bad_rows_of_a_stream_are_named(text: list[str], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        list(step_stream(text, ["x"], None, Path("-")))
