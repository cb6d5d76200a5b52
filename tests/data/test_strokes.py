from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from unrolled.data.strokes import augment_points, join_strokes, pen_features, points_of, read_strokes
from unrolled.errors import DataError

HERE = Path("here.jsonl")


def random_strokes(rng: np.random.Generator, count: int = 3) -> list[list[list[float]]]:
    return [rng.integers(0, 900, size=(rng.integers(1, 6), 2)).astype(float).tolist() for _ in range(count)]


def write_iam(path: Path, strokes: list[list[list[float]]]) -> Path:
    """A capture session as IAM-OnDB publishes it."""
    inside = []
    for number, stroke in enumerate(strokes):
        points = "".join(
            f'<Point x="{int(x)}" y="{int(y)}" time="{number + 0.01 * k:.2f}"/>\n' for k, (x, y) in enumerate(stroke)
        )
        inside.append(f'<Stroke colour="black" start_time="{number}.00" end_time="{number}.90">\n{points}</Stroke>\n')
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<WhiteboardCaptureSession>\n<WhiteboardDescription>\n'
        '<SensorLocation corner="top_left"/>\n<DiagonallyOppositeCoords x="6512" y="1376"/>\n'
        '<VerticallyOppositeCoords x="966" y="1376"/>\n<HorizontallyOppositeCoords x="6512" y="787"/>\n'
        f"</WhiteboardDescription>\n<StrokeSet>\n{''.join(inside)}</StrokeSet>\n</WhiteboardCaptureSession>\n",
        encoding="iso-8859-1",
    )
    return path


def write_inkml(path: Path, traces: list[str], channels: str = "X Y T") -> Path:
    described = "".join(f'<channel name="{name}" type="integer"/>' for name in channels.split())
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<ink xmlns="http://www.w3.org/2003/InkML">\n'
        f'<traceFormat>{described}</traceFormat>\n<annotation type="truth">ab</annotation>\n'
        + "".join(f'<trace id="t{k}">{text}</trace>\n' for k, text in enumerate(traces))
        + "</ink>\n",
        encoding="utf-8",
    )
    return path


def test_a_capture_session_gives_its_strokes(tmp_path: Path) -> None:
    strokes = random_strokes(np.random.default_rng(0))
    found = read_strokes(write_iam(tmp_path / "a01-000u-01.xml", strokes))
    np.testing.assert_array_equal(found[:, :2], np.concatenate(strokes))
    assert np.flatnonzero(found[:, 2]).tolist() == [0, len(strokes[0]), len(strokes[0]) + len(strokes[1])]
    packed = tmp_path / "b.xml.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a01-000u-01.xml").read_bytes()))
    np.testing.assert_array_equal(read_strokes(packed), found)


def test_inkml_values_differences_and_second_differences(tmp_path: Path) -> None:
    plain = write_inkml(tmp_path / "a.inkml", ["10 5 0, 13 4 1, 18 4 2, 25 5 3", " 1 2 0 "])
    marked = write_inkml(tmp_path / "b.inkml", ["10 5 0,'3'-1'1,\"2\"1 1,2 1 1", "1 2 *"])
    np.testing.assert_array_equal(read_strokes(plain), read_strokes(marked))
    np.testing.assert_array_equal(read_strokes(plain)[:, 0], [10, 13, 18, 25, 1])
    swapped = write_inkml(tmp_path / "c.inkml", ["0 5 10, 0 !4 !13, 0 '0 '5"], channels="F Y X")
    np.testing.assert_array_equal(read_strokes(swapped), [[10, 5, 1], [13, 4, 0], [18, 4, 0]])


def test_inkml_without_a_format_and_with_pen_up(tmp_path: Path) -> None:
    (tmp_path / "a.inkml").write_text(
        '<ink><traceGroup><trace>1 2,3 4</trace><trace type="penUp">9 9</trace></traceGroup></ink>'
    )
    np.testing.assert_array_equal(read_strokes(tmp_path / "a.inkml"), [[1, 2, 1], [3, 4, 0]])


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.xml", "<ink><trace>1 2</ink>", r"a\.xml, row 1: the XML is malformed \(mismatched tag, column 18\)"),
        ("a.xml", "", r"the XML is malformed \(no element found"),
        ("a.xml", "<svg/>", "the XML holds <svg>, and <ink>"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><ink>&b;</ink>', "the XML defines entities"),
        ("a.inkml", "<ink><trace>1 2</trace><trace> </trace></ink>", "stroke 2 has no points; take it out"),
        ("a.inkml", "<ink/>", "there is no stroke in it"),
        ("a.inkml", "<ink><trace>1 2, 3</trace></ink>", "a point of a trace is '3', and x and y are needed"),
        ("a.inkml", "<ink><trace>1 2, 3 oh</trace></ink>", "a point of a trace is '3 oh'"),
        ("a.inkml", "<ink><trace>1 2, 3 1e99</trace></ink>", "a coordinate is not a finite number"),
        ("a.inkml", '<ink><channel name="F"/><trace>1 2</trace></ink>', "channels F, and X and Y are needed"),
        (
            "a.xml",
            '<WhiteboardCaptureSession><Stroke><Point x="1"/></Stroke></WhiteboardCaptureSession>',
            "y of a point is None, and a number is needed",
        ),
    ],
)
def test_bad_files_are_named(name: str, content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=sentence):
        read_strokes(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.xml: there is no such file"):
        read_strokes(tmp_path / "gone.xml")


def test_points_from_json() -> None:
    strokes = random_strokes(np.random.default_rng(1), 2)
    many = points_of(strokes, HERE, 1)
    np.testing.assert_array_equal(many[:, :2], np.concatenate(strokes))
    assert many[:, 2].sum() == 2
    one = points_of([[*point, 7.5] for point in strokes[0]], HERE, 1)
    np.testing.assert_array_equal(one, many[: len(strokes[0])])


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([], "there is no stroke in it"),
        ([[[1, 2]], []], "stroke 2 has no points"),
        ([[1, 2], [3]], "the strokes are no JSON list of points"),
        ({"x": 1}, "the strokes are no JSON list of points"),
        ([[1, "2"]], "the strokes are no JSON list of points"),
        ([[1, 1e300]], "a coordinate is not a finite number"),
    ],
)
def test_bad_points_are_named_by_file_and_row(value: object, sentence: str) -> None:
    with pytest.raises(DataError, match=f"here.jsonl, row 4: {sentence}"):
        points_of(value, HERE, 4)


def test_features_of_a_pen() -> None:
    points = join_strokes([[[0, 0], [3, 4], [3, 4]], [[6, 4]]], HERE)
    found = pen_features(points, whole=False)
    np.testing.assert_allclose(found[1], [3, 4, 4, 0.6, 0.8, 5, 0], atol=1e-6)
    np.testing.assert_allclose(found[2], [0, 0, 4, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found[3], [3, 0, 4, 1, 0, 3, 1], atol=1e-6)
    np.testing.assert_allclose(pen_features(points, shape=False, whole=False), found[:, [0, 1, 6]])


def test_whole_features_know_neither_place_nor_size() -> None:
    rng = np.random.default_rng(2)
    points = join_strokes(random_strokes(rng), HERE)
    moved = points.copy()
    moved[:, :2] = 3.5 * points[:, :2] + (100, -7)
    np.testing.assert_allclose(pen_features(moved), pen_features(points), atol=1e-4)
    assert np.abs(pen_features(moved, whole=False) - pen_features(points, whole=False)).max() > 1
    assert np.isfinite(pen_features(points[:1])).all()


def test_augmentation_keeps_strokes_and_is_decided_by_its_generator() -> None:
    rng = np.random.default_rng(3)
    points = join_strokes(random_strokes(rng, 5), HERE)
    one, same, other = (augment_points(points, np.random.default_rng(seed), 1.0) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other)[:, :2].max() > 1
    np.testing.assert_array_equal(one[:, 2], points[:, 2])
    assert augment_points(points, rng, 0.0) is points
    assert np.abs(one - points)[:, :2].mean() < points[:, :2].std()
