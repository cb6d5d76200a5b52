"""Every task on real data: default settings, two cores, a time limit for each training.

Each row is a command that anybody can run on the file that it names; beside it stand the simplest baselines, or what
was published. The rows are in `benchmarks/rows`. `benchmarks/tasks.py NAME ...` runs those whose name or file begins
so and keeps the results of the others.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reporting import ROOT, Claim, Table, parse, parser, result, write
from row import Row, Work

ROWS = Path(__file__).parent / "rows"
COLUMNS = ("task", "measured", "beside it", "command", "training s", "in all s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows that are asked for, each into tasks.json as soon as it is done; 1 where one failed or missed."""
    found = parser("Every task on real data.")
    found.add_argument("names", nargs="*", help="rows to run, or files of rows, by how they begin; default: all")
    found.add_argument("--list", action="store_true", help="only list the rows")
    found.add_argument("--share", type=float, default=1.0, help="share of each time limit, for a trial; keeps nothing")
    options = parse(found, arguments)
    rows = chosen(all_rows(), options.names)
    if options.list:
        print("\n".join(f"{place:<12} {row.name}" for place, row in rows))
        return 0
    if options.share != 1.0:
        options.results = None
    reached = [run(row, options) for _, row in rows]
    return 0 if all(reached) else 1


def all_rows() -> list[tuple[str, Row]]:
    """Every row with the name of its file."""
    files = sorted(path.stem for path in ROWS.glob("*.py") if path.stem != "__init__")
    return [(name, row) for name in files for row in importlib.import_module(f"rows.{name}").ROWS]


def chosen(rows: Iterable[tuple[str, Row]], names: Sequence[str]) -> list[tuple[str, Row]]:
    """The rows whose name, or whose file's name, begins with one of `names`; raises SystemExit where there is none."""
    known = list(rows)
    for name in names:
        if not any(name in (place, row.name) or row.name.startswith(name) for place, row in known):
            raise SystemExit(f"no row begins with {name!r}; see --list")
    return [
        (place, row)
        for place, row in known
        if not names or any(name == place or row.name.startswith(name) for name in names)
    ]


def run(row: Row, options: argparse.Namespace) -> bool:
    """Run one row, print what it found, keep it; whether it reached its targets, of which a quick run has none."""
    try:
        found = run_one(row, options)
    except SystemExit as error:
        print(f"tasks: {row.name}: not measured: {error}", flush=True)
        return False
    print(f"tasks: {' | '.join(map(str, line(found)))}", flush=True)
    for claim in () if options.quick else claims(found):
        print(f"tasks: {claim}", flush=True)
    if options.results is not None:
        keep(found, options)
    return options.quick or all(claim.reached for claim in claims(found))


def keep(found: Mapping[str, Any], options: argparse.Namespace) -> None:
    """tasks.json with this row in the place of what it held of it."""
    path = options.results / "tasks.json"
    before = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    order = {row.name: place for place, (_, row) in enumerate(all_rows())}
    rows = [*(row for row in before if row["name"] != found["name"]), found]
    rows.sort(key=lambda row: order.get(row["name"], len(order)))
    table = Table(COLUMNS, tuple(map(line, rows)))
    seconds = sum(row["seconds"] for row in rows)
    whole = result("tasks", [claim for row in rows for claim in claims(row)], table, seconds, remarks(rows))
    pictures = [picture for row in rows for picture in row["pictures"]]
    write(options.results, whole | {"quick": options.quick, "pictures": pictures, "rows": rows})


def remarks(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the rows are, how long they take on two cores, and why targets were missed."""
    hours = sum(row["seconds"] for row in rows) / 3600
    time = f"Each row ran on one thread: {hours:.1f} hours in all, or {hours / 2:.1f} hours of two cores, one on each."
    reasons = {row.name: row.why for _, row in all_rows()}
    missed = [row["name"] for row in rows if not all(claim.reached for claim in claims(row))]
    why = [f"- {name}: {reasons[name]}" for name in missed if reasons.get(name)]
    said = ["Where a target was missed:\n\n" + "\n".join(why)] if why else []
    return "\n\n".join((str(__doc__).rstrip(), time, *said)) + "\n"


def claims(row: Mapping[str, Any]) -> list[Claim]:
    """The claims of a row as they were kept."""
    return [Claim(one["what"], one["value"], one["target"], one["most"]) for one in row["claims"]]


def run_one(row: Row, options: argparse.Namespace) -> dict[str, Any]:
    """One row in a folder of its own; raises SystemExit where its data is absent or a command of it fails."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder, "work")
        work.mkdir()
        pictures = work if options.results is None else options.results
        return row.run(Work(data_of(row, options.quick, Path(folder)), work, pictures, options, options.share))


def data_of(row: Row, quick: bool, folder: Path) -> Path:
    """The folder of the real data, or for a quick run one that the row fills with made files."""
    if quick:
        made = folder / "data"
        made.mkdir()
        if row.make is not None:
            row.make(made)
        return made
    found = Path(os.environ.get("UNROLLED_DATA", ROOT.parent / "shared" / "data"))
    if row.data is not None and not (found / row.data).exists():
        raise SystemExit(f"{row.data} is not in {found}: set UNROLLED_DATA (docs/data.md names the sources)")
    return found


def line(one: Mapping[str, Any]) -> tuple[str | float | int, ...]:
    """A line of the table."""
    command = f"`{one['command']}`" if one["command"] else ""
    return one["name"], numbers(one["values"]), numbers(one["baselines"]), command, one["trained"], one["seconds"]


def numbers(values: Mapping[str, float]) -> str:
    """Values by name in one cell."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


if __name__ == "__main__":
    raise SystemExit(main())
