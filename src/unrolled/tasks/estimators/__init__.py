"""The tasks by scikit-learn's conventions; scikit-learn itself is not needed to run them.

Each is the options of its task as constructor parameters. `fit` trains as `unrolled train` does, `save` writes the same
run folder, `load` reads either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unrolled.tasks.curve import read_metrics
from unrolled.tasks.options import Common
from unrolled.tasks.registry import TASKS
from unrolled.tasks.run import open_run, options_of, read_config

__all__ = ["load"]


def load(run: str | Path) -> Any:
    """The fitted estimator of a run folder, however it was made; executes nothing from it. Raises RunError."""
    run = Path(run)
    model = open_run(run)
    config = read_config(run)
    kind = TASKS[config.task].estimator
    options = options_of(TASKS[config.task].options, config.options, str(run))
    common = options_of(Common, config.common, str(run))
    names = kind._parameter_names()
    estimator = kind(**{n: getattr(options if hasattr(options, n) else common, n) for n in names})
    estimator._take(model, config, read_metrics(run))
    return estimator
