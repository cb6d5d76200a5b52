"""`python -m unrolled` is the command `unrolled`."""

from __future__ import annotations

import sys

from unrolled.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
