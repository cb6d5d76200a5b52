"""Recurrent neural networks: write the equations once, train them on your file, look inside, ship them.

The public names are below and nothing else; each loads its part of the package when it is first used, so that the
command line answers before torch is there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from unrolled import cells, errors, export, inspect, nn
    from unrolled.cell import Cell, Initial, Program, Sizes, state, trace, vector
    from unrolled.engine import Capture, Weights, scan, step
    from unrolled.inspect.draw import Picture, draw, drawings
    from unrolled.layers import Captures, Pooling, Recurrent, Regularisation, Structure
    from unrolled.layers.accelerate import accelerate
    from unrolled.layers.explain import explain
    from unrolled.layers.truncated import truncated
    from unrolled.layers.unroll import unroll
    from unrolled.tasks import Captioner, Classifier, Forecaster, LanguageModel, Regressor, Tagger, load
    from unrolled.tasks.estimators.transcriber import Transcriber
    from unrolled.tasks.estimators.translator import Translator

_HOME = {
    "Cell": "unrolled.cell",
    "Initial": "unrolled.cell",
    "Program": "unrolled.cell",
    "Sizes": "unrolled.cell",
    "state": "unrolled.cell",
    "trace": "unrolled.cell",
    "vector": "unrolled.cell",
    "Capture": "unrolled.engine",
    "Weights": "unrolled.engine",
    "scan": "unrolled.engine",
    "step": "unrolled.engine",
    "Captures": "unrolled.layers",
    "Pooling": "unrolled.layers",
    "Recurrent": "unrolled.layers",
    "Regularisation": "unrolled.layers",
    "Structure": "unrolled.layers",
    "accelerate": "unrolled.layers",
    "explain": "unrolled.layers",
    "truncated": "unrolled.layers",
    "unroll": "unrolled.layers",
    "Picture": "unrolled.inspect.draw",
    "draw": "unrolled.inspect.draw",
    "drawings": "unrolled.inspect.draw",
    "Captioner": "unrolled.tasks",
    "Classifier": "unrolled.tasks",
    "Forecaster": "unrolled.tasks",
    "LanguageModel": "unrolled.tasks",
    "Regressor": "unrolled.tasks",
    "Tagger": "unrolled.tasks",
    "Transcriber": "unrolled.tasks",
    "Translator": "unrolled.tasks",
    "load": "unrolled.tasks",
}
_MODULES = ("cells", "errors", "export", "inspect", "nn")

__all__ = [
    "Captioner",
    "Capture",
    "Captures",
    "Cell",
    "Classifier",
    "Forecaster",
    "Initial",
    "LanguageModel",
    "Picture",
    "Pooling",
    "Program",
    "Recurrent",
    "Regressor",
    "Regularisation",
    "Sizes",
    "Structure",
    "Tagger",
    "Transcriber",
    "Translator",
    "Weights",
    "__version__",
    "accelerate",
    "cells",
    "draw",
    "drawings",
    "errors",
    "explain",
    "export",
    "inspect",
    "load",
    "nn",
    "scan",
    "state",
    "step",
    "trace",
    "truncated",
    "unroll",
    "vector",
]


def __getattr__(name: str) -> object:
    """Load the part of the package that `name` lives in (PEP 562) and remember it."""
    if name not in _MODULES and name not in _HOME:
        raise AttributeError(f"module 'unrolled' has no attribute {name!r}")
    try:
        value = import_module(f"unrolled.{name}") if name in _MODULES else getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:  # the wheel of the runtime has few of our modules, and no torch
        if str(error.name).partition(".")[0] not in ("unrolled", "torch"):
            raise
        raise ImportError(f"unrolled.{name} needs {error.name}; install unrolled, not its runtime.") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
