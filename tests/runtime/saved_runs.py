"""Run folders of small networks with random weights, written without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unrolled.tasks.folder import VOCABULARY, Config, write_config, write_json
from unrolled.tasks.model import TaskModel
from unrolled.tasks.run import write_weights


def save(model: TaskModel[Any], folder: Path) -> Path:
    """The run folder of a model."""
    folder.mkdir(parents=True, exist_ok=True)
    rest: dict[str, Any] = {"options": {}, "common": {}, "data": {}}
    config = Config(
        task=model.task,
        network=model.plan.to_json(),
        schema=model.schema(),
        parameters=model.parameters,
        **rest,
    )
    write_config(folder, config)
    if model.vocabulary is not None:
        write_json(folder / VOCABULARY, model.vocabulary.to_json())
    write_weights(folder, model.module)
    return folder


def alike(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    """The same answers, their numbers as near as that."""
    assert type(ours) is type(theirs), (ours, theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        alike(list(ours.values()), list(theirs.values()), tolerance)
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            alike(a, b, tolerance)
    elif isinstance(ours, float):
        assert abs(ours - theirs) <= tolerance * max(1.0, abs(theirs)), (ours, theirs)
    else:
        assert ours == theirs
