"""Runs the Python lines of docs/what-is-an-rnn.md, which draw docs/pictures/rnn; a test runs them too."""

from __future__ import annotations

import re
import sys
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "what-is-an-rnn.md"
FOLDER = DOCS / "pictures" / "rnn"
_BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Lines of Python, what the page says that they print, and the number of their first line."""

    code: str
    shown: str
    line: int


def blocks() -> list[Block]:
    """All of the page, in order."""
    text = PAGE.read_text(encoding="utf-8")
    found = _BLOCK.finditer(text)
    return [Block(match[1], match[2] or "", text[: match.start(1)].count("\n") + 1) for match in found]


def run(folder: Path) -> list[str]:
    """What each block prints; their pictures go to the folder."""
    names: dict[str, object] = {}
    printed = []
    with chdir(folder):
        for block in blocks():
            with redirect_stdout(StringIO()) as output:
                # Empty lines in front, so that a traceback names the line of the page.
                exec(compile("\n" * (block.line - 1) + block.code, PAGE, "exec"), names)  # noqa: S102 - the page's own
            printed.append(output.getvalue())
    return printed


def main() -> None:
    """Draw the pictures, and show what the page should show."""
    FOLDER.mkdir(exist_ok=True)
    for block, printed in zip(blocks(), run(FOLDER), strict=True):
        if printed != block.shown:
            sys.stdout.write(f"{PAGE.name}:{block.line} prints\n{printed}")


if __name__ == "__main__":
    main()
