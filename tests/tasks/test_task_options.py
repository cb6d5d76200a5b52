from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from unrolled.errors import ArgumentError
from unrolled.tasks import TASKS, Classifier, Common, LanguageModel, Regressor
from unrolled.tasks.model import Parts
from unrolled.tasks.options import LanguageOptions, RegressOptions, changed, check_counts
from unrolled.tasks.regress import RegressTask
from unrolled.tasks.sequences import Examples


@pytest.mark.parametrize("kind", [Common, *(task.options for task in TASKS.values())])
def test_every_option_has_a_default_and_a_help_text(kind: type) -> None:
    made = kind()
    for entry in fields(kind):
        assert entry.metadata["help"], entry.name
        assert getattr(made, entry.name) == entry.default
    assert changed(made) == {}


def test_changed_names_what_was_asked_for() -> None:
    assert changed(Common(seed=3, out=Path("x")), without=("out",)) == {"seed": 3}


def test_options_and_help_need_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, unrolled.tasks as t; t.TASKS['language'].options(); print({'torch', 'numpy'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("estimator", "task"), [(Classifier, "classify"), (Regressor, "regress"), (LanguageModel, "language")]
)
def test_estimators_have_the_defaults_of_their_task(estimator: type, task: str) -> None:
    options = {f.name: f.default for f in fields(TASKS[task].options)} | {f.name: f.default for f in fields(Common)}
    for name, value in estimator().get_params().items():
        assert value == options[name], name


def test_chrono_starts_the_forget_gates_for_long_memory() -> None:
    rng = np.random.default_rng(0)
    parts = Parts(Examples(list(rng.normal(size=(4, 50, 1)).astype(np.float32)), [(1.0,), (2.0,), (3.0,), (4.0,)]))
    model = RegressTask.build(parts, RegressOptions(chrono=50, hidden=40))
    forget = dict(model.module.named_parameters())["recurrent.layers.0.forwards.b"][40:80].detach()
    assert forget.min() >= 0
    assert np.log(20) < forget.max() <= np.log(49)


@pytest.mark.parametrize("name", ["hidden", "layers", "embedding", "batch_size", "window"])
def test_sizes_below_one_are_refused_before_anything_is_read(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name}=-3 must be at least 1"):
        check_counts(LanguageOptions(**{name: -3}))
    check_counts(LanguageOptions())
