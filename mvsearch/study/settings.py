"""The settings of a study as a space file has them: `search:`, `proxy:`, `data:` and a section for each measurement.

YAML becomes values here; names, types and ranges of single settings are checked with the place where they are written.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from mvsearch.data import MIN_SIZE, DataSettings, default_source
from mvsearch.errors import Location, PlanError
from mvsearch.metrics.constraints import Constraint, override_limits
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.registry import STATIC_COSTS, device_of, is_score
from mvsearch.metrics.registry import measurements as measured_metrics
from mvsearch.profiling.measurements import measurements
from mvsearch.proxies import load_proxy
from mvsearch.space.search_space import SearchSpace
from mvsearch.utils import plugins
from mvsearch.utils.settings import from_mapping
from mvsearch.utils.yaml_document import Document


@dataclass(frozen=True)
class SearchSettings:
    """`search:` the objectives, the constraints, and how the space is searched."""

    objectives: tuple[str, ...] = ("loss", "params", "macs")
    """Metrics that candidates are compared by. By default the first is the first score of the proxy."""
    limits: tuple[str, ...] = ()
    """Constraints that every candidate must satisfy, e.g. `params <= 2M`."""
    sampler: str = "surrogate"
    """How candidates are proposed."""
    trials: int = 40
    """The number of trials in all; at most the number of points of the space, where they can be listed."""
    seed: int = 0
    """With one worker, the same seed proposes the same candidates."""
    workers: int = 0
    """Worker processes; 0 is one per GPU, or one per core up to 16."""
    confirm: bool = False
    """Re-evaluate the members of the front with further seeds at the end."""
    isolate: bool = False
    """Evaluate in a child process, so that a candidate that crashes it fails and the worker continues."""
    timeout_s: float = 0.0
    """The most seconds of a trial; 0 is no limit. Implies `isolate`."""
    memory_gib: float = 0.0
    """The most memory of a trial's process in GiB; 0 is no limit. Implies `isolate`."""
    beat: str = ""
    """A network to beat: the score alone is searched for, at no more than its parameters and MACs, with `confirm`."""
    beat_on: tuple[str, ...] = ()
    """Further costs that must be no higher than those of the network to beat, e.g. `latency_ms`."""

    @property
    def isolated(self) -> bool:
        """Whether each candidate is evaluated in a child process."""
        return self.isolate or self.timeout_s > 0 or self.memory_gib > 0

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "SearchSettings":
        """The settings as they are stored with a study."""
        fields: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in stored.items()}
        return cls(**fields)


@dataclass(frozen=True)
class ProxySettings:
    """`proxy:` the score that stands for accuracy, and its own settings."""

    name: str = "train"
    """The score that stands for accuracy."""
    seeds: int = 1
    """A score is the mean over this many seeds."""
    rungs: tuple[int, ...] = ()
    """Step counts below the full training (successive halving): each candidate is first trained for this many."""
    keep: float = 0.5
    """The share of all candidates of a rung, by hypervolume gain, that continues."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The proxy's own settings, by name."""

    def parse_settings(self, document: Document, task: str) -> Any:
        """The proxy's own settings as its dataclass; raises PlanError for a field that it does not have."""
        proxy = load_proxy(self.name)
        try:
            return _parse(document, "proxy", proxy.settings, {**proxy.task_defaults.get(task, {}), **self.settings})
        except PlanError as error:
            if error.file or error.key:
                raise
            raise PlanError(str(error), at=document.where("proxy")) from None

    def metrics(self, task: str) -> tuple[str, ...]:
        """The names of the scores that the proxy has for a task; raises PlanError if it has none."""
        proxy = load_proxy(self.name)
        names = tuple(score.name for score in proxy.scores_for(task))
        if not names:
            raise PlanError(
                f"the proxy {self.name} is for {' and '.join(proxy.scores[0].tasks)}, and the networks of this space "
                f"are for {task}; use `proxy: {{name: train}}`, which has a score for every task."
            )
        return names


def read_search(document: Document, proxy: ProxySettings, task: str, **flags: Any) -> SearchSettings:
    """The section `search:`; `flags` of the command replace what the file says, None and () are not given.

    Limits replace only those of the same metric and direction; the file's others stay. The first objective is by
    default the proxy's first score. A study that is to beat a network has the first score as its only
    objective, or the one that the proxy has for networks of equal cost.
    """
    plugins.check("proxy", proxy.name, error=PlanError, at=document.where("proxy", "name"))
    raw = _split_beat(document, _mapping(document, "search"))
    if isinstance(raw.get("limits"), list):
        raw["limits"] = _join_decimals(raw["limits"])
    search: SearchSettings = _parse(document, "search", SearchSettings, raw)
    for key, check in (("objectives", Objective.named), ("limits", Constraint.parse)):
        for i, text in enumerate(raw.get(key, ())):
            _check_text(check, text, document.where("search", key, i))
    if "objectives" not in raw:
        search = replace(search, objectives=(proxy.metrics(task)[0], *search.objectives[1:]))
    given = {key: value for key, value in flags.items() if value not in (None, ())}
    if "limits" in given:
        given["limits"] = override_limits(search.limits, given["limits"])
    search = replace(search, **given)
    if search.beat_on:
        _check_costs(search, "--beat-on" if "beat_on" in given else document.where("search", "beat"))
    if not search.beat:
        return search
    if "objectives" in given and (others := [name for name in search.objectives if not is_score(name)]):
        raise PlanError(f"searches for a score alone; leave out --objective {others[0]}.", at=f"--beat {search.beat}")
    sought = [name for name in search.objectives if is_score(name)] or proxy.metrics(task)
    score = sought[0] if "objectives" in given else load_proxy(proxy.name).at_equal_cost.get(sought[0], sought[0])
    confirm = search.confirm or ("confirm" not in given and "confirm" not in raw)
    return replace(search, objectives=(score,), confirm=confirm)


def _join_decimals(limits: list[Any]) -> list[Any]:
    """The limits, where a number that YAML split at its comma is whole again, so that its error quotes all of it.

    >>> _join_decimals(["params <= 1", "5M", "macs <= 1G"])
    ['params <= 1,5M', 'macs <= 1G']
    """
    joined: list[Any] = []
    for limit in limits:
        if joined and re.match(r"\d", str(limit)):
            joined[-1] = f"{joined[-1]},{limit}"
        else:
            joined.append(limit)
    return joined


def _check_text(check: Callable[[str], Any], text: str, at: Location) -> None:
    """Raises PlanError with the place in the file for a text that is refused."""
    try:
        check(text)
    except PlanError as error:
        raise PlanError(str(error), at=at) from None


def _split_beat(document: Document, raw: dict[str, Any]) -> dict[str, Any]:
    """The section where `beat: {arch: X, metrics: [...]}` is `beat` and `beat_on`."""
    beat = raw.get("beat")
    if not isinstance(beat, dict):
        return raw
    where, metrics = document.where("search", "beat"), beat.get("metrics", [])
    if not isinstance(beat.get("arch"), str) or beat.keys() - {"arch", "metrics"} or not isinstance(metrics, list):
        raise PlanError(f"found {beat!r}; use `beat: {{arch: NAME, metrics: [params, macs, latency_ms]}}`.", at=where)
    return raw | {"beat": beat["arch"], "beat_on": metrics}


def _check_costs(search: SearchSettings, at: Any) -> None:
    """Raises PlanError for costs that a network cannot be beaten on, or without a network."""
    if not search.beat:
        raise PlanError(f"found {search.beat_on[0]!r} without a network; add --beat ARCH.", at=at)
    costs = (*STATIC_COSTS, *(name for name, each in measured_metrics().items() if each.searchable))
    if unknown := [name for name in search.beat_on if name not in costs and not device_of(name)]:
        raise PlanError(f"unknown cost {unknown[0]!r}; {plugins.suggest(unknown[0], costs)}", at=at)


def read_proxy(document: Document) -> ProxySettings:
    """The section `proxy:`; the settings that are the proxy's own are not checked yet."""
    raw = _mapping(document, "proxy")
    name = raw.pop("name", ProxySettings.name)
    seeds = raw.pop("seeds", ProxySettings.seeds)
    if type(seeds) is not int or not 1 <= seeds <= 100:
        raise PlanError(f"found {seeds!r}; use a whole number from 1 to 100.", at=document.where("proxy", "seeds"))
    rungs, keep = raw.pop("rungs", []), raw.pop("keep", ProxySettings.keep)
    if not isinstance(rungs, list) or not all(type(steps) is int for steps in rungs):
        raise PlanError(f"found {rungs!r}; use a list of steps, e.g. [25, 50].", at=document.where("proxy", "rungs"))
    if type(keep) not in (int, float) or not 0 < keep <= 1:
        raise PlanError(f"found {keep!r}; use a share above 0, up to 1.", at=document.where("proxy", "keep"))
    return ProxySettings(name, seeds, tuple(rungs), keep, raw)


def read_data(document: Document, task: str) -> DataSettings:
    """The section `data:`; the default source depends on the task."""
    raw = _mapping(document, "data")
    data: DataSettings = _parse(document, "data", DataSettings, raw)
    if data.size is not None and data.size < MIN_SIZE:
        raise PlanError(f"found {data.size}; use {MIN_SIZE} px or more.", at=document.where("data", "size"))
    if not 0 < data.test_fraction < 1:
        where = document.where("data", "test_fraction")
        raise PlanError(f"found {data.test_fraction:g}; use a share above 0 and below 1.", at=where)
    return data if "source" in raw else replace(data, source=default_source(task))


def read_measurements(document: Document) -> dict[str, Any]:
    """The settings of every measurement by name, those without a section at their defaults."""
    return {
        name: _parse(document, name, measurement.settings_type, _mapping(document, name))
        for name, measurement in measurements().items()
    }


def study_name(text: str) -> str:
    """The name of a study for a file or a folder: its name without what that of a study cannot have.

    >>> study_name("my pets!"), study_name("...")
    ('my_pets', 'my')
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.-")[:64] or "my"


def check_study_name(name: str) -> str:
    """The name, which is also that of a folder; raises PlanError for one that leads out of its parent folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise PlanError(
            f"{name!r} cannot name a study; use up to 64 letters, digits, _ . and -, and begin with a letter or digit."
        )
    return name


def _mapping(document: Document, section: str) -> dict[str, Any]:
    raw = document.data.get(section, {})
    if not isinstance(raw, dict):
        raise PlanError(f"found {raw!r}; use a mapping of settings.", at=document.where(section))
    return dict(raw)


def _parse(document: Document, section: str, cls: type[Any], raw: dict[str, Any]) -> Any:
    return from_mapping(cls, raw, lambda key: document.where(section, key))


def in_proportion(space: SearchSpace, image_size: int, settings: Any) -> Any:
    """The settings of a proxy for a network of this image size, whose images follow it where that is open.

    The largest size of the space has the images of the settings; smaller ones have smaller images, to a multiple of 4.
    """
    if len(space.image_sizes) == 1 or not hasattr(settings, "image_size"):
        return settings
    side = 4 * round(settings.image_size * image_size / space.image_size / 4)
    return replace(settings, image_size=max(MIN_SIZE, side))
