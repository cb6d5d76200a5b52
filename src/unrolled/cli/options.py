"""Command-line options from the fields of a dataclass: type, default and help text stand in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import Field, fields
from typing import Annotated, Any, Literal, get_type_hints

from cyclopts import Group, Parameter, Token

from unrolled.tasks.options.durations import format_duration, parse_duration

POSITIONAL = inspect.Parameter.POSITIONAL_ONLY
KEYWORD = inspect.Parameter.KEYWORD_ONLY


def with_options(
    body: Callable[..., None], *kinds: type, groups: dict[str, Group], hidden: Collection[str] = ()
) -> Callable[..., None]:
    """`body(*objects, **rest)` as a command whose options are the fields of all `kinds` beside the rest of its own.

    `groups` gives the heading in `--help` for the class that first declares a field; `hidden` fields are taken, but not
    shown there.
    """
    own = [p for p in inspect.signature(body, eval_str=True).parameters.values() if p.kind is KEYWORD]

    def command(*positional: Any, **values: Any) -> None:
        values |= dict(zip(order, positional, strict=False))
        objects = [kind(**{f.name: values.pop(f.name) for f in fields(kind) if f.name in values}) for kind in kinds]
        body(*objects, **values)

    made = [_parameter(kind, field, groups, hidden) for kind in kinds for field in fields(kind)]
    parameters = sorted([*made, *own], key=lambda p: p.kind)
    order = [p.name for p in parameters if p.kind is POSITIONAL]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what cyclopts reads
    command.__doc__ = body.__doc__
    return command


def _parameter(kind: type, field: Field[Any], groups: dict[str, Group], hidden: Collection[str]) -> inspect.Parameter:
    notes = dict(field.metadata)
    annotation = get_type_hints(kind)[field.name]
    positional = notes.get("positional", False)
    settings: dict[str, Any] = {"help": notes.get("help"), "show": field.name not in hidden}
    if not positional:
        settings["group"] = groups[_declared_in(kind, field.name)]
    if "choices" in notes:
        annotation = Literal[tuple(notes["choices"])]
    if field.default is None:  # left open, and settled by what the data is
        annotation = annotation | None
    if "name" in notes:
        settings["name"] = "--" + notes["name"]
    if notes.get("unit") == "seconds":
        settings |= {
            "converter": _seconds,
            "metavar": "TIME",
            "show_default": field.default is not None and format_duration,
        }
        settings["help"] = f"{notes['help']}; written as 90s, 3m or 1h30m"
    if isinstance(field.default, tuple):
        settings |= {"consume_multiple": True, "negative": (), "show_default": False}
    if field.default is False:
        settings |= {"negative": (), "show_default": False}
    annotation = Annotated[annotation, Parameter(**settings)]
    place = POSITIONAL if positional else KEYWORD
    return inspect.Parameter(field.name, place, default=field.default, annotation=annotation)


def _declared_in(kind: type, name: str) -> str:
    return [base.__name__ for base in kind.__mro__ if name in inspect.get_annotations(base)][-1]


def _seconds(_: Any, tokens: Sequence[Token]) -> float:
    return parse_duration(tokens[0].value)
