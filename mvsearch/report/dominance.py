"""The family and the baselines compared: which network is at least as good as which other in everything.

These networks were trained in different ways, so the training of each baseline stands beside its name.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mvsearch.arch.published import family, published, short_name
from mvsearch.baselines import baselines
from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.registry import metric
from mvsearch.proxy_eval.rank_correlation import published as references
from mvsearch.utils.units import three_digits

COSTS = ("params", "macs")
TIME = ("latency_ms",)

CAUTION = (
    "By printed ImageNet-1k Top-1; in brackets is how a baseline was trained, where that is more than supervised. "
    "Costs are of one image, each network's at its own size. The order on a device may differ: `mvsearch paper-figures "
    "--x latency_ms` measures all of them here."
)

_PLAIN = "supervised"


@dataclass(frozen=True)
class Network:
    """A published network; `top1` in %, `latency_ms` None where it was not measured.

    `series` is None for a baseline, and `kind` (cnn, hybrid, vit) None for a network of the family.
    """

    name: str
    label: str
    series: str | None
    kind: str | None
    recipe: str
    image_size: int
    params: int
    macs: int
    top1: float
    latency_ms: float | None = None

    @property
    def full_label(self) -> str:
        """The label, and how it was trained where that is more than supervised."""
        return self.label if self.recipe == _PLAIN else f"{self.label} ({self.recipe})"

    def facts(self) -> dict[str, Any]:
        """Raw numbers, for `--json`."""
        return {
            "name": self.name,
            "family": family(self.name) if self.series else None,
            "series": self.series,
            "kind": self.kind,
            "recipe": self.recipe,
            "image_size": self.image_size,
            "params": self.params,
            "macs": self.macs,
            "top1_percent": self.top1,
            "latency_ms": self.latency_ms,
        }


@dataclass(frozen=True)
class Dominance:
    """The networks that one dominates, and those that dominate it, in Top-1 and these costs."""

    network: Network
    costs: tuple[str, ...]
    dominates: tuple[Network, ...]
    dominated_by: tuple[Network, ...]

    @property
    def words(self) -> str:
        """One sentence."""
        costs = " and ".join(metric(name).description for name in self.costs)
        numbers = ", ".join(pretty(name, getattr(self.network, name)) for name in self.costs)
        return (
            f"{self.network.label} ({three_digits(self.network.top1)} %, {numbers}), in {costs}: "
            f"dominates {_join_names(self.dominates)}; is dominated by {_join_names(self.dominated_by)}."
        )

    def facts(self) -> dict[str, Any]:
        """Names alone, for `--json`."""
        return {
            "name": self.network.name,
            "costs": list(self.costs),
            "dominates": [other.name for other in self.dominates],
            "dominated_by": [other.name for other in self.dominated_by],
        }


def family_networks(times_ms: Mapping[str, float] | None = None) -> list[Network]:
    """The fifteen published models at 256 px, with the Top-1 that their papers print and exact costs."""
    networks = []
    for reference in references():
        arch = published(reference.name)
        cost = arch.cost()
        networks.append(
            Network(
                name=reference.name,
                label=short_name(reference.name),
                series=reference.series,
                kind=None,
                recipe=_PLAIN,
                image_size=arch.image_size,
                params=int(cost.params),
                macs=int(cost.macs),
                top1=reference.top1,
                latency_ms=(times_ms or {}).get(reference.name),
            )
        )
    return networks


def baseline_networks(times_ms: Mapping[str, float] | None = None) -> list[Network]:
    """The baselines, in the order of their file."""
    return [
        Network(
            name=baseline.name,
            label=baseline.label,
            series=None,
            kind=baseline.kind,
            recipe=baseline.recipe,
            image_size=baseline.image_size,
            params=baseline.params,
            macs=baseline.macs,
            top1=baseline.top1,
            latency_ms=(times_ms or {}).get(baseline.name),
        )
        for baseline in baselines()
    ]


def dominance(network: Network, others: Sequence[Network], costs: tuple[str, ...] = COSTS) -> Dominance:
    """The dominance between a network and others that have a number for each of the costs."""
    measured = [other for other in others if all(getattr(other, name) is not None for name in costs)]
    return Dominance(
        network,
        costs,
        tuple(other for other in measured if _dominates(network, other, costs)),
        tuple(other for other in measured if _dominates(other, network, costs)),
    )


def dominances(networks: Sequence[Network], others: Sequence[Network]) -> list[Dominance]:
    """Each network's dominance in parameters and MACs, and in latency where that was measured."""
    static = [dominance(network, others) for network in networks]
    return static + [dominance(network, others, TIME) for network in networks if network.latency_ms is not None]


def _dominates(one: Network, other: Network, costs: Sequence[str]) -> bool:
    """At least as good in everything, and better in something."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in costs] + [(-one.top1, -other.top1)]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _join_names(networks: Sequence[Network]) -> str:
    return ", ".join(network.full_label for network in networks) or "none"


def speed_comparison(
    networks: Sequence[Network], others: Sequence[Network], runtimes: Mapping[str, str] | None = None
) -> list[str]:
    """A sentence for each timed network: the fastest baseline that is at least as accurate, and the ratio.

    With `runtimes` each latency is named with the runtime of its network.
    """

    def timed(network: Network) -> str:
        runtime = f" with {runtimes[network.name]}" if runtimes else ""
        latency = f"{pretty('latency_ms', network.latency_ms)}{runtime}"
        return f"{network.full_label} ({three_digits(network.top1)} %, {latency})"

    sentences = []
    for network in networks:
        if network.latency_ms is None:
            continue
        faster = dominance(network, others, TIME).dominated_by
        if faster:
            fastest = min(faster, key=_latency_ms)
            ratio = _latency_ms(network) / _latency_ms(fastest)
            sentences.append(f"{timed(fastest)} is {ratio:.1f} times as fast as {timed(network)}.")
        else:
            sentences.append(f"No timed baseline is at least as accurate as {timed(network)} and faster.")
    return sentences


def _latency_ms(network: Network) -> float:
    return network.latency_ms or math.inf
