from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data.images import array_image, load_pictures, picture_files, read_captions, read_features, read_image
from unrolled.errors import ArgumentError, DataError

Image = pytest.importorskip("PIL.Image")


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def save(path: Path, values: Any, **more: Any) -> Path:
    Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).save(path, **more)
    return path


def png(width: int, height: int) -> bytes:
    """A well-formed PNG of any size, also of none, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + bytes(3 * width) for _ in range(min(height, 10))))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_picture_of_the_right_size_is_read_as_it_is(tmp_path: Path) -> None:
    values = noise(8, 8)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", values), 8), values)


@pytest.mark.parametrize(("height", "width"), [(10, 20), (20, 10), (7, 7), (1, 40), (3, 2)])
def test_other_sizes_are_scaled_and_put_into_the_middle(tmp_path: Path, height: int, width: int) -> None:
    colour = noise(1, 1)
    values = np.broadcast_to(colour, (height, width, 3)).copy()
    found = read_image(save(tmp_path / "a.png", values), 20)
    inside = (found == colour).all(2)
    scale = 20 / max(height, width)
    assert found.shape == (20, 20, 3)
    assert inside.sum() == max(1, round(height * scale)) * max(1, round(width * scale))
    assert (found[~inside] == 127).all()
    rows, columns = np.nonzero(inside)
    assert abs(rows.min() - (19 - rows.max())) <= 1
    assert abs(columns.min() - (19 - columns.max())) <= 1


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_turns_a_picture_upright(tmp_path: Path, turn: int) -> None:
    upright = noise(6, 6)
    # How a camera lays an upright picture down, so that the entry's number puts it right again.
    laid = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", laid.copy(), exif=exif), 6), upright)


def test_a_photograph_is_read_smaller_and_turned(tmp_path: Path) -> None:
    values = np.kron(noise(2, 4), np.ones((160, 160, 1), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    found = read_image(save(tmp_path / "a.jpg", values, quality=95, exif=exif), 40).astype(int)
    expected = np.rot90(np.kron(noise(2, 4), np.ones((10, 10, 1))), -1)
    assert np.abs(found[:, 10:30] - expected).mean() < 8
    assert (found[:, :10] == 127).all()


def test_grey_and_palette_become_colours(tmp_path: Path) -> None:
    grey = noise(5, 5, 1)
    np.testing.assert_array_equal(read_image(save(tmp_path / "l.png", grey), 5), grey.repeat(3, 2))
    picture = Image.fromarray(noise(5, 5)).convert("P")
    picture.save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_image(tmp_path / "p.png", 5), np.asarray(picture.convert("RGB")))
    picture.save(tmp_path / "p.gif")
    np.testing.assert_array_equal(read_image(tmp_path / "p.gif", 5), np.asarray(picture.convert("RGB")))


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    deep = np.random.default_rng(2).integers(0, 65536, (5, 5), dtype=np.uint16)
    save(tmp_path / "deep.png", deep)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png", 5), (deep >> 8)[..., None].repeat(3, 2))


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    values = noise(6, 6, 4)
    found = read_image(save(tmp_path / "a.png", values), 6).astype(float)
    alpha = values[..., 3:] / 255
    np.testing.assert_allclose(found, values[..., :3] * alpha + 255 * (1 - alpha), atol=1)
    both = noise(6, 6, 2)
    found = read_image(save(tmp_path / "la.png", both), 6).astype(float)
    alpha = both[..., 1:] / 255
    np.testing.assert_allclose(found, (both[..., :1] * alpha + 255 * (1 - alpha)).repeat(3, 2), atol=1)
    palette = Image.fromarray(noise(6, 6)).convert("P")
    clear = int(np.asarray(palette)[2, 3])
    palette.save(tmp_path / "p.png", transparency=clear)
    assert (read_image(tmp_path / "p.png", 6)[np.asarray(palette) == clear] == 255).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_are_read_as_files_of_them(tmp_path: Path, channels: int) -> None:
    values = noise(9, 14, channels)
    given = values[..., 0] if channels == 1 else values
    np.testing.assert_array_equal(array_image(given, 12), read_image(save(tmp_path / "a.png", values), 12))


def test_other_arrays_are_refused() -> None:
    for values in (noise(4, 4).astype(np.float32), noise(4, 4, 2), noise(4, 4)[0, 0]):
        with pytest.raises(ArgumentError, match=r"give bytes \(uint8\) of shape \(H, W, 3\)"):
            array_image(values, 4)
    with pytest.raises(ArgumentError, match="has no pixels"):
        array_image(noise(0, 4), 4)


def test_rows_or_a_list_give_a_picture_several_captions(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text('image,caption,day\nb.png,one,1\na.png,two,2\nb.png,"three, four",1\n', encoding="utf-8")
    found = read_captions(table, group="day")
    assert found.names == ["b.png", "a.png"]
    assert found.captions == [("one", "three, four"), ("two",)]
    assert found.rows == [2, 3]
    assert found.groups == ["1", "2"]
    assert found.files == [tmp_path / "b.png", tmp_path / "a.png"]
    lines = [{"file": "x.png", "text": ["[one]", "two"]}, {"file": "y.png", "text": "[three"}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = read_captions(tmp_path / "t.jsonl", "file", "text", folder=Path("elsewhere"))
    assert found.captions == [("[one]", "two"), ("[three",)]
    assert found.files == [Path("elsewhere/x.png"), Path("elsewhere/y.png")]


def test_captions_may_be_left_aside(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,caption\na.png,\nb.png,x\na.png,\n", encoding="utf-8")
    found = read_captions(tmp_path / "t.csv", caption=None)
    assert (found.names, found.captions) == (["a.png", "b.png"], [(), ()])


BAD = {
    "missing.png": (None, "there is no such file; check the path"),
    "empty.png": (b"", "the file is empty, and a picture is needed"),
    "words.png": (b"no picture at all", "this is no picture of a kind that can be read"),
    "cut.png": (b"cut", "the picture is damaged or cut short"),
    "corrupt.jpg": (b"corrupt", "the picture is damaged or cut short"),
    "zero.png": (png(0, 4), "or it has no pixels"),
    "large.png": (png(10_000, 10_000), "the picture has more than 89,478,485 pixels"),
    "bomb.png": (png(60_000, 60_000), "the picture has more than 89,478,485 pixels"),
}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A table of every bad kind of picture and of a good one."""
    save(tmp_path / "good.png", noise(9, 12))
    whole = save(tmp_path / "whole.png", noise(40, 40)).read_bytes()
    photo = save(tmp_path / "whole.jpg", noise(40, 40)).read_bytes()
    rows = ["image,caption"]
    for name, (content, _) in BAD.items():
        content = {b"cut": whole[:900], b"corrupt": photo[:600]}.get(content or b"-", content)
        if content is not None:
            (tmp_path / name).write_bytes(content)
        rows.append(f"{name},bad")
    rows.append("good.png,fine")
    (tmp_path / "album.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path / "album.csv"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_is_named_with_its_row(album: Path, name: str) -> None:
    data = read_captions(album)
    place = data.names.index(name)
    with pytest.raises(DataError) as caught:
        load_pictures(data.take([len(BAD), place]), 8)
    sentence = str(caught.value)
    assert sentence.startswith(f"{album}, row {place + 2}: {album.parent / name}: ")
    assert BAD[name][1] in sentence
    assert "\n" not in sentence
    assert caught.value.row == place + 2


def test_bad_pictures_are_skipped_and_listed(album: Path) -> None:
    data, pixels = load_pictures(read_captions(album), 8, skip_bad=True)
    assert data.names == ["good.png"]
    np.testing.assert_array_equal(pixels[0], read_image(album.parent / "good.png", 8))
    assert [error.row for error in data.skipped] == list(range(2, 2 + len(BAD)))
    with pytest.raises(DataError, match="none of its pictures can be read"):
        load_pictures(read_captions(album).take([0, 1]), 8, skip_bad=True)


def test_bad_rows_of_the_table(tmp_path: Path) -> None:
    table = tmp_path / "t.jsonl"
    rows = [("a.png", "x"), ("", "y"), ("b.png", " "), ("c.png", ["z", ""]), ("d.png", []), ("a.png", "w"), ("e", [3])]
    table.write_text("\n".join(json.dumps({"image": i, "caption": c}) for i, c in rows), encoding="utf-8")
    with pytest.raises(DataError, match=r"t\.jsonl, row 2: column 'image' names no picture; write its file there"):
        read_captions(table)
    found = read_captions(table, skip_bad=True)
    assert (found.names, found.captions) == (["a.png"], [("x", "w")])
    assert [error.row for error in found.skipped] == [2, 3, 4, 5, 7]
    assert "row 3: a caption in column 'caption' is empty" in str(found.skipped[1])
    with pytest.raises(DataError, match=r"there is no column 'captoin'; .* \(nearest: 'caption'\)"):
        read_captions(table, caption="captoin")
    table.write_text('{"image": "", "caption": "x"}', encoding="utf-8")
    with pytest.raises(DataError, match="nothing here can be used; the first of 1"):
        read_captions(table, skip_bad=True)


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    for folder in ("sub", ".thumbnails"):
        (tmp_path / folder).mkdir()
    for name in ("b.PNG", "a.jpg", "notes.txt", "sub/c.webp", "._a.jpg", ".thumbnails/a.jpg"):
        (tmp_path / name).write_bytes(b"-")
    assert picture_files(tmp_path) == [tmp_path / "a.jpg", tmp_path / "b.PNG", tmp_path / "sub" / "c.webp"]
    assert picture_files(tmp_path / "a.jpg") == [tmp_path / "a.jpg"]
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="the folder has no picture"):
        picture_files(tmp_path / "none")


def test_a_size_below_one_pixel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="size=0 leaves no room"):
        read_image(save(tmp_path / "a.png", noise(3, 3)), 0)


def test_without_pillow_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(DataError, match=r"pip install 'unrolled\[media\]'"):
        read_image(tmp_path / "a.png", 4)


def test_features_are_found_by_name(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    np.savez(tmp_path / "f.npz", names=np.array(["a.png", "b.png", "c.png"]), features=values)
    (tmp_path / "t.csv").write_text("image,caption\nc.png,x\nd.png,y\na.png,z\n", encoding="utf-8")
    features, data = read_features(tmp_path / "f.npz"), read_captions(tmp_path / "t.csv")
    kept, found = features.of(data, skip_bad=True)
    np.testing.assert_array_equal(found, values[[2, 0]])
    assert (kept.names, [error.row for error in kept.skipped]) == (["c.png", "a.png"], [3])
    with pytest.raises(DataError, match=r"t\.csv, row 3: .*f\.npz has no features of the picture 'd\.png' \(nearest"):
        features.of(data)
    with pytest.raises(DataError, match="features of none of its pictures"):
        features.of(data.take([1]), skip_bad=True)
    np.savez(tmp_path / "g.npz", names=np.array(["a.png"]), features=values[0, :1])
    assert read_features(tmp_path / "g.npz").values.shape == (1, 1, 2)


@pytest.mark.parametrize(
    ("names", "features", "words"),
    [
        (["a", "a"], (2, 3, 1), "array 'names' has 'a' twice"),
        (["a", "b"], (3, 3, 1), r"array 'features' has shape \(3, 3, 1\) for 2 names"),
        (["a", "b"], (2,), r"array 'features' has shape \(2,\)"),
        ([1, 2], (2, 3, 1), "array 'names' is int64"),
    ],
)
def test_bad_features_are_named(tmp_path: Path, names: list[Any], features: tuple[int, ...], words: str) -> None:
    values = np.random.default_rng(0).normal(size=features)
    np.savez(tmp_path / "f.npz", names=np.array(names), features=values)
    with pytest.raises(DataError, match=words):
        read_features(tmp_path / "f.npz")
    values.flat[0] = np.nan
    np.savez(tmp_path / "f.npz", names=np.array(names), features=values)
    with pytest.raises(DataError, match="array 'features' is not a finite number at"):
        read_features(tmp_path / "f.npz")
