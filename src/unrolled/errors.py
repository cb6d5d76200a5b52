"""What can go wrong, as one tree; every message is one sentence: what was given, what is needed, what to do.

UnrolledError
├── CellError       a cell's equations cannot be used
├── EngineError     an engine was asked for by name and cannot take the call
├── ArgumentError   a value or a shape handed to a function does not fit (also a ValueError)
│   └── UsageError  the command line is at fault (exit code 2)
├── DataError       a file or a row of the user's data is at fault (also a ValueError)
├── ExportError     a written model does not give our own answers
├── RunError        a run folder cannot be read, written or resumed
└── TrainingError   the numbers went wrong while training
"""

from __future__ import annotations

from pathlib import Path


class UnrolledError(Exception):
    """Anything that a user can put right; the command line prints its sentence and exits with 1.

    `everywhere`: every process of one training raises it, so that the first alone has to say it.
    """

    everywhere = False


class CellError(UnrolledError):
    """A cell's equations cannot be used."""


class EngineError(UnrolledError):
    """An engine was asked for by name and cannot take the call; the sentence says why."""


class ArgumentError(UnrolledError, ValueError):
    """A value or a shape handed to a function does not fit."""


class UsageError(ArgumentError):
    """The command line is at fault."""


class ExportError(UnrolledError):
    """A written model does not give our own answers; its file was deleted."""


class RunError(UnrolledError):
    """A run folder cannot be read, written or resumed."""


class TrainingError(UnrolledError):
    """The numbers went wrong while training."""


class DataError(UnrolledError, ValueError):
    """A file or a row of the user's data is at fault.

    `path` and `row` (counted from 1, as an editor or a spreadsheet counts) go in front of the sentence.
    """

    def __init__(self, sentence: str, path: str | Path | None = None, row: int | None = None) -> None:
        where = "" if path is None else f"{path}: " if row is None else f"{path}, row {row}: "
        super().__init__(where + sentence)
        self.path = path
        self.row = row
