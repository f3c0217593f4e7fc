"""The plan of a study as one value: the space, and the settings of its file that flags of the command replace.

No torch. The settings are read in `settings`, and checked against each other in `plan_checks`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.cost import Cost
from mvsearch.data import DataSettings
from mvsearch.metrics.constraints import Constraint, tighten_limits
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import ConstraintViolated, Metrics, Record
from mvsearch.metrics.registry import STATIC_COSTS, scores
from mvsearch.profiling.measurements import Measurement, measurements
from mvsearch.proxies import settings_used
from mvsearch.space.search_space import Codes, SearchSpace
from mvsearch.study.facts import NETWORK_KEYS, StudyFacts
from mvsearch.study.plan_checks import MAX_LISTED, check_plan
from mvsearch.study.settings import (
    ProxySettings,
    SearchSettings,
    check_study_name,
    read_data,
    read_measurements,
    read_proxy,
    read_search,
)
from mvsearch.study.target import Target
from mvsearch.utils.hashing import digest
from mvsearch.utils.yaml_document import Document

if TYPE_CHECKING:
    from mvsearch.study.reader import Reader


@dataclass(frozen=True)
class Plan:
    """What a study searches, for what, and how. `measurements` are the settings of every measurement by its name.

    With a `target`, candidates cost no more than it, and are compared with it; its measured costs are limits once they
    are known. `asked` are the trials that were asked for, where there are fewer points within the limits.
    """

    name: str
    space: SearchSpace
    search: SearchSettings
    proxy: ProxySettings
    measurements: Mapping[str, Any]
    data: DataSettings
    storage: str | None = None
    studies: Path = Path("studies")
    target: Target | None = None
    asked: int | None = None

    @classmethod
    def load(cls, path: str | Path, *, name: str | None = None, storage: str | None = None, **flags: Any) -> Self:
        """The plan in a space file; `flags` are fields of SearchSettings, None where a flag is not given."""
        return cls.of(SearchSpace.load(path), name=name, storage=storage, **flags)

    @classmethod
    def of(cls, space: SearchSpace, *, name: str | None = None, storage: str | None = None, **flags: Any) -> Self:
        """The plan in the document of a space. Raises PlanError for settings that are invalid or contradictory.

        The number of trials is at most that of the points inside the conditions and limits, where they can be listed.
        """
        search = read_search(space.document, read_proxy(space.document), space.head.task, **flags)
        place = None if flags.get("beat") else space.document.where("search", "beat")
        target = (
            Target.find(search.beat, space, costs=search.beat_on, storage=storage, at=place) if search.beat else None
        )
        default = f"{space.name}_beat_{target.slug}" if target else space.name
        plan = cls._of(space, search, name=name or default, storage=storage, target=target)
        points = plan.untried(())
        if points is None or points >= search.trials:
            return plan
        return replace(plan, search=replace(plan.search, trials=points), asked=search.trials)

    @classmethod
    def _of(
        cls, space: SearchSpace, search: SearchSettings, *, name: str, storage: str | None, target: Target | None
    ) -> Self:
        document, task = space.document, space.head.task
        if target:
            search = replace(search, limits=tighten_limits(search.limits, target.limits))
        plan = cls(
            name=check_study_name(name),
            space=space,
            search=search,
            proxy=read_proxy(document),
            measurements=read_measurements(document),
            data=read_data(document, task),
            storage=storage,
            target=target,
        )
        check_plan(plan)
        return plan

    @classmethod
    def of_study(cls, study: "Reader", *, workers: int) -> Self:
        """The plan that a study was created with, for this number of workers."""
        url = study.store.url.render_as_string(hide_password=False)
        return cls.of_facts(study.facts, name=study.name, storage=url, workers=workers)

    @classmethod
    def of_facts(cls, facts: StudyFacts, *, name: str, storage: str, workers: int) -> Self:
        """The plan of a study that need not be in the database yet."""
        space = SearchSpace.parse(Document(dict(facts.document)))
        search = replace(facts.search, workers=workers)
        return cls._of(space, search, name=name, storage=storage, target=facts.target)

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives with their directions."""
        return tuple(Objective.named(name) for name in self.search.objectives)

    @cached_property
    def limits(self) -> tuple[Constraint, ...]:
        """The constraints that every candidate must satisfy."""
        own = tuple(Constraint.parse(text) for text in self.search.limits)
        return (*own, *self.target.measured_limits) if self.target else own

    @cached_property
    def static_limits(self) -> tuple[Constraint, ...]:
        """The constraints on static costs, which are checked without building a network."""
        return tuple(limit for limit in self.limits if limit.name in STATIC_COSTS)

    @cached_property
    def measured_limits(self) -> tuple[Constraint, ...]:
        """The other constraints, which only the evaluation of a candidate can check."""
        return tuple(limit for limit in self.limits if limit not in self.static_limits)

    def uses_metric(self, *names: str) -> bool:
        """Whether one of these metrics, or a latency on one device, is an objective or constrained."""
        return not set(names).isdisjoint(name.partition("@")[0] for name in self.required_metrics)

    @property
    def required_metrics(self) -> set[str]:
        """The metrics that are objectives or constrained."""
        return {*self.search.objectives, *(limit.name for limit in self.limits)}

    @property
    def needs_proxy(self) -> bool:
        """Whether a score, or what is measured of a trained network, is an objective or constrained."""
        return self.uses_metric(*scores()) or any(each.trained for each in self.required_measurements().values())

    @property
    def predicts_latency(self) -> bool:
        """Whether the latency of candidates is predicted where that suffices."""
        return self.measurements["latency"].predict is not None

    @property
    def remeasures(self) -> bool:
        """Whether members of the front are measured again at the end: their scores, or a latency that was predicted."""
        return self.search.confirm or self.predicts_latency

    def required_measurements(self) -> dict[str, Measurement]:
        """The measurements with a metric that is an objective or constrained, those with exclusive access last."""
        return {
            name: measurement for name, measurement in measurements().items() if self.uses_metric(*measurement.names)
        }

    def within_limits(self, costs: Cost) -> NDArray[np.bool_]:
        """Which of many candidates satisfy the constraints on static costs."""
        within = np.ones(len(costs.params), dtype=bool)
        for limit in self.static_limits:
            within &= limit.holds(getattr(costs, limit.name))
        return within

    @cached_property
    def all_points(self) -> Codes | None:
        """All points that satisfy the conditions and the constraints on static costs; None if there are too many."""
        codes = self.space.legal_codes(range(len(self.space.choices)), MAX_LISTED)
        return None if codes is None else np.asarray(codes[self.within_limits(self.space.costs(codes))])

    def untried(self, records: Iterable[Record]) -> int | None:
        """The number of points within the limits that none of these records has; None if there are too many to list."""
        if self.all_points is None:
            return None
        tried = {self.space.canonical(self.space.codes(record.choices)[None]).tobytes() for record in records}
        return sum(point.tobytes() not in tried for point in self.all_points)

    def admissible(self, codes: Codes) -> NDArray[np.bool_]:
        """Which points satisfy the conditions of the space and the constraints on static costs."""
        admissible = self.space.is_legal(codes)
        if self.static_limits:  # only legal points have a cost for certain
            admissible[admissible] = self.within_limits(self.space.costs(codes[admissible]))
        return admissible

    def check_constraints(self, metrics: Metrics) -> None:
        """Raises ConstraintViolated, which names the limit, if one of these metrics violates a constraint.

        A measurement violates a limit only if it is beyond it by more than its noise.
        """
        for limit in self.limits:
            if limit.violated(metrics):
                raise ConstraintViolated(limit.describe_violation(metrics), metrics)

    def proxy_settings(self) -> Any:
        """The settings of the proxy as its own dataclass; raises PlanError for a field that it does not have."""
        return self.proxy.parse_settings(self.space.document, self.space.head.task)

    def settings(self, *, rung: int | None = None, repeat: int = 0) -> dict[str, Any]:
        """All settings that a number depends on besides the architecture: equal settings, equal numbers.

        Those of a rung are the settings of a plan whose full training has so many steps; a repeat has other seeds.
        """
        size = self.space.document.data.get("image_size", 256)
        settings: dict[str, Any] = {"image_size": size if type(size) is int else list(self.space.image_sizes)}
        if self.needs_proxy:
            proxy = {"name": self.proxy.name, "seeds": self.proxy.seeds, **settings_used(self.proxy_settings())}
            proxy |= {"steps": rung} if rung else {}
            proxy |= {"repeat": repeat} if repeat else {}
            settings |= {"proxy": proxy, "data": asdict(self.data)}
        for name, measurement in self.required_measurements().items():
            settings[name] = measurement.stored_settings(self.measurements[name], self.space.image_size)
        return settings

    @property
    def settings_digest(self) -> str:
        """Twelve hexadecimal digits that identify the settings."""
        return digest(self.settings())

    @property
    def space_digest(self) -> str:
        """Twelve hexadecimal digits that identify what is open."""
        data = self.space.document.data
        return digest({key: data.get(key) for key in NETWORK_KEYS})

    @property
    def folder(self) -> Path:
        """The folder of the study."""
        return self.studies / self.name

    @property
    def url(self) -> str:
        """The URL of the database, as SQLAlchemy names it."""
        return self.storage or f"sqlite:///{self.folder / 'study.db'}"
