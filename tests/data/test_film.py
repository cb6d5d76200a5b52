from __future__ import annotations

import builtins
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.filming import grey_frames, write_film, write_pictures
from unrolled.data import film as film_module
from unrolled.data.film import find_films, open_film
from unrolled.data.film_labels import labels_file, read_film_labels
from unrolled.errors import ArgumentError, DataError

GREYS = [int(v) for v in np.random.default_rng(1).permutation(np.arange(10, 250, 6))]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames of unlike greys, 10 a second."""
    return write_film(tmp_path_factory.mktemp("film") / "a.mp4", grey_frames(GREYS))


def greys(film: Any) -> list[float]:
    return [float(frame.mean()) for frame in film.frames()]


def test_a_film_is_looked_at_at_the_rate(video: Path) -> None:
    whole = open_film(video, rate=10, size=16)
    assert (len(whole), whole.seconds) == (40, pytest.approx(4.0))
    np.testing.assert_allclose(greys(whole), GREYS, atol=6)
    half = open_film(video, rate=5, size=16)
    assert len(half) == 20
    np.testing.assert_allclose(greys(half), GREYS[::2], atol=6)
    faster = open_film(video, rate=20, size=16)
    np.testing.assert_allclose(greys(faster), np.repeat(GREYS, 2), atol=6)
    odd = open_film(video, rate=3, size=16)
    np.testing.assert_allclose(greys(odd), [GREYS[int(k / 3 * 10 + 1e-6)] for k in range(12)], atol=6)
    assert [next(half.frames()).shape, next(half.frames()).dtype] == [(16, 16, 3), np.uint8]


@pytest.mark.parametrize("cut", [(0, 5), (7, 9), (13, 14), (25, 40), (39, 40), (3, 3)])
def test_a_part_has_the_frames_of_the_whole(video: Path, cut: tuple[int, int]) -> None:
    whole = open_film(video, rate=10, size=16)
    part = whole[slice(*cut)]
    assert len(part) == cut[1] - cut[0]
    frames = list(whole.frames())[slice(*cut)]
    assert all(np.array_equal(a, b) for a, b in zip(part.frames(), frames, strict=True))
    assert part[1:].first == min(cut[0] + 1, cut[1])
    assert part.whole == whole


def test_frames_are_decoded_as_they_are_asked_for(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    pixels = film_module._pixels
    monkeypatch.setattr(film_module, "_pixels", lambda frame, size: made.append(1) or pixels(frame, size))
    frames = open_film(video, rate=10, size=16).frames()
    next(frames), next(frames)
    assert len(made) == 2


def test_a_folder_of_pictures_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    values = [20 * n for n in range(1, 13)]
    folder = write_pictures(tmp_path / "shot", grey_frames(values))
    film = open_film(folder, rate=4, size=16)
    assert (len(film), film.seconds) == (12, 3.0)
    np.testing.assert_allclose(greys(film[8:]), values[8:], atol=4)


def test_a_wide_film_keeps_its_shape(tmp_path: Path) -> None:
    path = write_film(tmp_path / "wide.mp4", grey_frames([200] * 3, 64)[:, :32])
    (frame, *_) = open_film(path, rate=10, size=32).frames()
    assert (frame[:8] == 127).all()
    assert (frame[24:] == 127).all()
    assert abs(float(frame[9:23].mean()) - 200) < 6


def test_films_of_a_folder(video: Path, tmp_path: Path) -> None:
    (tmp_path / "b.mp4").write_bytes(video.read_bytes())
    write_pictures(tmp_path / "a", grey_frames([9]))
    (tmp_path / "notes.txt").write_text("no film")
    assert [path.name for path in find_films(tmp_path)] == ["a", "b.mp4"]
    assert find_films(video) == [video]
    with pytest.raises(DataError, match="there is no film; give a video file"):
        find_films(tmp_path / "notes.txt")


def test_what_is_no_film_is_named(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.mp4").write_text("this is no film")
    with pytest.raises(DataError, match=r"text.mp4: the film cannot be read \(Invalid data"):
        open_film(tmp_path / "text.mp4")
    (tmp_path / "empty.avi").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty.avi: the film cannot be read"):
        open_film(tmp_path / "empty.avi")
    with pytest.raises(DataError, match="there is no such file"):
        open_film(tmp_path / "gone.mp4")
    for values in ({"rate": 0}, {"size": 0}, {"rate": float("nan")}):
        with pytest.raises(ArgumentError, match="must be above 0"):
            open_film(video, **values)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="cannot be cut in steps of 2"):
        open_film(video)[::2]
    monkeypatch.setattr(importlib, "import_module", lambda name: builtins.__import__("no_such_library"))
    with pytest.raises(DataError, match=r"needs av, which is not installed; run .*unrolled\[media\]"):
        open_film(video)


def test_a_film_whose_end_is_lost_is_named(video: Path, tmp_path: Path) -> None:
    # Where the pictures are, in an .mp4, lies before what says where they are: spoil them alone.
    data = bytearray(video.read_bytes())
    start = data.find(b"mdat") + 4
    middle = start + (data.find(b"moov") - start) // 2
    data[middle : data.find(b"moov") - 4] = bytes(len(data[middle : data.find(b"moov") - 4]))
    (tmp_path / "spoilt.mp4").write_bytes(data)
    film = open_film(tmp_path / "spoilt.mp4", rate=10, size=16)
    with pytest.raises(DataError, match=r"spoilt.mp4: the film cannot be (decoded from|read)"):
        list(film.frames())


def labels(folder: Path, text: str, film: Any) -> tuple[str, ...]:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return read_film_labels(path, film)


def test_intervals(video: Path, tmp_path: Path) -> None:
    film = open_film(video, rate=5, size=16)
    found = labels(tmp_path, "label,start,end\nb,1,2.1\na,0.2,1\n", film)
    assert found == ("none", *["a"] * 4, *["b"] * 6, *["none"] * 9)
    assert len(labels(tmp_path, "start,end,label\n0,4.1,a\n", film)) == 20


def test_a_label_for_each_frame(video: Path, tmp_path: Path) -> None:
    film = open_film(video, rate=5, size=16)
    rows = "".join(f"{n},{'ab'[n % 4 == 0]}\n" for n in range(40))
    assert labels(tmp_path, "frame,label\n" + rows, film) == ("b", "a") * 10
    folder = write_pictures(tmp_path / "shot", grey_frames([5, 9]))
    pictures = open_film(folder, rate=1, size=16)
    assert labels(folder, "frame,label\nframe-2.png,b\nframe-1.png,a\n", pictures) == ("a", "b")
    assert labels_file(folder) == folder / "labels.csv"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("start,end,label\n0,9,a\n", "row 2: the interval ends at 9 s and a.mp4 lasts 4.00 s"),
        ("start,end,label\n0,1,a\n1,1,b\n", "row 3: the interval from 1 to 1 s is empty or begins before the film"),
        ("start,end,label\n1,3,a\n2,4,b\n", "row 3: the interval from 2 s overlaps that of row 2"),
        ("start,end,label\n0,nan,a\n", "row 2: column 'end' holds 'nan'"),
        ("start,end,label\n0,one,a\n", "row 2: column 'end' holds 'one'"),
        ("start,end,label\n0,1,\n", "row 2: the label in column 'label' is empty"),
        ("start,end,event\n0,1,a\n", "there is no column 'label'"),
        ("from,to,label\n0,1,a\n", "start and end .seconds. or frame are needed"),
        ("frame,label\n0,a\n1,b\n", "2 frames have labels and a.mp4 has 40, of which frame 2 has none"),
        ("frame,label\n40,a\n", "row 2: there is no frame '40' in a.mp4, whose 40 frames are counted from 0"),
        ("frame,label\n1,a\n1,b\n", "row 3: this frame has a label in an earlier row"),
    ],
)
def test_labels_that_do_not_fit_the_film_are_named(video: Path, tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        labels(tmp_path, text, open_film(video, rate=5, size=16))


def test_a_film_without_labels(video: Path) -> None:
    with pytest.raises(DataError, match=r"a.mp4: the film has no labels; write them into .*a.csv"):
        labels_file(video)
    with pytest.raises(DataError, match="labels of a film are a table"):
        read_film_labels(video, open_film(video))
