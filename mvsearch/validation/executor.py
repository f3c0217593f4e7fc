"""Trains what a validation lacks, in this process or in several, and reports how far it is.

A training is locked by the process that runs it, and the lock ends with the process, so that any number of commands may
work on one folder: each leaves out what another one trains, and waits for it.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from mvsearch.errors import EnvironmentFault, MvsearchError
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.utils import machine_lock
from mvsearch.validation.conditions import check_source
from mvsearch.validation.job import ValidationJob
from mvsearch.validation.pace import Pace
from mvsearch.validation.rounds import Schedule, Training

if TYPE_CHECKING:
    from mvsearch.training.job import TrainingData

_POLL_INTERVAL_S = 0.5
_WAIT_INTERVAL_S = 2.0
"""Seconds between two looks at trainings of other commands."""

_STOP_WAIT_S = 60.0
"""Seconds that a process has to finish its step and to write a checkpoint."""

_REPORT_INTERVAL_S = 0.5


@dataclass(frozen=True)
class Running:
    """A training under way: finished steps of all steps, and its loss; 0 of 0 while it reads its images.

    `waiting` if a process of its own waits for the machine.
    """

    step: int = 0
    steps: int = 0
    loss: float | None = None
    waiting: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a validation is. `finished` are the trainings that ended since the last call, `left_s` at most."""

    schedule: Schedule
    running: Mapping[Training, Running]
    finished: tuple[Training, ...] = ()
    left_s: float | None = None


Callback = Callable[[Progress], None]
Stop = Callable[[], bool]


def run(job: ValidationJob, callback: Callback, *, devices: Sequence[str], data: "TrainingData | None" = None) -> None:
    """Train until the validation is finished, one network at a time on each of the `devices`, e.g. twice `cpu`.

    With a single device everything runs in this process, on `data` if it has loaded the images already.

    KeyboardInterrupt stops the trainings after their current step; a further run resumes them. Raises StudyError if a
    failed training leaves nothing to compare, EnvironmentFault if a process was killed.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    executor = _Executor(job, callback, tuple(devices))
    try:
        executor.run_here(data) if len(devices) == 1 else executor.run_in_processes()
    finally:
        executor.stop()


@dataclass
class _Process:
    """A process that trains one network, and what it reported last."""

    training: Training
    device: str
    process: BaseProcess
    connection: Connection


@dataclass
class _Executor:
    job: ValidationJob
    callback: Callback
    devices: tuple[str, ...]
    running: dict[Training, Running] = field(default_factory=dict)
    processes: list[_Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pace = Pace(self.job)
        self._finished = {(name, seed) for name, by_seed in self.job.results().items() for seed in by_seed}

    def look(self) -> Schedule:
        """Read the folder, and report how far the validation is."""
        results = self.job.results()
        schedule = self.job.schedule(results)
        finished = {(name, seed) for name, by_seed in results.items() for seed in by_seed}
        new, self._finished = finished - self._finished, finished
        shares = {training: at.step / max(1, at.steps) for training, at in self.running.items()}
        left_s = self.pace.left_s(schedule, shares, len(self.devices))
        self.callback(Progress(schedule, dict(self.running), tuple(sorted(new)), left_s))
        return schedule

    def _free(self, schedule: Schedule) -> list[Training]:
        """The trainings that nobody runs, the longest first."""
        free = [training for training in schedule.next if training not in self.running]
        free = [training for training in free if not _is_locked(self.job, training)]
        return sorted(free, key=lambda training: (training[1], -self.pace.work(training)))

    # ---- in this process

    def run_here(self, data: "TrainingData | None") -> None:
        """One training after the other."""
        with _interrupts() as interrupted:
            while (schedule := self.look()).next:
                if interrupted():
                    raise KeyboardInterrupt
                if not (free := self._free(schedule)):
                    time.sleep(_WAIT_INTERVAL_S)  # another command trains the rest
                    continue
                self._train_here(free[0], data, interrupted)

    def _train_here(self, training: Training, data: "TrainingData | None", interrupted: Stop) -> None:
        last_look = time.monotonic()
        try:
            for at in train(self.job, training, interrupted, self.devices[0], data):
                self._update(training, at)
                if time.monotonic() - last_look > _REPORT_INTERVAL_S:
                    last_look = time.monotonic()
                    self.look()
        finally:
            self._end(training)

    # ---- in other processes

    def run_in_processes(self) -> None:
        """As many trainings at a time as there are devices, each in a process of its own."""
        last_look = -_POLL_INTERVAL_S
        schedule: Schedule | None = None
        while schedule is None or schedule.next or self.processes:
            if schedule is None or time.monotonic() - last_look > _POLL_INTERVAL_S:
                last_look, schedule = time.monotonic(), self.look()
                for training, device in zip(self._free(schedule), self._idle_devices(), strict=False):
                    self._start(training, device)
            connections = [each.connection for each in self.processes]
            if not connections:
                time.sleep(_POLL_INTERVAL_S)
            for connection in wait(connections, timeout=_POLL_INTERVAL_S):
                self._receive(next(each for each in self.processes if each.connection is connection))

    def _idle_devices(self) -> list[str]:
        idle = list(self.devices)
        for each in self.processes:
            idle.remove(each.device)
        return idle

    def _start(self, training: Training, device: str) -> None:
        """Start a process. It ignores Ctrl-C, which a terminal sends to all: the command stops it in order."""
        context = get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(self.job, training, device, theirs, os.getpid()), daemon=True)
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, handler)
        theirs.close()
        self.processes.append(_Process(training, device, process, ours))
        self.running[training] = Running()

    def _receive(self, child: _Process) -> None:
        try:
            message = child.connection.recv()
        except EOFError:
            child.process.join()
            self.processes.remove(child)
            self._end(child.training)
            if child.process.exitcode:
                name, seed = child.training
                raise EnvironmentFault(
                    f"the process that trained {name} with seed {seed} ended with exit code {child.process.exitcode}, "
                    "as when memory runs out; use fewer --workers, and the same command resumes."
                ) from None
            return
        if isinstance(message, MvsearchError):
            raise message
        self._update(child.training, message)

    def _update(self, training: Training, at: Running) -> None:
        if at.steps:
            self.pace.step(training, at.step, at.steps)
        self.running[training] = at

    def _end(self, training: Training) -> None:
        self.pace.end(training)
        self.running.pop(training, None)

    def stop(self) -> None:
        """Stop the processes that still run; each writes a checkpoint. A second Ctrl-C does not wait."""
        for child in self.processes:
            child.process.terminate()
        try:
            for child in self.processes:
                child.process.join(_STOP_WAIT_S)
        finally:
            for child in self.processes:
                child.process.kill()


def train(
    job: ValidationJob,
    training: Training,
    interrupted: Stop,
    device: str = "cpu",
    data: "TrainingData | None" = None,
) -> Iterator[Running]:
    """Train one network with one seed to its end, and write its result; ends at once if another process does.

    A CPU uses one thread, so that results do not depend on the number of workers. Raises KeyboardInterrupt, after a
    checkpoint, once `interrupted` is true.
    """
    from mvsearch.profiling.timing import fixed_threads
    from mvsearch.training.distributed import ProcessGroup
    from mvsearch.training.trainer import StepResult

    folder = job.training_folder(training)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0), fixed_threads(1):
            if job.result(training):
                return
            start, single = time.monotonic(), job.training(training)
            data = data or single.load_data()
            started = single.start(data, ProcessGroup(device=device))
            check_source(job.conditions, started.transfer)
            trainer, loss = started.run.trainer, None
            for event in started.run.run():
                trainer.stopping = interrupted()
                loss = event.loss if isinstance(event, StepResult) else loss
                yield Running(trainer.position.step, trainer.data.steps, loss)
            single.finish(started, data, seconds=time.monotonic() - start)
            started.run.checkpoint.unlink(missing_ok=True)
    except Timeout:
        return
    except EvaluationFailed as error:
        job.record_failure(training, str(error))


def _is_locked(job: ValidationJob, training: Training) -> bool:
    path = job.training_folder(training) / "lock"
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def _interrupts() -> Iterator[Stop]:
    """Whether Ctrl-C or SIGTERM came: the first one is noted, a second one interrupts at once."""
    received = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        yield received.is_set
        return
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

    def receive(_signal: int, _frame: Any) -> None:
        received.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {name: signal.signal(getattr(signal, name), receive) for name in names}
    try:
        yield received.is_set
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _work(job: ValidationJob, training: Training, device: str, connection: Connection, parent: int) -> None:
    """The main function of a process: train, and report about twice a second."""
    at, last_report = Running(), 0.0
    wait_told = machine_lock.on_wait(lambda waiting: connection.send(replace(at, waiting=waiting)))
    with wait_told, _interrupts() as received:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for at in train(job, training, lambda: received() or os.getppid() != parent, device):
                if time.monotonic() - last_report > _REPORT_INTERVAL_S or at.step == at.steps:
                    last_report = time.monotonic()
                    connection.send(at)
        except MvsearchError as error:
            connection.send(error)
        except (KeyboardInterrupt, BrokenPipeError):
            sys.exit(130)
