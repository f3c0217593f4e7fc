"""Figures 1 and 3 of arXiv 2209.15159 as data: Top-1 of the family and of baselines against a cost; area is MACs.

The baselines of Figure 1 are transformers and hybrids, those of Figure 3 convolutional networks. The cost is on a
logarithmic axis.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mvsearch.baselines.latencies import DeviceLatencies
from mvsearch.errors import PlanError
from mvsearch.metrics.formatting import pretty, scale
from mvsearch.report.dominance import Network
from mvsearch.report.figures.axes import limits_around, round_values
from mvsearch.utils.units import three_digits

FIGURES = {
    "figure1": (("vit", "hybrid"), "MobileViT among vision transformers and hybrids"),
    "figure3": (("cnn",), "MobileViT among convolutional networks"),
}
"""By the paper's number: the kinds of its baselines, and its title."""

GROUPS = ("MobileViTv3", "MobileViTv2", "MobileViTv1", "supervised", "longer", "distilled", "pretrained")
"""The groups with a style of their own: the three versions, and baselines by how they were trained."""

_DRAWN = {"v1": "MobileViTv1", "v2": "MobileViTv2", "v3": "MobileViTv3", "v3-on-v2": "MobileViTv3"}
"""The series that are drawn: the L2 variants would lie on their originals."""

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
class AccuracyCostFigure:
    """One figure; `ticks` are places along x with their labels, `chains` the sizes of a series in order."""

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


def accuracy_cost_figure(
    figure: str, networks: Sequence[Network], x: str = "params", *, times: DeviceLatencies | None = None
) -> AccuracyCostFigure:
    """The figure of that number; networks without a number for `x` are left out, and counted in the subtitle.

    `times` are the latencies along x, if it is latency. Raises PlanError if fewer than two networks have a number.
    """
    kinds, title = FIGURES[figure]
    members = [network for network in networks if network.series in _DRAWN or network.kind in kinds]
    measured = [network for network in members if getattr(network, x) is not None]
    if len(measured) < 2:
        number = f"latency on {times.device.partition(': ')[2]}" if times else f"number for {x}"
        found = "is one" if measured else "are none"
        raise PlanError(f"{figure} ({title}) needs two of these networks with a {number}; there {found}.")
    label, size = scale(x, [getattr(network, x) for network in measured])
    labels = Counter(network.label for network in measured)
    bubbles = [_bubble(n, x, size, n.label if labels[n.label] == 1 else n.full_label) for n in measured]
    across, up = (limits_around(values, 0.06) for values in ([b.x for b in bubbles], [b.y for b in bubbles]))
    return AccuracyCostFigure(
        title,
        _subtitle(len(members) - len(measured), times, measured),
        label,
        across,
        up,
        _ticks(*across),
        tuple(bubbles),
        tuple((_DRAWN[series], chain) for series in _DRAWN if (chain := _chain(series, measured, x, size))),
        round_values([bubble.area for bubble in bubbles]),
    )


def _bubble(network: Network, x: str, size: float, label: str) -> Bubble:
    numbers = [f"top-1: {three_digits(network.top1)} %, at {network.image_size} px"]
    numbers += [f"params: {pretty('params', network.params)}, MACs: {pretty('macs', network.macs)}"]
    numbers += [f"latency: {pretty('latency_ms', network.latency_ms)}"] * (network.latency_ms is not None)
    group = _DRAWN[network.series] if network.series else network.recipe
    lines = (network.name, *numbers, f"trained: {network.recipe}")
    return Bubble(label, group, _x(network, x, size), network.top1, network.macs / 1e9, lines)


def _chain(series: str, networks: Sequence[Network], x: str, size: float) -> tuple[tuple[float, float], ...]:
    """From a series' smallest to its largest."""
    members = sorted((network for network in networks if network.series == series), key=lambda n: n.params)
    return tuple((_x(network, x, size), network.top1) for network in members)


def _x(network: Network, x: str, size: float) -> float:
    return math.log10(getattr(network, x) / size)


def _ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Round values on a logarithmic axis, with their labels."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = [step * 10.0**power for power in powers for step in _STEPS]
    return tuple((math.log10(value), f"{value:g}") for value in values if low <= math.log10(value) <= high)


def _subtitle(left_out: int, times: DeviceLatencies | None, networks: Sequence[Network]) -> str:
    sizes = sorted(network.image_size for network in networks)
    own = f"; each at its own image size, {sizes[0]} to {sizes[-1]} px" if sizes[0] < sizes[-1] else ""
    if times is None:
        return f"Top-1 as published; baselines are marked by how they were trained{own}"
    kind, _, device = times.device.partition(": ")
    size = "" if own else f" of {sizes[0]} px"
    why = "have no published latency" if kind == "npu" else "not timed"
    among = "" if any(network.kind is None for network in networks) else ", all of the family among them"
    missing = f"; {left_out} {why}{among}" if left_out else ""
    return f"one image{size} on {device}{missing}{own}"
