"""The scaling figure as data: the cost of an architecture against its scale, for each fusion of the MobileViT versions.

The argument of MobileViTv3 (arXiv 2209.15159, section 3.1): a 3x3 fusion makes wide blocks costly, a 1x1 fusion
makes it possible to widen them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.cost import Cost
from mvsearch.metrics.formatting import pretty, scale
from mvsearch.scaling import Scaling

NAMES = ("XXS", "XS", "S", "M", "L", "XL", "XXL")

COSTS = ("params", "macs")


@dataclass(frozen=True)
class Member:
    """One size of a family, at its scale; `note` explains a cost that is only close to the budget."""

    name: str
    scale: float
    arch: Architecture
    note: str = ""


@dataclass(frozen=True)
class Line:
    """The costs of one fusion, in plain numbers, from each step of the scale to the next."""

    words: str
    scales: tuple[float, ...]
    costs: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class ScalingFigure:
    """The sizes of a family and the lines of all fusions; `x_label` is the label of the scale."""

    title: str
    subtitle: str
    x_label: str
    lines: tuple[Line, ...]
    members: tuple[Member, ...]

    def axis(self, name: str) -> tuple[str, float]:
        """The label of a cost, and the unit to divide by."""
        return scale(name, [value for line in self.lines for value in line.costs[name]])


def fusions(arch: Architecture) -> dict[str, Architecture]:
    """The architecture in each variant that its blocks declare; unchanged, if they declare none."""
    names = dict.fromkeys(name for row in arch.blocks for name in row.variants)
    return {
        name: replace(arch, blocks=tuple(replace(row, **row.variants.get(name, {})) for row in arch.blocks))
        for name in names
    } or {"as it is": arch}


def scaling_figure(scaling: Scaling, members: Sequence[Member]) -> ScalingFigure:
    """The costs of all fusions from the smallest of the members to the largest, and a little beyond."""
    scales = [member.scale for member in members]
    margin = 0.08 * (max(scales) - min(scales) or 1.0)
    low, high = min(scales) - margin, max(scales) + margin
    if scaling.by != "compound":
        low = max(low, min(scales) / 2)
    x_label = "scale (units of the coefficients)" if scaling.by == "compound" else f"{scaling.by} multiplier"
    fixed = f" (fixed: {', '.join(scaling.keep)})" if scaling.keep else ""
    title = f"{scaling.arch.name or scaling.arch.key} by {scaling.by}{fixed}"
    lines = [_line(words, replace(scaling, arch=arch), low, high) for words, arch in fusions(scaling.arch).items()]
    return ScalingFigure(title, _subtitle(scaling.arch, members), x_label, tuple(lines), tuple(members))


def _line(words: str, scaling: Scaling, low: float, high: float) -> Line:
    path = scaling.path(scaling.largest_factor(high))
    first, last = path.step_at(low), path.step_at(high) + 1
    scales = [max(low, step.scale) for step in path.steps[first:last]]
    costs = {name: path.costs(path.indices[first:last], name).tolist() for name in COSTS}
    # Costs are constant until the next step, the last one's to the edge.
    return Line(words, (*scales, high), {name: (*values, values[-1]) for name, values in costs.items()})


def member_costs(member: Member) -> dict[str, Cost]:
    """The cost of a member under each fusion, at its own widths."""
    return {words: arch.cost() for words, arch in fusions(member.arch).items()}


def _subtitle(arch: Architecture, members: Sequence[Member]) -> str:
    if not {"v1: 3x3 fusion", "v3: 1x1 fusion"} <= set(fusions(arch)):
        return f"{len(members)} sizes, {pretty('params', members[0].arch.cost().params)} parameters and up"
    ratios = []
    for member in (members[0], members[-1]):
        costs = member_costs(member)
        v1, v3 = costs["v1: 3x3 fusion"], costs["v3: 1x1 fusion"]
        ratios.append(f"at {member.name} {v1.params / v3.params:.2f} x parameters, {v1.macs / v3.macs:.2f} x MACs")
    return f"v1 against v3: {'; '.join(dict.fromkeys(ratios))}"
