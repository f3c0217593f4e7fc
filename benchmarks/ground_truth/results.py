"""Writes the results of the ground truth into README.md, and draws how the order of networks settles.

    python benchmarks/ground_truth/results.py

Needs no images: everything is in cifar10.csv and, for networks that were trained longer, cifar10_20_epochs.csv. Run it
again as the tables grow; it says what is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from _networks import FOLDER, GROUPS
from _sections import markdown_table, write_section
from _tables import read_table
from matplotlib.figure import Figure

from mvsearch.proxy_eval.ground_truth import GroundTruth, load_ground_truth
from mvsearch.proxy_eval.rank_correlation import Estimate, estimate, tau, within
from mvsearch.report.figures.palette import LIGHT
from mvsearch.report.figures.static import render
from mvsearch.utils.atomic_write import write_whole

README = FOLDER / "README.md"
TABLE, LONGER = FOLDER / "cifar10.csv", FOLDER / "cifar10_20_epochs.csv"
PLOT = FOLDER.parent.parent / "docs" / "benchmarks" / "ground_truth.png"
SEEDS = 2


@dataclass(frozen=True)
class Curves:
    """Networks by name with their groups, and the mean top-1 over seeds after each epoch: (networks, epochs)."""

    names: tuple[str, ...]
    groups: tuple[str, ...]
    top1: np.ndarray

    @classmethod
    def of(cls, table: Path) -> "Curves":
        """The networks of a table that have curves; each with the seeds that it has."""
        curves: dict[str, list[list[float]]] = {}
        groups = {}
        for row in (row for row in read_table(table) if row["top1_by_epoch"]):
            curves.setdefault(row["network"], []).append([float(value) for value in row["top1_by_epoch"].split()])
            groups[row["network"]] = row["group"]
        means = [np.mean(rows, axis=0) for rows in curves.values()]
        return cls(tuple(curves), tuple(groups.values()), np.array(means).reshape(len(means), -1))

    @property
    def epochs(self) -> int:
        """The length of the trainings."""
        return int(self.top1.shape[1])

    def agreement(self, epoch: int) -> tuple[Estimate, Estimate]:
        """Tau between the order after an epoch, counted from 1, and at the end: over all, and within groups."""
        return order_agreement(self.top1[:, epoch - 1], self.top1[:, -1], self.groups)


def order_agreement(x: np.ndarray, y: np.ndarray, groups: Sequence[str]) -> tuple[Estimate, Estimate]:
    """Tau over all pairs, and within groups, with intervals over networks."""
    return (
        estimate(lambda weights: tau(x, y, weights), len(x)),
        estimate(lambda weights: within(x, y, groups, weights), len(x)),
    )


def missing_words(truth: GroundTruth) -> str:
    """What is not trained yet, counted."""
    trainings = sum(len(network.top1) for network in truth.networks)
    networks = len(truth.networks) + len(truth.untrained)
    return (
        f"{trainings} trainings are finished: {len(truth.networks)} of {networks} networks, "
        f"{sum(len(network.top1) >= SEEDS for network in truth.networks)} with {SEEDS} seeds or more."
    )


def without_curves_words(curves: Curves, truth: GroundTruth) -> str:
    """How many networks the table of epochs and the picture lack; empty if they have all."""
    missing = len(truth.networks) - len(curves.names)
    words = f"{missing} of {len(truth.networks)} networks were taken over from a validation, without top-1 by epoch"
    return f"{words}: the table below and the picture lack them." if missing else ""


def results_table(truth: GroundTruth) -> str:
    """A line for each trained network, the best of each group first."""
    order = [group.name for group in GROUPS]
    costs = {name: arch.cost() for name, arch in truth.architectures.items()}
    lines = []
    for each in sorted(truth.networks, key=lambda n: (order.index(n.network.group), -n.mean)):
        cost = costs[each.name]
        lines.append(
            [
                each.name,
                each.network.group,
                each.network.origin,
                each.half,
                f"{cost.params / 1e6:.2f} M",
                f"{cost.macs / 1e6:,.0f} M",
                f"{100 * each.mean:.2f}",
                " ".join(f"{100 * value:.2f}" for value in each.top1),
            ]
        )
    heads = ("network", "group", "origin", "half", "params", "MACs", "top-1, mean (%)", "by seed")
    return markdown_table(heads, lines, texts=4)


def longer_table() -> str:
    """The networks that were trained longer, beside their usual training with the same seed, the best first."""
    usual = {(row["network"], row["seed"]): row for row in read_table(TABLE)}
    pairs = [(row, usual[row["network"], row["seed"]]) for row in read_table(LONGER)]
    lines = [
        [longer["network"], longer["seed"], *(f"{100 * float(row['top1']):.2f}" for row in (short, longer))]
        for longer, short in sorted(pairs, key=lambda pair: -float(pair[0]["top1"]))
    ]
    heads = ("network", "seed", *(f"top-1 after {row['epochs']} epochs (%)" for row in reversed(pairs[0])))
    return markdown_table(heads, lines)


def curve_table(curves: Curves, truth: GroundTruth) -> str:
    """How well the order after each epoch agrees with that at the end."""
    lines = [
        [f"epoch {epoch} of {curves.epochs}", *(each.words for each in curves.agreement(epoch))]
        for epoch in range(1, curves.epochs)
    ]
    if truth.ceiling:
        seeds = f"{truth.ceiling.seed_tau:.2f}", f"{truth.ceiling.seed_within:.2f}"
        lines.append([f"one seed against another: noise alone ({truth.ceiling.networks} networks)", *seeds])
    return markdown_table(("order", "τ all", "τ equal cost"), lines)


def picture(curves: Curves) -> bytes:
    """Left: top-1 by epoch, a line a network. Right: tau between each epoch and the end."""

    def make() -> Figure:
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        groups = list(dict.fromkeys(curves.groups))
        styles = dict(zip(groups, LIGHT.series(len(groups)), strict=True))
        epochs = np.arange(1, curves.epochs + 1)
        for group, curve in zip(curves.groups, curves.top1, strict=True):
            left.plot(epochs, 100 * curve, color=styles[group].colour, linewidth=0.9)
        for group, style in styles.items():
            left.plot([], [], color=style.colour, label=f"{group} ({curves.groups.count(group)})")
        left.set(title="test top-1 (%), mean over seeds", xlabel="epoch")
        left.legend(frameon=False, title="group (networks)")
        for words, place, colour in (("all pairs", 0, LIGHT.primary), ("equal cost", 1, LIGHT.secondary)):
            estimates = [curves.agreement(epoch)[place] for epoch in epochs]
            values = [np.nan if each.value is None else each.value for each in estimates]
            right.plot(epochs, values, color=colour, marker="o", markersize=4, label=words)
            low, high = (
                [np.nan if v is None else v for v in side]
                for side in zip(*((e.low, e.high) for e in estimates), strict=True)
            )
            right.fill_between(epochs, low, high, color=colour, alpha=0.15)
        right.set(title="tau with the order at the end", xlabel="epoch", ylim=(-0.25, 1.03))
        right.legend(frameon=False, loc="lower right")
        for axes in (left, right):
            axes.grid(alpha=0.3)
        return figure

    return render(make, "png", LIGHT)


@click.command()
def main() -> None:
    """Write the section of the page and the picture."""
    truth, curves = load_ground_truth(TABLE), Curves.of(TABLE)
    parts = (missing_words(truth), truth.noise_words, results_table(truth))
    parts += (without_curves_words(curves, truth), curve_table(curves, truth), longer_table())
    write_section(README, "results", "\n\n".join(filter(None, parts)))
    write_whole(PLOT, picture(curves))
    print(missing_words(truth))


if __name__ == "__main__":
    main()
