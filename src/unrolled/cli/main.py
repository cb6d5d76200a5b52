"""The entry point: hands the arguments to a command and turns what goes wrong into one sentence and an exit code.

Exit codes: 0 done, 1 the input or the run is at fault, 2 the command line is at fault, 130 interrupted by
Ctrl-C and 143 by SIGTERM, saved where a training was at work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from cyclopts import App, CycloptsError, ValidationError

from unrolled import __version__
from unrolled.cli.commands import COMMANDS, block
from unrolled.cli.output import silent
from unrolled.errors import UnrolledError, UsageError

DONE, AT_FAULT, USAGE, INTERRUPTED = 0, 1, 2, 130

HELP = "Recurrent neural networks for sequences: train on a file, then put the run to work."


def build_app(named: str = "") -> App:
    """All commands; the module of one is loaded when the command line names it, and then its own words are its help."""
    app = App(
        name="unrolled",
        help=HELP,
        help_epilogue=block(("unrolled demo", "unrolled train classify --help")),
        version=__version__,
        suppress_keyboard_interrupt=False,
    )
    for place, (name, command) in enumerate(COMMANDS.items()):
        summary = None if name == named else command.summary
        if name in ("train", "tune"):
            app.command(f"unrolled.cli.{name}:app", name=name, help=summary, sort_key=place)
            continue
        more = {"usage": command.usage(name), "help_epilogue": block(command.examples)}
        app.command(f"unrolled.cli.{name}:{name}", name=name, help=summary, sort_key=place, **more)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # torch warns of what it need not have looked for; it reads this when it is loaded
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        code = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as head or less, has gone, which is its right; the interpreter must not flush into the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code


def _run(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without a letter still shows the text
    try:
        build_app(*arguments[:1])(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, UsageError) as fault:
        return _complain(_misspelt(fault) or _sentence(fault), USAGE)
    except UnrolledError as fault:
        return _complain(_sentence(fault), AT_FAULT, alone=not fault.everywhere)
    except KeyboardInterrupt as stop:
        return _complain(_sentence(stop) if str(stop) else "Interrupted.", getattr(stop, "code", INTERRUPTED))
    except BrokenPipeError:
        raise
    except OSError as fault:
        return _complain(_sentence_of_system(fault), AT_FAULT, alone=True)
    except Exception as fault:  # a user is shown a sentence, a developer asks for the traceback
        if os.environ.get("UNROLLED_TRACEBACK"):
            raise
        kind = type(fault).__name__
        return _complain(f"This is a fault of unrolled itself ({kind}: {fault}): please report it with the traceback "
                         "that UNROLLED_TRACEBACK=1 shows.", AT_FAULT, alone=True)  # fmt: skip
    return DONE


def _misspelt(fault: BaseException) -> str:
    """The sentence where an option was taken for a file or a text, because the command has none of that name."""
    if not isinstance(fault, ValidationError) or fault.argument is None or fault.app is None:
        return ""
    given = [token.value for token in fault.argument.tokens if token.value.startswith("--")]
    if not given:
        return ""
    known = [name for one in fault.app.assemble_argument_collection() for name in one.names if name.startswith("--")]
    near = get_close_matches(given[0].partition("=")[0], known, n=1)
    return f"Unknown option: {given[0]}." + (f" Did you mean {near[0]}?" if near else "")


def _sentence(fault: BaseException) -> str:
    words = " ".join(str(fault).split())
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _sentence_of_system(fault: OSError) -> str:
    where = f"{fault.filename}: " if fault.filename else ""
    return f"{where}{fault.strerror or fault}."


def _complain(sentence: str, code: int, *, alone: bool = False) -> int:
    """`alone`: of several processes that train together this one may be the only one that knows."""
    if not silent():
        print(f"unrolled: {sentence}", file=sys.stderr)
    elif alone:
        print(f"unrolled: process {os.environ['RANK']}: {sentence}", file=sys.stderr)
    return code
