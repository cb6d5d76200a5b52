from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="pictures need matplotlib")

from unrolled.tasks.attention_picture import attention_picture
from unrolled.tasks.translation import Translation


def test_units_that_have_no_glyph_are_drawn_without_a_warning() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=2)
    found = Translation("$\x05", -1.0, -1.0, ("$\x05", "</s>"), ("a b", "\n\x7f", "</s>"), weights)
    assert attention_picture(found).startswith(b"\x89PNG")
