"""What int8 costs a network, as PNG or SVG: the error of its outputs and its top-1, by stage."""

from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.report.figures import static
from mvsearch.report.figures.palette import LIGHT, Theme
from mvsearch.report.figures.plot import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mvsearch.export.int8_analysis import Int8Analysis, StageLoss

_ROW, _FOOT, _LEGEND = 0.3, 0.55, 0.3
"""The heights of a stage, of the axis label and of the legend, in inches."""


def plot_int8(analysis: "Int8Analysis", name: str, path: Path, theme: Theme = LIGHT) -> None:
    """Draw it into a .png or .svg file; raises PlanError for another suffix."""
    write_figure(path, theme, draw=lambda: _draw(analysis, name, theme))


def _draw(analysis: "Int8Analysis", name: str, theme: Theme) -> "Figure":
    rows = len(analysis.stages)
    plot = max(1.2, _ROW * rows)
    height = static.TITLE + plot + _FOOT + _LEGEND
    figure = static.blank(height)
    words = f"scheme {analysis.stages_scheme}, {analysis.runtime}, {analysis.images} images of {analysis.data}"
    static.title(figure, f"What each stage of {name} costs in int8", words, theme)
    panels = [(0.15, "error of the outputs, of their deviation", True)]
    panels += [(0.59, "change of top-1, in points", False)] if analysis.top1_float32 is not None else []
    width = 0.38 if len(panels) > 1 else 0.82
    for left, label, is_error in panels:
        axes = figure.add_axes((left, (_FOOT + _LEGEND) / height, width, plot / height))
        _draw_panel(axes, analysis.stages, theme, error=is_error)
        for loss in (each.loss for each in analysis.schemes if each.loss and each.scheme == analysis.stages_scheme):
            whole = loss.error if is_error else 100 * (loss.change or 0.0)
            axes.axvline(whole, color=theme.ink, linestyle=":", linewidth=1.0, label="all of them in int8")
        axes.set_xlabel(label)
    figure.axes[-1].tick_params(labelleft=len(panels) == 1)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.01, 0.0), ncols=3, **static.LEGEND)
    return figure


def _draw_panel(axes: "Axes", stages: "tuple[StageLoss, ...]", theme: Theme, *, error: bool) -> None:
    for all_losses, label, colour, shift in (
        ([stage.alone for stage in stages], "this stage alone in int8", theme.primary, -0.16),
        ([stage.others for stage in stages], "all stages but this one in int8", theme.secondary, 0.16),
    ):
        places = [i + shift for i, loss in enumerate(all_losses) if loss]
        losses = [loss for loss in all_losses if loss]
        if error:
            axes.barh(places, [loss.error for loss in losses], height=0.3, color=colour, label=label)
        else:
            values = [100 * (loss.change or 0.0) for loss in losses]
            errors = [100 * (loss.change_sem or 0.0) for loss in losses]
            axes.barh(places, values, height=0.3, xerr=errors, color=colour, ecolor=theme.ink, capsize=1.5, label=label)
    axes.set_yticks(range(len(stages)), [stage.stage for stage in stages])
    axes.invert_yaxis()
    static.frame(axes)
    axes.grid(visible=False, axis="y")
