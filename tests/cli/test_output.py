from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from unrolled.cli.output import Output, as_json


@dataclass(frozen=True)
class Point:
    x: float
    path: Path


def test_everything_that_commands_return_has_a_form_in_json() -> None:
    generator = np.random.default_rng(3)
    array = generator.normal(size=(2, 3))
    data = {
        "nan": float("nan"),
        "infinite": [float("inf")],
        "array": array,
        "number": np.float32(1.5),
        "count": np.int64(7),
        "flag": True,
        "point": Point(0.5, Path("a/b")),
        7: ("x", None),
    }
    back = json.loads(as_json(data))
    assert back["nan"] is None
    assert back["infinite"] == [None]
    assert np.array_equal(back["array"], array)
    assert (back["number"], back["count"], back["flag"]) == (1.5, 7, True)
    assert back["point"] == {"x": 0.5, "path": "a/b"}
    assert back["7"] == ["x", None]


def test_a_thing_without_a_form_in_json_is_named() -> None:
    with pytest.raises(TypeError, match="object has no form in JSON"):
        as_json({"thing": object()})


def test_letters_stay_letters_in_json() -> None:
    assert as_json({"text": "Grüße 世界"}) == '{"text": "Grüße 世界"}'


def test_results_go_to_standard_output_and_notes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Output().result({"a": 1}, "one")
    Output().note("so far")
    Output(quiet=True).note("unheard")
    Output(json=True).result({"a": 1}, "one")
    captured = capsys.readouterr()
    assert captured.out == 'one\n{"a": 1}\n'
    assert captured.err == "so far\n"
