"""How far the encoding of large data has come: one line that is written over, or a line now and then in a log."""

from __future__ import annotations

import sys
import time

from unrolled.cli.output import Output
from unrolled.tasks.events import Encoding

_LOGGED_EACH = 30.0


class EncodingLine:
    """The line on standard error; nothing where output is to be quiet."""

    def __init__(self) -> None:
        self._shown = 0
        self._logged = -_LOGGED_EACH
        self._ended = False

    def show(self, event: Encoding, output: Output) -> None:
        """Write the line over the one before, or without a terminal at the beginning, the end and every half minute."""
        if output.quiet:
            return
        text = str(event)
        if sys.stderr.isatty():
            sys.stderr.write("\r" + text.ljust(self._shown))
            sys.stderr.flush()
            self._shown = len(text)
        elif self._ends(event) or time.monotonic() - self._logged > _LOGGED_EACH:
            self._logged = time.monotonic()
            output.note(text)

    def _ends(self, event: Encoding) -> bool:
        """Whether it is done now, and was not before."""
        before, self._ended = self._ended, event.progress.done >= event.progress.total
        return self._ended and not before

    def clear(self) -> None:
        """End the line, for what is printed next."""
        if self._shown:
            sys.stderr.write("\n")
            self._shown = 0
