"""Figures 1 and 3 of arXiv 2209.15159 as data: the family among its rivals, Top-1 against a cost, area is MACs.

Figure 1 is against transformers and hybrids, Figure 3 against convolutional networks. The cost is drawn by its
logarithm: half as large is as far as twice as large.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mvsearch.errors import PlanError
from mvsearch.metrics.formatting import pretty, scale
from mvsearch.report.dominance import Contender
from mvsearch.report.figures.front import round_values
from mvsearch.utils.units import three_digits

FIGURES = {
    "figure1": (("vit", "hybrid"), "MobileViT among vision transformers and hybrids"),
    "figure3": (("cnn",), "MobileViT among convolutional networks"),
}
"""The paper's number of each, the kinds of rivals in it, and its title."""

GROUPS = ("MobileViTv3", "MobileViTv2", "MobileViTv1", "supervised", "longer", "distilled", "pretrained")
"""Who has a look of its own: the three versions, and rivals by how they were trained."""

_DRAWN = {"v1": "MobileViTv1", "v2": "MobileViTv2", "v3": "MobileViTv3", "v3-on-v2": "MobileViTv3"}
"""The families of `ranking` that are drawn: the L2 variants would lie on their originals."""

_STEPS = (1, 1.5, 2, 3, 4, 5, 6, 8)


@dataclass(frozen=True)
class Bubble:
    """A network: `x` the logarithm (base 10) of its cost in the label's unit, `y` Top-1 in %, `area` MACs in G."""

    label: str
    group: str
    x: float
    y: float
    area: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Arena:
    """One figure; `ticks` are places along x with their words, `chains` the sizes of a family in order."""

    title: str
    subtitle: str
    x_label: str
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    ticks: tuple[tuple[float, str], ...]
    bubbles: tuple[Bubble, ...]
    chains: tuple[tuple[str, tuple[tuple[float, float], ...]], ...]
    area_key: tuple[float, ...]

    @property
    def groups(self) -> list[str]:
        """The groups that are in it, in their order."""
        present = {bubble.group for bubble in self.bubbles}
        return [group for group in GROUPS if group in present]

    def share(self, area: float) -> float:
        """A bubble's area as a share of the largest."""
        return area / max(bubble.area for bubble in self.bubbles)


def arena(figure: str, contenders: Sequence[Contender], x: str = "params", *, device: str | None = None) -> Arena:
    """The figure of that number; networks without a number for `x` are left out, and counted in the subtitle.

    Raises PlanError if none has one.
    """
    kinds, title = FIGURES[figure]
    wanted = [each for each in contenders if each.family in _DRAWN or each.kind in kinds]
    shown = [each for each in wanted if getattr(each, x) is not None]
    if not shown:
        raise PlanError(f"{figure}: none of its networks has a number for {x}; give times of some, or another --x.")
    label, size = scale(x, [getattr(each, x) for each in shown])
    labels = Counter(each.label for each in shown)
    bubbles = [_bubble(each, x, size, each.label if labels[each.label] == 1 else each.called) for each in shown]
    xs, ys = [bubble.x for bubble in bubbles], [bubble.y for bubble in bubbles]
    across, up = _limits(xs, 0.06), _limits(ys, 0.06)
    return Arena(
        title,
        _subtitle(len(wanted) - len(shown), device),
        label,
        across,
        up,
        _ticks(*across),
        tuple(bubbles),
        tuple((_DRAWN[family], chain) for family in _DRAWN if (chain := _chain(family, shown, x, size))),
        round_values([bubble.area for bubble in bubbles]),
    )


def _bubble(each: Contender, x: str, size: float, label: str) -> Bubble:
    numbers = [f"top-1: {three_digits(each.top1)} %, at {each.image_size} px"]
    numbers += [f"params: {pretty('params', each.params)}, MACs: {pretty('macs', each.macs)}"]
    numbers += [f"latency: {pretty('latency_ms', each.latency_ms)}"] * (each.latency_ms is not None)
    group = _DRAWN[each.family] if each.family else each.recipe
    lines = (each.name, *numbers, f"trained: {each.recipe}")
    return Bubble(label, group, _x(each, x, size), each.top1, each.macs / 1e9, lines)


def _chain(family: str, shown: Sequence[Contender], x: str, size: float) -> tuple[tuple[float, float], ...]:
    """From a family's smallest to its largest."""
    members = sorted((each for each in shown if each.family == family), key=lambda each: each.params)
    return tuple((_x(each, x, size), each.top1) for each in members)


def _x(each: Contender, x: str, size: float) -> float:
    return math.log10(getattr(each, x) / size)


def _limits(values: Sequence[float], margin: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return low - margin * span, high + margin * span


def _ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Round values along a logarithm, with their words."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = [step * 10.0**power for power in powers for step in _STEPS]
    return tuple((math.log10(value), f"{value:g}") for value in values if low <= math.log10(value) <= high)


def _subtitle(left_out: int, device: str | None) -> str:
    if device is None:
        return "Top-1 as published; rivals are marked by how they were trained"
    return f"one image on {device.partition(': ')[2]}" + (f"; {left_out} could not be timed" if left_out else "")
