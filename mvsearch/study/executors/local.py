"""Worker processes on this machine. The parent only watches: what it shows it reads from the study's database."""

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from mvsearch.errors import MvsearchError, StudyError
from mvsearch.metrics.record import Record
from mvsearch.study.executors.progress import StudyProgress
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader
from mvsearch.study.workers.heartbeat import worker_registry

if TYPE_CHECKING:
    from mvsearch.study.study import Study

Watch = Callable[[StudyProgress, list[Record], list[dict[str, Any]]], None]
"""How the study stands, what is new in it, what the workers say."""

_LOOK_EVERY_S = 0.4
_PATIENCE_S = 15
RESTART_BUDGET = (
    10  # of each process while nothing succeeds: three candidates in a row that kill three workers each, and one
)

_LOG = logging.getLogger(__name__)


def workers_for(plan: Plan) -> int:
    """As many processes as the plan says, else one a GPU, else one a core, up to 16: each holds the images."""
    return plan.search.workers or len(_gpus(plan)) or min(16, os.cpu_count() or 1)


def run(plan: Plan, reader: Reader, watch: Watch, *, workers: int) -> bool:
    """Work on the study with so many processes until it is done; `watch` is told on the way.

    A process that a signal ended, such as a system sends that is out of memory, is replaced. Returns whether the study
    ended before its total because no new candidate was found inside the conditions and limits. Raises StudyError with a
    worker's own words if all of them gave up before the end. KeyboardInterrupt stops the workers; what they had
    finished is kept.
    """
    others = worker_registry(reader.store, plan.name)
    others.clear_errors()
    wanted = workers if plan.search.confirm else max(0, min(workers, plan.search.trials - reader.count()))
    crew = WorkerPool(plan, wanted)
    following, news = StudyProgress(plan, reader), list[Record]()
    try:
        crew.start()
        while crew.at_work(following):
            watch(following, news, others.statuses())
            time.sleep(_LOOK_EVERY_S)
            news = following.look()
    finally:
        crew.stop()
    watch(following, [*news, *following.look()], [])
    _refuse_unfinished(plan, reader, crew.processes)
    return reader.exhausted


def _gpus(plan: Plan) -> list[str]:
    """The GPUs that trainings can run on."""
    if not plan.needs_proxy:
        return []
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]


class WorkerPool:
    """Worker processes; one that a signal ended is replaced while trials are left, unless too many died in a row."""

    def __init__(self, plan: Plan, wanted: int) -> None:
        self.plan = plan
        self.processes = [self._process(i) for i in range(wanted)]
        self._measured, self._lives = 0, RESTART_BUDGET * wanted

    def _process(self, index: int) -> BaseProcess:
        args = (self.plan, index, os.getpid())
        return multiprocessing.get_context("spawn").Process(
            target=work, args=args, daemon=not self.plan.search.isolated
        )

    def start(self) -> None:
        """Start all that are not, deaf to Ctrl-C, which a terminal sends to all: the parent hears it and ends them in
        order."""
        if not (new := [process for process in self.processes if process.pid is None]):
            return  # nothing to be deaf for: a Ctrl-C now would be lost
        heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for process in new:
                process.start()
        finally:
            signal.signal(signal.SIGINT, heard)

    def at_work(self, following: StudyProgress) -> bool:
        """Whether any is, now that the dead are replaced."""
        measured = following.count - following.states["failed"]
        if measured > self._measured:
            self._measured, self._lives = measured, RESTART_BUDGET * len(self.processes)
        codes = [process.exitcode for process in self.processes]
        left = self.plan.search.confirm or following.count < self.plan.search.trials
        dead = [i for i, code in enumerate(codes) if code is not None and code < 0 and left][: self._lives]
        for i in dead:
            self.processes[i] = self._process(i)
        self._lives -= len(dead)
        self.start()
        return bool(dead) or None in codes

    def stop(self) -> None:
        """End them all."""
        started = [process for process in self.processes if process.pid is not None]
        for process in started:
            process.terminate()
        for process in started:
            process.join(_PATIENCE_S)
            process.kill()


def _refuse_unfinished(plan: Plan, reader: Reader, workers: Sequence[BaseProcess]) -> None:
    ended = any(worker.exitcode == 0 for worker in workers)
    whole = reader.count() >= plan.search.trials
    said = [status["error"] for status in worker_registry(reader.store, plan.name).statuses() if "error" in status]
    if (whole and (ended or not plan.search.confirm)) or (reader.exhausted and ended):
        for words in said:
            _LOG.warning("%s", words)
        return
    if said:
        raise StudyError(said[0])
    codes = ", ".join(str(worker.exitcode) for worker in workers)
    raise StudyError(
        f"the workers ended (exit codes {codes}) with {reader.count()} of {plan.search.trials} trials done; what is "
        "finished is kept, and the same command goes on."
    )


def work(plan: Plan, index: int, parent: int) -> None:
    """One worker process, from start to end; the `index`-th of its command."""
    from mvsearch.study.evaluator import Evaluator
    from mvsearch.study.executors.isolated import Isolated
    from mvsearch.study.study import Study

    def watched() -> None:
        if os.getppid() != parent:  # the command was killed: nobody is there to stop this one
            raise KeyboardInterrupt

    def report(**status: Any) -> None:
        watched()
        study.worker.report(**status)

    for name in ("SIGTERM", "SIGHUP"):  # the latter as a terminal is closed; Windows has none
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        study = Study.join(plan, as_worker=True)
    except MvsearchError as error:
        sys.exit(f"mvsearch: {error}")
    try:
        device = _device(plan, index)
        evaluator = Evaluator(plan, device=device, report=report)
        study.hold_to(**evaluator.facts())
        evaluate = Isolated(plan, device=device, report=report) if plan.search.isolated else evaluator
        study.run(evaluate, tell=lambda _: watched())
    except KeyboardInterrupt:
        sys.exit(130)
    except (MvsearchError, OSError) as error:
        _leave_word(study, error)
        sys.exit(1)


def _leave_word(study: "Study", error: Exception) -> None:
    """Say why a worker ends: to its parent, or to the terminal if there is no space even for that."""
    try:
        study.worker.report(error=str(error))
    except OSError:
        print(f"mvsearch: {error}", file=sys.stderr)


def _device(plan: Plan, index: int) -> str:
    """A worker's own GPU if there are any, else one core: so a score does not depend on how many work beside it."""
    gpus = _gpus(plan)
    if not gpus and plan.needs_proxy:
        import torch

        torch.set_num_threads(1)
    return gpus[index % len(gpus)] if gpus else "cpu"
