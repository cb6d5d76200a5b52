from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data.ts import SeriesColumns, augment_series, fill_missing, read_labelled_series
from unrolled.errors import DataError

HEAD = "# made up\n@problemName X\n@timeStamps {times}\n@missing {missing}\n@x false\n@classLabel true a b\n@data\n"


def ts(path: Path, *lines: str, times: str = "false", missing: str = "false") -> Path:
    path.write_text(HEAD.format(times=times, missing=missing) + "\n".join(lines) + "\n")
    return path


def test_ts_has_channels_unlike_lengths_and_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wanted = [rng.normal(size=(length, 3)).round(4).astype(np.float32) for length in (4, 1, 9)]
    lines = [
        ":".join([*(",".join(map(str, channel)) for channel in series.T), "ab"[i % 2]])
        for i, series in enumerate(wanted)
    ]
    found = read_labelled_series(ts(tmp_path / "x.ts", *lines))
    assert (found.labels, found.features) == (["a", "b", "a"], ("channel 1", "channel 2", "channel 3"))
    assert [origin.row for origin in found.origins] == [8, 9, 10]
    for one, other in zip(found.sequences, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_ts_with_missing_values_and_time_stamps(tmp_path: Path) -> None:
    found = read_labelled_series(ts(tmp_path / "x.ts", "1,?,3:4,5,NaN:a", missing="true"))
    np.testing.assert_array_equal(found.sequences[0], np.array([[1, 4], [np.nan, 5], [3, np.nan]], dtype=np.float32))
    assert found.missing == 2
    stamped = ts(tmp_path / "t.ts", "(0,1.5),(2,2.5),(5,?):(2,7):b", times="true")
    found = read_labelled_series(stamped)
    assert found.features == ("channel 1", "channel 2", "interval")
    nan = np.nan
    wanted = [[1.5, nan, 0], [2.5, 7, np.log1p(2)], [nan, nan, np.log1p(3)]]
    np.testing.assert_allclose(found.sequences[0], wanted, rtol=1e-6)
    dated = ts(tmp_path / "d.ts", "(2020-01-01 00:00:00,1),(2020-01-01 00:01:00,2):a", times="true")
    assert read_labelled_series(dated).sequences[0][1, 1] == pytest.approx(np.log1p(60))


def test_wide_table(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text("label,t1,t2,t3,who\nup,1,2,3,x\ndown,3,,1,y\nup,5,6,,x\n")
    found = read_labelled_series(path, SeriesColumns(aside=("who",)))
    assert found.labels == ["up", "down", "up"]
    assert [sequence[:, 0].tolist()[:1] for sequence in found.sequences] == [[1], [3], [5]]
    assert [len(sequence) for sequence in found.sequences] == [3, 3, 2]
    assert found.missing == 1 and np.isnan(found.sequences[1][1, 0])


def test_long_table_with_uneven_time(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("id,when,x,y,label\na,0,1,2,up\nb,10,5,,down\na,3,3,4,up\nb,10.5,7,8,down\n")
    found = read_labelled_series(path, SeriesColumns(sequence="id", time="when"))
    assert found.features == ("x", "y", "interval")
    np.testing.assert_allclose(found.sequences[0], [[1, 2, 0], [3, 4, np.log1p(3)]], rtol=1e-6)
    np.testing.assert_allclose(found.sequences[1], [[5, np.nan, 0], [7, 8, np.log1p(0.5)]], rtol=1e-6)
    assert found.labels == ["up", "down"]
    assert [origin.row for origin in found.origins] == [2, 3]
    named = read_labelled_series(path, SeriesColumns(sequence="id", time="when", features=("y",), label=None))
    assert (named.features, named.labels, named.sequences[0].shape) == (("y", "interval"), [], (2, 2))


def test_archive(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x, lengths = rng.normal(size=(3, 5, 2)).astype(np.float32), np.array([5, 2, 4])
    np.savez(tmp_path / "a.npz", x=x, y=np.array([7, 8, 7]), lengths=lengths)
    found = read_labelled_series(tmp_path / "a.npz", SeriesColumns(label="y"))
    assert found.labels == ["7", "8", "7"]
    for series, values, length in zip(found.sequences, x, lengths, strict=True):
        np.testing.assert_array_equal(series, values[:length])
    x[1, 1, 0] = np.nan
    np.savez(tmp_path / "n.npz", x=x, y=np.array(["p", "q", "p"]))
    assert read_labelled_series(tmp_path / "n.npz", SeriesColumns(label="y", missing="NaN")).missing == 1


TS_FAULTS = [
    (["1,2:3:a"], {}, "x.ts, row 8: the channels have 1, 2 steps, and a series has one number of them"),
    (["1,2:a", "1,2:1,2:a"], {}, "x.ts, row 9: 2 numbers a step where the first series has 1; give all the same"),
    (["1,x:a"], {}, "x.ts, row 8: value 2 is 'x', and a finite number is needed"),
    (["1,nan:a"], {}, "x.ts, row 8: value 2 is 'nan', and a finite number is needed"),
    (["inf,1:a"], {"missing": "true"}, "x.ts, row 8: value 1 is 'inf', and a finite number is needed"),
    (["1e39,1:a"], {}, "x.ts, row 8: value 1 is '1e39', and a finite number is needed"),
    (["1,2:c"], {}, "x.ts, row 8: the label 'c' is none of @classLabel .'a', 'b'.; correct it"),
    (["?,?:a"], {}, "x.ts, row 8: the series holds no number; write at least one or take it out"),
    (["(3,1),(1,2):a"], {"times": "true"}, "x.ts, row 8: the time '1' comes after '3' in one sequence, and time must"),
    (["(3,1),(3,2):a"], {"times": "true"}, "x.ts, row 8: the time '3' occurs twice in one sequence"),
    (["1,2:a"], {"times": "true"}, r"x.ts, row 8: a channel holds no \(time,value\), and @timeStamps is true"),
    (["(soon,1):a"], {"times": "true"}, "x.ts, row 8: column 'time' holds 'soon', and a time is needed"),
]


@pytest.mark.parametrize(("lines", "head", "sentence"), TS_FAULTS)
def test_faults_of_ts(lines: list[str], head: dict[str, str], sentence: str, tmp_path: Path) -> None:
    path = ts(tmp_path / "x.ts", *lines, **head)
    with pytest.raises(DataError, match=sentence):
        read_labelled_series(path)
    good = "(1,2):b" if head.get("times") else "3,4:b"
    found = read_labelled_series(ts(path, good, *lines, **head), skip_bad=True)
    assert found.labels[0] == "b" and len(found.skipped) >= 1


def test_a_file_that_is_no_ts(tmp_path: Path) -> None:
    (tmp_path / "x.ts").write_text("1,2,3:a\n")
    with pytest.raises(DataError, match="row 1: a line of data comes before @data"):
        read_labelled_series(tmp_path / "x.ts")
    (tmp_path / "x.ts").write_text("@problemName X\n")
    with pytest.raises(DataError, match="the file has no line @data"):
        read_labelled_series(tmp_path / "x.ts")
    (tmp_path / "x.ts").write_text("@classLabel false\n@data\n1,2\n")
    with pytest.raises(DataError, match="the file has no class labels"):
        read_labelled_series(tmp_path / "x.ts")
    assert len(read_labelled_series(tmp_path / "x.ts", SeriesColumns(label=None))) == 1


LONG_FAULTS = [
    ("a,1,1,up\na,1,2,up", "row 3: the time '1' occurs twice in one sequence, and time must go on"),
    ("a,2,1,up\na,1,2,up", "row 3: the time '1' comes after '2' in one sequence"),
    ("a,noon,1,up", "row 2: column 'when' holds 'noon', and a time is needed"),
    ("a,1,word,up", "row 2: column 'x' is 'word', and a finite number is needed"),
    ("a,1,NaN,up", "row 2: column 'x' is 'NaN', and a finite number is needed; write one, leave the place empty"),
    ("a,1,-inf,up", "row 2: column 'x' is '-inf'"),
    ("a,1,1,up\na,2,2,down", "row 3: the label of id 'a' is 'down' here and 'up' in row 2, and a sequence has one"),
    ("a,1,1,", "row 2: the label in column 'label' is empty"),
    ("a,1,1,up\na,2", "row 3: 2 cells where the first row names 4 columns"),
]


@pytest.mark.parametrize(("rows", "sentence"), LONG_FAULTS)
def test_faults_of_a_long_table(rows: str, sentence: str, tmp_path: Path) -> None:
    path, columns = tmp_path / "l.csv", SeriesColumns(sequence="id", time="when")
    path.write_text(f"id,when,x,label\n{rows}\n")
    with pytest.raises(DataError, match=sentence):
        read_labelled_series(path, columns)
    path.write_text(f"id,when,x,label\n{rows}\nz,1,5,up\nz,2,6,up\n")
    found = read_labelled_series(path, columns, skip_bad=True)
    assert found.labels[-1] == "up" and len(found.sequences[-1]) == 2 and found.skipped


def test_faults_of_wide_tables_and_archives(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text("t1,t2,label\n1,2,a\n3,abc,b\n")
    with pytest.raises(DataError, match="row 3: column 't2' is 'abc', and a finite number is needed"):
        read_labelled_series(path)
    path.write_text("t1,t2,label\n,,a\n")
    with pytest.raises(DataError, match="row 2: the series holds no number"):
        read_labelled_series(path)
    path.write_text("t1,t2,label\n-999,2,a\n")
    assert read_labelled_series(path, SeriesColumns(missing="-999")).missing == 1
    archive = tmp_path / "a.npz"

    def refused(sentence: str, **arrays: Any) -> None:
        np.savez(archive, **arrays)
        with pytest.raises(DataError, match=sentence):
            read_labelled_series(archive, SeriesColumns(label="y"))

    x, y = np.ones((2, 3), dtype=np.float32), np.array([0, 1])
    refused("array 'x' is nan at step 2, feature 1 of this series; mend it", x=np.array([[1, np.nan]]), y=y[:1])
    refused("array 'x' is inf at step 1, feature 1", x=np.array([[np.inf, 1]]), y=y[:1])
    refused(r"array 'y' has shape \(3,\) of int64 for 2 series", x=x, y=np.arange(3))
    refused(r"array 'y' has shape \(2,\) of float64", x=x, y=y * 0.5)
    refused("array 'x' has shape .* of <U1; give numbers", x=np.array([["a"]]), y=y[:1])
    refused("there is no array 'y'; the arrays are 'x'", x=x)


def test_missing_values_are_the_last_known() -> None:
    nan = np.nan
    values = np.array([[nan, 1.0], [2.0, nan], [nan, nan], [3.0, 4.0]], dtype=np.float32)
    np.testing.assert_array_equal(fill_missing(values), [[0, 1], [2, 1], [2, 1], [3, 4]])
    marked = fill_missing(values, marks=True)
    assert marked.dtype == np.float32
    np.testing.assert_array_equal(marked[:, 2:], [[0, 1], [1, 0], [0, 0], [1, 1]])
    whole = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    assert fill_missing(whole) is whole


def test_augmented_series_stay_series() -> None:
    values = np.random.default_rng(2).normal(size=(60, 3)).astype(np.float32)
    before = values.copy()
    found = [augment_series(values, np.random.default_rng(seed), 1.0, 2) for seed in range(20)]
    assert all(54 <= len(other) <= 66 and other.dtype == np.float32 for other in found)
    assert all(np.abs(other[:, 2]).max() <= np.abs(values[:, 2]).max() for other in found)
    assert any(np.abs(other[:, :2]).max() > np.abs(values[:, :2]).max() for other in found)
    np.testing.assert_array_equal(found[5], augment_series(values, np.random.default_rng(5), 1.0, 2))
    np.testing.assert_array_equal(values, before)
    np.testing.assert_allclose(augment_series(values, np.random.default_rng(0), 1e-7, 2), values, atol=1e-4)
    assert augment_series(values[:1], np.random.default_rng(0), 1.0, 2).shape == (1, 3)
