"""`unrolled predict` for captions: pictures in, a line for each out, and the page that shows where the model looked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unrolled.cli.output import Output
from unrolled.cli.predict import table
from unrolled.cli.runs import Row
from unrolled.errors import UsageError

if TYPE_CHECKING:
    from unrolled.tasks.caption import CaptionTask


def predict_captions(
    model: CaptionTask,
    run: Path,
    source: str | None,
    literal: str | None,
    form: str,
    page: Path | None,
    output: Output,
    *,
    skip_bad: bool = False,
) -> None:
    """Print the caption of each picture; with `page` also write the page, with `skip_bad` name what was left out."""
    if literal is not None or source in (None, "-"):
        raise UsageError("this run captions pictures, so it needs a picture, a folder or a table that names pictures.")
    pictures, skipped = model.reader.asked(Path(str(source)), skip_bad=skip_bad)
    if skipped:
        from unrolled.tasks.events import Skipped

        output.note(str(Skipped(tuple(map(str, skipped)))))
    captions = [found[0] for found in model.describe(pictures.images)]
    rows: list[Row] = [
        {"path": file, "caption": caption.text, "log_probability": caption.log_probability}
        for file, caption in zip(pictures.files, captions, strict=True)
    ]
    if page is not None:
        from unrolled.tasks.caption_page import caption_page

        corners = model.reader.features is None
        written = caption_page(f"Captions by {run.name}", pictures.files, captions, corners=corners)
        page.write_text(written, encoding="utf-8")
        output.note(f"page: {page}")
    as_json = Output(json=output.json or form == "json", quiet=output.quiet)
    lines = table(rows) if form == "csv" else "\n".join(f"{row['caption']}  {row['path']}" for row in rows)
    left_out = [str(error) for error in skipped]
    as_json.result({"run": run, "predictions": rows, "skipped": left_out, "page": page}, lines)
