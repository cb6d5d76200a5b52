from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import unrolled as ur

pytest.importorskip("sklearn")
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

COMMON: dict[str, Any] = {"learning_rate": 0.03, "validation": 0.0, "threads": 1}
CLASSIFIER = ur.Classifier(hidden=10, epochs=10, dropout=0.0, ema=0.0, bidirectional=False, pooling="last", **COMMON)
REGRESSOR = ur.Regressor(cell="gru", hidden=16, epochs=20, batch_size=20, **COMMON)

_ROUNDED = "float32 rounds differently in batches of another size and at another row: now and then above 1e-7"
EXEMPTIONS = {"check_methods_subset_invariance": _ROUNDED, "check_methods_sample_order_invariance": _ROUNDED}

with warnings.catch_warnings():
    # To inherit from its BaseEstimator would need scikit-learn at run time.
    warnings.filterwarnings("ignore", "Estimator .* does not inherit")
    each_check = parametrize_with_checks([CLASSIFIER, REGRESSOR])


@each_check
@pytest.mark.filterwarnings("ignore:A column-vector y was passed", "ignore:.*n_samples")
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    name = check.func.__name__
    if name in EXEMPTIONS:
        pytest.skip(EXEMPTIONS[name])
    check(estimator)


@pytest.fixture
def texts() -> list[str]:
    rng = np.random.default_rng(5)
    return [" ".join(rng.choice(["red", "green", "blue"], size=rng.integers(1, 6))) for _ in range(40)]


def test_clone_pipeline_and_search(texts: list[str]) -> None:
    labels = [text.split()[0] for text in texts]
    model = ur.Classifier(hidden=4, embedding=4, epochs=2, units="char", batch_size=16, threads=1)
    assert clone(model).get_params() == model.get_params()
    assert is_classifier(model)
    assert is_regressor(REGRESSOR)
    pipeline = Pipeline([("upper", FunctionTransformer(lambda xs: [x.upper() for x in xs])), ("read", model)])
    assert len(pipeline.fit(texts, labels).predict(texts)) == 40
    search = GridSearchCV(model, {"hidden": [3, 5]}, cv=2).fit(texts, labels)
    assert search.best_params_["hidden"] in (3, 5)
    assert search.best_estimator_.predict_proba(texts).shape == (40, 3)


def test_a_pipeline_of_numbers() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 4))
    model = make_pipeline(StandardScaler(), ur.Regressor(hidden=4, epochs=1, threads=1))
    assert cross_val_score(model, X, X.sum(1), cv=2).shape == (2,)


def test_a_language_model_is_cloned_and_searched_too(texts: list[str]) -> None:
    """Its input is text alone, which `check_estimator` has none of."""
    model = ur.LanguageModel(hidden=4, embedding=4, epochs=1, batch_size=4, threads=1)
    assert clone(model).get_params() == model.get_params()
    search = GridSearchCV(model, {"window": [4, 8]}, cv=2).fit(texts)
    assert np.isfinite(search.best_score_)
