"""How cost grows as an architecture is scaled, with the fusions of the MobileViT versions side by side, as data.

The argument of MobileViTv3 (arXiv 2209.15159, section 3.1): a 3x3 fusion makes wide blocks costly, a 1x1 fusion
leaves room to widen them.
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
    """One of a family, at its scale; `note` says so if it is only the closest to what was asked for."""

    name: str
    scale: float
    arch: Architecture
    note: str = ""


@dataclass(frozen=True)
class Line:
    """What one fusion costs from each step of the scale on: two rows of steps, in plain numbers."""

    words: str
    scales: tuple[float, ...]
    costs: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Growth:
    """A family and the lines that it lies among; `across` is the label of the scale."""

    title: str
    subtitle: str
    across: str
    lines: tuple[Line, ...]
    members: tuple[Member, ...]

    def axis(self, name: str) -> tuple[str, float]:
        """A label and what to divide by."""
        return scale(name, [value for line in self.lines for value in line.costs[name]])


def fusions(arch: Architecture) -> dict[str, Architecture]:
    """The architecture in each variant that its blocks declare; unchanged, if they declare none."""
    names = dict.fromkeys(name for row in arch.blocks for name in row.variants)
    return {
        name: replace(arch, blocks=tuple(replace(row, **row.variants.get(name, {})) for row in arch.blocks))
        for name in names
    } or {"as it is": arch}


def growth(scaling: Scaling, members: Sequence[Member]) -> Growth:
    """The costs of all fusions from the smallest of the members to the largest, and a little beyond."""
    scales = [member.scale for member in members]
    margin = 0.08 * (max(scales) - min(scales) or 1.0)
    low, high = min(scales) - margin, max(scales) + margin
    if scaling.by != "compound":
        low = max(low, min(scales) / 2)
    lines = []
    for words, fused in fusions(scaling.arch).items():
        path = replace(scaling, arch=fused).path(scaling.largest_factor(high))
        first, last = path.step_at(low), path.step_at(high) + 1
        steps = [max(low, step.scale) for step in path.steps[first:last]]
        costs = {name: path.costs(path.indices[first:last], name).tolist() for name in COSTS}
        # A step holds until the next: the last one up to the edge.
        lines.append(Line(words, (*steps, high), {name: (*some, some[-1]) for name, some in costs.items()}))
    across = "scale (units of the coefficients)" if scaling.by == "compound" else f"{scaling.by} multiplier"
    kept = f" ({', '.join(scaling.keep)} kept)" if scaling.keep else ""
    title = f"{scaling.arch.name or scaling.arch.key} by {scaling.by}{kept}"
    return Growth(title, _subtitle(scaling.arch, members), across, tuple(lines), tuple(members))


def member_costs(member: Member) -> dict[str, Cost]:
    """What a member costs under each fusion, at its own widths."""
    return {words: arch.cost() for words, arch in fusions(member.arch).items()}


def _subtitle(arch: Architecture, members: Sequence[Member]) -> str:
    found = fusions(arch)
    if not {"v1: 3x3 fusion", "v3: 1x1 fusion"} <= set(found):
        return f"{len(members)} sizes, {pretty('params', members[0].arch.cost().params)} parameters and up"
    said = []
    for member in (members[0], members[-1]):
        costs = member_costs(member)
        v1, v3 = costs["v1: 3x3 fusion"], costs["v3: 1x1 fusion"]
        said.append(f"at {member.name} {v1.params / v3.params:.2f} x parameters, {v1.macs / v3.macs:.2f} x MACs")
    return f"v1 against v3: {'; '.join(dict.fromkeys(said))}"
