"""`python -m unrolled.runtime RUN FILE`: a run's answers for a file, a JSON object a line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from unrolled.errors import UnrolledError
from unrolled.runtime import load
from unrolled.runtime.recurrent import ENGINES


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if it answered, 1 with a sentence on standard error if the run or the file is at fault."""
    parser = argparse.ArgumentParser(prog="python -m unrolled.runtime", description=__doc__)
    parser.add_argument("run", type=Path, help="the folder that `unrolled train` wrote")
    parser.add_argument("file", type=Path, help="what to answer for, laid out as the training file was")
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="compiled kernels, or NumPy alone")
    given = parser.parse_args(arguments)
    try:
        model = load(given.run, engine=given.engine)
        answers = model.answers(model.read(given.file))
    except UnrolledError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for answer in answers:
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
