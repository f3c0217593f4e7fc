"""Evaluations in a process of their own, which may hang, grow or crash without taking its worker along.

worker ── architecture ──▶ child, kept for the next candidate
       ◀── progress, result ── or nothing any more: then the candidate failed, and the next one gets a new child
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import of_the_machine
from mvsearch.metrics.record import EvaluationFailed, Metrics
from mvsearch.study.evaluator import Evaluator, Report
from mvsearch.study.plan import Plan
from mvsearch.utils import machine_lock

_LOOK_EVERY_S = 0.5
_FROM_A_TERMINAL = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
_GIB = 1 << 30
_NO_MEMORY = "DefaultCPUAllocator: can't allocate memory"  # torch's RuntimeError, where Python has a MemoryError


Make = Callable[[Plan, str, Report], Callable[..., Metrics]]
"""Plan, device, report → the evaluation. It is called in the child, so it must be a module's own function."""


def _evaluator(plan: Plan, device: str, report: Report) -> Evaluator:
    return Evaluator(plan, device=device, report=report)


def overran(timeout_s: float) -> EvaluationFailed:
    """What a candidate is told that took too long."""
    return EvaluationFailed(f"took longer than {timeout_s:g} s, the limit of a trial (timeout_s)")


class Isolated:
    """Measures architectures as `Evaluator` does, in a child process, within the plan's limits on time and memory.

    Raises what the evaluation raised; Failed where the child was stopped for its time, or died.
    """

    def __init__(self, plan: Plan, *, device: str, report: Report, make: Make = _evaluator) -> None:
        self.plan, self.device, self.report, self.make = plan, device, report, make
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None

    def __call__(self, arch: Architecture, *, rung: int | None = None, repeat: int = 0) -> Metrics:
        """As `Evaluator.__call__`."""
        pipe = self._started()
        try:
            pipe.send((arch, rung, repeat))
        except OSError:
            raise EvaluationFailed(self._last_words()) from None
        return self._awaited(pipe, time.monotonic() + (self.plan.search.timeout_s or float("inf")))

    def _awaited(self, pipe: Connection, end: float) -> Metrics:
        waits_since: float | None = None  # for its turn, which is not the candidate's time
        while True:
            self.report()  # raises if nobody waits for this worker any more
            if waits_since is None and time.monotonic() > end:
                self.close()
                raise overran(self.plan.search.timeout_s)
            if not pipe.poll(min(_LOOK_EVERY_S, max(0.0, end - time.monotonic()))):
                continue
            try:
                kind, said = pipe.recv()
            except (EOFError, OSError):
                raise EvaluationFailed(self._last_words()) from None
            if kind == "progress":
                self.report(**said)
            elif kind == "waits":
                waits_since = time.monotonic()
            elif kind == "goes on":
                end += time.monotonic() - (waits_since or time.monotonic())
                waits_since = None
            elif kind == "raised":
                if of_the_machine(said):  # a GPU that failed once fails its process for good
                    self.close()
                raise said
            elif kind == "out of memory":
                self.close()
                if not self.plan.search.memory_gib:
                    raise MemoryError("the machine ran out of memory")
                raise EvaluationFailed(f"ran out of memory (limit {self.plan.search.memory_gib:g} GiB)")
            else:
                return dict(said)

    def _started(self) -> Connection:
        """The pipe to a child that is ready."""
        if self._child is None or self._pipe is None or not self._child.is_alive():
            spawn = multiprocessing.get_context("spawn")
            self._pipe, theirs = spawn.Pipe()
            self._child = spawn.Process(target=_serve, args=(self.make, self.plan, self.device, theirs), daemon=True)
            self._child.start()
            theirs.close()
            self._awaited(self._pipe, float("inf"))  # its start is not the candidate's time
        return self._pipe

    def _last_words(self) -> str:
        child = self._child
        if child is not None:
            child.join(_LOOK_EVERY_S)
        self.close()
        code, memory_gib = child.exitcode if child else None, self.plan.search.memory_gib
        if code is None or code >= 0:
            return f"its process ended with exit code {code}"
        words = f"its process was ended by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            words += ", as a system does that is out of memory"
        return words + (f" (limit {memory_gib:g} GiB)" if memory_gib else "")

    def close(self) -> None:
        """End the child."""
        if self._child is not None and self._pipe is not None:
            self._child.kill()
            self._child.join()
            self._pipe.close()
        self._child = self._pipe = None


def _serve(make: Make, plan: Plan, device: str, pipe: Connection) -> None:
    """The child: evaluates what it is sent, until nobody sends any more."""
    for name in _FROM_A_TERMINAL:
        signal.signal(name, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_worker, daemon=True).start()
    _limit_memory(plan.search.memory_gib)
    if device == "cpu" and plan.needs_proxy:
        import torch

        torch.set_num_threads(1)
    machine_lock.on_wait(lambda waiting: pipe.send(("waits" if waiting else "goes on", None)))
    evaluate = make(plan, device, lambda **said: pipe.send(("progress", said)))
    with suppress(EOFError, ConnectionError):
        _answer(evaluate, pipe)


def _end_with_the_worker() -> None:
    if worker := multiprocessing.parent_process():
        worker.join()  # however it ends
        os._exit(1)


def _answer(evaluate: Callable[..., Metrics], pipe: Connection) -> None:
    pipe.send(("result", {}))
    while True:
        arch, rung, repeat = pipe.recv()
        try:
            pipe.send(("result", evaluate(arch, rung=rung, repeat=repeat)))
        except Exception as error:
            if isinstance(error, MemoryError) or _NO_MEMORY in str(error):
                pipe.send(("out of memory", None))
                return  # what is left of it is not to be trusted
            pipe.send(("raised", error))


def _limit_memory(gib: float) -> None:
    if gib:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (int(gib * _GIB), int(gib * _GIB)))
