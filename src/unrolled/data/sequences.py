"""Sequences of symbols, such as clicks or notes, from a table whose rows are their steps."""

from __future__ import annotations

from pathlib import Path

from unrolled.data.documents import Documents, Origin
from unrolled.data.problems import Problems
from unrolled.data.table import read_table
from unrolled.data.vocabulary import join_symbols
from unrolled.errors import DataError


def read_sequences(path: str | Path, sequence: str, symbol: str, *, skip_bad: bool = False) -> Documents:
    """One document a sequence: the cells of column `symbol` of the rows that agree in column `sequence`, as they come.

    Rows of different sequences may be mixed. The symbols of a document stand apart as `join_symbols` writes them, and
    its origin is its first row. Raises DataError, with the row, for an empty cell or a symbol with a tab in it.
    """
    path = Path(path)
    table = read_table(path, skip_bad=skip_bad)
    problems = Problems(skip_bad, table.skipped)
    steps: dict[str, list[str]] = {}
    firsts: dict[str, int] = {}
    for key, name, row in zip(table.column(sequence), table.column(symbol), table.rows, strict=True):
        key, name = key.strip(), name.strip()
        if not key or not name:
            which = symbol if key else sequence
            problems.report(DataError(f"column {which!r} is empty; write a name there or take the row out", path, row))
        elif "\t" in name:
            problems.report(DataError(f"the symbol {name!r} has a tab in it; write a space or _ for it", path, row))
        else:
            steps.setdefault(key, []).append(" ".join(name.split()))
            firsts.setdefault(key, row)
    if not steps:
        raise DataError("no row holds a step of a sequence; mend at least one", path)
    texts = [join_symbols(names) for names in steps.values()]
    return Documents(texts, [Origin(path, row) for row in firsts.values()], tuple(problems.found))
