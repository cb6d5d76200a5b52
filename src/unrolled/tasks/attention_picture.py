"""Where each unit of a translation looked, as a picture."""

from __future__ import annotations

import io
from importlib.util import find_spec

from unrolled.errors import ArgumentError
from unrolled.tasks.translation import Translation


def attention_picture(found: Translation) -> bytes:
    """A PNG: a row for each unit of the translation, a column for each of the source, darker where it looked more.

    Raises ArgumentError where matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise ArgumentError("a picture needs matplotlib, which is not installed; run \"pip install 'unrolled[plot]'\"")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = len(found.pieces), len(found.source)
    figure = Figure(figsize=(2.2 + 0.42 * columns, 1.6 + 0.32 * rows), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(found.attention, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(columns), [_shown(piece) for piece in found.source], rotation=60, ha="left")
    axes.set_yticks(range(rows), [_shown(piece) for piece in found.pieces])
    axes.xaxis.tick_top()
    figure.colorbar(image, ax=axes, label="weight")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _shown(piece: str) -> str:
    """A unit with its spaces visible; matplotlib would read a dollar as the begin of a formula."""
    piece = piece.replace(" ", "·").replace("\n", "⏎").replace("$", r"\$")
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in piece)
