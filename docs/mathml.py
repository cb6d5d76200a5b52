"""Formulas of the manual as MathML, made when it is built: its pages read without a network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def inline(page: Any, node: nodes.Element) -> None:
    """A formula in a line of text."""
    page.body.append(convert(node.astext()))
    raise nodes.SkipNode


def block(page: Any, node: nodes.Element) -> None:
    """One that stands by itself; the converter aligns rows under LaTeX's older name."""
    latex = node.astext().replace("{aligned}", "{align*}")
    page.body.append(f'<div class="math">{convert(latex, display="block")}</div>')
    raise nodes.SkipNode
