"""How a training went: its loss step by step, and after each epoch the score of the averaged weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.registry import metric
from mvsearch.report.figures.palette import LIGHT, Theme
from mvsearch.report.figures.plot import kind_of
from mvsearch.utils.atomic_write import write_whole

_POINTS = 300  # of the loss: each the mean over as many lines of the journal


@dataclass(frozen=True)
class Curve:
    """Pairs of step and loss, and of step and score, a share by the name of `kind`: top1, miou or map."""

    title: str
    subtitle: str
    loss: tuple[tuple[float, float], ...]
    scores: tuple[tuple[float, float], ...]
    kind: str = "top1"

    @classmethod
    def of(cls, lines: Sequence[dict[str, Any]], title: str, subtitle: str, kind: str = "top1") -> Self:
        """The curve of a journal's lines."""
        losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
        width = -(-len(losses) // _POINTS)
        parts = [losses[i : i + width] for i in range(0, len(losses), width)] if losses else []
        means = tuple((part[-1][0], sum(loss for _, loss in part) / len(part)) for part in parts)
        scores = tuple((line["step"], line[kind]) for line in lines if kind in line)
        return cls(title, subtitle, means, scores, kind)


def draw_curve(curve: Curve, path: Path, theme: Theme = LIGHT) -> None:
    """Draw it into a .png or .svg file."""
    from mvsearch.report.figures._matplotlib import blank, frame, rendered, title

    def figure() -> Any:
        made = blank(3.9)
        title(made, curve.title, curve.subtitle, theme)
        left, right = (made.add_axes((0.075 + 0.5 * i, 0.15, 0.41, 0.66)) for i in range(2))
        judged = f"{metric(curve.kind).label} of the averaged weights, %"
        for axes, label in ((left, "training loss"), (right, judged)):
            axes.set(xlabel="step", ylabel=label)
            frame(axes)
        left.plot(*zip(*curve.loss, strict=True) if curve.loss else ((), ()), color=theme.primary, linewidth=1.4)
        steps, scores = zip(*curve.scores, strict=True)
        right.plot(
            steps, [100 * each for each in scores], color=theme.primary, linewidth=1.4, marker="o", markersize=3.5
        )
        last = (steps[-1], 100 * scores[-1])
        right.annotate(
            pretty(curve.kind, scores[-1]), last, (2, 7), textcoords="offset points", ha="right", fontweight="bold"
        )
        right.set_ylim(bottom=_floor(scores), top=max(100 * each for each in scores) + 1 + (100 - _floor(scores)) / 20)
        return made

    write_whole(path, rendered(figure, kind_of(path, ("png", "svg")), theme))


def _floor(scores: Sequence[float]) -> float:
    """Leave the first epochs out of sight where they would press the others together."""
    ordered = sorted(scores)
    return max(0.0, 100 * ordered[len(ordered) // 8] - 2)
