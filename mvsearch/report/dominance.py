"""The family and its rivals side by side: which is at least as good in everything as which other, in numbers and words.

Nobody trained these networks alike, so a word of how each rival was trained stands wherever it is named.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mvsearch.arch.published import published, short_name
from mvsearch.baselines import baselines
from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.registry import metric
from mvsearch.proxy_eval.rank_correlation import published as references
from mvsearch.utils.units import three_digits

COSTS = ("params", "macs")
TIME = ("latency_ms",)

CAUTION = (
    "By printed ImageNet-1k Top-1; behind a rival is how it was trained, where that is more than usual. On a device "
    "their order may be another: `mvsearch paper-figures --x latency_ms` times all of them here."
)

_PLAIN = "supervised"


@dataclass(frozen=True)
class Contender:
    """A published network of either side; `top1` in %, `latency_ms` None where it was not measured.

    `family` is None for a rival, and `kind` (cnn, hybrid, vit) None for the family.
    """

    name: str
    label: str
    family: str | None
    kind: str | None
    recipe: str
    image_size: int
    params: int
    macs: int
    top1: float
    latency_ms: float | None = None

    @property
    def called(self) -> str:
        """The label, and how it was trained where that is more than usual."""
        return self.label if self.recipe == _PLAIN else f"{self.label} ({self.recipe})"

    def facts(self) -> dict[str, Any]:
        """Raw numbers, for `--json`."""
        return {
            "name": self.name,
            "family": self.family,
            "kind": self.kind,
            "recipe": self.recipe,
            "image_size": self.image_size,
            "params": self.params,
            "macs": self.macs,
            "top1_percent": self.top1,
            "latency_ms": self.latency_ms,
        }


@dataclass(frozen=True)
class Standing:
    """Whom a network dominates, and who dominates it, in Top-1 and these costs."""

    contender: Contender
    costs: tuple[str, ...]
    dominates: tuple[Contender, ...]
    dominated_by: tuple[Contender, ...]

    @property
    def words(self) -> str:
        """One sentence."""
        costs = " and ".join(metric(name).description for name in self.costs)
        numbers = ", ".join(pretty(name, getattr(self.contender, name)) for name in self.costs)
        return (
            f"{self.contender.label} ({three_digits(self.contender.top1)} %, {numbers}), in {costs}: "
            f"dominates {_listed(self.dominates)}; is dominated by {_listed(self.dominated_by)}."
        )

    def facts(self) -> dict[str, Any]:
        """Names alone, for `--json`."""
        return {
            "name": self.contender.name,
            "costs": list(self.costs),
            "dominates": [other.name for other in self.dominates],
            "dominated_by": [other.name for other in self.dominated_by],
        }


def family(times_ms: Mapping[str, float] | None = None) -> list[Contender]:
    """The fifteen published models at 256 px, with the Top-1 that their papers print and exact costs."""
    found = []
    for reference in references():
        arch = published(reference.name)
        cost = arch.cost()
        found.append(
            Contender(
                reference.name,
                short_name(reference.name),
                reference.family,
                None,
                _PLAIN,
                arch.image_size,
                int(cost.params),
                int(cost.macs),
                reference.top1,
                (times_ms or {}).get(reference.name),
            )
        )
    return found


def against(times_ms: Mapping[str, float] | None = None) -> list[Contender]:
    """The rivals, in the order of their file."""
    return [
        Contender(
            rival.name,
            rival.label,
            None,
            rival.kind,
            rival.recipe,
            rival.image_size,
            rival.params,
            rival.macs,
            rival.top1,
            (times_ms or {}).get(rival.name),
        )
        for rival in baselines()
    ]


def standing(one: Contender, others: Sequence[Contender], costs: tuple[str, ...] = COSTS) -> Standing:
    """Where it stands among others that have a number for each of the costs."""
    known = [other for other in others if all(getattr(other, name) is not None for name in costs)]
    return Standing(
        one,
        costs,
        tuple(other for other in known if _dominates(one, other, costs)),
        tuple(other for other in known if _dominates(other, one, costs)),
    )


def standings(ours: Sequence[Contender], others: Sequence[Contender]) -> list[Standing]:
    """Each of ours in parameters and MACs, and in latency where that was measured."""
    rows = [standing(one, others) for one in ours]
    return rows + [standing(one, others, TIME) for one in ours if one.latency_ms is not None]


def _dominates(one: Contender, other: Contender, costs: Sequence[str]) -> bool:
    """At least as good in everything, and better in something."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in costs] + [(-one.top1, -other.top1)]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _listed(some: Sequence[Contender]) -> str:
    return ", ".join(other.called for other in some) or "none"


def faster(ours: Sequence[Contender], others: Sequence[Contender]) -> list[str]:
    """For each of ours that was timed, in words: the fastest rival that is at least as accurate, and by how much."""
    said = []
    for one in ours:
        ahead = standing(one, others, TIME).dominated_by if one.latency_ms is not None else ()
        if ahead:
            rival = min(ahead, key=_latency_ms)
            ratio = _latency_ms(one) / _latency_ms(rival)
            said.append(f"{_timed(rival)} is {ratio:.1f} times as fast as {_timed(one)}.")
        elif one.latency_ms is not None:
            said.append(f"No rival that was timed is as accurate as {_timed(one)} and faster.")
    return said


def _timed(one: Contender) -> str:
    return f"{one.called} ({three_digits(one.top1)} %, {pretty('latency_ms', one.latency_ms)})"


def _latency_ms(one: Contender) -> float:
    return one.latency_ms or math.inf
