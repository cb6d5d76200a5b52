"""`unrolled demo`: the main job in a minute, on a text that every machine has."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from unrolled.cli.durations import parse_duration
from unrolled.cli.output import Output
from unrolled.cli.train import fit, report
from unrolled.errors import DataError, RunError
from unrolled.tasks import TASKS, Common, LanguageOptions

if TYPE_CHECKING:
    from unrolled.tasks.training import RunResult

CHARACTERS = 1_000_000
LARGEST_MODULE = 60_000
PROMPT = "def "

Out = Annotated[Path | None, Parameter(help="run folder to write; default: the next free runs/language-NNN")]
Time = Annotated[str, Parameter(metavar="TIME", help="how long to train, as 90s, 3m or 1h30m")]
Threads = Annotated[int | None, Parameter(help="processor threads; default: what torch chooses")]


def demo(*, out: Out = None, max_time: Time = "1m", threads: Threads = None, output: Output = Output()) -> None:
    """Train a character model on the source of Python's standard library for a minute, then let it write."""
    seconds = parse_duration(max_time)
    path = Path("runs") / "python-source.txt"
    write_text(path)
    output.note(f"Learning to write Python, one character at a time, from {path} (Python's own standard library).")
    task = TASKS["language"]
    common = Common(data=path, out=out, max_time=seconds, threads=threads)
    result = fit(task, common, LanguageOptions(), output)
    sample = _write(result, output)
    report(result, output, {"prompt": PROMPT, "sample": sample, "text": path})
    output.note(f"Go on with: unrolled generate {result.run} --prompt 'class '")


def write_text(path: Path) -> None:
    """A bounded, always equal part of the standard library's source; raises RunError where it cannot be written."""
    text = source_text(Path(sysconfig.get_path("stdlib")))
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path} could not be written ({error.strerror}); run the demo where you may write.") from None


def source_text(folder: Path) -> str:
    """The modules of a folder in the order of their names, up to `CHARACTERS`; long tables of data are left out."""
    parts: list[str] = []
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if len(text) <= LARGEST_MODULE:
            parts.append(text)
        if sum(map(len, parts)) >= CHARACTERS:
            break
    if not parts:
        raise DataError("the source of Python's standard library is not here; train on a text of your own", folder)
    return "".join(parts)[:CHARACTERS]


def _write(result: RunResult, output: Output) -> str:
    from unrolled.tasks.language import LanguageTask

    assert isinstance(result.model, LanguageTask)  # noqa: S101 - for the type checker
    pieces = [PROMPT]
    if output.streams:
        print(f"\n{PROMPT}", end="", flush=True)
    for piece in result.model.generate(PROMPT, 400, temperature=0.6, seed=1):
        pieces.append(piece)
        if output.streams:
            print(piece, end="", flush=True)
    if output.streams:
        print("\n")
    return "".join(pieces)
