"""`unrolled complete RUN TEXT`: the likeliest next words."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from unrolled.cli.output import Output
from unrolled.cli.runs import Run, open_as

Text = Annotated[str, Parameter(help="the text to complete", allow_leading_hyphen=True)]
Count = Annotated[int, Parameter(help="how many words to list")]


def complete(run: Run, text: Text = "", /, *, count: Count = 10, output: Output = Output()) -> None:
    """List the likeliest next words with their probabilities."""
    found = open_as(run, "complete", "language").complete(text, count)
    rows = [{"word": word, "probability": probability} for word, probability in found]
    lines = [f"{probability:7.2%}  {word}" for word, probability in found]
    output.result({"text": text, "completions": rows}, "\n".join(lines))
