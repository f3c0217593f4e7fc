"""Evaluations as Ray tasks, on whatever machines a Ray cluster has. The command that starts them owns the study.

command: a thread a slot ── claim ── task ──▶ a node with room ── result ──▶ save ── claim ── ...

Each thread works on the study as any worker does, except that it measures elsewhere: nothing but architectures and
numbers travels. Limits on time and memory hold inside a task, whose child measures (`isolated`): a wait for a
place does not count. A task whose node dies is run again on another; nodes need no database and no common folder, only
mvsearch installed and the images (fetched or decoded once a node).
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import EnvironmentFault, MvsearchError, StudyError
from mvsearch.metrics.record import EvaluationFailed, Metrics
from mvsearch.study.evaluator import Evaluator, Report
from mvsearch.study.executors.isolated import Isolated
from mvsearch.study.executors.local import Watch
from mvsearch.study.executors.progress import StudyProgress
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader
from mvsearch.study.workers.registry import Worker

try:
    import ray
except ImportError:
    ray = None

_LOOK_EVERY_S = 0.4
_ANSWER_S = 10.0
_RETRIES = 3


@dataclass(frozen=True)
class Share:
    """What one evaluation takes of a node."""

    gpus: float = 0.0
    cpus: float = 1.0

    def slots(self, resources: dict[str, float]) -> int:
        """How many fit into a cluster at once; raises EnvironmentFault if none does."""
        wanted = {"GPU": self.gpus, "CPU": self.cpus}
        found = min((int(resources.get(kind, 0) / share) for kind, share in wanted.items() if share), default=1)
        if not found:
            has = ", ".join(f"{resources.get(kind, 0):g} {kind}" for kind in wanted)
            raise EnvironmentFault(
                f"ray: no trial fits, the cluster has {has} and one takes {self.gpus:g} GPU, {self.cpus:g} CPU; see "
                "--gpus-per-trial, or let nodes join."
            )
        return found


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Connected to the cluster at an address (`auto`: the one of this machine), or to one of this machine's own."""
    if ray is None:
        raise EnvironmentFault("ray is not installed; pip install 'mvsearch[ray]'.")
    try:
        _knock(address)
        ray.init(address, log_to_driver=False, logging_level="error", namespace="mvsearch")
    except (OSError, RuntimeError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise EnvironmentFault(f"ray: no cluster at {address} ({said}); start one with `ray start --head`.") from None
    try:
        yield
    finally:
        ray.shutdown()


def resources() -> dict[str, float]:
    """What the cluster has that is connected, by Ray's names: CPU, GPU ..."""
    return dict(ray.cluster_resources())


def _knock(address: str | None) -> None:
    """Raises OSError where nobody listens at an address: Ray would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()


def run(plan: Plan, reader: Reader, watch: Watch, *, workers: int, share: Share) -> bool:
    """As `local.run`, on the cluster that is connected: so many tasks at a time, as far as they find room."""
    from mvsearch.study.study import Study

    slots = min(workers, max(1, plan.search.trials - reader.count()))
    facts = _result(_task(_facts, share).remote(_travelling(plan)))
    study = Study.join(plan, as_worker=True)
    study.hold_to(**facts)
    stop = threading.Event()

    def work() -> None:
        study = Study.join(plan, as_worker=True)
        study.hold_to(**facts)  # the cache's keys are made of them
        study.run(_Remote(plan, share, facts, stop, study.worker))

    following = StudyProgress(plan, reader)
    with ThreadPoolExecutor(slots, thread_name_prefix="mvsearch") as pool:
        threads = [pool.submit(work) for _ in range(slots)]
        try:
            while not all(thread.done() for thread in threads):
                watch(following, following.look(), study.worker.registry.statuses())
                time.sleep(_LOOK_EVERY_S)
        finally:
            stop.set()
    watch(following, following.look(), [])
    gave_up = [error for thread in threads if isinstance(error := thread.exception(), MvsearchError)]
    if reader.count() < plan.search.trials and not reader.exhausted:
        if gave_up:
            raise gave_up[0]
        raise StudyError(f"{reader.count()} of {plan.search.trials} trials are done; the same command goes on.")
    return reader.exhausted


class _Remote:
    """The evaluation as `Study.run` calls it, done by a task."""

    def __init__(self, plan: Plan, share: Share, facts: dict[str, Any], stop: threading.Event, worker: Worker) -> None:
        self.plan, self.share, self.facts = ray.put(_travelling(plan)), share, facts
        self.stop, self.worker = stop, worker

    def __call__(self, arch: Architecture, *, rung: int | None = None, repeat: int = 0) -> Metrics:
        self.worker.report(doing="with Ray")
        start = self.worker.clock()
        task = _task(_measure, self.share).remote(self.plan, self.facts, arch, rung, repeat)
        while not ray.wait([task], timeout=_LOOK_EVERY_S)[0]:
            if self.stop.is_set():
                ray.cancel(task, force=True)
                raise KeyboardInterrupt
        found, seconds = _result(task)
        self.worker.waited_s += self.worker.clock() - start - seconds
        if isinstance(found, Exception):
            raise found
        return dict(found)


def _travelling(plan: Plan) -> Plan:
    """The plan as nodes may see it: without the database, whose URL may hold a password."""
    return replace(plan, storage=None)


def _task(function: Any, share: Share) -> Any:
    # A crash of the process is taken for one of its node; what the evaluation itself raises is not tried again.
    # Named here and not by `options`, a GPU has each task get a process of its own, which CUDA binds to that GPU.
    return ray.remote(num_gpus=share.gpus, num_cpus=share.cpus, max_retries=_RETRIES)(function)


def _result(task: Any) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause or error from None
    except ray.exceptions.WorkerCrashedError as error:
        raise EvaluationFailed(f"Ray gave it up after {1 + _RETRIES} tries: {str(error).splitlines()[0]}") from None
    except ray.exceptions.RayError as error:  # the cluster's fault, not the candidate's
        raise OSError(f"Ray gave it up: {str(error).splitlines()[0]}") from None


_evaluators: dict[str, Evaluator] = {}
_children: dict[tuple[str, float, float], Isolated] = {}
"""On a node: what measures under a study's settings, with its images, from one task to the next."""


def _evaluator(plan: Plan) -> Evaluator:
    if plan.settings_key not in _evaluators:
        _evaluators[plan.settings_key] = Evaluator(plan, device=_device(plan))
    return _evaluators[plan.settings_key]


def _isolated(plan: Plan, facts: dict[str, Any]) -> Isolated:
    key = (plan.settings_key, plan.search.timeout_s, plan.search.memory_gib)
    if key not in _children:
        make = partial(_checking, facts)
        _children[key] = Isolated(plan, device=_device(plan), report=lambda **_: None, make=make)
    return _children[key]


def _device(plan: Plan) -> str:
    if plan.needs_proxy:
        import torch

        torch.set_num_threads(1)
    return "cuda:0" if plan.needs_proxy and ray.get_gpu_ids() else "cpu"


def _facts(plan: Plan) -> dict[str, Any]:
    return _evaluator(plan).facts()


def _measure(
    plan: Plan, facts: dict[str, Any], arch: Architecture, rung: int | None, repeat: int
) -> tuple[Metrics | Exception, float]:
    """What the evaluation gave or raised, and its seconds."""
    evaluate = _isolated(plan, facts) if plan.search.isolated else partial(_checked, facts, _evaluator(plan))
    start = time.monotonic()
    found: Metrics | Exception
    try:
        found = evaluate(arch, rung=rung, repeat=repeat)
    except Exception as error:
        found = error
    return found, time.monotonic() - start


def _checking(facts: dict[str, Any], plan: Plan, device: str, report: Report) -> Callable[..., Metrics]:
    return partial(_checked, facts, Evaluator(plan, device=device, report=report))


def _checked(facts: dict[str, Any], evaluator: Evaluator, arch: Architecture, **at: Any) -> Metrics:
    if (here := evaluator.facts()) != facts:
        raise StudyError(f"a node of the cluster differs: {here} there, the study has {facts}; use nodes of one kind.")
    return evaluator(arch, **at)
