"""The entry point: hands the arguments to a command and turns what goes wrong into one sentence and an exit code.

Exit codes: 0 done, 1 the input or the run is at fault, 2 the command line is at fault, 130 interrupted by
Ctrl-C and 143 by SIGTERM, saved where a training was at work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from unrolled import __version__
from unrolled.cli.output import silent
from unrolled.errors import UnrolledError, UsageError

DONE, AT_FAULT, USAGE, INTERRUPTED = 0, 1, 2, 130

HELP = "Recurrent neural networks for sequences: train on a file, then put the run to work."
COMMANDS = {
    "train": "Train a model on a file and write a run folder.",
    "tune": "Search for the best hyper-parameters: trials that are runs, in a study that goes on.",
    "predict": "Answer for a text, a file or standard input.",
    "stream": "Answer while one input is arriving, line by line; stop, and go on later.",
    "evaluate": "Measure a run on a labelled file or a text.",
    "generate": "Let a language model write, character by character.",
    "complete": "List the likeliest next units with their probabilities.",
    "reorder": "Put jumbled words into their likeliest order.",
    "score": "Say how likely a language model finds each text.",
    "transcribe": "Write down what a sound, pen strokes or a picture of a line says.",
    "translate": "Translate texts, or standard input line by line.",
    "embed": "Turn each text into a vector.",
    "draw": "Draw the network of a run rolled and unrolled, and the inside of its cell.",
    "cells": "List the cells, or print the equations of one.",
    "inspect": "Look inside a run: gradient through time, memory, units, why it answers so.",
    "serve": "Put runs behind HTTP and WebSocket: whole inputs, and streams.",
    "export": "Write a run as ONNX models that were tried in ONNX Runtime.",
    "bench": "Time the engines on this machine.",
    "demo": "Train a character model for a minute and let it write.",
}


def build_app() -> App:
    """All commands; the module of one is loaded when the command line names it."""
    app = App(name="unrolled", help=HELP, version=__version__, suppress_keyboard_interrupt=False)
    for place, (name, summary) in enumerate(COMMANDS.items()):
        target = f"unrolled.cli.{name}:{'app' if name in ('train', 'tune') else name}"
        app.command(target, name=name, help=summary, sort_key=place)
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
        build_app()(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, UsageError) as fault:
        return _complain(_sentence(fault), USAGE)
    except UnrolledError as fault:
        return _complain(_sentence(fault), AT_FAULT)
    except KeyboardInterrupt as stop:
        return _complain(_sentence(stop) if str(stop) else "Interrupted.", getattr(stop, "code", INTERRUPTED))
    except BrokenPipeError:
        raise
    except OSError as fault:
        return _complain(_sentence_of_system(fault), AT_FAULT)
    except Exception as fault:  # a user is shown a sentence, a developer asks for the traceback
        if os.environ.get("UNROLLED_TRACEBACK"):
            raise
        kind = type(fault).__name__
        return _complain(f"This is a fault of unrolled itself ({kind}: {fault}): please report it with the traceback "
                         "that UNROLLED_TRACEBACK=1 shows.", AT_FAULT)  # fmt: skip
    return DONE


def _sentence(fault: BaseException) -> str:
    words = " ".join(str(fault).split())
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _sentence_of_system(fault: OSError) -> str:
    where = f"{fault.filename}: " if fault.filename else ""
    return f"{where}{fault.strerror or fault}."


def _complain(sentence: str, code: int) -> int:
    if not silent():
        print(f"unrolled: {sentence}", file=sys.stderr)
    return code
