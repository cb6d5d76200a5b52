from __future__ import annotations

from pathlib import Path

import pytest

from unrolled.data import check_labels, read_labelled, read_text_targets
from unrolled.errors import DataError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_texts_with_labels_and_groups(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "who,review,stars\np,good, five\nq,bad,one \np,fine,five\n")
    data = read_labelled(path, "review", "stars", group="who")
    assert data.texts == ["good", "bad", "fine"]
    assert data.labels == ["five", "one", "five"]
    assert data.groups == ["p", "q", "p"]
    assert data.classes == ["five", "one"]
    assert data.rows == [2, 3, 4]


def test_take_keeps_everything_together(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "who,text,label\np,good,five\nq,bad,one\nr,fine,five\n")
    part = read_labelled(path, group="who").take([2, 0])
    assert (part.texts, part.labels, part.groups, part.rows) == (["fine", "good"], ["five", "five"], ["r", "p"], [4, 2])


def test_distinct_keeps_the_first_of_each_pair(tmp_path: Path) -> None:
    data = read_labelled(write(tmp_path, "a.csv", "text,label\nx,1\nx,2\nx,1\ny,1\n")).distinct()
    assert list(zip(data.texts, data.labels, data.rows, strict=True)) == [("x", "1", 2), ("x", "2", 3), ("y", "1", 5)]


def test_several_labels_a_text(tmp_path: Path) -> None:
    data = read_labelled(write(tmp_path, "a.csv", "text,label\nx,b|a\ny,\nz, a |a|\n"), multilabel="|")
    assert data.labels == [("a", "b"), (), ("a",)]
    assert data.classes == ["a", "b"]


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    write(tmp_path, "neg/2.txt", "bad")
    first = write(tmp_path, "neg/1.txt", "worse")
    write(tmp_path, "pos/deep/1.txt", "good")
    write(tmp_path, "README", "not a class")
    data = read_labelled(tmp_path)
    assert data.texts == ["worse", "bad", "good"]
    assert data.labels == ["neg", "neg", "pos"]
    assert data.origins[0] == (first, None)


def test_a_folder_without_classes_is_said(tmp_path: Path) -> None:
    write(tmp_path, "only/1.txt", "one")
    with pytest.raises(DataError, match="1 subfolders, and one for each of at least two classes is needed"):
        read_labelled(tmp_path)


@pytest.mark.parametrize(
    ("row7", "sentence"),
    [
        (" ,x", "the text in column 'text' is empty; write a text there or take the row out"),
        ("word, ", "the label in column 'label' is empty; write one there or take the row out"),
    ],
)
def test_an_empty_cell_is_named_by_its_row_or_skipped(tmp_path: Path, row7: str, sentence: str) -> None:
    path = write(tmp_path, "a.csv", "\n".join(["text,label", *["word,x"] * 5, row7, "word,y"]))
    with pytest.raises(DataError) as caught:
        read_labelled(path)
    assert str(caught.value) == f"{path}, row 7: {sentence}"
    data = read_labelled(path, skip_bad=True)
    assert len(data) == 6
    assert [error.row for error in data.skipped] == [7]


def test_nothing_left_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no labelled text was found here"):
        read_labelled(write(tmp_path, "a.csv", "text,label\n,x\n"), skip_bad=True)


def test_a_wrong_column_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\na,b\n")
    for arguments in ({"text": "txt"}, {"label": "lable"}, {"group": "labels"}):
        with pytest.raises(DataError, match="the columns are 'text', 'label'"):
            read_labelled(path, **arguments)


def test_a_label_seen_once_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\na,mixed\nb,good\nc,mixd\nd,good\ne,mixed\n")
    with pytest.raises(DataError) as caught:
        check_labels(read_labelled(path))
    assert str(caught.value).startswith(f"{path}, row 4: the label 'mixd' is seen only here (nearest: 'mixed')")


def test_labels_that_can_be_learnt_pass(tmp_path: Path) -> None:
    check_labels(read_labelled(write(tmp_path, "a.csv", "text,label\na,x\nb,y\nc,x\nd,y\n")))
    check_labels(read_labelled(write(tmp_path, "b.csv", "text,label\na,x\nb,\nc,x\n"), multilabel=";"))


def test_too_few_classes_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="every text has the label 'x', and a classifier needs at least two classes"):
        check_labels(read_labelled(write(tmp_path, "a.csv", "text,label\na,x\nb,x\n")))
    with pytest.raises(DataError, match="no text has a label"):
        check_labels(read_labelled(write(tmp_path, "b.csv", "text,label\na,\nb,\n"), multilabel=";"))
    with pytest.raises(DataError, match="row 3: the label 'y' is seen only here"):
        check_labels(read_labelled(write(tmp_path, "c.csv", "text,label\na,x\nb,x;y\n"), multilabel=";"))


def test_texts_with_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,low,high,who\ngood,1.5,2e2,p\nbad,-3,4,q\n")
    data = read_text_targets(path, target=["high", "low"], group="who")
    assert data.targets.tolist() == [[200, 1.5], [4, -3]]
    assert data.target_names == ("high", "low")
    assert data.groups == ["p", "q"]
    assert len(data) == 2


@pytest.mark.parametrize(("cell", "shown"), [("four", "'four'"), ("", "''"), ("nan", "'nan'"), ("1e60", "'1e60'")])
def test_a_target_that_is_no_number_is_named_or_skipped(tmp_path: Path, cell: str, shown: str) -> None:
    path = write(tmp_path, "a.csv", f"text,target\ngood,1\nbad,{cell}\n,3\n")
    with pytest.raises(DataError) as caught:
        read_text_targets(path)
    assert str(caught.value).startswith(f"{path}, row 3: column 'target' holds {shown}, and a finite number is needed")
    data = read_text_targets(path, skip_bad=True)
    assert data.texts == ["good"]
    assert [error.row for error in data.skipped] == [3, 4]


def test_texts_without_any_number_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row has both a text and its numbers"):
        read_text_targets(write(tmp_path, "a.csv", "text,target\nx,y\n"), skip_bad=True)
