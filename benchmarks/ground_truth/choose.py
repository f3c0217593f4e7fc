"""Chooses the networks of the ground truth: published ones, random ones, and those that searches propose.

Random networks are drawn uniformly from the points of a group's space whose parameters and MACs lie in its ranges.
Proposed ones are the best of a study that searched within the same ranges, published networks left out:

    python benchmarks/ground_truth/choose.py                                          published and random networks
    python benchmarks/ground_truth/choose.py --propose smaller STUDY                  adds the best of a study
    python benchmarks/ground_truth/choose.py --propose xxs STUDY --trial 35 --trial 43    adds trials by number

Networks that are in networks.yaml already stay as they are.
"""

from collections.abc import Sequence

import click
import numpy as np
from _networks import GROUPS, NETWORKS, SPACES, Group, load_networks, save_networks

from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Record
from mvsearch.proxy_eval.ground_truth import Network
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.reader import Reader, open_study

BATCH = 200_000
MAX_BATCHES = 200
FEWEST_DIFFERENCES = 5


@click.command()
@click.option("--propose", type=(click.Choice([group.name for group in GROUPS]), str), metavar="GROUP STUDY")
@click.option("--trial", "trials", type=int, multiple=True, help="With --propose: these trials. Repeatable.")
@click.option("--score", default="loss", show_default=True, help="The score that ranks the study's trials.")
def main(propose: tuple[str, str] | None, trials: tuple[int, ...], score: str) -> None:
    """Write networks.yaml."""
    networks = load_networks() if NETWORKS.exists() else []
    for number, group in enumerate(GROUPS):
        present = {network.name for network in networks}
        for network in (*published_networks(group), *random_networks(group, seed=number)):
            if network.name not in present:
                networks.append(network)
    if propose:
        group = next(group for group in GROUPS if group.name == propose[0])
        networks += proposed_networks(group, open_study(propose[1]), trials, Objective.named(score), networks)
    order = [group.name for group in GROUPS]
    save_networks(sorted(networks, key=lambda network: order.index(network.group)))
    click.echo(f"{len(networks)} networks in {NETWORKS}")


def published_networks(group: Group) -> list[Network]:
    """The published networks of a group."""
    return [Network(name, group.name, "published") for name in group.published]


def random_networks(group: Group, *, seed: int) -> list[Network]:
    """Points drawn uniformly among those within the ranges."""
    if not group.each:
        return []
    space = SearchSpace.load(SPACES / f"{group.space}.yaml")
    rng = np.random.default_rng(seed)
    networks: list[Network] = []
    for _ in range(MAX_BATCHES):
        codes = space.sample(BATCH, rng)
        costs = space.costs(codes)
        within = np.ones(len(codes), bool)
        for values, (least, most) in ((costs.params, group.params), (costs.macs, group.macs)):
            within &= (values >= least) & (values <= most)
        for row in codes[within][: group.each - len(networks)]:
            name = f"{group.name}_random_{len(networks)}"
            networks.append(Network(name, group.name, "random", space.point(row), group.space))
        if len(networks) == group.each:
            return networks
    raise click.ClickException(f"group {group.name}: {len(networks)} of {group.each} networks found; widen its ranges.")


def proposed_networks(
    group: Group, study: Reader, trials: Sequence[int], score: Objective, present: Sequence[Network]
) -> list[Network]:
    """Trials of a study within the ranges, without published networks: those of the numbers, or else the best.

    Of the best, any two differ in at least FEWEST_DIFFERENCES choices: many that a search ends with hardly differ.
    """
    own = [network for network in present if network.group == group.name and network.origin == "proposed"]
    if own and not trials:
        raise click.ClickException(f"group {group.name} has proposed networks; remove them from {NETWORKS} first.")
    records = [
        record
        for record in study.records()
        if record.state == "complete"
        and record.published is None
        and group.params[0] <= record.metrics["params"] <= group.params[1]
        and group.macs[0] <= record.metrics["macs"] <= group.macs[1]
        and (not trials or record.number in trials)
    ]
    records.sort(key=lambda record: score.cost(record.metrics[score.name]))
    if not trials:
        records = distinct(records)
    count = len(trials) or group.each
    if len(records) < count:
        raise click.ClickException(f"the study has {len(records)} of {count} such trials in group {group.name}.")
    return [
        Network(f"{group.name}_proposed_{i}", group.name, "proposed", record.choices, study.facts.document["name"])
        for i, record in enumerate(records[:count], len(own))
    ]


def distinct(records: Sequence[Record]) -> list[Record]:
    """The records, without those that differ from an earlier one in fewer than FEWEST_DIFFERENCES choices."""
    kept: list[Record] = []
    for record in records:
        if all(
            sum(record.choices[name] != other.choices[name] for name in record.choices) >= FEWEST_DIFFERENCES
            for other in kept
        ):
            kept.append(record)
    return kept


if __name__ == "__main__":
    main()
