"""Networks that were trained in full, which proxies are compared with: their architectures and test top-1. No torch.

    FOLDER/cifar10.csv       a line a training: network, seed, top1 (a share), group, origin, epochs, ...
    FOLDER/networks.yaml     the networks: name, group, origin, and the point of a space; published ones have no point

A table without networks.yaml beside it names its networks as commands do: a published name or a YAML file. Networks of
one group cost about the same; without the column `group` there are none such. Tables may grow: networks without a
finished training are counted as missing.
"""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import is_published, published
from mvsearch.errors import DataError, Location, MvsearchError, PlanError
from mvsearch.metrics.record import pooled_variance
from mvsearch.proxy_eval.rank_correlation import between_seeds, tau, within
from mvsearch.space.search_space import SearchSpace
from mvsearch.space.shipped import find_space
from mvsearch.study.resolve import find_architecture
from mvsearch.utils import plugins, yaml_document
from mvsearch.utils.hashing import digest
from mvsearch.utils.installation import PACKAGE, source_tree

Values = NDArray[np.float64]

GROUND_TRUTH = "ground_truth"
"""The name of the table that mvsearch includes."""

FIT, JUDGED = "fit", "judged"
"""Rules with a coefficient are fitted to one half of the networks and judged on the other."""

_TABLE, _NETWORKS = "cifar10.csv", "networks.yaml"
_SPACE = "v3"
_ORIGINS = ("published", "random", "proposed")
_SIMULATIONS = 400


@dataclass(frozen=True)
class Network:
    """A network of the ground truth: `origin` is published, random or proposed (by a search).

    `point` has its choices in the `space`; None for a network that its name stands for.
    """

    name: str
    group: str
    origin: str = ""
    point: Mapping[str, Any] | None = None
    space: str = _SPACE

    def architecture(self, folder: Path) -> Architecture:
        """The network itself; `folder` is where a space that is a file is looked for."""
        if self.point is not None:
            file = folder / self.space
            return _load_space(find_space(file if file.is_file() else self.space)).architecture(dict(self.point))
        return published(self.name) if is_published(self.name) else find_architecture(self.name)


@cache
def _load_space(file: Path) -> SearchSpace:
    return SearchSpace.load(file)


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its test top-1 (shares), one for each finished training, and the half that it belongs to."""

    network: Network
    half: str
    top1: tuple[float, ...]

    @property
    def name(self) -> str:
        """The name of the network."""
        return self.network.name

    @property
    def mean(self) -> float:
        """The mean top-1 over seeds."""
        return sum(self.top1) / len(self.top1)


@dataclass(frozen=True)
class Ceiling:
    """What a score that knew every network's true accuracy would reach, since the table's top-1 has noise.

    `noise` is the standard deviation of one training's top-1 over seeds, as a share. `tau` and `within` are the means
    over simulated tables. `seed_tau` and `seed_within` compare the first seed with the second, over `networks` that
    have both: two noisy rankings agree less than one with the truth.
    """

    noise: float
    tau: float
    within: float
    networks: int
    seed_tau: float
    seed_within: float


@dataclass(frozen=True)
class GroundTruth:
    """The trained networks of a table, and `untrained`, the names of networks without a finished training."""

    table: Path
    networks: tuple[TrainedNetwork, ...]
    untrained: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the table is."""
        return self.table.parent

    @property
    def seeds(self) -> int:
        """The largest number of finished trainings of a network."""
        return max(len(network.top1) for network in self.networks)

    @property
    def incomplete(self) -> tuple[str, ...]:
        """The names of networks with fewer trainings than others."""
        return tuple(network.name for network in self.networks if len(network.top1) < self.seeds)

    @cached_property
    def architectures(self) -> dict[str, Architecture]:
        """The trained networks by name; raises DataError for one that cannot be found."""
        return {each.name: self._architecture(each.network) for each in self.networks}

    def _architecture(self, network: Network) -> Architecture:
        try:
            return network.architecture(self.folder)
        except MvsearchError as error:
            raise DataError(f"{network.name}: {error}", at=self.table) from None

    def of_half(self, half: str | None) -> tuple[TrainedNetwork, ...]:
        """The trained networks of a half; all of them for None."""
        return tuple(network for network in self.networks if half in (None, network.half))

    @property
    def noise_words(self) -> str:
        """The noise of the top-1, and what it allows a score to reach, in a sentence or two."""
        if (ceiling := self.ceiling) is None:
            return "The noise of the top-1 is unknown: no network has two trainings."
        return (
            f"A training's top-1 varies by {100 * ceiling.noise:.2f} points over seeds (standard deviation, "
            f"{ceiling.networks} networks): a perfect score would reach tau {ceiling.tau:.2f} over all and "
            f"{ceiling.within:.2f} at equal cost. Two seeds agree at {ceiling.seed_tau:.2f} and "
            f"{ceiling.seed_within:.2f}."
        )

    @cached_property
    def ceiling(self) -> Ceiling | None:
        """What noise allows; None while no network has two trainings."""
        return _ceiling(self.networks)


def load_ground_truth(name: str | Path = GROUND_TRUTH) -> GroundTruth:
    """The ground truth that mvsearch includes, or that of a table.

    Raises PlanError if there is no such table, DataError, with the line, for a table that cannot be read.
    """
    table = (_folder() / _TABLE) if str(name) == GROUND_TRUTH else Path(name)
    if not table.is_file():
        raise PlanError(
            f"is not a table of trained networks; use {GROUND_TRUTH}, or a CSV with the columns network and top1.",
            at=table,
        )
    rows = _read_rows(table)
    networks = load_networks(table.parent / _NETWORKS) or _networks_of(rows)
    _check(rows, networks, table)
    halves = halve(networks)
    top1: dict[str, list[float]] = {network.name: [] for network in networks}
    for row in sorted(rows, key=lambda row: row.seed):
        top1[row.network].append(row.top1)
    trained = tuple(TrainedNetwork(n, halves[n.name], tuple(top1[n.name])) for n in networks if top1[n.name])
    return GroundTruth(table, trained, tuple(network.name for network in networks if not top1[network.name]))


def load_networks(file: Path) -> tuple[Network, ...]:
    """The networks of a networks.yaml, in its order; none if there is no such file."""
    if not file.is_file():
        return ()
    document = yaml_document.read(file)
    networks = []
    for i, row in enumerate(document.data.get("networks", ())):
        known = {"name", "group", "origin", "point", "space"}
        if not isinstance(row, dict) or not {"name", "group"} <= row.keys() <= known:
            raise DataError("a network has name and group, and may have origin, point, space.", at=_at(document, i))
        networks.append(Network(**row))
    return tuple(networks)


def halve(networks: Iterable[Network]) -> dict[str, str]:
    """The half of each network by name: every other one of each group is for fitting; lone networks are one group.

    Within a group published networks come first, then random, then proposed ones, each in the order of a hash of their
    names. So the split needs no memory. A proposed network that is added later may change the halves of other proposed
    ones of its group, and of one that was alone in it.
    """
    groups: dict[str, list[Network]] = {}
    for network in networks:
        groups.setdefault(network.group, []).append(network)
    lone = [members.pop() for members in groups.values() if len(members) == 1]
    halves = {}
    for members in (*groups.values(), lone):
        for i, network in enumerate(sorted(members, key=_split_order)):
            halves[network.name] = JUDGED if i % 2 else FIT
    return halves


def _split_order(network: Network) -> tuple[int, str]:
    known = network.origin in _ORIGINS
    return (_ORIGINS.index(network.origin) if known else len(_ORIGINS), digest(network.name))


# ---- the table


@dataclass(frozen=True)
class _Row:
    """A line of the table."""

    line: int
    network: str
    seed: int
    top1: float
    group: str
    origin: str
    epochs: str


def _folder() -> Path:
    tree = source_tree()
    return tree / "benchmarks" / GROUND_TRUTH if tree else PACKAGE / GROUND_TRUTH


def _at(document: yaml_document.Document, row: int) -> Location:
    return document.where("networks", row)


def _read_rows(table: Path) -> list[_Row]:
    try:
        lines = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    except UnicodeDecodeError:
        raise DataError("is not text in UTF-8; use a CSV with the columns network and top1.", at=table) from None
    columns = lines[0].keys() if lines else set()
    if missing := [name for name in ("network", "top1") if name not in columns]:
        raise DataError(f"found no column {' and no column '.join(missing)}, or no line; both are needed.", at=table)
    return [_row(line, Location(str(table), number)) for number, line in enumerate(lines, 2)]


def _row(line: Mapping[str, Any], at: Location) -> _Row:
    try:
        seed, top1 = int(line.get("seed") or 0), float(line["top1"])
    except (TypeError, ValueError):
        raise DataError(f"found seed {line.get('seed')!r} and top1 {line['top1']!r}; use numbers.", at=at) from None
    if not (math.isfinite(top1) and 0 <= top1 <= 1):
        raise DataError(f"top1 is {top1:g}; use a share from 0 to 1.", at=at)
    name = line["network"]
    return _Row(
        at.line or 0, name, seed, top1, line.get("group") or name, line.get("origin") or "", line.get("epochs") or ""
    )


def _networks_of(rows: Iterable[_Row]) -> tuple[Network, ...]:
    """The networks of a table that has no networks.yaml."""
    return tuple({row.network: Network(row.network, row.group, row.origin) for row in rows}.values())


def _check(rows: Sequence[_Row], networks: Sequence[Network], table: Path) -> None:
    """Raises DataError for a network that is not known, a training that is there twice, or different lengths."""
    names = [network.name for network in networks]
    seen: set[tuple[str, int]] = set()
    for row in rows:
        at = Location(str(table), row.line)
        if row.network not in names:
            raise DataError(f"{row.network!r} is not in {_NETWORKS}; {plugins.suggest(row.network, names)}", at=at)
        if (row.network, row.seed) in seen:
            raise DataError(f"{row.network} has seed {row.seed} twice; keep one line.", at=at)
        if row.epochs != rows[0].epochs:
            raise DataError(
                f"{row.network} has {row.epochs} epochs, others {rows[0].epochs}; use a table for each.", at=at
            )
        seen.add((row.network, row.seed))


# ---- noise


def _ceiling(networks: Sequence[TrainedNetwork]) -> Ceiling | None:
    variance = pooled_variance([network.top1 for network in networks])
    if variance is None:
        return None
    repeated = [network for network in networks if len(network.top1) > 1]
    groups = [each.network.group for each in networks]
    errors = np.sqrt(variance / np.array([len(each.top1) for each in networks]))
    truth = _without_noise(np.array([each.mean for each in networks]), groups, errors)
    rng = np.random.default_rng(0)
    tables = truth + errors * rng.standard_normal((_SIMULATIONS, len(networks)))
    twice = [each.network.group for each in repeated]
    first, second = ([each.top1[seed] for each in repeated] for seed in (0, 1))
    return Ceiling(
        noise=math.sqrt(variance),
        tau=float(np.mean([tau(truth, table) for table in tables])),
        within=float(np.mean([within(truth, table, groups) for table in tables])),
        networks=len(repeated),
        seed_tau=float(between_seeds([first, second])),
        seed_within=float(within(first, second, twice)),
    )


def _without_noise(means: Values, groups: Sequence[str], errors: Values) -> Values:
    """Means drawn together within their groups, until they spread as far as they would without noise."""
    truth, kinds = means.copy(), np.array(groups)
    for group in dict.fromkeys(groups):
        inside = kinds == group
        centre, spread = means[inside].mean(), means[inside].var(ddof=1) if inside.sum() > 1 else 0.0
        if spread > 0:
            share = max(0.0, 1 - float((errors[inside] ** 2).mean()) / spread)
            truth[inside] = centre + math.sqrt(share) * (means[inside] - centre)
    return truth
