"""What `mvsearch init` measures before it writes a file: can the budgets be met, and how long does a search take."""

from dataclasses import replace

import numpy as np

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet, Images
from mvsearch.errors import PlanError
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.registry import STATIC_COSTS
from mvsearch.proxies.train import time as time_score
from mvsearch.space.exact_front import exact_front
from mvsearch.study.executors.local import workers_for
from mvsearch.study.first_settings import Effort, Schedule, choose_schedule
from mvsearch.study.first_space import FirstSpace
from mvsearch.study.plan import Plan
from mvsearch.study.template import unmet
from mvsearch.utils import machine, machine_lock
from mvsearch.utils.progress import Progress, no_progress

_DRAWN = 20_000
_START_S = 1.0  # to build a network, and to store its trial


def check_budgets(first: FirstSpace, progress: Progress = no_progress) -> float:
    """The seconds that the measurements of a candidate take; 0 where every budget is a cost in closed form.

    Raises PlanError, with the least cost that there is, for all budgets that no network of the space can meet. Measured
    costs are those of the network with the least MACs.
    """
    problems = [problem for limit in first.limits if (problem := unmet(first.space, limit))]
    measured = [limit for limit in first.limits if limit.name not in STATIC_COSTS]
    seconds = 0.0
    if measured:
        progress(0, None, "measure the network with the least MACs: some seconds")
        (least,) = exact_front(first.space, ("macs",))
        arch, clock = first.space.architecture(least.point), machine.clock_for("cpu")
        start = clock()
        problems += _measured_problems(first, measured, arch)
        seconds = clock() - start
    if problems:
        at = f"{first.images.classes:,} classes at {first.image_size.value} px"
        raise PlanError(
            f"no network of the space for {at} can meet {' or '.join(problems)}; allow more.", at="--budget"
        )
    return seconds


def _measured_problems(first: FirstSpace, limits: list[Constraint], arch: Architecture) -> list[str]:
    plan, metrics = replace(first, limits=tuple(limits)).plan(), arch.metrics()
    untrained = {name: each for name, each in plan.required_measurements().items() if not each.trained}
    for name, measurement in untrained.items():
        metrics |= measurement.measure(arch, plan.measurements[name], plan.required_metrics)
    return [
        f"{limit.text} (the network with the least MACs has {pretty(limit.name, metrics[limit.name])}"
        f"{f', {first.backend[0]} with one thread' if limit.name == 'latency_ms' else ''})"
        for limit in limits
        if limit.violated(metrics)
    ]


def plan_time(first: FirstSpace, measuring_s: float, minutes: float, progress: Progress = no_progress) -> Schedule:
    """Trials, seeds and steps for this machine, from the time of some training steps of a middling candidate."""
    from mvsearch.profiling.timing import fixed_threads

    progress(0, None, "time training steps: some seconds")
    plan = first.plan()
    workers = workers_for(plan)
    arch, mean = _middling(plan)
    with machine_lock.shared(), fixed_threads(1):
        timed = time_score(arch, plan.proxy_settings(), _random_images(first), _device())
    return choose_schedule(
        first.steps.value,
        Effort(timed.step_s * mean, timed.fixed_s * mean, _START_S + measuring_s * workers),  # measured one at a time
        workers=workers,
        minutes=minutes,
    )


def _random_images(first: FirstSpace) -> DataSet:
    """As many images as there are, of random pixels: all the same, which takes no memory."""
    count, size, classes = first.images.training, first.proxy_size.value, first.images.classes
    pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    part = Images(
        np.broadcast_to(pixels, (count, size, size, 3)), np.arange(count) % classes, tuple(map(str, range(classes)))
    )
    return DataSet("random", part, part, "", (), "random pixels", "")


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _middling(plan: Plan) -> tuple[Architecture, float]:
    """The candidate with the median of the MACs within the limits; and the mean as a multiple of that."""
    codes = plan.space.sample(_DRAWN, 0)
    codes = codes[plan.admissible(codes)]
    if not len(codes):  # a tiny part of the space is within the limits: its least network stands for it
        (least,) = exact_front(plan.space, ("macs",), plan.static_limits)
        return plan.space.architecture(least.point), 1.0
    macs = plan.space.costs(codes).macs
    middle = int(np.argsort(macs)[len(macs) // 2])
    return plan.space.architecture(plan.space.point(codes[middle])), float(macs.mean() / macs[middle])
