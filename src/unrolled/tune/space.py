"""What a search may vary: ranges and choices of a task's options, as `hidden=64..512,cell=lstm|gru` writes them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, get_type_hints

from unrolled.data.problems import nearest, quoted
from unrolled.errors import ArgumentError, CellError, UsageError
from unrolled.tasks.options import LanguageOptions, NetworkOptions, check_counts

if TYPE_CHECKING:
    import optuna

Value = bool | int | float | str

DEFAULTS = {
    "language": "hidden=128..768:log,layers=1..3,dropout=0..0.5,batch_size=16|32|64,learning_rate=1e-3..2e-2:log",
    "classify": "hidden=32..256:log,layers=1..2,dropout=0.1..0.7,batch_size=16|32|64|128,learning_rate=5e-4..1e-2:log",
    "regress": "hidden=32..256:log,layers=1..2,dropout=0..0.5,batch_size=16|32|64,learning_rate=5e-4..1e-2:log",
    "caption": "hidden=256..768:log,dropout=0..0.5,batch_size=16|32|64,learning_rate=5e-4..5e-3:log",
    "forecast": "hidden=32..256:log,layers=1..2,dropout=0..0.5,batch_size=32|64|128,learning_rate=5e-4..1e-2:log",
    "transcribe": "hidden=64..256:log,layers=1..3,dropout=0..0.5,batch_size=16|32|64,learning_rate=1e-3..1e-2:log",
    "translate": "hidden=256..768:log,layers=1..2,dropout=0.1..0.5,batch_size=32|64|128,learning_rate=5e-4..5e-3:log",
    "tag": "hidden=32..256:log,layers=1..2,dropout=0.1..0.7,batch_size=16|32|64,learning_rate=5e-4..1e-2:log",
}
_CELLS = ",cell=lstm|gru"

# Trials that differ in these measure different things.
_MEASURE = {"validation", "horizon", "backtest"}
_TEXT = {"units", "vocabulary_size", "minimum", "lowercase"}
_SHARES = {"input_dropout", "dropout", "zoneout", "recurrent_dropout", "weight_drop", "word_dropout", "ema"}
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Range:
    """An option from `low` to `high`, both included, whole numbers or not, evenly in itself or in its logarithm."""

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def suggest(self, trial: optuna.Trial) -> Value:
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def holds(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.name}={self.low:g}..{self.high:g}{':log' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """An option that is one of `values`."""

    name: str
    values: tuple[Value, ...]

    def suggest(self, trial: optuna.Trial) -> Value:
        chosen: Any = trial.suggest_categorical(self.name, self.values)
        return chosen  # type: ignore[no-any-return]  # one of `values`

    def holds(self, value: object) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return f"{self.name}={'|'.join(_written(value) for value in self.values)}"


Dimension = Range | Choice


def default_space(task: str, kind: type[NetworkOptions], given: Collection[str] = ()) -> tuple[Dimension, ...]:
    """What is searched where nothing is said: all that matters in most tasks, but for the options in `given`."""
    space = parse_space(DEFAULTS[task] + _CELLS, task, kind)
    return tuple(dimension for dimension in space if dimension.name not in given)


def parse_space(text: str, task: str, kind: type[NetworkOptions]) -> tuple[Dimension, ...]:
    """The dimensions that `text` writes, for a task with options of this kind. Raises UsageError in one sentence."""
    found: dict[str, Dimension] = {}
    for part in text.split(","):
        name, _, values = (piece.strip() for piece in part.partition("="))
        name = name.removeprefix("--").replace("-", "_")
        if not name or not values:
            raise UsageError(
                f"--search: {quoted(part.strip())} is neither a range nor a choice; write NAME=LOW..HIGH or NAME=A|B."
            )
        if name in found:
            raise UsageError(f"--search: {name} is there twice; write one range or one choice for it.")
        found[name] = _dimension(name, values, task, kind)
    return tuple(found.values())


def _dimension(name: str, values: str, task: str, kind: type[NetworkOptions]) -> Dimension:
    known = {f.name: f for f in fields(kind)}
    if name not in known:
        raise UsageError(
            f"--search: {name} is no option of {task}{nearest(name, known)}; `unrolled train {task} --help` lists them."
        )
    of = _type(name, kind)
    choices = known[name].metadata.get("choices")
    column = of is str and choices is None and name != "cell"
    if of is None or column or name in _MEASURE or (kind is LanguageOptions and name in _TEXT):
        raise UsageError(
            f"--search: {name} cannot be searched, because it says what is read or measured and not how it is learnt; "
            "give it as an option of its own."
        )
    dimension = _range(name, values, of) if ".." in values else _choice(name, values, of, choices)
    _check(dimension, kind)
    return dimension


def _type(name: str, kind: type[NetworkOptions]) -> type | None:
    """bool, int, float or str, None for what is none of them."""
    hint = get_type_hints(kind)[name]
    parts = [part for part in getattr(hint, "__args__", (hint,)) if part is not type(None)]
    return parts[0] if len(parts) == 1 and parts[0] in (bool, int, float, str) else None


def _range(name: str, values: str, of: type) -> Range:
    ends, _, how = values.partition(":")
    low, _, high = ends.partition("..")
    if of not in (int, float):
        raise UsageError(f"--search: {name} is no number, so it has no range; write its values, as {name}=A|B.")
    if how not in ("", "log"):
        raise UsageError(f"--search: {name}={values} ends with :{how}; only :log is known.")
    first, last = (_number(name, end.strip(), of) for end in (low, high))
    if not first < last:
        raise UsageError(f"--search: {name}={values} does not rise; write the smaller number first, then a larger one.")
    if how and first <= 0:
        raise UsageError(f"--search: {name}={values} has no logarithm at {low}; begin above zero or leave :log out.")
    return Range(name, first, last, bool(how), of is int)


def _choice(name: str, values: str, of: type, choices: tuple[str, ...] | None) -> Choice:
    texts = [value.strip() for value in values.split("|")]
    if len(texts) < 2 or len(set(texts)) < len(texts):
        raise UsageError(
            f"--search: {name}={values} needs two or more different values, as {name}=A|B; "
            "one value is given as an option of its own."
        )
    return Choice(name, tuple(_value(name, text, of, choices) for text in texts))


def _value(name: str, text: str, of: type, choices: tuple[str, ...] | None) -> Value:
    if of is bool:
        if text not in _WORDS:
            raise UsageError(f"--search: {name}={text} is neither true nor false; write {name}=true|false.")
        return _WORDS[text]
    if of is not str:
        return _number(name, text, of)
    if choices is not None and text not in choices:
        raise UsageError(f"--search: {name} cannot be {text!r}{nearest(text, choices)}; it is {', '.join(choices)}.")
    if name == "cell":
        _check_cell(text)
    return text


def _check_cell(text: str) -> None:
    from unrolled.tasks.cells import find_cell

    try:
        find_cell(text)
    except CellError as error:
        raise UsageError(f"--search: {error}") from None


def _number(name: str, text: str, of: type) -> float:
    try:
        number: float = of(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        needed = "a whole number, such as 64," if of is int else "a number, such as 0.5 or 1e-3,"
        raise UsageError(f"--search: {name} needs {needed} where {text!r} stands; write one there.")
    return number


def _check(dimension: Dimension, kind: type[NetworkOptions]) -> None:
    """UsageError where a value is out of what the option can be."""
    ends = (dimension.low, dimension.high) if isinstance(dimension, Range) else dimension.values
    for value in ends:
        if isinstance(value, bool | str):
            continue
        name = dimension.name
        changes: dict[str, Any] = {name: value}
        try:
            check_counts(replace(kind(), **changes))
        except ArgumentError as error:
            raise UsageError(f"--search: {error}.") from None
        if value < 0 or (name == "learning_rate" and value == 0) or (name in _SHARES and value >= 1):
            limits = "from 0 to below 1" if name in _SHARES else "above 0" if name == "learning_rate" else "at least 0"
            raise UsageError(f"--search: {name}={value:g} must be {limits}; give another value.")


def _written(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def shown(value: object) -> str:
    """A value for a reader, numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def settled_default(options: NetworkOptions, space: tuple[Dimension, ...]) -> dict[str, Value]:
    """The task's own choices, where the space holds them: what the first trial is made with."""
    return {d.name: getattr(options, d.name) for d in space if d.holds(getattr(options, d.name))}
