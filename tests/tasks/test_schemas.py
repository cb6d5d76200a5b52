"""What config.json says of a network and its data, damaged: refused in a sentence, before memory is taken."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from unrolled.cell import trace
from unrolled.cell.regularisation import Regularisation
from unrolled.cells import GRU
from unrolled.data.histories import Layout
from unrolled.errors import ArgumentError, RunError
from unrolled.models.shapes import ForecastShape
from unrolled.tasks.caption_text import Sight, sight_from_json
from unrolled.tasks.folder import blaming_config
from unrolled.tasks.network import NetworkPlan
from unrolled.tasks.schemas import forecast_schema, regress_schema


def plan(**more: Any) -> NetworkPlan:
    sizes = {"inputs": 3, "hidden": 4, "layers": 1, "outputs": 2, "pooling": "last", "vocabulary": 5}
    return NetworkPlan(**{"program": trace(GRU()), **sizes, **more})


@pytest.mark.parametrize("target", [None, [], "target", [3], {"a": 1}])
def test_targets_are_names(target: Any) -> None:
    columns = {"target": target, "text": None, "sequence": None, "inputs": None}
    schema = {"target_scaler": {"mean": [0.0, 0.0], "scale": [1.0, 1.0]}, "columns": columns, "scaler": None}
    with pytest.raises(RunError, match="does not name the columns of the numbers"):
        regress_schema(plan(), schema)
    named = {**schema, "columns": {**columns, "target": ["x"]}}
    assert regress_schema(plan(), named).columns["target"] == ["x"]


@pytest.mark.parametrize(
    ("entry", "value"), [("past", None), ("known", "2"), ("horizon", 2.5), ("seasons", 7), ("seasons", ["x"])]
)
def test_the_window_of_a_forecast_is_of_whole_numbers(entry: str, value: Any) -> None:
    layout = Layout(targets=("value",)).to_json()
    reading: dict[str, Any] = {"layout": layout, "step": None, "seasons": [], "calendar": False, "joint": False}
    reading |= {"counts": False, "scales": {}, "past": None, "known": None}
    shape = {**asdict(ForecastShape(4, 2, 2)), "seasons": []}
    schema = {"reading": reading, "quantiles": [0.5], "distribution": "normal"}
    assert forecast_schema({**schema, "shape": shape}).shape == ForecastShape(4, 2, 2)
    with pytest.raises(RunError, match="does not describe the window of the forecast"):
        forecast_schema({**schema, "shape": {**shape, entry: value}})


@pytest.mark.parametrize("channels", [8, "88", {"8": 8}, [None]])
def test_channels_are_a_list_of_counts(channels: Any) -> None:
    good = asdict(Sight(channels=(8,), blocks=0, attention="additive", features=None))
    with pytest.raises(RunError, match="does not say how the network looks at pictures"):
        sight_from_json({**good, "channels": channels})


@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout", "weight_drop"])
@pytest.mark.parametrize("value", [{}, {"h": 0.1}, "0.1", None])
def test_rates_are_numbers(name: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{name} is .* give a number from 0 to below 1"):
        Regularisation(**{name: value})
    with pytest.raises(ArgumentError, match="zoneout is"):
        Regularisation(zoneout={"h": value})


def test_weights_are_counted_before_they_are_made() -> None:
    few = plan().fewest_weights
    assert plan(positions=10).fewest_weights == few + 10 * 3
    assert plan(positions=2**31).fewest_weights > 2**31
    assert plan(convolutions=1, kernel=2**31 + 1, stride=1).fewest_weights > 2**31
    built = plan(convolutions=2, kernel=3)
    front = built.front()
    assert front is not None
    counted = sum(weight.numel() for name, weight in front.named_parameters() if name.startswith("convolutions"))
    recurrent = sum(weight.numel() for weight in built.recurrent().parameters())
    assert built.fewest_weights == counted + recurrent + 5 * 3


@pytest.mark.parametrize("value", [0, -1, 10**400, 2.0, "4", True, None])
def test_sizes_are_whole_numbers_that_a_machine_has(value: Any) -> None:
    for name in ("hidden", "inputs", "layers"):
        with pytest.raises(RunError, match=f"the network's {name} is ") as caught:
            NetworkPlan.from_json({**plan().to_json(), name: value})
        assert len(str(caught.value)) < 200
    if value is not None:
        with pytest.raises(RunError, match="the network's chrono is "):
            NetworkPlan.from_json({**plan().to_json(), "chrono": value})


def test_what_is_said_of_a_run_can_be_read() -> None:
    with pytest.raises(RunError) as caught, blaming_config("run"):
        raise RunError("node 6 of \u2028 is damaged")
    assert (
        str(caught.value)
        == "run: config.json was changed or damaged (node 6 of \\u2028 is damaged); copy the run again"
    )
