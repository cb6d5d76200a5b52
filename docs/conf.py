"""The manual's settings; the pages of the cells and of the public names are written from the code before each build."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import reference_pages  # noqa: E402 - found through the line above

from unrolled import __version__  # noqa: E402

project = "Unrolled"
author = "The Unrolled authors"
copyright = "The Unrolled authors, Apache-2.0"  # noqa: A001 - the name that Sphinx reads
version = release = __version__

extensions = ["myst_parser", "mathml"]
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["math.css"]
myst_enable_extensions = ["deflist", "dollarmath"]
html_theme = "furo"
html_title = "Unrolled"
exclude_patterns = ["_build"]

reference_pages.write(HERE / "reference")
