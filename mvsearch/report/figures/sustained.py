"""Latency over time, with the clock and the temperature where they are known."""

from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.report.figures import static
from mvsearch.report.figures.palette import LIGHT, Theme
from mvsearch.report.figures.plot import write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mvsearch.profiling.sustained import SustainedLatency


def plot_sustained(latency: "SustainedLatency", path: Path, *, title: str, subtitle: str, theme: Theme = LIGHT) -> None:
    """Draw it into a .png or .svg file; raises PlanError for another suffix."""
    write_figure(path, theme, draw=lambda: _draw(latency, title, subtitle, theme))


def _draw(latency: "SustainedLatency", text: str, subtitle: str, theme: Theme) -> "Figure":
    series: dict[str, list[float | None]] = {
        "ms a call": [window.median_ms for window in latency.windows],
        "clock, MHz": [window.clock_mhz for window in latency.windows],
        "temperature, °C": [window.celsius for window in latency.windows],
    }
    known = {name: values for name, values in series.items() if any(value is not None for value in values)}
    size, label = (60.0, "minutes") if latency.asked_s >= 120 else (1.0, "seconds")
    times = [window.at_s / size for window in latency.windows]
    heights = [2.4, *[1.1] * (len(known) - 1)]
    total = 1.25 + sum(heights) + 0.25 * (len(known) - 1)
    figure, top = static.blank(total), total - 0.8
    static.title(figure, text, subtitle, theme)
    for i, (name, values) in enumerate(known.items()):
        axes = figure.add_axes((0.09, (top - heights[i]) / total, 0.88, heights[i] / total))
        top -= heights[i] + 0.25
        static.frame(axes)
        axes.plot(times, [float("nan") if value is None else value for value in values], color=theme.primary, lw=1.4)
        axes.set(ylabel=name, xlim=(0, times[-1]))
        if i == 0:
            for part in latency.parts:
                ends = (part.from_s / size, part.to_s / size)
                axes.plot(ends, [part.median_ms] * 2, color=theme.secondary, lw=2, label="median of a fifth")
            axes.set_ylim(bottom=0)
            axes.legend(*(each[:1] for each in axes.get_legend_handles_labels()), loc="lower right", **static.LEGEND)
        if i < len(known) - 1:
            axes.set_xticklabels([])
    axes.set(xlabel=label)
    return figure
