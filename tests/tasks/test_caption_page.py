from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest

from unrolled.tasks.caption_text import Caption

Image = pytest.importorskip("PIL.Image")


def caption(text: str, regions: int, seed: int = 0) -> Caption:
    units = tuple(text.split())
    looked = np.random.default_rng(seed).dirichlet(np.ones(regions), len(units) + 1)
    return Caption(text, -0.5, units, looked)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / name)
    return [tmp_path / "a.png", tmp_path / "b.png"]


def images(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def test_each_word_has_a_picture_that_is_clear_where_the_model_looked(files: list[Path]) -> None:
    from unrolled.tasks.caption_page import caption_page

    given = [caption("a red <b>", 9), caption("blue", 16, seed=1)]
    page = caption_page("The <title>", files, given, corners=False)
    masks = images(page)
    assert len(masks) == 4
    for mask, looked in zip(masks, [*given[0].attention[:3], given[1].attention[0]], strict=True):
        shade = mask[..., 1].ravel().astype(int)
        assert shade[looked.argmax()] == 0
        assert (np.diff(shade[np.argsort(looked)]) <= 0).all()
        assert shade.max() <= 204
    assert "<b>" not in page.replace("&lt;b&gt;", "")
    assert "<title>The &lt;title&gt;</title>" in page
    assert page.count("background-image: url(data:image/") == 2
    assert not re.search(r"https?://", page)


def test_a_region_s_middle_may_be_the_corner_of_its_square(files: list[Path]) -> None:
    from unrolled.tasks.caption_page import caption_page

    looked = np.zeros((2, 9))
    looked[0, 4] = 1
    (mask,) = images(caption_page("x", files[:1], [Caption("a", 0.0, ("a",), looked)]))
    rows, columns = np.nonzero(mask[..., 1] == 0)
    assert mask.shape[:2] == (6, 6)
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_regions_without_a_grid_and_files_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    from unrolled.tasks.caption_page import caption_page

    page = caption_page("x", [tmp_path / "gone.png"], [caption("a cat", 7)])
    assert "a cat" in page
    assert "gone.png" in page
    assert "data:image" not in page
