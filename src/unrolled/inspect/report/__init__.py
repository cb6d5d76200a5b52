"""The report of a run: one HTML file that shows it from inside, off-line, on the screen and on paper."""

from __future__ import annotations

from pathlib import Path

from unrolled.errors import RunError
from unrolled.inspect.draw import drawings
from unrolled.inspect.inspection import Inspection, Opened
from unrolled.inspect.report.page import report_html

__all__ = ["report_html", "write_report"]


def write_report(
    opened: Opened, found: Inspection, file: str | Path, compared: Inspection | None = None, *, theme: str = "auto"
) -> Path:
    """Write the report of an inspection; raises RunError where the file cannot be written."""
    file = Path(file)
    page = report_html(found, drawings(opened.model, name=opened.model.task), compared, theme=theme)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{file} cannot be written ({error.strerror}); choose another --out.") from None
    return file
