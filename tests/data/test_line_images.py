from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrolled.data.line_images import augment_columns, read_columns
from unrolled.errors import DataError

Image = pytest.importorskip("PIL.Image")


def picture(
    rng: np.random.Generator, width: int = 60, height: int = 16
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Dark marks on light paper."""
    values = np.full((height, width), 230, np.uint8)
    for place in rng.integers(0, width - 4, size=4):
        values[rng.integers(2, 6) : rng.integers(8, 14), place : place + 3] = 20
    return values


def test_columns_run_from_left_to_right_with_ink_near_one(tmp_path: Path) -> None:
    values = picture(np.random.default_rng(0))
    Image.fromarray(values).save(tmp_path / "a.png")
    found = read_columns(tmp_path / "a.png", height=16)
    np.testing.assert_allclose(found, 1 - values.T / 255, atol=1e-6)
    Image.fromarray(255 - values).save(tmp_path / "b.png")
    np.testing.assert_allclose(read_columns(tmp_path / "b.png", height=16), found, atol=0.01)
    assert read_columns(tmp_path / "a.png", height=8).shape == (30, 8)


def test_colour_and_transparency(tmp_path: Path) -> None:
    values = picture(np.random.default_rng(1))
    clear = np.zeros((*values.shape, 4), np.uint8)
    clear[..., 3] = 230 - values
    Image.fromarray(clear).save(tmp_path / "a.png")
    found = read_columns(tmp_path / "a.png", height=16)
    assert found.min() == pytest.approx(0, abs=1e-6) and found.max() > 0.7


def test_bad_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG no picture")
    with pytest.raises(DataError, match=r"a\.png: "):
        read_columns(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"b\.png: there is no such file"):
        read_columns(tmp_path / "b.png")


def test_augmentation_keeps_the_height_and_is_decided_by_its_generator() -> None:
    rng = np.random.default_rng(2)
    columns = rng.random((50, 12)).astype(np.float32)
    one, same, other = (augment_columns(columns, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert one.shape != other.shape or np.abs(one - other).max() > 0.1
    assert {augment_columns(columns, rng).shape[1] for _ in range(9)} == {12}
    assert len({len(augment_columns(columns, rng)) for _ in range(9)}) > 2
    assert augment_columns(columns, rng, 0.0) is columns
    gentle = augment_columns(columns, np.random.default_rng(5), 1e-6)
    np.testing.assert_allclose(gentle, columns, atol=1e-4)
