from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import unrolled as ur
from unrolled.errors import ArgumentError

SMALL = {"hidden": 8, "embedding": 6, "characters": 4, "minimum": 1, "epochs": 8, "learning_rate": 0.05, "threads": 1}
X = [["the", "dog", "barks"], ["The", "cat", "sees", "a", "Dog"], ["a", "cat"]] * 8
Y = [["D", "N", "V"], ["D", "N", "V", "D", "N"], ["D", "N"]] * 8


def test_words(tmp_path: Path) -> None:
    model = ur.Tagger(**SMALL).fit(X, Y)
    assert [row.tolist() for row in model.predict(X[:2])] == Y[:2]
    assert model.score(X, Y) == 1
    assert model.classes_.tolist() == ["D", "N", "V"]
    assert [row.shape for row in model.predict_proba(X[:2])] == [(3, 3), (5, 3)]
    model.save(tmp_path / "run")
    again = ur.load(tmp_path / "run")
    assert isinstance(again, ur.Tagger)
    assert [row.tolist() for row in again.predict(X[:2])] == Y[:2]
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X[:1])[0], model.predict_proba(X[:1])[0])


def test_numbers_step_by_step() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20, 8, 2))
    y = (np.cumsum(x[:, :, 0], 1) > 0).astype(int)
    model = ur.Tagger(**{**SMALL, "epochs": 25}, causal=True).fit(x, y)
    assert model.score(x, y) > 0.9
    assert model.predict(x)[0].dtype.kind == "i"
    stream = model.stream()
    tags = [tag for step in x[0].astype(np.float32) for tag in stream.push(step)["tags"]]
    assert [tag["label"] for tag in tags] == model.predict(x)[0].tolist()
    found = [list(tag["probabilities"].values()) for tag in tags]
    np.testing.assert_allclose(found, model.predict_proba(x)[0], atol=1e-5)


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="X has 24 sequences and y has 3"):
        ur.Tagger(**SMALL).fit(X, Y[:3])
    with pytest.raises(ArgumentError, match=r"y\[0\] is 2 labels for the 3 steps of X\[0\]"):
        ur.Tagger(**SMALL).fit(X, [row[:2] for row in Y])
    with pytest.raises(ArgumentError, match="X holds texts, a tagger needs words"):
        ur.Tagger(**SMALL).fit(["the dog"], [["D", "N"]])
    with pytest.raises(ArgumentError, match="labels of several types"):
        ur.Tagger(**SMALL).fit([["a", "b"]], [["D", 1]])
    with pytest.raises(ValueError, match="not fitted; call fit first"):
        ur.Tagger().predict(X)
