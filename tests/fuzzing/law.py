"""The law: for any bytes a reader reads, or raises an UnrolledError whose message is one readable sentence."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unrolled.errors import UnrolledError

SECONDS = 5.0
# A path, a few names of columns and a cell: more than this nobody reads.
_LONGEST = 1500


class Broken(AssertionError):
    """What a reader did that it may not do; `where` is the same for the same fault."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} at {where}")
        self.where = f"{what.split(':', maxsplit=1)[0]} at {where}"


def check(read: Callable[[Path], object], path: Path) -> str:
    """Read the file; "read", or the sentence it was refused with. Raises Broken."""
    try:
        read(path)
    except UnrolledError as error:
        _check_sentence(error)
        return str(error)
    except MemoryError as error:
        raise Broken("MemoryError: more memory than is allowed", _where(error)) from error
    # What is looked for is just that: an exception of any other kind. A panic of Rust is no Exception.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        raise Broken(f"{type(error).__name__}: {error}", _where(error)) from error
    return "read"


def either(reader: Callable[..., Any], *args: Any, **named: Any) -> None:
    """Call a second reader of the same file, whose refusal is as good as an answer. Raises Broken."""
    try:
        reader(*args, **named)
    except UnrolledError as error:
        _check_sentence(error)


def _check_sentence(error: UnrolledError) -> None:
    sentence = str(error)
    fault = None
    if not sentence.strip():
        fault = "an empty message"
    elif not sentence.isprintable():
        fault = "a message that cannot be printed"
    elif len(sentence) > _LONGEST:
        fault = f"a message of {_LONGEST} characters or more"
    if fault is not None:
        raise Broken(f"{fault}: {sentence[:200]!r}", _where(error)) from error


def _where(error: BaseException) -> str:
    """The innermost line of our own that the error passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/unrolled/" in frame.filename.replace("\\", "/")]
    last = (own or frames)[-1]
    return f"{Path(last.filename).name}:{last.lineno} {last.name}"


def die_after(seconds: float) -> None:
    """End this process by a signal once it has computed for so long from now; 0: never. Not on Windows."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)
