"""Comparison of studies by hypervolume, coverage and epsilon, and by the leader at each cost.

    studies ── comparable? ── runs ── sides (repeats of one plan are one side) ── indicators
                   │
                   └ latencies of one device, scores of one proxy; else an error, or a warning with allow_mismatch

Every number is about the front of the whole study within its own limits.
"""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate, pairwise, takewhile
from statistics import median
from typing import Any

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
from mvsearch.metrics.registry import LATENCY_MS, scores
from mvsearch.profiling.measurements import measurements
from mvsearch.study.reader import Reader
from mvsearch.study.settings import ProxySettings
from mvsearch.utils.settings import flatten

_NOTED_ELSEWHERE = ("objectives", "limits", "trials", "seed", "workers", "proxy.seed", "data.path")
_PREDICTION = ("latency.predict", "latency.known")
"""Which candidates are measured, not how: such latencies may be compared; predicted ones are counted in the notes."""


@dataclass(frozen=True)
class Run:
    """One study: its candidates within its limits, its front, and how its hypervolume grew with each candidate.

    `seconds` is the cumulative time of the evaluations, those of all workers one after the other.
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
    warnings = (*_other_proxies(studies, compared), *_other_measurements(studies, compared))
    if warnings and not allow_mismatch:
        raise StudyError(
            f"these studies may not be compared: {'; '.join(warnings)}. Use --allow-mismatch to compare them anyway."
        )
    point = reference_point([record for members in records.values() for record in members], compared)
    runs = {name: _run(name, members, compared, point) for name, members in records.items()}
    plans = _plans(studies)
    sides = tuple(_side(names, runs, studies) for names in plans)
    single = tuple(Side(name, (run,)) for name, run in runs.items())
    return Comparison(
        objectives=compared,
        reference=point,
        spans=spans([record for run in runs.values() for record in run.front], compared),
        sides=sides if len(sides) > 1 else single,
        repeats=tuple(side for side in sides if len(side.runs) > 1),
        warnings=warnings,
        notes=(*_notes(studies, records, compared), *_other_settings(studies, warnings)),
    )


def _run(name: str, records: Sequence[Record], objectives: Sequence[Objective], point: Mapping[str, float]) -> Run:
    return Run(
        name,
        tuple(records),
        tuple(front(records, objectives)),
        tuple(running_hypervolume(records, objectives, point)),
        tuple(accumulate(record.seconds for record in records)),
    )


def _common_objectives(studies: Mapping[str, Reader]) -> tuple[Objective, ...]:
    first, *others = studies.values()
    shared = tuple(o for o in first.objectives if all(o in other.objectives for other in others))
    if not shared:
        said = "; ".join(f"{name}: {_names(reader.objectives)}" for name, reader in studies.items())
        raise StudyError(f"these studies have no objective in common ({said}); choose a metric with --objective.")
    return shared


# ---- repeats


def _plans(studies: Mapping[str, Reader]) -> list[list[str]]:
    """The names of the studies of each plan: studies of one plan differ in their seeds, and only in them.

    A plan includes how the search proceeds, such as the rungs of its proxy.

    Studies with the same seeds, such as a study and its copy, are no repeats: each is a plan of its own.
    """
    groups: dict[str, list[str]] = {}
    for name, reader in studies.items():
        groups.setdefault(json.dumps(_plan(reader), sort_keys=True), []).append(name)
    plans: list[list[str]] = []
    for names in groups.values():
        distinct = len({_seeds(studies[name]) for name in names}) == len(names)
        plans += [names] if distinct else [[name] for name in names]
    return plans


def _seeds(reader: Reader) -> tuple[int, int | None]:
    """The seeds of the sampler and of the proxy; None without a proxy."""
    return reader.facts.search.seed, flatten(reader.facts.settings).get("proxy.seed")


def _plan(reader: Reader) -> dict[str, Any]:
    facts = reader.facts
    search = {key: value for key, value in asdict(facts.search).items() if key not in ("seed", "workers")}
    settings = {key: value for key, value in flatten(facts.settings).items() if key != "proxy.seed"}
    fixed = {"objectives": facts.objectives, "space": facts.space_digest, "images": facts.images}
    return {"search": search, "rungs": _rungs(reader), "settings": settings, **fixed, "device": facts.device()}


def _rungs(reader: Reader) -> dict[str, Any]:
    """The rungs of the proxy and the share that each keeps; empty where there are none."""
    proxy = reader.facts.document.get("proxy") or {}
    if "proxy" not in reader.facts.settings or not proxy.get("rungs"):
        return {}
    return {"proxy.rungs": proxy["rungs"], "proxy.keep": proxy.get("keep", ProxySettings.keep)}


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
    for seeds, words in zip(zip(*map(_seeds, readers), strict=True), ("seeds", "proxy seeds"), strict=True):
        if len(set(seeds)) == len(readers):
            return f"{len(readers)} {words}"
    return f"{len(readers)} pairs of seeds"


# ---- comparability


def _other_proxies(studies: Mapping[str, Reader], objectives: Sequence[Objective]) -> list[str]:
    """How the scores were measured, where it differs. Another seed is a repeat, not another measure."""
    if not any(objective.name in scores() for objective in objectives):
        return []
    said = {name: _settings(reader, "proxy", "data") for name, reader in studies.items()}
    measures = {
        name: {key: value for key, value in found.items() if key not in ("proxy.seed", "data.path")}
        | {"the images": studies[name].facts.images}
        for name, found in said.items()
    }
    return _differences(measures)


def _other_measurements(studies: Mapping[str, Reader], objectives: Sequence[Objective]) -> list[str]:
    """How objectives were measured, and on which device, where it differs."""
    differences = []
    for part, measurement in measurements().items():
        if {metric.name for metric in measurement.metrics} & {objective.name for objective in objectives}:
            devices = {name: {"the device": reader.facts.device(part)} for name, reader in studies.items()}
            differences += _differences({name: _settings(studies[name], part) | devices[name] for name in studies})
    return differences


def _settings(reader: Reader, *parts: str) -> dict[str, Any]:
    settings = flatten({part: reader.facts.settings.get(part, {}) for part in parts})
    return {key: value for key, value in settings.items() if key not in _PREDICTION}


def _differences(measures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A clause for each setting that is not the same everywhere, e.g. `proxy.steps is 300 in a, 60 in b`."""
    said = []
    for key in dict.fromkeys(key for measure in measures.values() for key in measure):
        found: dict[str, list[str]] = {}
        for name, measure in measures.items():
            found.setdefault(str(measure.get(key)), []).append(name)
        if len(found) > 1:
            said.append(f"{key} is " + ", ".join(f"{value} in {' and '.join(names)}" for value, names in found.items()))
    return said


def _other_settings(studies: Mapping[str, Reader], warnings: Sequence[str]) -> list[str]:
    """Differences in how the studies searched, and in settings that the compared numbers do not depend on."""
    own = {}
    for name, reader in studies.items():
        search = {key: value for key, value in asdict(reader.facts.search).items() if key not in _NOTED_ELSEWHERE}
        settings = {key: v for key, v in flatten(reader.facts.settings).items() if key not in _NOTED_ELSEWHERE}
        images = {"the images": reader.facts.images} if reader.facts.images else {}
        own[name] = search | settings | images
    common = [key for key in own[next(iter(own))] if all(key in found for found in own.values())]
    shared = {name: {key: found[key] for key in common} | _rungs(studies[name]) for name, found in own.items()}
    return [difference for difference in _differences(shared) if difference not in warnings]


def _notes(
    studies: Mapping[str, Reader], records: Mapping[str, Sequence[Record]], objectives: Sequence[Objective]
) -> list[str]:
    """Differences that do not prevent a comparison, but should be known."""
    notes = []
    own = {name: {"objectives": _names(reader.objectives)} for name, reader in studies.items()}
    if any(reader.objectives != tuple(objectives) for reader in studies.values()):
        notes += [f"compared on {_names(objectives)}", *_differences(own)]
    notes += _differences({name: {"the space": space} for name, space in _spaces(studies).items()})
    limits = {name: " and ".join(limit.text for limit in reader.limits) or "none" for name, reader in studies.items()}
    notes += _differences({name: {"the limit": text} for name, text in limits.items()})
    if all(len(names) == 1 for names in _plans(studies)):
        searches = {name: reader.facts.search for name, reader in studies.items()}
        runs = _differences({name: {"trials": own.trials, "seed": own.seed} for name, own in searches.items()})
        notes += [f"{' and '.join(runs)}, so these are no repeats of one plan"] if len(runs) > 1 else []
    notes += _differences({name: {"the processor": _machines(reader)} for name, reader in studies.items()})
    notes += [f"{name} is not finished: {reader.progress}" for name, reader in studies.items() if reader.progress]
    for name, found in records.items():
        complete = sum(state == "complete" for state in studies[name].states())
        if beyond := complete - sum(record.state == "complete" for record in found):
            notes.append(f"{beyond} of {complete} complete trials of {name} are beyond its limits and left out")
        if known := sum(record.cached for record in found):
            notes.append(f"{known} of {len(found)} trials of {name} were in the cache and took no time")
        notes += _predicted_note(name, found, objectives)
    return notes


def _predicted_note(name: str, records: Sequence[Record], objectives: Sequence[Objective]) -> list[str]:
    """How many latencies of a study are predicted, if they are compared."""
    predicted = {record.number for record in records if record.metrics.get("latency_predicted")}
    if not predicted or LATENCY_MS.name not in {objective.name for objective in objectives}:
        return []
    members = sum(record.number in predicted for record in front(records, objectives))
    return [f"{len(predicted)} of {len(records)} latencies of {name} are predicted, {members or 'none'} on its front"]


def _spaces(studies: Mapping[str, Reader]) -> dict[str, str]:
    """The names of spaces with other choices; with what identifies the choices where spaces of one name differ."""
    names = {name: str(reader.facts.document["name"]) for name, reader in studies.items()}
    digests = {name: reader.facts.space_digest for name, reader in studies.items()}
    if len(set(digests.values())) == 1:
        return {}
    if len(set(digests.values())) == len(set(names.values())):
        return names
    return {name: f"{space} {digests[name]}" for name, space in names.items()}


def _machines(reader: Reader) -> str:
    return " and ".join(dict.fromkeys(str(machine.get("cpu")) for machine in reader.machines()))


def _names(objectives: Sequence[Objective]) -> str:
    return ", ".join(objective.name for objective in objectives)
