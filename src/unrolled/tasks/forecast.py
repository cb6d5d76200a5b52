"""Forecasting: the next values of series in time, as quantiles, numbers or distributions."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.data import Vocabulary
from unrolled.data.arrays import Exact
from unrolled.data.baselines import fit_linear
from unrolled.data.histories import Histories, Layout, read_histories
from unrolled.data.windows import Block, WindowBatches, Windows
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.models.distributions import head_of
from unrolled.models.forecast import ForecastNetwork, Window
from unrolled.models.shapes import ForecastShape
from unrolled.streams.running import Running
from unrolled.tasks.forecast_answers import ForecastAnswers
from unrolled.tasks.forecast_parts import check_options, parts_of, shape_of
from unrolled.tasks.forecast_picture import draw_forecasts
from unrolled.tasks.forecast_reading import Part, Reading
from unrolled.tasks.forecast_report import COMPARISON, Comparison, compare, plain_numbers
from unrolled.tasks.model import Conclusion, Parts, TaskModel, digest, epochs_for
from unrolled.tasks.network import NetworkPlan, program_of, regularisation_of
from unrolled.tasks.options import Common, ForecastOptions
from unrolled.tasks.run import write_json
from unrolled.tasks.schemas import forecast_schema
from unrolled.train import BatchSource, Carry, LossOutput

_LINEAR_WINDOWS = 20_000
_FEWEST_STEPS, _MOST_STEPS = 200, 4000


@dataclass(frozen=True)
class Batches:
    """Training windows as tensors."""

    windows: Windows
    order: WindowBatches

    def __len__(self) -> int:
        return len(self.order)

    def epoch(self, number: int, start: int = 0) -> Iterator[Window]:
        lines, origins = self.windows.everything
        for chosen in self.order.epoch(number, start):
            yield as_window(self.windows, self.windows.block(lines[chosen], origins[chosen]))


def as_window(windows: Windows, block: Block) -> Window:
    """A block of windows as the network's tensors."""
    centre, unit = (torch.from_numpy(array[block.lines]) for array in (windows.centres, windows.units))
    arrays = (block.context, block.seen, block.past, block.known, block.truth, block.counts)
    tensors = [torch.from_numpy(np.asarray(array, np.float32)) for array in arrays]
    return Window(*tensors, centre, unit)  # type: ignore[call-arg]  # six arrays


class ForecastTask(ForecastAnswers, TaskModel[Part]):
    """The horizon's values given the context's, for every line (a target of a series) by one network.

    The loss is that of the values divided by the deviation of their line, so that every line counts the same.
    """

    task: ClassVar[str] = "forecast"
    metric: ClassVar[str] = "loss"
    unit: ClassVar[str] = "values"
    overfits: ClassVar[bool] = True

    module: ForecastNetwork

    def __init__(
        self, plan: NetworkPlan, reading: Reading, shape: ForecastShape, distribution: str, levels: Sequence[float]
    ) -> None:
        ForecastAnswers.__init__(self, reading, shape, levels)
        self.distribution = distribution
        head = head_of("quantiles", levels)
        head = head if distribution == "quantiles" else head_of(distribution, levels)
        TaskModel.__init__(self, plan, None, ForecastNetwork(plan.recurrent(), shape, head, plan.dropout))
        # The linear map that every report shows beside the model was learnt on the training part, so it is kept.
        self._learnt = 1
        self.module.register_buffer("linear_map", torch.zeros(shape.context + 1, shape.horizon))

    @classmethod
    def read(cls, path: Path, options: ForecastOptions, common: Common) -> Parts[Part]:
        check_options(options)
        if common.group is not None:
            raise ArgumentError("series are divided by time, not by group; leave group out")
        layout = Layout(options.time, options.series, options.target, options.past, options.known)
        skip = common.skip_bad
        histories = read_histories(path, layout, form=options.layout, skip_bad=skip)
        valid, test = (
            None if file is None else read_histories(file, histories.layout, skip_bad=skip)
            for file in (common.valid, common.test)
        )
        return parts_of(histories, options, valid, test, skip_bad=skip)

    @classmethod
    def build(cls, parts: Parts[Part], options: ForecastOptions, start: TaskModel[Any] | None = None) -> Self:
        reading = parts.train.reading
        shape = shape_of(reading, parts.train.lines, options)
        plan = NetworkPlan(
            program=program_of(options),
            inputs=options.embedding,
            hidden=options.hidden,
            layers=options.layers,
            outputs=shape.horizon,
            chrono=options.chrono,
            bidirectional=options.bidirectional,
            dropout=options.dropout,
            regularisation=regularisation_of(options),
        )
        if start is not None:
            like = start.plan
            plan = replace(plan, program=like.program, inputs=like.inputs, hidden=like.hidden, layers=like.layers)
        model = cls(plan, reading, shape, options.distribution, options.quantiles)
        windows = model.windows(parts.train)
        if not len(windows.everything[0]):
            raise DataError("no series is long enough for the horizon; give longer series or a smaller horizon")
        chosen = windows.origins(_LINEAR_WINDOWS)
        matrix = fit_linear(windows.blocks(*chosen), shape.context, shape.horizon)
        model.module.get_buffer("linear_map").copy_(torch.from_numpy(matrix))
        model.module.start_from(torch.from_numpy(matrix[:-1]))
        return model

    @classmethod
    def restore(cls, plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None) -> Self:
        found = forecast_schema(schema)
        try:
            return cls(plan, found.reading, found.shape, found.distribution, found.levels)
        except (TypeError, ValueError) as error:
            raise RunError(f"the data's schema is damaged ({error})") from None

    def schema(self) -> dict[str, Any]:
        return {
            "reading": self.reading.to_json(),
            "shape": asdict(self.shape),
            "distribution": self.distribution,
            "quantiles": list(self.levels),
        }

    def source(self, examples: Part, options: ForecastOptions, seed: int) -> BatchSource:
        windows = self.windows(examples)
        self._learnt = len(windows.everything[0])
        return Batches(windows, WindowBatches(self._learnt, options.batch_size, seed))

    def loss(self, batch: Window, carry: Carry) -> LossOutput:
        return LossOutput(self._error(self._there(batch)), int(batch.counts.sum()))

    def _error(self, batch: Window) -> Tensor:
        judged = self.module(batch)
        head = self.module.head.at(judged.scale * batch.unit)
        errors = head.loss(judged.parameters, judged.truth)
        # A likelihood has no unit; the others are brought from the window's own to the line's.
        power = {"quantiles": 1, "point": 2}.get(self.distribution, 0)
        errors = errors * judged.scale**power * judged.counts
        mean: Tensor = errors.sum() / judged.counts.sum().clamp(min=1)
        return mean

    def _there(self, batch: Window) -> Window:
        return Window(*(part.to(self.device) for part in batch))

    def epochs(self, steps: int) -> int:
        # Few windows are soon learnt by heart, and then the quantiles are far too sure.
        wanted = min(_MOST_STEPS, max(_FEWEST_STEPS, round(10 * self._learnt**0.5)))
        return epochs_for(wanted, steps, fewest=2)

    def count(self, examples: Part) -> int:
        return examples.values

    def keys(self, examples: Part) -> list[Hashable]:
        return [(line.series, line.target, line.values[line.begin :].tobytes()) for line in examples.lines]

    def fingerprint(self, examples: Part) -> str:
        return digest([(key, line.begin) for key, line in zip(self.keys(examples), examples.lines, strict=True)])

    def activations(self, batch: Any) -> int:
        rows, steps = len(batch.context), self.shape.context // self.shape.segment + self.shape.ahead
        directions = 1 + self.plan.bidirectional
        a_step = (len(self.plan.program.gates) + len(self.plan.program.state) + 2) * self.plan.hidden
        return int(rows) * steps * (self.plan.inputs + directions * self.plan.layers * a_step)

    def told(self, windows: Windows, block: Block, seed: int) -> tuple[Exact, Exact]:
        self.module.eval()
        centre, quantiles = self.module.forecast(self._there(as_window(windows, block)), self.levels, seed=seed)
        return centre.cpu().numpy().astype(np.float64), quantiles.cpu().numpy().astype(np.float64)

    @property
    def linear_map(self) -> npt.NDArray[np.float32]:
        matrix: npt.NDArray[np.float32] = self.module.get_buffer("linear_map").cpu().numpy()
        return matrix

    def measure(self, examples: Part) -> dict[str, float]:
        windows = self.windows(examples)
        lines, origins = windows.origins(examples.most, examples.stride)
        losses = [
            (self._error(self._there(as_window(windows, block))).item(), len(block))
            for block in windows.blocks(lines, origins)
        ]
        loss = sum(value * count for value, count in losses) / sum(count for _, count in losses)
        metrics = compare(self.foretell(windows, lines, origins), self.levels, self.reading.season).metrics
        return {"loss": loss, **metrics}

    def compare(self, examples: Part) -> Comparison:
        """The model beside the simplest forecasts on the windows of a part."""
        windows = self.windows(examples)
        lines, origins = windows.origins(examples.most, examples.stride)
        return compare(self.foretell(windows, lines, origins), self.levels, self.reading.season)

    def conclude(self, parts: Parts[Part], run: Path) -> Conclusion:
        """The comparison on the test part, or else the validation part; in the folder too, with a picture."""
        name, part = ("test", parts.test) if parts.test is not None else ("validation", parts.valid)
        if part is None:
            return Conclusion(lines=("nothing was held out, so nothing says whether simple forecasts are better",))
        found = self.compare(part)
        data = {"part": name, **found.to_json()}
        write_json(run / COMPARISON, plain_numbers(data))
        picture = draw_forecasts(run, self, part)
        lines = [f"{name} part, {found.windows:,} forecasts:", found.table(), *found.verdict]
        if picture is not None:
            lines.append(f"forecasts drawn in {picture}")
        return Conclusion({"comparison": data, "forecast_picture": picture}, tuple(lines))

    def read_part(self, path: Path) -> Part:
        return self.part(read_histories(path, self.reading.layout))

    def part(self, histories: Histories) -> Part:
        """All that the series hold, measured after a context or, of a short one, after its first half."""
        found = Part(self.reading, tuple(self.reading.lines(histories.series, self.shape.horizon)))
        if not len(self.windows(found).everything[0]):
            raise DataError(
                f"no series has a horizon of {self.shape.horizon} steps after half of it; give longer ones, with the "
                "history before what is to be measured",
                histories.path,
            )
        return found

    def evaluate(self, path: Path) -> dict[str, Any]:
        return self.compare(self.read_part(path)).to_json()

    def _stream(self, choices: Mapping[str, Any]) -> Running:
        from unrolled.tasks.streams.forecasting import forecast_stream

        return forecast_stream(self, choices)
