"""Comparison of studies by hypervolume, coverage and epsilon, and by the leader at each cost.

    studies ── comparable? ── runs ── sides (repeats of one plan are one side) ── indicators
                   │
                   └ latencies of one device, scores of one proxy; else an error, or a warning with allow_mismatch

Every number is about the front of the whole study within its own limits.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise, takewhile
from statistics import median

from mvsearch.errors import StudyError
from mvsearch.metrics.pareto import (
    Objective,
    attainment,
    coverage,
    epsilon,
    front,
    reference_point,
    running_hypervolume,
    spans,
)
from mvsearch.metrics.record import Metrics, Record
from mvsearch.study.comparability import (
    comparison_notes,
    group_by_plan,
    objective_names,
    other_measurements,
    other_proxies,
    other_settings,
    seeds_of,
)
from mvsearch.study.reader import Reader


@dataclass(frozen=True)
class Run:
    """One study: its candidates within its limits, its front, and how its hypervolume grew with each evaluation.

    Trials beyond the limits are evaluations too: they took their time and add nothing. `seconds` is the cumulative time
    of the evaluations, those of all workers one after the other.
    """

    name: str
    records: tuple[Record, ...]
    front: tuple[Record, ...]
    hypervolumes: tuple[float, ...]
    seconds: tuple[float, ...]

    @property
    def hypervolume(self) -> float:
        """The hypervolume of the whole study."""
        return self.hypervolumes[-1]

    @property
    def evaluations(self) -> int:
        """The number of finished trials."""
        return len(self.hypervolumes)

    def within(self, *, evaluations: float = math.inf, seconds: float = math.inf) -> float:
        """The hypervolume of the evaluations that are among the first so many and within so many seconds."""
        done = int(min(evaluations, bisect_right(self.seconds, seconds)))
        return self.hypervolumes[done - 1] if done else 0.0


@dataclass(frozen=True)
class Side:
    """What is compared: one study, or several that repeat one plan with other seeds."""

    name: str
    runs: tuple[Run, ...]

    @property
    def hypervolume(self) -> float:
        """The median over the runs."""
        return median(run.hypervolume for run in self.runs)

    def surface(self, objectives: Sequence[Objective], times: int) -> list[Metrics]:
        """The best trade-offs of these objectives that at least `times` of the runs reach: values, by objective."""
        fronts = [front(run.records, objectives) for run in self.runs]
        return attainment(fronts, objectives, times)

    @property
    def half(self) -> int:
        """How many runs are half of them: the median surface is reached by so many."""
        return math.ceil(len(self.runs) / 2)


@dataclass(frozen=True)
class Pair:
    """One side over another: the share of the other's front that it covers, and what it lacks to cover all.

    Where a side has several runs, the medians over all pairs of runs.
    """

    side: str
    over: str
    coverage: float
    epsilon: float


@dataclass(frozen=True)
class Stretch:
    """From one cost to the next the same sides lead, by at most `by`; infinite where nobody else is so cheap."""

    start: float
    end: float
    leaders: tuple[str, ...]
    by: float


@dataclass(frozen=True)
class Comparison:
    """What is known of some studies beside each other, all with one reference point.

    `spans` are what epsilon is counted in: the values of each objective over all fronts. `warnings` say what may not
    be compared and was; `notes` what a reader should know besides. `repeats` are the plans that were run several times.
    """

    objectives: tuple[Objective, ...]
    reference: dict[str, float]
    spans: dict[str, tuple[float, float]]
    sides: tuple[Side, ...]
    repeats: tuple[Side, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def runs(self) -> list[Run]:
        """Every study."""
        return [run for side in self.sides for run in side.runs]

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every side over every other."""
        return [self._pair(one, other) for one in self.sides for other in self.sides if one is not other]

    def _pair(self, one: Side, other: Side) -> Pair:
        both = [(mine.front, theirs.front) for mine in one.runs for theirs in other.runs]
        covered = median(coverage(mine, theirs, self.objectives) for mine, theirs in both)
        lacking = median(epsilon(mine, theirs, self.objectives, self.spans) for mine, theirs in both)
        return Pair(one.name, other.name, covered, lacking)

    def stretches(self, cost: str, gain: str) -> list[Stretch]:
        """Who gets the most `gain` out of at most so much `cost`, from the cheapest candidate on."""
        pair = (Objective.named(cost), Objective.named(gain))
        steps = {side.name: _steps(side.surface(pair, side.half), *pair) for side in self.sides}
        starts = sorted({at for reached in steps.values() for at, _ in reached})
        found: list[Stretch] = []
        for start, end in pairwise([*starts, math.inf]):
            at = {
                name: max(value for begin, value in [(0, -math.inf), *reached] if begin <= start)
                for name, reached in steps.items()
            }
            best = max(at.values())
            leaders = tuple(name for name, value in at.items() if value == best)
            by = best - max((value for value in at.values() if value < best), default=best)
            if found and found[-1].leaders == leaders:
                found[-1] = Stretch(found[-1].start, end, leaders, _larger(found[-1].by, by))
            else:
                found.append(Stretch(start, end, leaders, by))
        return found


def _larger(one: float, other: float) -> float:
    """The larger of the finite leads; a lead is infinite where no other side has a member yet."""
    numbers = [value for value in (one, other) if math.isfinite(value)]
    return max(numbers) if numbers else math.inf


def _steps(surface: Sequence[Metrics], cost: Objective, gain: Objective) -> list[tuple[float, float]]:
    """The gain at each cost, negated if lower is better."""
    return [(row[cost.name], -gain.cost(row[gain.name])) for row in surface]


def compare(
    studies: Mapping[str, Reader], objectives: Sequence[Objective] = (), *, allow_mismatch: bool = False
) -> Comparison:
    """Compare two or more studies by name, on their common objectives unless `objectives` are given.

    Raises StudyError if they have no common objective, or if their numbers are not comparable without `allow_mismatch`.
    """
    if len(studies) < 2:
        raise StudyError("a comparison needs two or more studies; only one is given.")
    compared = tuple(objectives) or _common_objectives(studies)
    records = {name: reader.measured(compared) for name, reader in studies.items()}
    warnings = (*other_proxies(studies, compared), *other_measurements(studies, compared))
    if warnings and not allow_mismatch:
        raise StudyError(
            f"these studies may not be compared: {'; '.join(warnings)}. Use --allow-mismatch to compare them anyway."
        )
    point = reference_point([record for members in records.values() for record in members], compared)
    runs = {name: _run(name, reader.records(), records[name], compared, point) for name, reader in studies.items()}
    plans = group_by_plan(studies)
    sides = tuple(_side(names, runs, studies) for names in plans)
    single = tuple(Side(name, (run,)) for name, run in runs.items())
    return Comparison(
        objectives=compared,
        reference=point,
        spans=spans([record for run in runs.values() for record in run.front], compared),
        sides=sides if len(sides) > 1 else single,
        repeats=tuple(side for side in sides if len(side.runs) > 1),
        warnings=warnings,
        notes=(*comparison_notes(studies, records, compared), *other_settings(studies, warnings)),
    )


def _run(
    name: str,
    finished: Sequence[Record],
    within: Sequence[Record],
    objectives: Sequence[Objective],
    point: Mapping[str, float],
) -> Run:
    kept = {record.number for record in within}
    counted = [record if record.number in kept else replace(record, metrics={}) for record in finished]
    return Run(
        name,
        tuple(within),
        tuple(front(within, objectives)),
        tuple(running_hypervolume(counted, objectives, point)),
        tuple(accumulate(record.seconds for record in finished)),
    )


def _common_objectives(studies: Mapping[str, Reader]) -> tuple[Objective, ...]:
    first, *others = studies.values()
    shared = tuple(o for o in first.objectives if all(o in other.objectives for other in others))
    if not shared:
        said = "; ".join(f"{name}: {objective_names(reader.objectives)}" for name, reader in studies.items())
        raise StudyError(f"these studies have no objective in common ({said}); choose a metric with --objective.")
    return shared


def _side(names: Sequence[str], runs: Mapping[str, Run], studies: Mapping[str, Reader]) -> Side:
    """The runs of one plan; several are named by the common prefix of their names, if they alone have it."""
    mine = tuple(runs[name] for name in names)
    if len(names) == 1:
        return Side(names[0], mine)
    letters = zip(*(studies[name].name for name in names), strict=False)
    common = "".join(alike[0] for alike in takewhile(lambda alike: len(set(alike)) == 1, letters)).rstrip("-_. ")
    taken = [name for name in runs if studies[name].name.startswith(common)]
    unique = common and taken == list(names)
    return Side(f"{common} ({_count_seeds([studies[name] for name in names])})" if unique else " + ".join(names), mine)


def _count_seeds(readers: Sequence[Reader]) -> str:
    """What distinguishes repeats: as many seeds of the search, or else of the proxy, or else of both together."""
    for seeds, words in zip(zip(*map(seeds_of, readers), strict=True), ("seeds", "proxy seeds"), strict=True):
        if len(set(seeds)) == len(readers):
            return f"{len(readers)} {words}"
    return f"{len(readers)} pairs of seeds"
