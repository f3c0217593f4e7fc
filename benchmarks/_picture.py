"""Draws the curves of a page's tasks: docs/benchmarks/search.png and search_mixed.png."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from _board import OURS, Board
from _landscape import Task
from _searchers import SEARCHERS
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from mvsearch.report.figures.palette import LIGHT
from mvsearch.report.figures.static import blank, render

FIRST = 10  # where the plot begins: up to here all evaluate published models or a few at random
GREEN, ORANGE = "#009E73", "#E69F00"  # Okabe and Ito's, as those of the palette

STROKES = {
    "random": (LIGHT.grey, "-"),
    "nsga2": (LIGHT.secondary, "-"),
    "tpe": (GREEN, "-"),
    "nsga2+": (LIGHT.secondary, (0, (3, 1.5))),
    "tpe+": (GREEN, (0, (3, 1.5))),
    "gp+": (ORANGE, (0, (3, 1.5))),
    "surrogate": (LIGHT.primary, "-"),
}
"""Colour and stroke: dashed lines start with published models. The curves of NSGA-III and pymoo nearly
coincide with that of NSGA-II: tables only."""


def picture(board: Board, tasks: Sequence[Task]) -> bytes:
    """A PNG with one panel for each task."""
    return render(lambda: _figure(board, tasks), "png", LIGHT)


def _figure(board: Board, tasks: Sequence[Task]) -> Figure:
    if len(tasks) == 1:
        figure = blank(4.2)
        _panel(figure.subplots(), board, tasks[0])
        figure.supxlabel("evaluations (trainings)", fontsize=10.5, y=0.01)
        figure.supylabel("share of the best hypervolume known", fontsize=10.5, x=0.008)
        figure.subplots_adjust(left=0.095, right=0.80, top=0.93, bottom=0.13)
        return figure
    figure = blank(9.0)
    panels = figure.subplots(3, 2).flat
    for axes, task in zip(panels, tasks, strict=True):
        _panel(axes, board, task)
    figure.supxlabel("evaluations (trainings)", fontsize=10.5, y=0.008)
    figure.supylabel("share of the best hypervolume known", fontsize=10.5, x=0.008)
    figure.subplots_adjust(left=0.095, right=0.85, top=0.965, bottom=0.065, wspace=0.68, hspace=0.27)
    return figure


def _panel(axes: Axes, board: Board, task: Task) -> None:
    ends = []
    lowest = 1.0
    mark = board.at(task.name, OURS.name, 100)
    if mark is not None:
        axes.plot([100, 1000], [mark, mark], color=LIGHT.primary, linestyle=":", linewidth=1.0)
    for searcher in sorted(SEARCHERS, key=lambda s: s is OURS):
        runs = board.curves[task.name].get(searcher.name)
        if searcher.name not in STROKES or runs is None:
            continue
        colour, stroke = STROKES[searcher.name]
        at = np.arange(FIRST, runs.shape[1] + 1)
        median = np.median(runs, axis=0)[FIRST - 1 :]
        low, high = runs.min(0)[FIRST - 1 :], runs.max(0)[FIRST - 1 :]
        axes.fill_between(at, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(at, median, color=colour, linestyle=stroke, linewidth=2.6 if searcher is OURS else 1.4)
        ends.append((float(median[-1]), int(at[-1]), searcher.title, colour))
        lowest = min(lowest, float(median[0]))
    axes.set(xscale="log", xlim=(FIRST, 1000), ylim=(max(0.0, np.floor(lowest * 10 - 0.5) / 10), 1.0))
    _frame(axes, task.title)
    _labels(axes, ends)


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10.5, fontweight="bold", loc="left", color=LIGHT.ink)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(FixedLocator([10, 25, 50, 100, 200, 500, 1000]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.tick_params(labelsize=9)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _labels(axes: Axes, ends: Sequence[tuple[float, int, str, str]]) -> None:
    """Names beside the ends of lines, moved apart and connected to the lines that end early."""
    low, high = axes.get_ylim()
    gap = 0.085 * (high - low)
    ordered = sorted(ends)
    places = [end[0] for end in ordered]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    if places and places[-1] > high:
        places[-1] = high
        for i in reversed(range(len(places) - 1)):
            places[i] = min(places[i], places[i + 1] - gap)
    for (value, at, title, colour), place in zip(ordered, places, strict=True):
        weight = "bold" if title == OURS.title else "normal"
        text: dict[str, Any] = {
            "color": colour,
            "fontsize": 9.5,
            "fontweight": weight,
            "va": "center",
            "annotation_clip": False,
        }
        arrow = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.7, "shrinkA": 1, "shrinkB": 0}
        axes.annotate(title, (at, value), (1130, place), arrowprops=arrow, **text)
