"""What a study is to do, as one value: the space, and the file's `search:`, `proxy:`, `latency:` and `data:`.

YAML becomes values here, once; flags of the command win over the file. No torch.
"""

import math
import re
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.cost import Cost
from mvsearch.data import DataSettings, check_task, default_source
from mvsearch.errors import PlanError, SpaceError
from mvsearch.metrics.constraints import Limit
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import ConstraintViolated, Metrics
from mvsearch.metrics.registry import STATIC_COSTS, scores
from mvsearch.profiling.measurements import Measurement, measurements
from mvsearch.proxies import load_proxy
from mvsearch.space.exact_front import InfeasibleError, exact_front
from mvsearch.space.search_space import Codes, SearchSpace
from mvsearch.study.reader import Reader
from mvsearch.utils import plugins
from mvsearch.utils.hashing import digest
from mvsearch.utils.settings import from_mapping
from mvsearch.utils.yaml_document import Document

_LEAST_GIB = 0.25  # what Python and torch take alone
_LISTED = 20_000  # combinations of choices that are looked through one by one, or sampled


@dataclass(frozen=True)
class Search:
    """`search:` what is sought, how, and for how long. `workers` 0 means one for each core (one for each GPU).

    With `confirm`, what is on the front at the end is measured with further seeds, two times at least and six at most,
    until the standard error of a member is smaller than the gaps that decide its place.

    With `isolate` each worker evaluates in a child process, so that a candidate that crashes it has failed, no more. A
    `timeout_s` on a candidate, or a limit on the memory of its process, `memory_gib`, implies it; 0 is none.
    """

    objectives: tuple[str, ...] = ("top1", "params", "macs")
    limits: tuple[str, ...] = ()
    sampler: str = "surrogate"
    trials: int = 40
    seed: int = 0
    workers: int = 0
    confirm: bool = False
    isolate: bool = False
    timeout_s: float = 0.0
    memory_gib: float = 0.0

    @property
    def isolated(self) -> bool:
        """Whether candidates are evaluated in a process of their own."""
        return self.isolate or self.timeout_s > 0 or self.memory_gib > 0


@dataclass(frozen=True)
class Proxy:
    """`proxy:` which score stands for accuracy, and its settings, which are the proxy's own.

    `rungs` are numbers of steps below the whole (successive halving): each candidate is trained for so many first, and
    only the best `keep` of all that came to a rung, by hypervolume gain, go on to the next. A score is the mean over
    `seeds`; how many a proxy has where a file does not say it is in its `task_defaults`.
    """

    name: str = "train"
    seeds: int = 1
    rungs: tuple[int, ...] = ()
    keep: float = 0.5
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A study's whole intent."""

    name: str
    space: SearchSpace
    search: Search = Search()
    proxy: Proxy = Proxy()
    measurements: dict[str, Any] = field(default_factory=dict)
    data: DataSettings = field(default_factory=DataSettings)
    storage: str | None = None
    studies: Path = Path("studies")

    @classmethod
    def load(cls, path: str | Path, *, name: str | None = None, storage: str | None = None, **flags: Any) -> Self:
        """The plan in a space file; `flags` are fields of Search, given as on the command line (None: not given)."""
        return cls.of(SearchSpace.load(path), name=name, storage=storage, **flags)

    @classmethod
    def of(cls, space: SearchSpace, *, name: str | None = None, storage: str | None = None, **flags: Any) -> Self:
        """The plan in a space's own document."""
        document = space.document
        search = _section(document, "search", Search)
        search = replace(search, **{key: value for key, value in flags.items() if value not in (None, ())})
        proxy = _proxy(document, space.head.task)
        if not flags.get("objectives") and "objectives" not in _mapping(document, "search"):
            search = replace(search, objectives=(_said(proxy, space.head.task)[0], *search.objectives[1:]))
        plan = cls(
            name=checked_name(name or space.name),
            space=space,
            search=search,
            proxy=proxy,
            measurements={name: _section(document, name, each.settings_type) for name, each in measurements().items()},
            data=_data(document, space.head.task),
            storage=storage,
        )
        plan._check()
        known = search.trials if plan.all_points is None else len(plan.all_points)  # then all of it is known
        return replace(plan, search=replace(search, trials=min(search.trials, known)))

    @classmethod
    def of_study(cls, study: Reader, *, workers: int) -> Self:
        """The plan that a study was made with, for so many processes more."""
        url = study.store.url.render_as_string(hide_password=False)
        return cls.of_facts(study.facts, name=study.name, storage=url, workers=workers)

    @classmethod
    def of_facts(cls, facts: dict[str, Any], *, name: str, storage: str, workers: int) -> Self:
        """The plan of a study that need not be in the database yet."""
        search = {key: tuple(v) if isinstance(v, list) else v for key, v in facts["search"].items()}
        space = SearchSpace.parse(Document(facts["document"]))
        plan = cls.of(space, name=name, storage=storage, **search)
        return replace(plan, search=replace(plan.search, workers=workers))

    def _check(self) -> None:
        objectives = self.objectives
        if not objectives or len(set(self.search.objectives)) < len(self.search.objectives):
            raise PlanError(f"objectives {', '.join(self.search.objectives) or 'none'}: name one or more, each once.")
        said = _said(self.proxy, self.space.head.task)
        for name in self.required_metrics & scores().keys() - {*said}:
            of = "" if self.space.head.task == "classification" else f" of networks for {self.space.head.task}"
            raise PlanError(f"{name} is not said by the proxy {self.proxy.name}{of}; it says {', '.join(said)}.")
        plugins.check("sampler", self.search.sampler, error=PlanError)
        if self.search.trials < 1 or self.search.workers < 0:
            raise PlanError(
                f"trials={self.search.trials}, workers={self.search.workers}: use 1 or more (workers from 0)."
            )
        for name, least in (("timeout_s", 0.0), ("memory_gib", _LEAST_GIB)):
            limit = getattr(self.search, name)
            if limit != 0 and not least <= limit < math.inf:  # NaN is neither
                raise PlanError(f"{name}={limit}: use 0 for no limit, or a finite number from {least:g} up.")
        if not self.space.choices:
            raise PlanError(
                "nothing is open, so there is nothing to search; see `choose:`.", at=self.space.document.file
            )
        self._check_rungs()
        for part, measurement in measurements().items():
            settings = self.measurements[part]
            for name in measurement.positive:
                if getattr(settings, name) < 1:
                    raise PlanError("found 0; use 1 or more.", at=self.space.document.where(part, name))
            measurement.check(settings)
        plugins.check("data_source", self.data.source, error=PlanError)
        if self.needs_proxy:
            check_task(self.data.source, self.space.head.task)
        self._check_limits()

    def _check_rungs(self) -> None:
        settings, where = self.proxy_settings(), self.space.document.where("proxy", "rungs")
        if not self.proxy.rungs:
            return
        if not load_proxy(self.proxy.name).has_steps:
            raise PlanError(f"the proxy {self.proxy.name} has no steps, so it has no rungs; take them out.", at=where)
        ladder = [*self.proxy.rungs, settings.steps]
        if ladder != sorted(set(ladder)):
            raise PlanError(
                f"found {list(self.proxy.rungs)}; use rising numbers below steps={settings.steps}.", at=where
            )
        for steps in self.proxy.rungs:
            try:
                replace(settings, steps=steps)  # each rung is a training, with a training's own checks
            except PlanError as error:
                raise PlanError(f"{str(error).removeprefix('proxy: ')}", at=where) from None

    def _check_limits(self) -> None:
        if not self.priced_limits:
            return
        costs = self.space.costs(_LISTED)
        if self.within_limits(costs).any():
            return
        name, where = self.priced_limits[0].name, self.space.document.where("search", "limits")
        try:
            exact_front(self.space, (name,), self.priced_limits)
        except InfeasibleError as nothing:
            (least,) = exact_front(self.space, (name,))
            values = f"from {getattr(least.cost, name):,} to about {getattr(costs, name).max():,}"
            raise PlanError(f"{nothing.reason}; {name} of the whole space run {values}.", at=where) from None
        except (PlanError, SpaceError):  # too entangled to be settled beforehand: the samplers walk there
            return

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """What is sought, with its direction."""
        return tuple(Objective.named(name) for name in self.search.objectives)

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """What every candidate must keep to."""
        return tuple(Limit.parse(text) for text in self.search.limits)

    @cached_property
    def priced_limits(self) -> tuple[Limit, ...]:
        """Those of the limits that the closed form can judge."""
        return tuple(limit for limit in self.limits if limit.name in STATIC_COSTS)

    def uses_metric(self, *names: str) -> bool:
        """Whether an objective or a limit asks for one of these."""
        return bool(self.required_metrics & set(names))

    @property
    def required_metrics(self) -> set[str]:
        """The metrics that an objective or a limit asks for."""
        return {*self.search.objectives, *(limit.name for limit in self.limits)}

    @property
    def needs_proxy(self) -> bool:
        """Whether the proxy is asked for anything."""
        return self.uses_metric(*scores())

    def required_measurements(self) -> dict[str, Measurement]:
        """The measurements that have a metric which an objective or a limit asks for, in the order of their cost."""
        return {
            name: measurement
            for name, measurement in measurements().items()
            if self.uses_metric(*(metric.name for metric in measurement.metrics))
        }

    def within_limits(self, costs: Cost) -> NDArray[np.bool_]:
        """Which of many candidates keep to the limits on what the closed form prices."""
        kept = np.ones(len(costs.params), dtype=bool)
        for limit in self.priced_limits:
            kept &= limit.holds(getattr(costs, limit.name))
        return kept

    @cached_property
    def all_points(self) -> Codes | None:
        """All points inside the conditions and the limits on cost; None where they are too many to be listed."""
        if math.prod(len(choice.values) for choice in self.space.choices) > _LISTED:
            return None
        codes = self.space.enumerate_codes(range(len(self.space.choices)))
        return np.asarray(codes[self.admissible(codes)])

    def admissible(self, codes: Codes) -> NDArray[np.bool_]:
        """Which points meet the space's conditions and the limits on cost."""
        legal = self.space.is_legal(codes)
        return legal & self.within_limits(self.space.costs(codes)) if self.priced_limits else legal

    def check_constraints(self, metrics: Metrics) -> None:
        """Raises ConstraintViolated, naming the limit, if a metric known by now breaks one."""
        for limit in self.limits:
            if limit.name in metrics and not limit.holds(metrics[limit.name]):
                raise ConstraintViolated(f"{limit.name} {metrics[limit.name]:,} breaks the limit {limit.text}", metrics)

    def proxy_settings(self) -> Any:
        """The settings of the chosen proxy, as its own dataclass; raises PlanError for a field it does not have."""
        usual = _usual(self.proxy.name, self.space.head.task)
        usual.pop("seeds", None)
        return _filled(
            self.space.document, ("proxy",), load_proxy(self.proxy.name).settings, {**usual, **self.proxy.settings}
        )

    def settings(self, *, rung: int | None = None, repeat: int = 0) -> dict[str, Any]:
        """All that a measured number depends on beside the architecture; equal settings, equal numbers.

        Those of a rung are those of a plan whose whole training is as short; a repeat has seeds of its own.
        """
        measured: dict[str, Any] = {"image_size": self.space.document.data.get("image_size", 256)}
        if self.needs_proxy:
            proxy = {"name": self.proxy.name, "seeds": self.proxy.seeds, **asdict(self.proxy_settings())}
            proxy |= {"steps": rung} if rung else {}
            proxy |= {"repeat": repeat} if repeat else {}
            measured |= {"proxy": proxy, "data": asdict(self.data)}
        for name, measurement in self.required_measurements().items():
            measured[name] = measurement.stored_settings(self.measurements[name], measured["image_size"])
        return measured

    @property
    def settings_key(self) -> str:
        """Twelve hexadecimal digits that name the settings."""
        return digest(self.settings())

    @property
    def space_key(self) -> str:
        """Twelve hexadecimal digits that name what may vary."""
        data = self.space.document.data
        return digest({key: data.get(key) for key in ("image_size", "num_classes", "vars", "blocks", "head", "where")})

    @property
    def folder(self) -> Path:
        """Where the study lives."""
        return self.studies / self.name

    @property
    def url(self) -> str:
        """The database, as SQLAlchemy names it."""
        return self.storage or f"sqlite:///{self.folder / 'study.db'}"


def _said(proxy: Proxy, task: str) -> tuple[str, ...]:
    """What a proxy says of networks for a task; raises PlanError if that is nothing."""
    scores = load_proxy(proxy.name).scores
    said = tuple(score.name for score in scores if task in score.tasks)
    if not said:
        own = scores[0].tasks
        raise PlanError(
            f"the proxy {proxy.name} is for {' and '.join(own)}, and the networks of this space are for {task}; "
            "use `proxy: {name: train}`, which follows the task."
        )
    return said


def checked_name(name: str) -> str:
    """The name of a study, which is that of a folder too; raises PlanError for what leads out of its place."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise PlanError(
            f"{name!r} cannot name a study; use up to 64 letters, digits, _ . and -, and begin with a letter or digit."
        )
    return name


def _section(document: Document, key: str, cls: type[Any]) -> Any:
    return _filled(document, (key,), cls, _mapping(document, key))


def _mapping(document: Document, key: str) -> dict[str, Any]:
    raw = document.data.get(key, {})
    if not isinstance(raw, dict):
        raise PlanError(f"found {raw!r}; use a mapping of settings.", at=document.where(key))
    return dict(raw)


def _usual(proxy: str, task: str) -> dict[str, Any]:
    """What a proxy does for a task where a file does not say otherwise."""
    return dict(load_proxy(proxy).task_defaults.get(task, {}))


def _proxy(document: Document, task: str) -> Proxy:
    raw = _mapping(document, "proxy")
    name = raw.pop("name", Proxy.name)
    seeds = raw.pop("seeds", _usual(name, task).get("seeds", Proxy.seeds))
    if type(seeds) is not int or not 1 <= seeds <= 100:
        raise PlanError(f"found {seeds!r}; use a whole number from 1 to 100.", at=document.where("proxy", "seeds"))
    rungs, keep = raw.pop("rungs", []), raw.pop("keep", Proxy.keep)
    if not isinstance(rungs, list) or not all(type(steps) is int for steps in rungs):
        raise PlanError(f"found {rungs!r}; use a list of steps, e.g. [25, 50].", at=document.where("proxy", "rungs"))
    if type(keep) not in (int, float) or not 0 < keep <= 1:
        raise PlanError(f"found {keep!r}; use a share above 0, up to 1.", at=document.where("proxy", "keep"))
    return Proxy(name, seeds, tuple(rungs), keep, raw)


def _data(document: Document, task: str) -> DataSettings:
    found: DataSettings = _section(document, "data", DataSettings)
    return found if "source" in _mapping(document, "data") else replace(found, source=default_source(task))


def _filled(document: Document, place: tuple[str, ...], cls: type[Any], raw: dict[str, Any]) -> Any:
    return from_mapping(cls, raw, lambda key: document.where(*place, key))
