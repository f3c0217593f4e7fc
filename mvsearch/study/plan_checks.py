"""Checks of a plan: settings that are valid alone and contradict each other or the space."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mvsearch.arch.cost import Cost
from mvsearch.arch.parsing import MIN_IMAGE_SIZE
from mvsearch.data import check_task
from mvsearch.errors import Location, PlanError, SpaceError
from mvsearch.metrics.constraints import Constraint, check_limits
from mvsearch.metrics.registry import SIZE, check_costs, device_of, metric, scores
from mvsearch.profiling.latency import backend_names, load_backend
from mvsearch.profiling.measurements import measurements
from mvsearch.profiling.prediction import LEAST_MEASURED
from mvsearch.proxies import load_proxy
from mvsearch.study.settings import SearchSettings, in_proportion, read_search
from mvsearch.utils import plugins

if TYPE_CHECKING:
    from mvsearch.study.plan import Plan

MAX_LISTED = 20_000
"""Combinations of choices that are enumerated; of larger spaces, so many are sampled."""

_FEW = 1_000
"""Samples that show at once that most limits can be satisfied."""

_MIN_MEMORY_GIB = 0.25  # what Python and torch need alone


def check_plan(plan: "Plan") -> None:
    """Raises PlanError for the first setting that contradicts another or the space."""
    _check_objectives(plan)
    _check_search(plan)
    _check_limits(plan)
    if not plan.space.choices:
        raise PlanError("no value is open, so there is nothing to search; see `choose:`.", at=plan.space.document.file)
    _check_rungs(plan)
    _check_measurements(plan)
    where = plan.space.document.where("data", "source")
    plugins.check("data_source", plan.data.source, error=PlanError, at=where)
    if plan.needs_proxy:
        check_task(plan.data.source, plan.space.head.task, at=where)
        _check_image_sizes(plan)
    _check_static_limits(plan)


def _check_objectives(plan: "Plan") -> None:
    names = plan.search.objectives
    if not plan.objectives or len(set(names)) < len(names):
        raise PlanError(f"found {', '.join(names) or 'none'}; name one or more, each once.", at=_at(plan, "objectives"))
    task, proxy_scores = plan.space.head.task, plan.proxy.metrics(plan.space.head.task)
    check_costs((*names, *(limit.name for limit in plan.limits)), task)
    of_trained = _check_trained(plan)
    for name in plan.required_metrics & scores().keys() - {*proxy_scores, *of_trained}:
        networks = "" if task == "classification" else f" of networks for {task}"
        raise PlanError(
            f"{name} is no score of the proxy {plan.proxy.name}{networks}; it has {', '.join(proxy_scores)}.",
            at=_place_of(plan, name),
        )


def _check_trained(plan: "Plan") -> set[str]:
    """The required metrics of trained networks; raises PlanError if there are any and the proxy trains none."""
    trained = (measurement for measurement in plan.required_measurements().values() if measurement.trained)
    names = {name for measurement in trained for name in measurement.names} & plan.required_metrics
    for name in sorted(names):
        if (task := plan.space.head.task) not in metric(name).tasks:
            known = " and ".join(metric(name).tasks)
            raise PlanError(f"{name} is known for {known} only, not for {task}; remove it.", at=_place_of(plan, name))
        if load_proxy(plan.proxy.name).train is None:
            raise PlanError(
                f"{name} is measured of a trained network, and the proxy {plan.proxy.name} trains none; use train.",
                at=_place_of(plan, name),
            )
    return names


def _check_search(plan: "Plan") -> None:
    search = plan.search
    plugins.check("sampler", search.sampler, error=PlanError, at=_at(plan, "sampler"))
    for name, least in (("trials", 1), ("workers", 0)):
        if (number := getattr(search, name)) < least:
            raise PlanError(f"found {number}; use {least} or more.", at=_at(plan, name))
    for name, minimum in (("timeout_s", 0.0), ("memory_gib", _MIN_MEMORY_GIB)):
        limit = getattr(search, name)
        if limit != 0 and not minimum <= limit < math.inf:  # false for NaN
            wanted = f"use 0 for no limit, or a finite number from {minimum:g} up"
            raise PlanError(f"found {limit}; {wanted}.", at=_at(plan, name))


def _check_rungs(plan: "Plan") -> None:
    settings, where = plan.proxy_settings(), plan.space.document.where("proxy", "rungs")
    if not plan.proxy.rungs:
        return
    if not load_proxy(plan.proxy.name).has_steps:
        raise PlanError(f"the proxy {plan.proxy.name} has no steps, so it has no rungs; remove them.", at=where)
    steps = [*plan.proxy.rungs, settings.steps]
    if steps != sorted(set(steps)):
        raise PlanError(f"found {list(plan.proxy.rungs)}; use rising numbers below steps={settings.steps}.", at=where)
    for rung in plan.proxy.rungs:
        try:
            replace(settings, steps=rung)  # each rung is a training, with the checks of a training
        except PlanError as error:
            raise PlanError(error.reason, at=where) from None


def _check_image_sizes(plan: "Plan") -> None:
    """A score has its images at every image size of the space."""
    settings = plan.proxy_settings()
    for image_size in plan.space.image_sizes:
        try:
            in_proportion(plan.space, image_size, settings)
        except PlanError as error:
            reason = error.reason
            raise PlanError(
                f"networks at {image_size} px have smaller images, in proportion: {reason}",
                at=plan.space.document.where("proxy", "image_size"),
            ) from None


def _check_measurements(plan: "Plan") -> None:
    for section, measurement in measurements().items():
        settings = plan.measurements[section]
        for name in measurement.positive:
            if getattr(settings, name) < 1:
                raise PlanError("found 0; use 1 or more.", at=plan.space.document.where(section, name))
        if not measurement.trained and (size := settings.image_size) is not None and size < MIN_IMAGE_SIZE:
            where = plan.space.document.where(section, "image_size")
            raise PlanError(f"found {size}; use {MIN_IMAGE_SIZE} or more, or leave it out for the space's.", at=where)
        try:
            measurement.check(settings)
        except PlanError as error:
            raise PlanError(str(error), at=plan.space.document.where(section)) from None
    _check_latency(plan)
    _check_devices(plan)
    _check_prediction(plan)


def _check_latency(plan: "Plan") -> None:
    """Raises PlanError for settings that the backend cannot measure with. Those that have the default values are not
    checked: that would load torch."""
    latency = plan.measurements["latency"]
    if "latency" not in plan.required_measurements() or latency == type(latency)():
        return
    try:
        load_backend(latency.backend).check(latency.options)
    except PlanError as error:
        raise located(plan, "latency", error) from None


def located(plan: "Plan", section: str, error: PlanError) -> PlanError:
    """The error with file and line of the setting that it names, otherwise of the section."""
    place, reason = (error.key or section).split("."), error.reason if error.key else str(error)
    return PlanError(reason, at=plan.space.document.where(*place))


def _check_devices(plan: "Plan") -> None:
    """Raises PlanError for a latency on a device that does not measure, or whose latency would be predicted."""
    latency, where = plan.measurements["latency"], plan.space.document.where("latency", "devices")
    for name in sorted(filter(device_of, plan.required_metrics)):
        if device_of(name) not in latency.devices:
            found = ", ".join(latency.devices) or "none"
            raise PlanError(f"found {found}, but {name} is searched for or limited; add {device_of(name)}.", at=where)
        if latency.predict is not None:
            raise PlanError(f"only latency_ms is predicted, not {name}; use latency_ms, or omit `predict`.", at=where)


def _check_prediction(plan: "Plan") -> None:
    """Raises PlanError for a number of networks that latency cannot be predicted from, or if nothing needs latency."""
    networks, where = plan.measurements["latency"].predict, plan.space.document.where("latency", "predict")
    _check_known(plan)
    if networks is None:
        return
    if networks < LEAST_MEASURED:
        raise PlanError(f"found {networks}; use {LEAST_MEASURED} or more networks, e.g. 20.", at=where)
    if networks > plan.search.trials:
        raise PlanError(
            f"found {networks}, more than the {plan.search.trials} trials; use fewer, or leave it out to measure every "
            "candidate.",
            at=where,
        )
    if not plan.uses_metric("latency_ms"):
        raise PlanError("latency_ms is neither an objective nor limited; add it, or leave out `predict`.", at=where)


def _check_known(plan: "Plan") -> None:
    """Raises PlanError for a backend that latency cannot be learnt from."""
    latency, where = plan.measurements["latency"], plan.space.document.where("latency", "known")
    for name in latency.known:
        if name not in backend_names():
            raise PlanError(f"unknown latency backend {name!r}; {plugins.suggest(name, backend_names())}", at=where)
        if name == latency.backend or load_backend(name).remote:
            raise PlanError(f"found {name}; use other backends that run on this machine, e.g. torch_cpu.", at=where)
    if latency.known and latency.predict is None:
        raise PlanError("is for predictions; add e.g. `predict: 20`.", at=where)


def _check_limits(plan: "Plan") -> None:
    try:
        check_limits(plan.limits)
    except PlanError as error:
        raise PlanError(str(error), at=_place(plan, plan.limits)) from None


def _place(plan: "Plan", limits: Sequence[Constraint]) -> Location | str:
    """Where limits are written: in the file, or on the command line if one of them is only there or the target's."""
    texts = {limit.text for limit in limits}
    if plan.target and texts & {*plan.target.limits}:
        return _at(plan, "beat")
    in_file = texts <= {*_settings_in_file(plan).limits}
    return plan.space.document.where("search", "limits") if in_file else "--limit"


def _place_of(plan: "Plan", name: str) -> Location | str:
    """Where a metric is an objective or limited."""
    if name in plan.search.objectives:
        return _at(plan, "objectives")
    return _place(plan, [limit for limit in plan.limits if limit.name == name])


def _at(plan: "Plan", key: str) -> Location | str:
    """Where a setting of the search is written: in the file, or on the command line if it differs there."""
    if getattr(_settings_in_file(plan), key) == getattr(plan.search, key):
        return plan.space.document.where("search", key)
    flag = {"objectives": "objective", "timeout_s": "timeout", "memory_gib": "memory"}.get(key, key)
    return f"--{flag} {plan.target.name}" if key == "beat" and plan.target else f"--{flag}"


def _settings_in_file(plan: "Plan") -> SearchSettings:
    return read_search(plan.space.document, plan.proxy, plan.space.head.task)


def _check_static_limits(plan: "Plan") -> None:
    """Raises PlanError if no point satisfies the constraints on static costs, as far as that can be decided.

    The error names the one limit that no point satisfies, if there is one, and otherwise all.
    """
    if not plan.static_limits:
        return
    _check_target(plan)
    for samples in (_FEW, MAX_LISTED):
        costs = plan.space.costs(samples)
        if plan.within_limits(costs).any():
            return
    for limit in plan.static_limits:
        if not limit.holds(getattr(costs, limit.name)).any():
            _check_feasible(plan, costs, (limit,))
    _check_feasible(plan, costs, plan.static_limits)


def _check_target(plan: "Plan") -> None:
    """Raises PlanError if the network to beat costs more than all of the space: no candidate costs as much as it."""
    if plan.target is None:
        return
    with suppress(SpaceError):
        plan.space.find_point(plan.target.arch)
        return
    own, costs = plan.target.arch.metrics(), plan.space.costs(MAX_LISTED)
    if all(own[name] > getattr(costs, name).max() for name in SIZE):
        most = ", ".join(f"{name} up to about {getattr(costs, name).max():,}" for name in SIZE)
        raise PlanError(
            f"costs more than every network of the space ({most}); use a smaller one.", at=_at(plan, "beat")
        )


def _check_feasible(plan: "Plan", costs: Cost, limits: tuple[Constraint, ...]) -> None:
    from mvsearch.space.cost_query import InfeasibleError
    from mvsearch.space.exact_front import exact_front

    name, where = limits[0].name, _place(plan, limits)
    try:
        exact_front(plan.space, (name,), limits)
    except InfeasibleError as error:
        (least,) = exact_front(plan.space, (name,))
        values = f"between {getattr(least.cost, name):,} and about {getattr(costs, name).max():,}"
        raise PlanError(f"{error.reason}; {name} in the whole space is {values}.", at=where) from None
    except (PlanError, SpaceError):  # intractable: the samplers search there
        return
