"""One candidate's way from the claim to the record: rung by rung, from the cache where it was measured before."""

import inspect
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import MvsearchError, StudyError, is_machine_fault
from mvsearch.metrics.pareto import places
from mvsearch.metrics.record import ConstraintViolated, EvaluationFailed, Metrics, Record, mean_metrics, score_values
from mvsearch.metrics.registry import is_score
from mvsearch.study.candidate import Candidate
from mvsearch.study.joined_study import JoinedStudy
from mvsearch.study.latency_prediction import LATENCY, LatencyPredictor
from mvsearch.study.plan import Plan
from mvsearch.study.reevaluation import replicates
from mvsearch.study.scheduler import Scheduler
from mvsearch.study.storage.faults import retry_while_unavailable
from mvsearch.study.storage.trials import translate_optuna_errors
from mvsearch.utils import machine

Evaluate = Callable[..., Metrics]
"""Architecture → metrics. It is also called with `rung=steps` for rungs and `repeat=1` and up for re-evaluations; if it
accepts `target`, with the metrics of the network to beat, so that a candidate over a measured limit ends early. Where
latency is predicted, also with `known` and `only`, as `Evaluator` has them."""

_LOG = logging.getLogger(__name__)


def check_signature(evaluate: Evaluate, plan: Plan) -> None:
    """Raises StudyError if the function does not accept an argument that the plan needs."""
    needs = {
        "rung": ("proxy.rungs", plan.proxy.rungs),
        "repeat": ("search.beat", True) if plan.target else ("search.confirm", plan.search.confirm),
    }
    needs = {name: (setting, needed and plan.needs_proxy) for name, (setting, needed) in needs.items()}
    needs |= dict.fromkeys(("known", "only"), ("latency.predict", plan.predicts_latency))
    for name, (setting, needed) in needs.items():
        if needed and not _accepts(evaluate, name):
            raise StudyError(
                f"{setting} calls the evaluation with {name}=, which it does not accept; define it as "
                f"`def evaluate(arch, *, rung=None, repeat=0)`."
            )


def _accepts(evaluate: Evaluate, name: str) -> bool:
    try:
        inspect.signature(evaluate).bind(None, **{name: 1})
    except TypeError:
        return False
    return True


class Runner:
    """Evaluates the candidates of one worker and records the outcome."""

    def __init__(self, study: JoinedStudy, scheduler: Scheduler, evaluate: Evaluate) -> None:
        self.study, self.plan, self.store, self.worker = study, study.plan, study.store, study.worker
        self.scheduler, self.evaluate = scheduler, evaluate
        target = self.plan.target
        known = target and any(limit.measured for limit in target.measured_limits) and _accepts(evaluate, "target")
        self._known = {"target": target.metrics} if target and known else {}
        self._predictor = (
            LatencyPredictor(study, partial(evaluate, only=LATENCY)) if self.plan.predicts_latency else None
        )
        self._total_steps = study.plan.proxy_settings().steps if study.plan.proxy.rungs else 0

    def prepare(self) -> None:
        """Measure the networks that the latency of candidates is predicted from, if it is."""
        if self._predictor is not None:
            self._predictor.measure_design()

    def evaluate_and_record(self, candidate: Candidate) -> Record:
        """The candidate's record, which is stored. No other worker measures the same architecture meanwhile."""
        with ExitStack() as lock:
            try:
                lock.enter_context(self.store.evaluation_lock(candidate.key, self.study.evaluation_key()))
                record = self._evaluate(candidate)
            except BaseException:  # Ctrl-C, or an error that ends this worker: not the candidate's fault
                self.scheduler.release(candidate.number)
                raise
            write = self.scheduler.requeue_after_fault if record.state == "lost" else self._record
            return retry_while_unavailable(partial(write, record))

    def _evaluate(self, candidate: Candidate) -> Record:
        """The candidate's record, whatever the outcome."""
        self.worker.report(number=candidate.number, name=candidate.name, doing="", done=0, of=0)
        start, cached = self.worker.clock(), self.study.known_metrics(candidate.key)
        record = replace(candidate.record(), cached=cached is not None)
        rungs: dict[str, Metrics] = {}
        try:
            metrics = cached if cached is not None else self._measure(candidate, rungs)
            self._check_numbers(metrics)
            self.plan.check_constraints(metrics)
            record = replace(record, metrics=metrics)
        except ConstraintViolated as error:
            record = replace(record, state="pruned", reason=str(error), metrics=error.metrics or record.metrics)
        except MvsearchError:
            raise
        except Exception as error:
            _LOG.debug("trial %d", candidate.number, exc_info=True)
            state = "lost" if is_machine_fault(error) else "failed"
            record = replace(record, state=state, reason=_describe_error(error))
        measured = {"rungs": rungs} if rungs else {}
        return replace(record, metrics=record.metrics | measured, seconds=self.worker.clock() - start)

    def _measure(self, candidate: Candidate, rungs: dict[str, Metrics]) -> Metrics:
        """The metrics of the full evaluation after those of the rungs before it, which are added to `rungs`.

        Raises ConstraintViolated for a candidate that is stopped at a rung.
        """
        if self._predictor is None:
            return self._measure_rungs(candidate, rungs, {})
        if scores := self.study.known_metrics(candidate.key, predicted=True):
            measure = partial(self._predictor.with_latency, candidate.architecture, scores)
        else:
            measure = partial(self._measure_rungs, candidate, rungs)
        return self._predictor.evaluate(candidate, measure)

    def _measure_rungs(self, candidate: Candidate, rungs: dict[str, Metrics], known: Mapping[str, Any]) -> Metrics:
        """As `_measure`, with further arguments of the evaluation."""
        for steps in self.plan.proxy.rungs if self.plan.needs_proxy else ():
            metrics = self._measure_cached(candidate.architecture, candidate.key, known, rung=steps)
            rungs[str(steps)] = score_values(metrics)
            if candidate.published is None:  # published models are measured in full, to validate the rungs' scores
                self._stop_unless_promising(metrics, steps)
        return self._call(candidate.architecture, **known)

    def _call(self, arch: Architecture, **kwargs: Any) -> Metrics:
        """What the evaluation returns, with the costs in closed form."""
        return {**arch.metrics(), **self.evaluate(arch, **kwargs, **self._known)}

    def _measure_cached(
        self, arch: Architecture, key: str, known: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Metrics:
        """The metrics of a rung or a replicate, from the cache if they were measured before."""
        settings, start = self.study.evaluation_key(**kwargs), self.worker.clock()
        metrics = self.study.known_metrics(key, **kwargs)
        if metrics is None:
            metrics = self._call(arch, **kwargs, **(known or {}))
            self._check_numbers(metrics, **kwargs)
            self.store.cache_evaluation(key, settings, metrics, self.worker.clock() - start, machine.describe())
        return metrics

    def _stop_unless_promising(self, metrics: Metrics, steps: int) -> None:
        """Successive halving over all candidates: the best share of those that reached a rung continue.

        Jamieson and Talwalkar 2016, section 3, decided for each candidate on arrival (Li et al. 2020, ASHA), by
        hypervolume gain instead of one score. No candidate waits: the front only moves away from those stopped.
        """
        rows = [metrics, *self._others_at(steps)]
        place, limit = places(rows, self.plan.objectives)[0], math.ceil(self.plan.proxy.keep * len(rows))
        if place > limit:
            costs = {name: value for name, value in metrics.items() if name not in score_values(metrics)}
            reason = (
                f"stopped after {steps} of {self._total_steps} steps: number {place} of {len(rows)} by hypervolume gain"
            )
            raise ConstraintViolated(f"{reason}, the best {limit} continue", costs)

    def _others_at(self, steps: int) -> list[Metrics]:
        """The finished candidates with a score at a rung that are within the limits on costs, which earlier runs may
        not have had."""
        found, objectives = self.store.rung_scores(self.study.name, steps).values(), set(self.plan.search.objectives)
        limits = [limit for limit in self.plan.limits if not is_score(limit.name)]
        return [
            other
            for other in found
            if other.keys() >= objectives and not any(limit.violated(other) for limit in limits)
        ]

    def _check_numbers(self, metrics: Metrics, *, rung: int | None = None, repeat: int = 0) -> None:
        """Raises EvaluationFailed for an objective, or a limited metric, that is not a number: it satisfies no limit.

        A rung need not have what is limited, and a repeat has scores alone.
        """
        objectives = [name for name in self.plan.search.objectives if not repeat or is_score(name)]
        limited = [] if rung or repeat else [limit.name for limit in self.plan.measured_limits]
        for name in (*objectives, *limited):
            value = metrics.get(name)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise EvaluationFailed(
                    f"the {'objective' if name in objectives else 'limited metric'} {name} is {value}"
                )

    def _record(self, record: Record) -> Record:
        """Store a record. A worker that was considered dead has lost its trial: it stores the measurement alone, for
        the worker that holds the trial now."""
        with self.store.trial_lock(self.study.name, record.number), translate_optuna_errors(self.plan.url):
            if self.study.trials.is_open(record.number):
                self.study.save(record)
            elif record.state == "complete" and not record.cached:
                measurement = (record.key, self.study.evaluation_key(), record.metrics, record.seconds)
                self.store.cache_evaluation(*measurement, machine.describe())
        return record

    def measure_target(self, repeat: int) -> None:
        """Measure the network to beat with the seeds of a repeat, which this worker has claimed.

        Raises StudyError if it cannot be measured.
        """
        target = self.plan.target
        assert target is not None
        self.worker.report(number=None, name=target.name, doing="target", done=0, of=0)
        try:
            with self.store.evaluation_lock(target.arch.key, self.study.evaluation_key(repeat=repeat)):
                self._measure_cached(target.arch, target.arch.key, repeat=repeat)
        except MvsearchError:
            raise
        except Exception as error:
            _LOG.debug("the network to beat", exc_info=True)
            raise StudyError(f"cannot be measured: {_describe_error(error)}.", at=f"--beat {target.name}") from None
        finally:
            self.store.release_replicate(self.study.name, -1 - repeat)

    def reevaluate(self, record: Record) -> bool:
        """Measure a claimed trial again. Whether that succeeded."""
        name = record.published or record.key
        self.worker.report(number=record.number, name=name, doing="re-evaluation", done=0, of=0)
        try:
            metrics = self._measure_again(record, Architecture.from_dict(record.architecture))
            metrics.pop("unconfirmed", None)
        except MvsearchError:
            raise
        except Exception as error:
            _LOG.debug("re-evaluation of trial %d", record.number, exc_info=True)
            metrics = record.metrics | {"unconfirmed": _describe_error(error)}
        self.store.update_metrics(self.study.name, record.number, metrics)
        self.store.release_replicate(self.study.name, record.number)
        return "unconfirmed" not in metrics

    def _measure_again(self, record: Record, arch: Architecture) -> Metrics:
        """The metrics of a trial with its latency, if that was predicted; else with the means over further seeds."""
        if self._predictor is not None and record.metrics.get("latency_predicted"):
            return self._predictor.measure_predicted(arch, record.metrics)
        before = replicates(record)
        measured = self._measure_cached(arch, record.key, repeat=len(before))
        after = [*before, {name: score_values(measured)[name] for name in before[0]}]
        return record.metrics | mean_metrics(after) | {"repeats": after}


def _describe_error(error: Exception) -> str:
    known = isinstance(error, EvaluationFailed | ConstraintViolated)
    return str(error) if known else f"{type(error).__name__}: {error}"
