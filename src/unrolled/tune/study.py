"""The study that the processes of a search share: opened or joined, its trials as records, lost ones tried again."""

from __future__ import annotations

import contextlib
import os
import platform
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import ArgumentError, RunError

if TYPE_CHECKING:
    import optuna

DATABASE, SETTINGS = "study.db", "settings"
# Seconds between two signs of life of a trial, and without one before another machine takes it for lost.
_HEARTBEAT, _GRACE = 20, 120
_RETRIES = 3
_SURPLUS = "surplus"


@dataclass(frozen=True)
class Record:
    """One trial: how it ended (complete, pruned, failed) or that it is running, its value, its choices and its run."""

    number: int
    state: str
    value: float | None
    options: dict[str, Any] = field(default_factory=dict)
    run: str | None = None
    seconds: float | None = None
    why: str | None = None


def need_optuna() -> None:
    """ArgumentError where Optuna is not installed."""
    try:
        import optuna
    except ImportError:
        raise ArgumentError("tune needs Optuna, which is not installed; run \"pip install 'unrolled[tune]'\"") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@contextlib.contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Faults of the database become one sentence."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, ImportError, optuna.exceptions.StorageInternalError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0].rstrip(".")
        raise RunError(
            f"the study in {_without_password(url)} cannot be used ({reason}); "
            "give --storage a database that is there, its driver installed, with leave to write"
        ) from error


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError as BadUrl

    try:
        return make_url(url).render_as_string(hide_password=True)
    except BadUrl:
        return repr(url)


def storage_url(out: Path, given: str | None) -> str:
    """The URL of the database: `given`, or of study.db in the study's folder."""
    from sqlalchemy.engine import URL

    if given is not None:
        return given
    return URL.create("sqlite", database=str(out.absolute() / DATABASE)).render_as_string()


def open_study(url: str, name: str, *, rising: bool) -> tuple[optuna.Study, bool]:
    """The study of that name, and whether this process made it. Raises SQLAlchemyError, ImportError."""
    import optuna

    storage = _storage(url)
    try:
        direction = optuna.study.StudyDirection.MAXIMIZE if rising else optuna.study.StudyDirection.MINIMIZE
        return optuna.create_study(study_name=name, storage=storage, direction=direction), True
    except optuna.exceptions.DuplicatedStudyError:
        return optuna.load_study(study_name=name, storage=storage), False


def _storage(url: str) -> optuna.storages.RDBStorage:
    import optuna
    from sqlalchemy.exc import DatabaseError

    # SQLite has one writer at a time: the others wait.
    more = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    for left in range(9, -1, -1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.storages.RDBStorage(
                    url,
                    engine_kwargs=more,
                    heartbeat_interval=_HEARTBEAT,
                    grace_period=_GRACE,
                    heartbeat_stale_trial_callback=try_again,
                )
        except DatabaseError:  # two processes that start together both make the tables, and one of them finds them made
            if not left:
                raise
            time.sleep(0.2)
    raise AssertionError


def forget(study: optuna.Study, folder: Path | None) -> None:
    """Delete a study that came to nothing, with its database and folder where these are its own."""
    import optuna

    storage = study._storage
    optuna.delete_study(study_name=study.study_name, storage=storage)
    if folder is not None:
        storage.remove_session()
        (folder / DATABASE).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else is in it
            folder.rmdir()


def share_settings(study: optuna.Study, own: Mapping[str, Any], *, made: bool) -> dict[str, Any]:
    """What the study was started with: of the process that made it `own`, which is written down for the others."""
    for _ in range(0 if made else 50):  # between a study's making and its settings lies a moment
        if SETTINGS in study.user_attrs:
            break
        time.sleep(0.1)
    if SETTINGS not in study.user_attrs:
        study.set_user_attr(SETTINGS, dict(own))
    found: dict[str, Any] = study.user_attrs[SETTINGS]
    return found


def records(study: optuna.Study) -> list[Record]:
    """The trials that count: not those lost with their process and tried again, nor any beyond what was asked for."""
    return [_record(trial) for trial in study.get_trials(deepcopy=False) if _counts(trial)]


def _record(trial: optuna.trial.FrozenTrial) -> Record:
    state = {"FAIL": "failed"}.get(trial.state.name, trial.state.name.lower())
    value = trial.value if state == "complete" else None
    if state == "pruned" and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    seconds = trial.duration.total_seconds() if trial.duration is not None else None
    attrs = trial.user_attrs
    return Record(trial.number, state, value, dict(trial.params), attrs.get("run"), seconds, attrs.get("why"))


def _counts(trial: optuna.trial.FrozenTrial) -> bool:
    return trial.state.name != "FAIL" or trial.user_attrs.get("why") not in (None, _SURPLUS)


def is_surplus(study: optuna.Study, number: int, most: int) -> bool:
    """Whether `most` trials were begun before this one, by processes that looked at the same moment."""
    return sum(record.number < number for record in records(study)) >= most


def mark_surplus(trial: optuna.Trial) -> None:
    """So that it is not counted."""
    trial.set_user_attr("why", _SURPLUS)


def mark_process(trial: optuna.Trial, run: str) -> None:
    """Who trains it, and in which folder."""
    trial.set_user_attr("run", run)
    trial.set_user_attr("process", [platform.node(), os.getpid()])


def try_again(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    """Put a lost trial back into the queue, to go on in its folder; at most three times."""
    times = int(trial.user_attrs.get("times", 0)) + 1
    if times <= _RETRIES:
        attrs = {"times": times, **{name: trial.user_attrs[name] for name in ("run",) if name in trial.user_attrs}}
        study.enqueue_trial(dict(trial.params), user_attrs=attrs)


def retry_lost(study: optuna.Study) -> list[int]:
    """Mark trials of processes of this machine that are gone as failed, and queue them again; their numbers."""
    import optuna

    found = []
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        if _is_gone(trial.user_attrs.get("process")):
            with contextlib.suppress(ValueError):  # another process was the first to find it
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                try_again(study, trial)
                found.append(trial.number)
    return found


def _is_gone(process: list[Any] | None) -> bool:
    """Whether a process of this machine has ended; of other machines the sign of life tells. POSIX alone can ask."""
    if process is None or process[0] != platform.node() or os.name != "posix" or process[1] == os.getpid():
        return False
    try:
        os.kill(int(process[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
