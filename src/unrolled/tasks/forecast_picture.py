"""History, forecast and bands as a picture in the run folder."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.data.arrays import Ids
from unrolled.data.windows import Line
from unrolled.tasks.forecast_reading import Part
from unrolled.tasks.run import write_bytes

if TYPE_CHECKING:
    from unrolled.tasks.forecast import ForecastTask
    from unrolled.tasks.forecast_report import Foretold

PICTURE = "forecast.png"
_MOST = 6
_SHOWN_HORIZONS, _SHOWN_STEPS = 4, 50


def draw_forecasts(run: Path, model: ForecastTask, part: Part) -> Path | None:
    """Write forecast.png: the last forecast of up to six lines beside what came; None without matplotlib."""
    if find_spec("matplotlib") is None:
        return None
    windows = model.windows(part)
    chosen = np.unique(np.linspace(0, len(part.lines) - 1, min(_MOST, len(part.lines))).round().astype(np.int64))
    origins = windows.lengths[chosen] - model.shape.horizon
    found = model.foretell(windows, chosen, origins)
    write_bytes(run / PICTURE, _picture(found, model))
    return run / PICTURE


def _picture(found: Foretold, model: ForecastTask) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(found.places)
    columns = 1 if count < 3 else 2
    rows = -(-count // columns)
    figure = Figure(figsize=(7.2 * columns, 2.6 * rows + 0.5), dpi=110, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, axes in enumerate(grid):
        if place < count:
            _draw(axes, found, place, model)
        else:
            axes.set_axis_off()
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _draw(axes: Any, found: Foretold, place: int, model: ForecastTask) -> None:
    """One line: what was known, what came, the forecast, its bands, and the seasonal naive forecast faintly."""
    line, origin = found.lines[found.places[place]], int(found.origins[place])
    horizon, season = model.shape.horizon, model.reading.season
    start = max(0, origin - max(_SHOWN_HORIZONS * horizon, _SHOWN_STEPS))
    times = _axis(line, model)
    past, coming = times[start:origin], times[origin : origin + horizon]
    axes.plot(past, line.values[start:origin], color="black", linewidth=0.9, label="history")
    joined = slice(origin - 1, origin + horizon)
    axes.plot(times[joined], line.values[joined], color="black", linewidth=0.9, linestyle=":", label="what came")
    if season > 1 and origin >= season:
        again = line.values[origin - season + np.arange(horizon) % season]
        axes.plot(coming, again, color="tab:gray", linewidth=0.8, alpha=0.7, label="seasonal naive")
    bands = len(model.levels) // 2
    for band in range(bands):
        low, high = found.quantiles[place, :, band], found.quantiles[place, :, -1 - band]
        share = model.levels[-1 - band] - model.levels[band]
        shade = 0.15 + 0.15 * band  # inner bands darker, in the legend too
        axes.fill_between(coming, low, high, color="tab:blue", alpha=shade, linewidth=0, label=f"{share:.0%} band")
    axes.plot(coming, found.centres[place], color="tab:blue", linewidth=1.4, label="forecast")
    axes.set_title(line.name, fontsize=9)
    axes.tick_params(labelsize=8)


def _axis(line: Line, model: ForecastTask) -> Ids | Any:
    """Dates where the lines have dates, else numbers of steps."""
    step = model.reading.step
    if line.times is None or step is None or step.unit == "number":
        return np.arange(len(line)) if line.times is None else line.times
    return line.times.astype("datetime64[s]")
