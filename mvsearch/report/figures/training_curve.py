"""The curve of a training: its loss by step, and the score of the averaged weights after each epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.registry import TEST, metric
from mvsearch.report.figures import static
from mvsearch.report.figures.palette import LIGHT
from mvsearch.report.figures.plot import write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 300  # of the loss: each is a mean over equally many lines of the metrics log


@dataclass(frozen=True)
class TrainingCurve:
    """Pairs of step and loss, and of step and score.

    `kind` is the name of the score, top1, miou or map, and `part` the part of the images that it is computed on.
    """

    title: str
    subtitle: str
    loss: tuple[tuple[float, float], ...]
    scores: tuple[tuple[float, float], ...]
    kind: str = "top1"
    part: str = TEST

    @classmethod
    def of(
        cls, lines: Sequence[dict[str, Any]], title: str, subtitle: str, kind: str = "top1", part: str = TEST
    ) -> Self:
        """The curve from the lines of a metrics log."""
        losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
        width = -(-len(losses) // _POINTS)
        parts = [losses[i : i + width] for i in range(0, len(losses), width)] if losses else []
        means = tuple((part[-1][0], sum(loss for _, loss in part) / len(part)) for part in parts)
        scores = tuple((line["step"], line[kind]) for line in lines if kind in line)
        return cls(title, subtitle, means, scores, kind, part)


def plot_training_curve(curve: TrainingCurve, path: Path) -> None:
    """Draw it into a .png or .svg file."""
    write_figure(path, LIGHT, draw=lambda: _draw(curve))


def _draw(curve: TrainingCurve) -> "Figure":
    fig = static.blank(3.9)
    static.title(fig, curve.title, curve.subtitle, LIGHT)
    left, right = (fig.add_axes((0.075 + 0.5 * i, 0.15, 0.41, 0.66)) for i in range(2))
    score_label = f"{metric(curve.kind).label_on(curve.part)} of the averaged weights, %"
    for axes, label in ((left, "training loss"), (right, score_label)):
        axes.set(xlabel="step", ylabel=label)
        static.frame(axes)
    losses = zip(*curve.loss, strict=True) if curve.loss else ((), ())
    left.plot(*losses, color=LIGHT.primary, linewidth=1.4, marker="o" if len(curve.loss) == 1 else "")
    steps, scores = zip(*curve.scores, strict=True)
    percent = [100 * score for score in scores]
    right.plot(steps, percent, color=LIGHT.primary, linewidth=1.4, marker="o", markersize=3.5)
    last: Any = {"textcoords": "offset points", "ha": "right", "fontweight": "bold"}
    right.annotate(pretty(curve.kind, scores[-1]), (steps[-1], percent[-1]), (2, 7), **last)
    floor = _floor(scores)
    right.set_ylim(bottom=floor, top=max(percent) + 1 + (100 - floor) / 20)
    return fig


def _floor(scores: Sequence[float]) -> float:
    """The lower limit in %: low scores of the first epochs are left out, so that the others can be distinguished."""
    return max(0.0, 100 * min(scores[len(scores) // 8 :]) - 2)
