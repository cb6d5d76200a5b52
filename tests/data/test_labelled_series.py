from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data.labelled_series import read_labelled_series
from unrolled.data.series_values import SeriesColumns
from unrolled.errors import DataError


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
