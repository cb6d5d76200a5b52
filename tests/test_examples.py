"""The examples do what they say; each is loaded from its file and its `main` gives the number that it prints."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_example_is_short_and_tested() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 80, path
        assert f'load("{path.stem}")' in tested, path


def test_own_cell(capsys: pytest.CaptureFixture[str]) -> None:
    assert load("own_cell").main() > 0.9
    assert "h[t] = h[t-1] + a ⊙ n" in capsys.readouterr().out


def test_accelerate_torch_model() -> None:
    assert load("accelerate_torch_model").main() < 1e-6


def test_classifier() -> None:
    assert load("classifier").main() > 0.95


def test_language_model() -> None:
    assert load("language_model").main() < 0.7


def test_translate_with_onnx() -> None:
    assert load("translate_with_onnx").main() == 1.0
