from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data import read_series
from unrolled.errors import ArgumentError, DataError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


LONG = "machine,day,heat,noise,left\nm1,1,20,0.5,9\nm2,1,30,1.5,4\nm1,2,21,-0.5,9\nm1,3,22.5,0,9\n"


def test_a_long_table_is_one_sequence_a_group(tmp_path: Path) -> None:
    series = read_series(write(tmp_path, "a.csv", LONG), "left", group="machine", features=["noise", "heat"])
    assert series.features == ("noise", "heat")
    assert [sequence.tolist() for sequence in series.sequences] == [[[0.5, 20], [-0.5, 21], [0, 22.5]], [[1.5, 30]]]
    assert series.sequences[0].dtype == np.float32
    assert series.targets is not None
    assert series.targets.tolist() == [[9], [4]]
    assert series.groups == ("m1", "m2")
    assert [origin.row for origin in series.origins] == [2, 3]


def test_all_other_columns_are_features(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", LONG)
    assert read_series(path, "left", group="machine").features == ("day", "heat", "noise")
    plain = read_series(path, group="machine")
    assert plain.features == ("day", "heat", "noise", "left")
    assert plain.targets is None


def test_several_targets(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "g,x,one,two\na,1,5,6\nb,2,7,8\n")
    series = read_series(path, ["two", "one"], group="g")
    assert series.targets is not None
    assert series.targets.tolist() == [[6, 5], [8, 7]]
    assert series.target_names == ("two", "one")


def test_unlike_targets_in_a_group_are_named_or_skipped(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", LONG.replace("m1,3,22.5,0,9", "m1,3,22.5,0,8"))
    with pytest.raises(DataError) as caught:
        read_series(path, "left", group="machine")
    assert str(caught.value).startswith(
        f"{path}, row 5: the target (left) of machine 'm1' differs from that in row 2, and a sequence has one"
    )
    series = read_series(path, "left", group="machine", skip_bad=True)
    assert series.groups == ("m2",)
    assert len(series.skipped) == 1


@pytest.mark.parametrize(
    ("group", "cell", "shown"), [("machine", "warm", "'warm'"), ("machine", "inf", "'inf'"), (None, "1e39", "'1e39'")]
)
def test_a_cell_that_is_no_number_is_named_or_skipped(tmp_path: Path, group: str | None, cell: str, shown: str) -> None:
    path = write(tmp_path, "a.csv", LONG.replace("21", cell))
    features = ["heat", "noise"]
    with pytest.raises(DataError) as caught:
        read_series(path, "left", group=group, features=features)
    assert str(caught.value).startswith(f"{path}, row 4: column 'heat' holds {shown}, and a finite number is needed")
    series = read_series(path, "left", group=group, features=features, skip_bad=True)
    assert sum(map(len, series.sequences)) == (3 if group else 6)
    assert [error.row for error in series.skipped] == [4]


def test_a_wide_table_is_one_sequence_a_row(tmp_path: Path) -> None:
    series = read_series(write(tmp_path, "a.csv", "y,t1,t2,t3\n9,1,2,3\n8,4,,\n7,5,6, \n"), "y")
    assert [sequence[:, 0].tolist() for sequence in series.sequences] == [[1, 2, 3], [4], [5, 6]]
    assert series.features == ("value",)
    assert series.targets is not None
    assert series.targets.tolist() == [[9], [8], [7]]
    assert [origin.row for origin in series.origins] == [2, 3, 4]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("8,,4,5", "column 't1' holds '', and a finite number is needed"),
        ("8,4,x,5", "column 't2' holds 'x', and a finite number is needed"),
        ("8,,,", "the row holds no number; write at least one or take the row out"),
        ("no,1,2,3", "column 'y' holds 'no', and a finite number is needed"),
    ],
)
def test_a_bad_wide_row_is_named_or_skipped(tmp_path: Path, row: str, sentence: str) -> None:
    path = write(tmp_path, "a.csv", f"y,t1,t2,t3\n9,1,2,3\n{row}\n7,1,2,3\n")
    with pytest.raises(DataError) as caught:
        read_series(path, "y")
    assert str(caught.value).startswith(f"{path}, row 3: {sentence}")
    series = read_series(path, "y", skip_bad=True)
    assert series.targets is not None
    assert series.targets.tolist() == [[9], [7]]
    assert [error.row for error in series.skipped] == [3]


def test_lists_in_cells(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"points": [[1, 2], [3, 4.5]], "y": 1}\n{"points": [[5, 6]], "y": -2e1}\n')
    series = read_series(path, "y", inputs="points")
    assert [sequence.tolist() for sequence in series.sequences] == [[[1, 2], [3, 4.5]], [[5, 6]]]
    assert series.features == ("points 1", "points 2")
    assert series.targets is not None
    assert series.targets.tolist() == [[1], [-20]]
    flat = read_series(write(tmp_path, "b.csv", 'v,y\n"[1, 2]",3\n'), "y", inputs="v")
    assert flat.sequences[0].tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("[[1, 2], [3]]", "column 'v' must hold a JSON list of finite numbers, or of equally long lists of them"),
        (f"[{10**400}]", "column 'v' must hold a JSON list"),
        ("[]", "column 'v' must hold a JSON list"),
        ("7", "column 'v' must hold a JSON list"),
        ("[1, null]", "column 'v' must hold a JSON list"),
        ("[1, NaN]", "column 'v' must hold a JSON list"),
        ('{"a": 1}', "column 'v' must hold a JSON list"),
        ("[[[1]]]", "column 'v' must hold a JSON list"),
        ("[1, 2]", "1 numbers a step where the first sequence has 2; give every step the same features"),
    ],
)
def test_a_bad_list_is_named_or_skipped(tmp_path: Path, cell: str, sentence: str) -> None:
    path = write(tmp_path, "a.jsonl", f'{{"v": [[1, 2]]}}\n{{"v": {cell}}}\n')
    with pytest.raises(DataError) as caught:
        read_series(path, inputs="v")
    assert str(caught.value).startswith(f"{path}, row 2: {sentence}")
    assert len(read_series(path, inputs="v", skip_bad=True)) == 1


def archive(folder: Path, **arrays: Any) -> Path:
    path = folder / "a.npz"
    np.savez(path, **arrays)
    return path


def test_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values, targets = rng.normal(size=(5, 7, 2)), rng.normal(size=(5, 3))
    lengths = np.array([7, 1, 3, 7, 2], dtype=np.uint8)
    series = read_series(archive(tmp_path, x=values, y=targets, lengths=lengths), "y")
    for sequence, whole, length in zip(series.sequences, values, lengths, strict=True):
        np.testing.assert_array_equal(sequence, whole[:length].astype(np.float32))
    assert series.targets is not None
    np.testing.assert_array_equal(series.targets, targets.astype(np.float32))
    assert series.target_names == ("y 1", "y 2", "y 3")
    assert series.features == ("x 1", "x 2")


def test_flat_arrays_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values, one, two = rng.normal(size=(5, 7)), rng.normal(size=5), rng.integers(0, 9, 5)
    series = read_series(archive(tmp_path, train=values, one=one, two=two), ["one", "two"], inputs="train")
    assert series.sequences[3].shape == (7, 1)
    assert series.target_names == ("one", "two")
    assert series.targets is not None
    np.testing.assert_array_equal(series.targets, np.stack([one, two], 1).astype(np.float32))
    assert read_series(archive(tmp_path, x=values)).targets is None


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"z": np.ones((2, 3))}, "there is no array 'x'; the arrays are 'z'"),
        ({"x": np.ones((2, 3)), "Y": np.ones(2)}, "there is no array 'y'; the arrays are 'x', 'Y' (nearest: 'Y')"),
        ({"x": np.ones(3), "y": np.ones(3)}, "array 'x' has shape (3,); give (sequences, steps)"),
        ({"x": np.ones((0, 3)), "y": np.ones(0)}, "array 'x' has shape (0, 3); give (sequences, steps)"),
        (
            {"x": np.ones((2, 3)), "y": np.ones(3)},
            "array 'y' has shape (3,) for 2 sequences; give one row of it for each",
        ),
        (
            {"x": np.array([[1, np.nan]]), "y": np.ones(1)},
            "array 'x' is not a finite number at [0, 1]; mend or leave out",
        ),
        ({"x": np.array([[1, 1e300]]), "y": np.ones(1)}, "array 'x' is not a finite number at [0, 1]"),
        ({"x": np.array([["a"]]), "y": np.ones(1)}, "array 'x' holds <U1, and numbers are needed; convert it"),
        (
            {"x": np.array([[{}]], dtype=object), "y": np.ones(1)},
            "the arrays cannot be loaded (it holds pickled objects)",
        ),
        (
            {"x": np.ones((2, 3)), "y": np.ones(2), "lengths": np.array([3, 4])},
            "array 'lengths' must lie between 1 and",
        ),
        (
            {"x": np.ones((2, 3)), "y": np.ones(2), "lengths": np.array([3, 0])},
            "array 'lengths' must lie between 1 and",
        ),
        ({"x": np.ones((2, 3)), "y": np.ones(2), "lengths": np.ones(2)}, "array 'lengths' must be 2 whole numbers"),
    ],
)
def test_bad_arrays_are_said(tmp_path: Path, arrays: dict[str, Any], sentence: str) -> None:
    path = archive(tmp_path, **arrays)
    with pytest.raises(DataError) as caught:
        read_series(path, "y")
    assert str(caught.value).startswith(f"{path}: {sentence}")


def test_a_damaged_archive_is_said(tmp_path: Path) -> None:
    path = archive(tmp_path, x=np.random.default_rng(0).normal(size=(20, 30)))
    whole = path.read_bytes()
    for data, sentence in [
        (whole[:400], "this is no .npz archive"),
        (b"x,y\n1,2\n", "this is no .npz archive"),
        (whole[:300] + b"\1\2\3" + whole[303:], "the arrays cannot be loaded"),
        (whole[:60] + b"\1\2\3" + whole[63:], "the arrays cannot be loaded"),
    ]:
        path.write_bytes(data)
        with pytest.raises(DataError, match=sentence):
            read_series(path)
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(20, 30)))
    whole = path.read_bytes()
    path.write_bytes(whole[:300] + bytes(50) + whole[350:])
    with pytest.raises(DataError, match=r"the arrays cannot be loaded|the compressed data is cut short"):
        read_series(path)
    with pytest.raises(DataError, match="there is no such file"):
        read_series(tmp_path / "b.npz")


def test_what_leaves_no_sequence_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "y,g\n1,2\n")
    with pytest.raises(DataError, match="no column is left to hold the sequences"):
        read_series(path, "y", group="g")
    with pytest.raises(DataError, match="no row holds a sequence that can be used"):
        read_series(write(tmp_path, "b.csv", "y,x\n1,a\n"), "y", skip_bad=True)
    with pytest.raises(DataError, match="no row holds a sequence that can be used"):
        read_series(write(tmp_path, "b.csv", "g,y,x\n1,2,a\n"), "y", group="g", skip_bad=True)
    with pytest.raises(DataError, match=r"there is no column 'z'; the columns are 'y', 'g'"):
        read_series(path, "y", features=["z"])
    with pytest.raises(ArgumentError, match="group and inputs exclude each other"):
        read_series(path, "y", group="g", inputs="v")


def test_packed_tables_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(LONG.encode()))
    assert len(read_series(path, "left", group="machine")) == 2
