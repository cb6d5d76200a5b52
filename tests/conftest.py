"""What all tests share: one thread a process, and the way to real data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# Before torch is imported: its threads are set at start-up, and several test workers share the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A time limit for each example fails by chance on a busy machine. `make test` says the same of the same code every
# time; HYPOTHESIS_PROFILE=search looks for new examples, many of them.
hypothesis.settings.register_profile("unrolled", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "unrolled"))

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Path of a file of real data, e.g. `real_data("classify/names.csv")`; the test is skipped where it is absent."""
    folder = Path(os.environ.get("UNROLLED_DATA", ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"real data {name} is not in {folder}: set UNROLLED_DATA (docs/data.md names its source)")
        return path

    return find
