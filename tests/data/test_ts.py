from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrolled.data.labelled_series import read_labelled_series
from unrolled.data.series_values import SeriesColumns
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
