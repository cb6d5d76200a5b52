from __future__ import annotations

import subprocess
import sys

import unrolled.data


def test_all_names_are_there_and_sorted() -> None:
    assert set(unrolled.data.__all__) == {name for name in unrolled.data.__all__ if hasattr(unrolled.data, name)}
    assert len(set(unrolled.data.__all__)) == len(unrolled.data.__all__)


def test_no_heavy_library_is_loaded_before_it_is_needed() -> None:
    code = "import sys, unrolled.data; print(*sorted({'torch', 'pyarrow', 'tokenizers', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
