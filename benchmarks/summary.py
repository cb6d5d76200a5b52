"""Writes docs/results.md from what the benchmarks left in benchmarks/results."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from reporting import RESULTS, ROOT

PAGE = ROOT / "docs" / "results.md"
NAMES = (
    "shakespeare",
    "sentiment",
    "surnames",
    "memory",
    "memory-600",
    "horizon",
    "copying",
    "mnist1d",
    "tasks",
    "engines",
    "avx2",
    "long",
    "kills",
    "cost",
    "precision",
    "large_text",
    "stream",
    "runtime",
    "server",
    "distributed",
)
HEAD = """# Results

The project's own measurements. Each comes from a script that anybody can run, `.venv/bin/python benchmarks/NAME.py`;
`benchmarks/summary.py` writes this page from the numbers that the scripts leave in `benchmarks/results`. A target that
was missed is shown like one that was reached. The sources of the real data are listed in [data](data.md).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    found.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    found.add_argument("--page", type=Path, default=PAGE, help="page to write")
    options = found.parse_args(arguments)
    options.page.write_text(page(options.results, options.page.parent), encoding="utf-8")
    return 0


def page(results: Path, home: Path) -> str:
    """The page as text, with pictures linked from the folder `home`."""
    return "\n".join([HEAD, *(section(name, results, home) for name in NAMES)])


def section(name: str, results: Path, home: Path) -> str:
    """What one benchmark found; one that was never run in full says so."""
    path = results / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"quick": True}
    if found["quick"]:
        return f"## {name.title()}\n\nNot measured yet.\n"
    title, _, rest = found["remarks"].strip().partition("\n\n")
    parts = [f"## {title.rstrip('.')}\n", f"{rest.strip()}\n", claims(found["claims"]), table(**found["table"])]
    for picture in found.get("pictures") or [found["picture"]]:
        if picture is not None:
            link = Path(os.path.relpath(results / picture, home)).as_posix()
            parts.append(f"![{Path(picture).stem}]({link})\n")
    parts.append(f"{sentence(found)}\n")
    return "\n".join(parts)


def claims(rows: Iterable[dict[str, Any]]) -> str:
    """Measured values beside their targets."""
    lines = [
        (row["what"], f"{row['value']:.4g}", f"{'at most' if row['most'] else 'at least'} {row['target']:.4g}",
         "yes" if row["reached"] else "**no**")
        for row in rows
    ]  # fmt: skip
    return table(("measured", "value", "target", "reached"), lines)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def sentence(found: dict[str, Any]) -> str:
    """How long it took and on what."""
    on, script = found["machine"], found["name"].partition("-")[0]
    threads = "thread" if on["threads"] == 1 else "threads"
    return (
        f"`benchmarks/{script}.py`: {found['seconds']:.0f} seconds in all on {on['threads']} {threads} of a "
        f"{on['processor']} processor ({on['vector_bits']}-bit vectors), {on['system']}, Python {on['python']}, "
        f"torch {on['torch']}, unrolled {on['unrolled']}."
    )


if __name__ == "__main__":
    raise SystemExit(main())
