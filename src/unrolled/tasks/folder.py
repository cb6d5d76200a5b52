"""The run folder: written piece by piece with renames, read back from JSON and safetensors alone. No torch here.

config.json          task, network (with the cell's program), schema of the data, options, seeds, versions
vocabulary.json      the units of text, where there is text
weights.safetensors  the best weights
metrics.jsonl        one line for each measurement
tensorboard/         the same for TensorBoard, where it is installed
curve.png            the learning curve, where matplotlib is installed
checkpoint-N/        what training needs to go on
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import unrolled
from unrolled.cell import Cell, Program
from unrolled.data import Vocabulary, vocabulary_from_json
from unrolled.data.problems import printable
from unrolled.errors import ArgumentError, CellError, DataError, RunError, UnrolledError
from unrolled.tasks.network import NetworkPlan

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

O = TypeVar("O", bound="DataclassInstance")

FORMAT = 1
CONFIG, WEIGHTS, VOCABULARY = "config.json", "weights.safetensors", "vocabulary.json"
METRICS, CURVE, EVENTS = "metrics.jsonl", "curve.png", "tensorboard"


def _versions() -> dict[str, str]:
    """Versions of what the numbers depend on, and the machine's kind."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for name in ("torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a source checkout on the path has no metadata
            found[name] = str(getattr(sys.modules.get(name), "__version__", "unknown"))
    return found


@dataclass(frozen=True, kw_only=True)
class Config:
    """The content of config.json: enough to load the run and to make it again."""

    task: str
    network: dict[str, Any]
    schema: dict[str, Any]
    options: dict[str, Any]
    common: dict[str, Any]
    data: dict[str, Any]
    parameters: int
    total_steps: int | None = None
    results: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    versions: dict[str, Any] = field(default_factory=_versions)
    unrolled: str = unrolled.__version__
    format: int = FORMAT


_TYPES: dict[str, type | tuple[type, ...]] = {
    "task": str,
    "parameters": int,
    "total_steps": (int, type(None)),
    "command": str,
    "unrolled": str,
    "format": int,
}


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or not there at all; raises RunError where the disk refuses."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunError(
            f"{path} could not be written ({error.strerror or error}); make room or write permission there, "
            "or choose another place"
        ) from None


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """`data` as JSON with a line for each entry of it and of the objects in it, whole or not at all."""
    write_bytes(path, (_lines(data, 2) + "\n").encode())


def _lines(data: Any, depth: int, indent: str = "") -> str:
    if depth == 0 or not isinstance(data, Mapping) or not data:
        return json.dumps(data, ensure_ascii=False)
    inner = indent + "  "
    entries = [f"{inner}{json.dumps(name)}: {_lines(value, depth - 1, inner)}" for name, value in data.items()]
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"


def write_config(run: Path, config: Config) -> None:
    """config.json of a run."""
    write_json(run / CONFIG, {f.name: getattr(config, f.name) for f in fields(config)})


def check_free(run: Path) -> None:
    """RunError unless a new run may be written there."""
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise RunError(f"{run} is there and not empty; choose another place, or go on with that run by --resume")


def create_folder(out: Path | None, task: str) -> Path:
    """The run's folder, made: `out`, or the next free runs/TASK-NNN. Raises RunError."""
    try:
        if out is not None:
            check_free(out)
            out.mkdir(parents=True, exist_ok=True)
            return out
        root = Path("runs")
        root.mkdir(exist_ok=True)
        taken = [p.name.removeprefix(f"{task}-") for p in root.glob(f"{task}-*")]
        number = max((int(n) for n in taken if n.isdecimal()), default=0) + 1
        while True:  # another training may take the same number between the look and the making
            run = root / f"{task}-{number:03d}"
            try:
                run.mkdir()
                return run
            except FileExistsError:
                number += 1
    except OSError as error:
        raise RunError(
            f"{out or 'runs'}: the run folder could not be made ({error.strerror}); choose another place"
        ) from None


def read_json(run: Path, name: str) -> Any:
    """The content of one of the run's JSON files; raises RunError where it is missing, cut short or no JSON."""
    try:
        return json.loads((run / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{run} has no {name}, so the run was cut short; train it again") from None
    except OSError as error:
        raise RunError(f"{run / name} could not be read ({error.strerror}); check its permissions") from None
    except (ValueError, RecursionError):
        raise RunError(f"{run / name} is cut short or no JSON; copy the run again or train it again") from None


def read_config(run: Path) -> Config:
    """config.json of a run, checked; raises RunError."""
    from unrolled.tasks.registry import TASKS

    if not run.is_dir() or not (run / CONFIG).exists():
        raise RunError(f"{run} is not a run folder (it has no {CONFIG}); give a folder that `unrolled train` wrote")
    data = read_json(run, CONFIG)
    if not isinstance(data, dict) or "format" not in data:
        raise RunError(f"{run / CONFIG} is not the description of a run; copy the run again or train it again")
    if data["format"] != FORMAT:
        raise RunError(
            f"{run} is a run of format {data['format']!r} (unrolled {data.get('unrolled', 'unknown')}), this version "
            f"reads format {FORMAT}; load it with the version that wrote it or train it again"
        )
    names = {f.name for f in fields(Config)}
    strange = sorted(names ^ set(data))
    if strange:
        raise RunError(f"{run / CONFIG} was changed or damaged (entry {strange[0]!r}); copy the run again")
    for name in names:
        if not isinstance(data[name], _TYPES.get(name, dict)):
            raise RunError(f"{run / CONFIG} was changed or damaged (entry {name!r}); copy the run again")
    if data["task"] not in TASKS:
        raise RunError(
            f"{run} is a run of the task {data['task']!r}, which this version does not know: {', '.join(TASKS)}"
        )
    return Config(**data)


def read_vocabulary(run: Path) -> Vocabulary | None:
    """vocabulary.json of a run, None where the run has no text; raises RunError."""
    if not (run / VOCABULARY).exists():
        return None
    try:
        return vocabulary_from_json(read_json(run, VOCABULARY))
    except (DataError, KeyError, TypeError, ValueError, AttributeError):
        raise RunError(f"{run / VOCABULARY} was changed or damaged; copy the run again") from None


def damaged_weights(run: Path, error: Exception) -> RunError:
    """What is said of weights that could not be read."""
    if isinstance(error, FileNotFoundError):
        return RunError(f"{run} has no {WEIGHTS}, so training did not end; go on with it by --resume")
    return RunError(f"{run / WEIGHTS} is cut short or damaged ({printable(error)}); copy the run again")


def strange_weight(where: str, name: str, have: object, want: object) -> RunError:
    """What is said of a weight that does not fit the network."""
    return RunError(f"{where}: {name} in {WEIGHTS} is {have}, the network needs {want}; copy the run again")


_LONGEST = 300


@contextmanager
def blaming_config(
    where: str, kinds: tuple[type[UnrolledError], ...] = (RunError, ArgumentError, CellError)
) -> Iterator[None]:
    """Errors of these kinds are the fault of config.json, and said so."""
    try:
        yield
    except kinds as error:
        said = printable(error)
        # A damaged entry may be as long as the file.
        said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."
        raise RunError(f"{where}: {CONFIG} was changed or damaged ({said}); copy the run again") from None


def plan_of(config: Config, vocabulary: Vocabulary | None, most: int | None = None) -> NetworkPlan:
    """The network that these describe; RunError where it would take more than `most` numbers, before it takes them."""
    plan = NetworkPlan.from_json(config.network)
    if most is not None and plan.fewest_weights > most:
        raise RunError(f"the network has {plan.fewest_weights:,} weights or more and {WEIGHTS} {most:,}")
    units = None if vocabulary is None else len(vocabulary)
    # A transcription embeds nothing: its vocabulary is what it puts out.
    wanted = plan.vocabulary if plan.vocabulary is not None or units is None else plan.outputs
    if wanted != units:
        raise RunError(f"the network reads or puts out {wanted} units and {VOCABULARY} has {units}")
    return plan


def options_of(kind: type[O], saved: Mapping[str, Any], where: str) -> O:
    """The options that config.json holds, as their dataclass; raises RunError."""
    hints = get_type_hints(kind)
    known = {f.name: f.metadata.get("later", False) for f in fields(kind)}
    if not {name for name, later in known.items() if not later} <= set(saved) <= set(known):
        raise RunError(f"{where}: the options in {CONFIG} were changed or damaged; start the run again elsewhere")
    return kind(**{name: _typed(str(hints[name]), value) for name, value in saved.items()})


def plain(options: DataclassInstance) -> dict[str, Any]:
    """Options as JSON: paths as text, a cell by its name."""
    return {f.name: plain_value(getattr(options, f.name)) for f in fields(options)}


def plain_value(value: Any) -> Any:
    """One option as JSON."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Cell):
        return type(value).__name__
    if isinstance(value, Program):
        return value.name
    return [plain_value(part) for part in value] if isinstance(value, tuple) else value


def _typed(hint: str, value: Any) -> Any:
    """A JSON value as its field holds it: paths and tuples have no form of their own in JSON."""
    if isinstance(value, str) and "Path" in hint:
        return Path(value)
    return tuple(_typed(hint, part) for part in value) if isinstance(value, list) else value
