"""`unrolled generate RUN`: a language model writes, and the text appears as it is made."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from unrolled.cli.output import Output
from unrolled.cli.runs import Run, note_unknown, open_as

Prompt = Annotated[str, Parameter(help="the text to go on from", allow_leading_hyphen=True)]
Length = Annotated[int, Parameter(help="most units to write")]
Temperature = Annotated[float, Parameter(help="below 1 plays safe, above 1 is bold, 0 always takes the likeliest unit")]
TopK = Annotated[int | None, Parameter(help="draw from the K likeliest units only")]
TopP = Annotated[float | None, Parameter(help="draw from the likeliest units that together have this probability")]
Seed = Annotated[int | None, Parameter(help="the same seed writes the same text")]


def generate(
    run: Run,
    /,
    *,
    prompt: Prompt = "",
    length: Length = 500,
    temperature: Temperature = 1.0,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    output: Output = Output(),
) -> None:
    """Let a language model write, unit by unit."""
    model = open_as(run, "generate", "language")
    note_unknown(model, prompt, output)
    pieces = model.generate(prompt, length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    if not output.streams:
        output.result({"prompt": prompt, "text": "".join(pieces), "seed": seed}, "")
        return
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
