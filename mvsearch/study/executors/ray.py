"""Evaluations as Ray tasks, on the machines of a Ray cluster. The command that starts them owns the study.

command: a thread per slot ── claim ── task ──▶ a node with free resources ── result ──▶ save ── claim ── ...

Each thread is a worker like any other, except that it measures elsewhere: only architectures and numbers are sent.
Limits on time and memory hold inside a task, whose child process measures (`isolated`): the wait for a free slot does
not count. A task whose node dies runs again on another node. Nodes need no database and no shared folder, only mvsearch
and the images (downloaded or decoded once a node).
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
from mvsearch.errors import EnvironmentFault, StudyError
from mvsearch.metrics.record import EvaluationFailed, Metrics
from mvsearch.study.evaluator import Evaluator, Report
from mvsearch.study.executors.isolated import Isolated
from mvsearch.study.executors.local import StudyCallback
from mvsearch.study.executors.progress import StudyProgress, check_finished
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader
from mvsearch.study.retry import RAY_TASK_RETRIES
from mvsearch.study.workers.registry import Worker
from mvsearch.utils.installation import install_hint

try:
    import ray
except ImportError:
    ray = None

_POLL_INTERVAL_S = 0.4
_CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class ResourceShare:
    """The resources of a node that one evaluation uses."""

    gpus: float = 0.0
    cpus: float = 1.0

    def slots(self, resources: dict[str, float]) -> int:
        """How many evaluations fit into a cluster at once; raises EnvironmentFault if none does."""
        shares = {"GPU": self.gpus, "CPU": self.cpus}
        slots = min((int(resources.get(kind, 0) / share) for kind, share in shares.items() if share), default=1)
        if not slots:
            available = ", ".join(f"{resources.get(kind, 0):g} {kind}" for kind in shares)
            raise EnvironmentFault(
                f"ray: no trial fits: the cluster has {available} and a trial uses {self.gpus:g} GPU, {self.cpus:g} "
                "CPU; change --gpus-per-trial, or add nodes."
            )
        return slots


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Connect to the cluster at an address (`auto`: the one of this machine), or start one on this machine."""
    if ray is None:
        raise EnvironmentFault(f"ray is not installed; use `{install_hint('ray')}`.")
    try:
        _check_address(address)
        ray.init(address, log_to_driver=False, logging_level="error", namespace="mvsearch")
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise EnvironmentFault(f"ray: no cluster at {address} ({reason}); start one with `ray start --head`.") from None
    try:
        yield
    finally:
        ray.shutdown()


def resources() -> dict[str, float]:
    """The resources of the connected cluster, by Ray's names: CPU, GPU ..."""
    return dict(ray.cluster_resources())


def _check_address(address: str | None) -> None:
    """Raises OSError if no process listens at an address: Ray would retry for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT_S).close()


def run(plan: Plan, reader: Reader, callback: StudyCallback, *, workers: int, share: ResourceShare) -> bool:
    """As `local.run`, on the connected cluster: `workers` tasks at a time, as far as they find free resources."""
    from mvsearch.study.study import Study

    slots = min(workers, max(1, plan.search.trials - reader.count()))
    facts = _get_result(_remote(_collect_facts, share).remote(_without_storage(plan)))
    study = Study.join(plan, as_worker=True)
    study.pin_environment(**facts)
    stop = threading.Event()

    def work() -> None:
        study = Study.join(plan, as_worker=True)
        study.pin_environment(**facts)  # the cache's keys depend on them
        study.run(RemoteEvaluator(plan, share, facts, stop, study.worker))

    progress = StudyProgress(plan, reader)
    with ThreadPoolExecutor(slots, thread_name_prefix="mvsearch") as pool:
        threads = [pool.submit(work) for _ in range(slots)]
        try:
            while not all(thread.done() for thread in threads):
                callback(progress, progress.poll(), study.worker.registry.statuses())
                time.sleep(_POLL_INTERVAL_S)
        finally:
            stop.set()
    callback(progress, progress.poll(), [])
    found = [thread.exception() for thread in threads]
    check_finished(plan, reader, [str(error) for error in found if error], succeeded=None in found)
    return reader.exhausted


class RemoteEvaluator:
    """The evaluation that `Study.run` calls, done by a task of the cluster."""

    def __init__(
        self, plan: Plan, share: ResourceShare, facts: dict[str, Any], stop: threading.Event, worker: Worker
    ) -> None:
        self.plan, self.share, self.facts = ray.put(_without_storage(plan)), share, facts
        self.stop, self.worker = stop, worker

    def __call__(self, arch: Architecture, **options: Any) -> Metrics:
        """As `Evaluator.__call__`. Raises KeyboardInterrupt once `stop` is set."""
        self.worker.report(doing="with Ray")
        start = self.worker.clock()
        task = _remote(_measure, self.share).remote(self.plan, self.facts, arch, options)
        while not ray.wait([task], timeout=_POLL_INTERVAL_S)[0]:
            if self.stop.is_set():
                ray.cancel(task, force=True)
                raise KeyboardInterrupt
        outcome, seconds = _get_result(task)
        self.worker.waited_s += self.worker.clock() - start - seconds
        if isinstance(outcome, Exception):
            raise outcome
        return dict(outcome)


def _without_storage(plan: Plan) -> Plan:
    """The plan as nodes may see it: without the database, whose URL may contain a password."""
    return replace(plan, storage=None)


def _remote(function: Any, share: ResourceShare) -> Any:
    # Ray retries a task whose process or node died, but not one that raised an exception.
    # With num_gpus here, and not in `options`, each task runs in a process of its own, which CUDA binds to that GPU.
    return ray.remote(num_gpus=share.gpus, num_cpus=share.cpus, max_retries=RAY_TASK_RETRIES)(function)


def _get_result(task: Any) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause or error from None
    except ray.exceptions.WorkerCrashedError as error:
        attempts, reason = 1 + RAY_TASK_RETRIES, str(error).splitlines()[0]
        raise EvaluationFailed(f"its process crashed in {attempts} attempts of Ray: {reason}") from None
    except ray.exceptions.RayError as error:  # a fault of the cluster, not of the candidate
        raise OSError(f"Ray could not run the task: {str(error).splitlines()[0]}") from None


_evaluators: dict[str, Evaluator] = {}
_children: dict[tuple[str, float, float], Isolated] = {}
"""On a node: the evaluators of each study's settings, reused with their images from one task to the next."""


def _get_evaluator(plan: Plan) -> Evaluator:
    if plan.settings_digest not in _evaluators:
        _evaluators[plan.settings_digest] = Evaluator(plan, device=_assign_device(plan))
    return _evaluators[plan.settings_digest]


def _get_isolated(plan: Plan, facts: dict[str, Any]) -> Isolated:
    key = (plan.settings_digest, plan.search.timeout_s, plan.search.memory_gib)
    if key not in _children:
        factory = partial(_make_checked_evaluator, facts)
        _children[key] = Isolated(plan, device=_assign_device(plan), report=lambda **_: None, factory=factory)
    return _children[key]


def _assign_device(plan: Plan) -> str:
    if plan.needs_proxy:
        import torch

        torch.set_num_threads(1)
    return "cuda:0" if plan.needs_proxy and ray.get_gpu_ids() else "cpu"


def _collect_facts(plan: Plan) -> dict[str, Any]:
    return _get_evaluator(plan).facts()


def _measure(
    plan: Plan, facts: dict[str, Any], arch: Architecture, kwargs: dict[str, Any]
) -> tuple[Metrics | Exception, float]:
    """The metrics or the exception of the evaluation, and its seconds."""
    evaluate = _get_isolated(plan, facts) if plan.search.isolated else partial(_evaluate, facts, _get_evaluator(plan))
    start = time.monotonic()
    outcome: Metrics | Exception
    try:
        outcome = evaluate(arch, **kwargs)
    except Exception as error:
        outcome = error
    return outcome, time.monotonic() - start


def _make_checked_evaluator(facts: dict[str, Any], plan: Plan, device: str, report: Report) -> Callable[..., Metrics]:
    return partial(_evaluate, facts, Evaluator(plan, device=device, report=report))


def _evaluate(facts: dict[str, Any], evaluator: Evaluator, arch: Architecture, **kwargs: Any) -> Metrics:
    """The evaluation on a node; raises StudyError if the node's numbers would not compare with the study's."""
    if (node_facts := evaluator.facts()) != facts:
        raise StudyError(f"a node differs: it has {node_facts}, the study has {facts}; use nodes of one kind.")
    return evaluator(arch, **kwargs)
