"""Which studies repeat one plan, and what differs between studies that are compared."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mvsearch.metrics.pareto import Objective, front
from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import LATENCY_MS, scores
from mvsearch.profiling.measurements import measurements
from mvsearch.study.reader import Reader
from mvsearch.study.settings import ProxySettings
from mvsearch.utils.settings import flatten

_NOTED_ELSEWHERE = ("objectives", "limits", "trials", "seed", "workers", "proxy.seed", "data.path")
_PREDICTION = ("latency.predict", "latency.known")
"""Which candidates are measured, not how: such latencies may be compared; predicted ones are counted in the notes."""


def group_by_plan(studies: Mapping[str, Reader]) -> list[list[str]]:
    """The names of the studies of each plan: studies of one plan differ in their seeds, and only in them.

    A plan includes how the search proceeds, such as the rungs of its proxy. Studies with the same seeds, such as a
    study and its copy, are no repeats: each is a plan of its own.
    """
    groups: dict[str, list[str]] = {}
    for name, reader in studies.items():
        groups.setdefault(json.dumps(_plan(reader), sort_keys=True), []).append(name)
    plans: list[list[str]] = []
    for names in groups.values():
        distinct = len({seeds_of(studies[name]) for name in names}) == len(names)
        plans += [names] if distinct else [[name] for name in names]
    return plans


def seeds_of(reader: Reader) -> tuple[int, int | None]:
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


def other_proxies(studies: Mapping[str, Reader], objectives: Sequence[Objective]) -> list[str]:
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


def other_measurements(studies: Mapping[str, Reader], objectives: Sequence[Objective]) -> list[str]:
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


def other_settings(studies: Mapping[str, Reader], warnings: Sequence[str]) -> list[str]:
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


def comparison_notes(
    studies: Mapping[str, Reader], records: Mapping[str, Sequence[Record]], objectives: Sequence[Objective]
) -> list[str]:
    """Differences that do not prevent a comparison, but should be known."""
    notes = []
    own = {name: {"objectives": objective_names(reader.objectives)} for name, reader in studies.items()}
    if any(reader.objectives != tuple(objectives) for reader in studies.values()):
        notes += [f"compared on {objective_names(objectives)}", *_differences(own)]
    notes += _differences({name: {"the space": space} for name, space in _spaces(studies).items()})
    limits = {name: " and ".join(limit.text for limit in reader.limits) or "none" for name, reader in studies.items()}
    notes += _differences({name: {"the limit": text} for name, text in limits.items()})
    if all(len(names) == 1 for names in group_by_plan(studies)):
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
    names = {name: str(reader.facts.document.get("name") or name) for name, reader in studies.items()}
    digests = {name: reader.facts.space_digest for name, reader in studies.items()}
    if len(set(digests.values())) == 1:
        return {}
    if len(set(digests.values())) == len(set(names.values())):
        return names
    return {name: f"{space} {digests[name]}" for name, space in names.items()}


def _machines(reader: Reader) -> str:
    return " and ".join(dict.fromkeys(str(machine.get("cpu")) for machine in reader.machines()))


def objective_names(objectives: Sequence[Objective]) -> str:
    """In their order, with commas."""
    return ", ".join(objective.name for objective in objectives)
