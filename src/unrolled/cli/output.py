"""Where a command's words go: the result on standard output, everything else on standard error."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True)
class Output:
    """The two options that every command has."""

    json: Flag = False
    """the result as one JSON object on standard output"""
    quiet: Flag = False
    """no progress and no remarks on standard error"""

    def result(self, data: Mapping[str, object], text: str) -> None:
        """Print `data` as JSON if that was asked for, `text` otherwise."""
        if not silent():
            print(as_json(data) if self.json else text)

    def note(self, text: str) -> None:
        """A remark for a person, never part of the result."""
        if not self.quiet:
            print(text, file=sys.stderr)

    @property
    def streams(self) -> bool:
        """Whether results may appear bit by bit, as they are made."""
        return not self.json


def silent() -> bool:
    """Whether another process of the same training, the first that `torchrun` started, speaks for this one."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and os.environ.get("RANK", "0") != "0"


def as_json(data: Mapping[str, object]) -> str:
    """`data` on one line; paths become text, arrays lists, and numbers that JSON has not become null."""
    return json.dumps(plain(data), ensure_ascii=False, allow_nan=False)


def plain(value: object) -> object:
    """`value` in the types of JSON."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclass_fields(value)}
    if hasattr(value, "tolist"):  # an array, a tensor or one of their numbers
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no form in JSON")
