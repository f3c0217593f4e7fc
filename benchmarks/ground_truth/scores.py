"""Computes candidates for the default score from recorded short trainings, and compares them with the ground truth.

    python benchmarks/ground_truth/scores.py                prints the tables
    python benchmarks/ground_truth/scores.py --write        writes docs/benchmarks/ground_truth_scores.md, and the
                                                            choice of the default in docs/evidence/proxies.md

Needs no images: the short trainings are in short_trainings.csv (`record.py`), the full ones in cifar10.csv. The page
counts the networks that have both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

import click
import numpy as np
from _networks import FOLDER, architecture, load_networks
from _sections import markdown_table, write_section
from _tables import read_table

from mvsearch.arch.cost import Cost
from mvsearch.proxy_eval.agreement import agreement, difference
from mvsearch.proxy_eval.ground_truth import FIT, JUDGED, GroundTruth, Network, TrainedNetwork, load_ground_truth
from mvsearch.proxy_eval.rank_correlation import FEWEST, Estimate, estimate, tau, within
from mvsearch.utils.atomic_write import write_whole
from mvsearch.utils.text import plural

C = TypeVar("C")
ByNetwork = Mapping[str, np.ndarray]
"""Values by seed of each network."""

DOCS = FOLDER.parent.parent / "docs"
PAGE, EVIDENCE = DOCS / "benchmarks" / "ground_truth_scores.md", DOCS / "evidence" / "proxies.md"
HEAD = """# Scores from recorded short trainings

Written by `benchmarks/ground_truth/scores.py`. τ (Kendall) with the test top-1 of networks that were trained in full on
CIFAR-10: higher is better. "Equal cost": pairs of one group. "Beyond size": correlation of ranks for given parameters
and MACs. Coefficients are fitted on the fit half. In brackets: 95 % intervals over networks. `mean training loss /
channel weights^p` with p = 0.5 is `scaled_loss`; the default is the held-out loss after 600 steps. "Seed to seed":
agreement of the score with itself under another seed, "with params" with the number of parameters, both over all
recorded networks. CPU s: seconds a candidate, with all seeds.
"""
GRID = np.round(np.arange(0, 1.01, 0.05), 2)
EXTRAPOLATION_GRID = np.round(np.arange(0, 2.01, 0.25), 2)
PAIR_GRID = np.round(np.arange(-0.2, 0.81, 0.1), 2)


@dataclass(frozen=True)
class Recorded:
    """The short trainings of one network by one schedule: curves (seeds, parts), evaluations (seeds, evaluations)."""

    losses: np.ndarray
    evaluated_after: tuple[int, ...]
    top1: np.ndarray
    held_out_loss: np.ndarray
    channel_weights: float
    training_s: float
    evaluation_s: float


@dataclass(frozen=True)
class Measure:
    """A number of a short training, lower is better; `evaluations` is how often it looks at held-out images."""

    words: str
    value: Callable[[Recorded], np.ndarray]
    evaluations: int = 0


MEASURES = (
    Measure("mean training loss", lambda r: r.losses.mean(1)),
    Measure("training loss, without the first tenth", lambda r: tail(r.losses, 0.9).mean(1)),
    Measure("training loss, last half", lambda r: tail(r.losses, 0.5).mean(1)),
    Measure("training loss, last fifth", lambda r: tail(r.losses, 0.2).mean(1)),
    Measure("held-out loss", lambda r: r.held_out_loss[:, -1], 1),
    Measure("held-out error (1 - top-1)", lambda r: 1 - r.top1[:, -1], 1),
    Measure(
        "held-out loss / 2 + training loss, last fifth / 2",
        lambda r: (r.held_out_loss[:, -1] + tail(r.losses, 0.2).mean(1)) / 2,
        1,
    ),
)


@dataclass(frozen=True)
class Row:
    """A line of the table: a score of each network by seed, of which higher is better, and what a candidate takes."""

    words: str
    coefficient: str
    by_seed: Mapping[str, np.ndarray]
    seconds: float | None

    @property
    def scores(self) -> dict[str, float]:
        """The means over seeds."""
        return {name: float(values.mean()) for name, values in self.by_seed.items()}


@dataclass(frozen=True)
class Schedule:
    """All networks that were recorded with a number of steps and so many seeds, whether trained in full or not."""

    steps: int
    seeds: int
    recorded: Mapping[str, Recorded]
    truth: GroundTruth
    every: Mapping[str, Network]

    @cached_property
    def costs(self) -> dict[str, Cost]:
        """Parameters and MACs by name."""
        return {name: architecture(self.every[name]).cost() for name in self.recorded}

    def networks(self, half: str | None = None) -> list[TrainedNetwork]:
        """The networks of a half that were trained in full."""
        return [network for network in self.truth.of_half(half) if network.name in self.recorded]

    def between_seeds(self, row: Row) -> Estimate:
        """The agreement at equal cost of the first seed with the second: what noise leaves of a score's order."""
        if self.seeds < 2 or row.seconds is None:
            return Estimate()
        values, groups = np.array(list(row.by_seed.values())), [self.every[name].group for name in row.by_seed]
        return estimate(lambda weights: within(values[:, 0], values[:, 1], groups, weights), len(values))

    def with_params(self, row: Row) -> Estimate:
        """The agreement at equal cost of a score with the number of parameters: how much of its order is size."""
        values, params = list(row.scores.values()), [self.costs[name].params for name in row.scores]
        groups = [self.every[name].group for name in row.scores]
        return estimate(lambda weights: within(values, params, groups, weights), len(values))

    def rows(self) -> list[Row]:
        """Every measure as it is, over a power of the channel weights, and over powers of both costs."""
        rows = []
        for measure in MEASURES:
            values = {name: measure.value(recorded) for name, recorded in self.recorded.items()}
            seconds = float(np.mean([self._seconds(recorded, measure) for recorded in self.recorded.values()]))
            rows.append(Row(measure.words, "", negate(values), seconds))
            rows += self._scaled_rows(measure, values, seconds)
            rows += self._rows_over_costs(measure, values, seconds)
        rows += self._extrapolated_rows()
        for name in ("params", "macs"):
            costs = {network: np.array([float(getattr(cost, name))]) for network, cost in self.costs.items()}
            rows.append(Row(f"*{name}*", "", costs, None))
        return rows

    def _extrapolated_rows(self) -> list[Row]:
        """The loss at the end, less k times what it fell by since the middle: networks that still learn gain.

        Where a loss falls by as much in each doubling of the steps, k is the number of doublings ahead.
        """
        rows = []
        for words, middle, end, evaluations in EXTRAPOLATED:
            if middle is middle_evaluation and min(r.held_out_loss.shape[1] for r in self.recorded.values()) < 2:
                continue
            halves = {name: (middle(recorded), end(recorded)) for name, recorded in self.recorded.items()}

            def score(k: float, halves: Mapping[str, tuple[np.ndarray, np.ndarray]] = halves) -> ByNetwork:
                return negate({name: last - k * (first - last) for name, (first, last) in halves.items()})

            k = self._best(EXTRAPOLATION_GRID, score)
            each = [self._seconds(r, Measure(words, end, evaluations)) for r in self.recorded.values()]
            rows.append(Row(words, "k = 1", score(1), float(np.mean(each))))
            if k is not None:
                rows.append(Row(words, f"k = {k:g}, fitted", score(k), float(np.mean(each))))
        return rows

    def _seconds(self, recorded: Recorded, measure: Measure) -> float:
        return self.seeds * (recorded.training_s + measure.evaluations * recorded.evaluation_s)

    def _scaled_rows(self, measure: Measure, values: ByNetwork, seconds: float) -> list[Row]:
        def score(power: float) -> ByNetwork:
            sizes = {name: recorded.channel_weights / 1e6 for name, recorded in self.recorded.items()}
            return negate({name: value / sizes[name] ** power for name, value in values.items()})

        words, power = f"{measure.words} / channel weights^p", self._best(GRID, score)
        fitted = [] if power is None else [Row(words, f"p = {power:g}, fitted", score(power), seconds)]
        return [Row(words, "p = 0.5", score(0.5), seconds), *fitted]

    def _rows_over_costs(self, measure: Measure, values: ByNetwork, seconds: float) -> list[Row]:
        def score(powers: tuple[float, float]) -> ByNetwork:
            sizes = {name: powers[0] * np.log(c.params) + powers[1] * np.log(c.macs) for name, c in self.costs.items()}
            return negate({name: np.log(value) - sizes[name] for name, value in values.items()})

        best = self._best([(p, q) for p in PAIR_GRID for q in PAIR_GRID], score)
        words = f"{measure.words} / params^p / MACs^q"
        return [] if best is None else [Row(words, f"p = {best[0]:g}, q = {best[1]:g}, fitted", score(best), seconds)]

    def _best(self, grid: Sequence[C], score: Callable[[C], ByNetwork]) -> C | None:
        """The coefficient that ranks the fit half best, over all pairs and at equal cost; of equal ones the middle.

        None for fewer than four networks.
        """
        networks = self.networks(FIT)
        if len(networks) < FEWEST:
            return None
        top1, groups = np.array([n.mean for n in networks]), [n.network.group for n in networks]
        worth = []
        for coefficient in grid:
            values = score(coefficient)
            x = np.array([values[network.name].mean() for network in networks])
            worth.append(float(np.nansum([tau(x, top1), within(x, top1, groups)])))
        equals = [each for each, value in zip(grid, worth, strict=True) if np.isclose(value, max(worth))]
        return equals[len(equals) // 2]


def middle_evaluation(recorded: Recorded) -> np.ndarray:
    """The held-out loss at the evaluation before the last."""
    return recorded.held_out_loss[:, -2]


def middle_fifth(recorded: Recorded) -> np.ndarray:
    """The training loss of the fifth of steps in the middle."""
    parts = recorded.losses.shape[1]
    return recorded.losses[:, round(0.4 * parts) : max(round(0.4 * parts) + 1, round(0.6 * parts))].mean(1)


def tail(curves: np.ndarray, share: float) -> np.ndarray:
    """The last share of each curve, at least one part."""
    return curves[:, -max(1, round(share * curves.shape[1])) :]


EXTRAPOLATED = (
    ("training loss, last fifth, extrapolated", middle_fifth, lambda r: tail(r.losses, 0.2).mean(1), 0),
    ("held-out loss, extrapolated", middle_evaluation, lambda r: r.held_out_loss[:, -1], 2),
)


def negate(values: ByNetwork) -> ByNetwork:
    """Lower is better → higher is better."""
    return {name: -value for name, value in values.items()}


def schedules(truth: GroundTruth) -> list[Schedule]:
    """One for each number of steps and of seeds, with the networks that have so many."""
    every = {network.name: network for network in (*load_networks(), *(each.network for each in truth.networks))}
    lines: dict[tuple[int, str], list[dict[str, str]]] = {}
    for row in read_table(FOLDER / "short_trainings.csv"):
        lines.setdefault((int(row["steps"]), row["network"]), []).append(row)
    found = []
    for steps in sorted({steps for steps, _ in lines}):
        of_steps = {name: rows for (each, name), rows in lines.items() if each == steps}
        for seeds in range(1, max(map(len, of_steps.values())) + 1):
            recorded = {name: recorded_of(rows[:seeds]) for name, rows in of_steps.items() if len(rows) >= seeds}
            found.append(Schedule(steps, seeds, recorded, truth, every))
    return found


def recorded_of(rows: Sequence[Mapping[str, str]]) -> Recorded:
    """The lines of one network and schedule, one for each seed."""

    def numbers(column: str) -> np.ndarray:
        return np.array([[float(value) for value in row[column].split()] for row in rows])

    def mean(column: str) -> float:
        return float(np.mean([float(row[column]) for row in rows]))

    return Recorded(
        losses=numbers("train_loss_by_5_steps"),
        evaluated_after=tuple(int(step) for step in rows[0]["evaluated_after"].split()),
        top1=numbers("top1"),
        held_out_loss=numbers("loss"),
        channel_weights=float(rows[0]["channel_weights"]),
        training_s=mean("cpu_seconds"),
        evaluation_s=mean("evaluation_cpu_seconds"),
    )


def table_of(schedule: Schedule) -> str:
    """The scores of a schedule, the best at equal cost first, with the baselines."""
    lines = []
    for row in schedule.rows():
        whole, judged = (agreement(row.scores, schedule.networks(half), schedule.costs) for half in (None, JUDGED))
        noise_and_size = schedule.between_seeds(row), schedule.with_params(row)
        estimates = (whole.tau, whole.within, whole.beyond_size, judged.tau, judged.within, *noise_and_size)
        order = -2.0 if whole.within.value is None else whole.within.value
        seconds = "-" if row.seconds is None else f"{row.seconds:.0f}"
        lines.append((order, [row.words, row.coefficient, *(each.words for each in estimates), seconds]))
    heads = ("score", "coefficient", "τ all", "τ equal cost", "beyond size", "judged: τ all", "judged: τ equal cost")
    lines.sort(key=lambda each: -each[0])
    return markdown_table(
        (*heads, "seed to seed, equal cost", "with params, equal cost", "CPU s"), [line for _, line in lines], texts=2
    )


def rungs_of(schedule: Schedule) -> list[list[str]]:
    """A line for each evaluation before the end: how its order agrees with that at the end, and with full training."""
    groups = [schedule.every[name].group for name in schedule.recorded]
    losses = np.array([recorded.held_out_loss.mean(0) for recorded in schedule.recorded.values()])
    lines = []
    for i, step in enumerate(next(iter(schedule.recorded.values())).evaluated_after[:-1]):
        at_rung, at_end = -losses[:, i], -losses[:, -1]
        ends = estimate(lambda weights, x=at_rung, y=at_end: within(x, y, groups, weights), len(groups))
        scores = dict(zip(schedule.recorded, at_rung.tolist(), strict=True))
        whole = agreement(scores, schedule.networks(), schedule.costs)
        words = f"{step} of {schedule.steps} steps, {plural(schedule.seeds, 'seed')}"
        lines.append([words, str(len(groups)), ends.words, str(whole.networks), whole.tau.words, whole.within.words])
    return lines


def rungs_table(chosen: Sequence[Schedule]) -> str:
    """What a rung of successive halving would know: the held-out loss in the middle of a schedule."""
    heads = (
        "held-out loss after",
        "recorded",
        "with the end: τ equal cost",
        "trained in full",
        "τ all",
        "τ equal cost",
    )
    return markdown_table(heads, [line for schedule in chosen for line in rungs_of(schedule)])


def held_out_loss(recorded: Recorded, power: float = 0.0) -> float:
    """The held-out loss at the end over a power of size, as a score: higher is better."""
    return -float(recorded.held_out_loss[:, -1].mean()) / (recorded.channel_weights / 1e6) ** power


def mean_loss(recorded: Recorded, power: float = 0.0) -> float:
    """The mean training loss over a power of size, as a score: higher is better."""
    return -float(recorded.losses.mean()) / (recorded.channel_weights / 1e6) ** power


BEFORE = "`scaled_loss`, 75 steps, 2 seeds"
CHOICE: Mapping[str, tuple[int, int, Callable[[Recorded], float]]] = {
    "held-out loss, 600 steps": (600, 1, held_out_loss),
    "held-out loss / channel weights^0.1, 600 steps": (600, 1, partial(held_out_loss, power=0.1)),
    "mean training loss, 600 steps": (600, 1, mean_loss),
    "held-out loss, 75 steps, 2 seeds": (75, 2, held_out_loss),
    BEFORE: (75, 2, partial(mean_loss, power=0.5)),
}
"""Candidates for the default score: steps, seeds and the score of a network."""


def choice_table(truth: GroundTruth, every: Sequence[Schedule]) -> str:
    """The candidates for the default on the networks that all of them know, and how much better they are than size."""
    found = {(each.steps, each.seeds): each.recorded for each in every}
    known = set.intersection(*(set(found[steps, seeds]) for steps, seeds, _ in CHOICE.values()))
    networks = [network for network in truth.networks if network.name in known]
    judged = [network for network in networks if network.half == JUDGED]
    by_origin = [[each for each in networks if each.network.origin == origin] for origin in ("random", "proposed")]
    costs = {network.name: architecture(network.network).cost() for network in networks}
    scores = {
        words: {name: value(found[steps, seeds][name]) for name in known}
        for words, (steps, seeds, value) in CHOICE.items()
    }
    scores |= {name: {each: float(getattr(cost, name)) for each, cost in costs.items()} for name in ("macs", "params")}
    lines = []
    for words, score in scores.items():
        found_by = [agreement(score, those, costs) for those in (networks, judged)]
        taus = [estimate for each in found_by for estimate in (each.within, each.tau)]
        taus += [agreement(score, those, costs).within for those in by_origin]
        gains = [difference(score, scores[other], networks).within for other in (BEFORE, "params")]
        lines.append([words, *(estimate.words for estimate in (*taus, *gains))])
    heads = ("score", "τ equal cost", "τ all", "judged half: τ equal cost", "judged half: τ all")
    heads += ("random alone: τ equal cost", "proposed alone: τ equal cost")
    table = markdown_table((*heads, "τ equal cost above `scaled_loss`", "above params"), lines)
    random, proposed = map(len, by_origin)
    of_them = f"{len(judged)} in the judged half, {random} drawn at random, {proposed} proposed by searches"
    return f"{len(networks)} networks, of which {of_them}.\n\n{table}"


def title_of(schedule: Schedule) -> str:
    """Steps, seeds, and how many networks there are of each kind."""
    trained, recorded = len(schedule.networks()), len(schedule.recorded)
    return (
        f"## {schedule.steps} steps, {plural(schedule.seeds, 'seed')}\n\n{recorded} of "
        f"{len(schedule.every)} networks are recorded, of which {trained} are trained in full: "
        f"{len(schedule.networks(FIT))} for fitting and {len(schedule.networks(JUDGED))} to judge."
    )


@click.command()
@click.option("--write", is_flag=True, help="Write docs/benchmarks/ground_truth_scores.md.")
@click.option("--steps", type=int, multiple=True, help="Only these schedules; repeatable.")
def main(write: bool, steps: tuple[int, ...]) -> None:
    """Print the tables of all schedules."""
    truth = load_ground_truth()
    every = schedules(truth)
    known = [each for each in every if len(each.networks()) >= FEWEST]
    chosen = [each for each in known if not steps or each.steps in steps]
    choice = choice_table(truth, every)
    print(choice)
    text = "\n\n".join(f"{title_of(schedule)}\n\n{table_of(schedule)}" for schedule in chosen)
    text += f"\n\n## Rungs\n\n{rungs_table(chosen)}"
    print(text)
    if write:
        write_whole(PAGE, f"{HEAD}\n{text}\n".encode())
        write_section(EVIDENCE, "choice", choice)


if __name__ == "__main__":
    main()
