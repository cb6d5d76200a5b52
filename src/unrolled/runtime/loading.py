"""From a run folder to its model."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from unrolled.errors import ArgumentError, CellError
from unrolled.runtime.model import Model, Run
from unrolled.runtime.recurrent import ENGINES
from unrolled.runtime.weights import Weights, read_weights
from unrolled.tasks.folder import blaming_config, plan_of, read_config, read_vocabulary

_HOME = {
    "caption": "Caption",
    "classify": "Classify",
    "forecast": "Forecast",
    "language": "Language",
    "regress": "Regress",
    "tag": "Tag",
    "transcribe": "Transcribe",
    "translate": "Translate",
}


def load(path: str | Path, *, engine: str = "auto") -> Model:
    """The trained model of a run folder; executes nothing from it.

    `engine`: "compiled" kernels, "numpy" operation by operation, or "auto", kernels wherever they can be compiled.
    Raises RunError for a folder that is no run, is damaged or does not fit together; ArgumentError for another engine.
    """
    if engine not in ENGINES:
        raise ArgumentError(f"engine is {engine!r}, it must be one of {', '.join(ENGINES)}")
    folder = Path(path)
    config, vocabulary, arrays = read_config(folder), read_vocabulary(folder), read_weights(folder)
    weights = Weights(arrays, str(folder))
    with blaming_config(str(folder)):
        plan = plan_of(config, vocabulary, most=sum(array.size for array in arrays.values()))
        run = Run(config.task, plan, config.schema, vocabulary, weights, engine)
        module = import_module(f"unrolled.runtime.{config.task}")
        kind: type[Model] = getattr(module, _HOME[config.task])
        build = kind.restore(run)
    # A weight that does not fit says so itself.
    with blaming_config(str(folder), (ArgumentError, CellError)):
        model = build()
    weights.check_all_taken()
    return model
