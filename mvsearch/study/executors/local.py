"""Worker processes on this machine. The parent reads their progress from the study's database."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from mvsearch.errors import MvsearchError
from mvsearch.metrics.record import Record
from mvsearch.study.executors.progress import StudyProgress, check_finished
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader
from mvsearch.study.retry import RESTART_BUDGET, STOP_WAIT_S
from mvsearch.study.workers.heartbeat import worker_registry
from mvsearch.study.workers.registry import Status
from mvsearch.utils import machine_lock

if TYPE_CHECKING:
    from mvsearch.study.study import Study

StudyCallback = Callable[[StudyProgress, list[Record], list[Status]], None]
"""Called with the progress of a study, the trials that finished since the last call, and the workers' statuses."""

_POLL_INTERVAL_S = 0.4


def workers_for(plan: Plan) -> int:
    """The plan's number of processes; otherwise one for each GPU, otherwise one for each core, up to 16.

    Each process holds the images in memory.
    """
    return plan.search.workers or len(_list_gpus(plan)) or min(16, os.cpu_count() or 1)


def device_for(plan: Plan) -> str:
    """The device of the first process."""
    return next(iter(_list_gpus(plan)), "cpu")


def run(plan: Plan, reader: Reader, callback: StudyCallback, *, workers: int) -> bool:
    """Run the study in worker processes until its trials are done.

    A process that a signal killed, as the system does when memory runs out, is replaced. Returns whether the study
    ended before its total because no new candidate was found inside the conditions and limits. Raises StudyError with
    the error of a worker if all of them stopped before the end. KeyboardInterrupt stops the workers; finished trials
    are kept.
    """
    registry = worker_registry(reader.store, plan.name)
    registry.clear_errors()
    missing = workers if plan.remeasures else max(0, min(workers, plan.search.trials - reader.count()))
    pool = WorkerPool(plan, missing)
    progress, new = StudyProgress(plan, reader), list[Record]()
    try:
        pool.start()
        while pool.is_running(progress):
            callback(progress, new, registry.statuses())
            pool.wait(_POLL_INTERVAL_S)
            new = progress.poll()
    finally:
        pool.stop()
    callback(progress, [*new, *progress.poll()], [])
    statuses = worker_registry(reader.store, plan.name).statuses()
    errors = [str(status["error"]) for status in statuses if "error" in status]
    codes = [process.exitcode for process in pool.processes]
    check_finished(plan, reader, errors, succeeded=0 in codes, end=f" (exit codes {', '.join(map(str, codes))})")
    return reader.exhausted


def _list_gpus(plan: Plan) -> list[str]:
    """The GPUs that trainings can run on."""
    if not plan.needs_proxy:
        return []
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]


class WorkerPool:
    """Worker processes. A killed one is replaced while trials are left, within the restart budget."""

    def __init__(self, plan: Plan, workers: int) -> None:
        self.plan = plan
        self.processes = [self._make_process(i) for i in range(workers)]
        self._successes, self._restarts_left = 0, RESTART_BUDGET * workers

    def _make_process(self, index: int) -> BaseProcess:
        args = (self.plan, index, os.getpid())
        return multiprocessing.get_context("spawn").Process(
            target=work, args=args, daemon=not self.plan.search.isolated
        )

    def start(self) -> None:
        """Start all processes that are not started. They ignore Ctrl-C, which a terminal sends to all of them: the
        parent receives it too and stops them in order."""
        if not (new := [process for process in self.processes if process.pid is None]):
            return  # a Ctrl-C during the lines below would be lost
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for process in new:
                process.start()
        finally:
            signal.signal(signal.SIGINT, handler)

    def is_running(self, progress: StudyProgress) -> bool:
        """Whether any process runs, after killed ones are replaced."""
        successes = progress.count - progress.states["failed"]
        if successes > self._successes:
            self._successes, self._restarts_left = successes, RESTART_BUDGET * len(self.processes)
        codes = [process.exitcode for process in self.processes]
        unfinished = self.plan.remeasures or progress.count < self.plan.search.trials
        killed = [i for i, code in enumerate(codes) if code is not None and code < 0 and unfinished]
        killed = killed[: self._restarts_left]
        for i in killed:
            self.processes[i] = self._make_process(i)
        self._restarts_left -= len(killed)
        self.start()
        return bool(killed) or None in codes

    def wait(self, timeout_s: float) -> None:
        """Wait until a process ends, at most so long."""
        multiprocessing.connection.wait([p.sentinel for p in self.processes if p.exitcode is None], timeout_s)

    def stop(self) -> None:
        """Terminate all processes; kill those that do not end in time."""
        started = [process for process in self.processes if process.pid is not None]
        for process in started:
            process.terminate()
        for process in started:
            process.join(STOP_WAIT_S)
            process.kill()


class _Interrupts:
    """SIGTERM, SIGHUP and the death of the command, each of which ends a worker process as Ctrl-C would."""

    def __init__(self, parent: int) -> None:
        self.parent, self.received = parent, False
        for name in ("SIGTERM", "SIGHUP"):  # SIGHUP: the terminal was closed; Windows has none
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._receive)
        sys.unraisablehook = self._hook

    def _receive(self, *_: object) -> None:
        if not self.received:  # a second one would interrupt the release of the trial
            self.received = True
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raises KeyboardInterrupt after a signal, or if the command was killed, so that nothing else stops this."""
        if self.received or os.getppid() != self.parent:
            raise KeyboardInterrupt

    @contextmanager
    def reraise(self) -> Iterator[None]:
        """Raises KeyboardInterrupt again where a library, e.g. a converter, made an error of its own of it."""
        try:
            yield
        except Exception:
            self.check()
            raise

    def _hook(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """Python cannot raise an interrupt that arrives in a destructor; the next check raises it."""
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(unraisable)


def work(plan: Plan, index: int, parent: int) -> None:
    """The main function of a worker process, the `index`-th of its command; `parent` is the pid of the command."""
    from mvsearch.study.evaluator import Evaluator
    from mvsearch.study.executors.isolated import Isolated
    from mvsearch.study.study import Study

    def report(**status: Any) -> None:
        interrupts.check()
        study.worker.report(**status)

    try:
        interrupts = _Interrupts(parent)
        study = Study.join(plan, as_worker=True)
    except MvsearchError as error:
        sys.exit(f"mvsearch: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        device = _assign_device(plan, index)
        evaluator = Evaluator(plan, device=device, report=report)
        report(waiting=False)
        with machine_lock.on_wait(lambda waiting: report(waiting=waiting)):
            study.pin_environment(**interrupts.reraise()(evaluator.facts)())
            evaluate = Isolated(plan, device=device, report=report) if plan.search.isolated else evaluator
            study.run(interrupts.reraise()(evaluate), callback=lambda _: interrupts.check())
    except KeyboardInterrupt:
        sys.exit(130)
    except (MvsearchError, OSError) as error:
        _report_error(study, error)
        sys.exit(1)


def _report_error(study: "Study", error: Exception) -> None:
    """Publish why a worker stops; print it if not even the status can be written."""
    try:
        study.worker.report(error=str(error))
    except OSError:
        print(f"mvsearch: {error}", file=sys.stderr)


def _assign_device(plan: Plan, index: int) -> str:
    """A GPU of its own, or one core: a score must not depend on how many workers run on the machine."""
    gpus = _list_gpus(plan)
    if not gpus and plan.needs_proxy:
        import torch

        torch.set_num_threads(1)
    return gpus[index % len(gpus)] if gpus else "cpu"
