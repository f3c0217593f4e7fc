"""Evaluations in a child process: a candidate that hangs, grows or crashes does not end its worker.

worker ── architecture ──▶ child, reused for the next candidate
       ◀── progress, result ── if the child is stopped or crashes, the candidate fails and the next one gets a new child
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
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import is_machine_fault
from mvsearch.metrics.record import EvaluationFailed, Metrics
from mvsearch.study.evaluator import Evaluator, Report
from mvsearch.study.plan import Plan
from mvsearch.utils import machine_lock

_POLL_INTERVAL_S = 0.5
_TERMINAL_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
_GIB = 1 << 30
_TORCH_MEMORY_ERROR = "DefaultCPUAllocator: can't allocate memory"  # a RuntimeError, where Python raises MemoryError

Factory = Callable[[Plan, str, Report], Callable[..., Metrics]]
"""Plan, device, report → the evaluation. It is called in the child, so it must be a function of a module."""


def make_evaluator(plan: Plan, device: str, report: Report) -> Evaluator:
    """The evaluation of a plan."""
    return Evaluator(plan, device=device, report=report)


class Isolated:
    """Measures architectures as `Evaluator` does, in a child process, within the plan's limits on time and memory.

    Raises the exception of the evaluation; EvaluationFailed if the child was stopped for its time limit, or crashed.
    """

    def __init__(self, plan: Plan, *, device: str, report: Report, factory: Factory = make_evaluator) -> None:
        self.plan, self.device, self.report, self.factory = plan, device, report, factory
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None

    def __call__(self, arch: Architecture, **options: Any) -> Metrics:
        """As `Evaluator.__call__`."""
        pipe = self._start_child()
        try:
            pipe.send((arch, options))
        except OSError:
            raise EvaluationFailed(self._describe_crash()) from None
        outcome = self._receive(pipe, time.monotonic() + (self.plan.search.timeout_s or float("inf")))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _receive(self, pipe: Connection, deadline: float) -> Metrics | Exception:
        """The child's answer. A child that is not waited for to the end is stopped: its answer would be taken for that
        to the next candidate."""
        try:
            return self._wait_for_answer(pipe, deadline)
        except BaseException:
            self.close()
            raise

    def _wait_for_answer(self, pipe: Connection, deadline: float) -> Metrics | Exception:
        """The child's answer. The time that it waits for the machine lock does not count as the candidate's."""
        wait_start: float | None = None
        while True:
            self.report()  # raises if the command that started this worker is gone
            left_s = deadline - time.monotonic() if wait_start is None else _POLL_INTERVAL_S
            if left_s < 0:
                limit_s = self.plan.search.timeout_s
                raise EvaluationFailed(f"took longer than {limit_s:g} s, the limit of a trial (timeout_s)")
            if not pipe.poll(min(_POLL_INTERVAL_S, left_s)):
                continue
            try:
                kind, content = pipe.recv()
            except (EOFError, OSError):
                raise EvaluationFailed(self._describe_crash()) from None
            if kind == "result":
                return dict(content)
            if kind == "progress":
                self.report(**content)
            elif kind == "wait begins":
                wait_start = time.monotonic()
                self.report(waiting=True)
            elif kind == "wait ends":
                deadline += time.monotonic() - (wait_start or time.monotonic())
                wait_start = None
                self.report(waiting=False)
            else:
                return self._handle_error(kind, content)

    def _handle_error(self, kind: str, error: Exception | None) -> Exception:
        """The exception to raise for an error in the child, which ends where it cannot be used any more."""
        if kind == "raised" and error is not None:
            if is_machine_fault(error):  # a process whose GPU failed once cannot use it again
                self.close()
            return error
        self.close()
        if not self.plan.search.memory_gib:
            return MemoryError("the machine ran out of memory")
        return EvaluationFailed(f"ran out of memory (limit {self.plan.search.memory_gib:g} GiB)")

    def _start_child(self) -> Connection:
        """The pipe to a child that is ready."""
        if self._child is None or self._pipe is None or not self._child.is_alive():
            spawn = multiprocessing.get_context("spawn")
            self._pipe, child_pipe = spawn.Pipe()
            args = (self.factory, self.plan, self.device, child_pipe)
            self._child = spawn.Process(target=_serve, args=args, daemon=True)
            self._child.start()
            child_pipe.close()
            self._receive(self._pipe, float("inf"))  # the start does not count as the candidate's time
        return self._pipe

    def _describe_crash(self) -> str:
        """How the child ended."""
        child = self._child
        if child is not None:
            child.join(_POLL_INTERVAL_S)
        self.close()
        code, memory_gib = child.exitcode if child else None, self.plan.search.memory_gib
        if code is None or code >= 0:
            return f"its process ended with exit code {code}"
        reason = f"its process was ended by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            reason += ", which the system sends when memory runs out"
        return reason + (f" (limit {memory_gib:g} GiB)" if memory_gib else "")

    def close(self) -> None:
        """End the child."""
        if self._child is not None and self._pipe is not None:
            self._child.kill()
            self._child.join()
            self._pipe.close()
        self._child = self._pipe = None


def _serve(factory: Factory, plan: Plan, device: str, pipe: Connection) -> None:
    """The main function of the child: evaluates the architectures that it receives."""
    for name in _TERMINAL_SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    threading.Thread(target=_end_with_worker, daemon=True).start()
    _limit_memory(plan.search.memory_gib)
    if device == "cpu" and plan.needs_proxy:
        import torch

        torch.set_num_threads(1)
    with machine_lock.on_wait(lambda waiting: pipe.send(("wait begins" if waiting else "wait ends", None))):
        evaluate = factory(plan, device, lambda **status: pipe.send(("progress", status)))
        with suppress(EOFError, ConnectionError):
            _answer(evaluate, pipe)


def _end_with_worker() -> None:
    """End this process when its worker ends, however that happens."""
    if worker := multiprocessing.parent_process():
        worker.join()
        os._exit(1)


def _answer(evaluate: Callable[..., Metrics], pipe: Connection) -> None:
    pipe.send(("result", {}))
    while True:
        arch, kwargs = pipe.recv()
        try:
            pipe.send(("result", evaluate(arch, **kwargs)))
        except Exception as error:
            if isinstance(error, MemoryError) or _TORCH_MEMORY_ERROR in str(error):
                pipe.send(("out of memory", None))
                return  # a process that ran out of memory may be in any state
            pipe.send(("raised", error))


def _limit_memory(gib: float) -> None:
    if gib:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (int(gib * _GIB), int(gib * _GIB)))
