"""The record of a finished candidate. Plain Python; the names of metrics include their units."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from mvsearch.metrics.registry import is_score

Metrics = dict[str, Any]
"""Raw numbers by name: metrics (params, top1, latency_ms ...), their spread, and the details of measurements."""

FULL = "float32"
"""The precision of trainings on a CPU."""


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)


_SPREAD = ("_std", "_sem")


def score_values(metrics: Metrics) -> Metrics:
    """The scores among a candidate's numbers: neither costs and measurements nor the spread over several seeds."""
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if is_score(name) and not name.endswith(_SPREAD)}


def mean_metrics(replicates: Sequence[Metrics]) -> Metrics:
    """The mean of each score over several measurements; with two or more, also its deviation and standard error.

    >>> mean_metrics([{"top1": 0.5}, {"top1": 0.7}])["top1"]
    0.6
    """
    import statistics

    mean = {name: statistics.fmean(replicate[name] for replicate in replicates) for name in replicates[0]}
    if len(replicates) == 1:
        return mean
    deviation = {name: statistics.stdev(replicate[name] for replicate in replicates) for name in mean if is_score(name)}
    std = {f"{name}_std": value for name, value in deviation.items()}
    return mean | std | {f"{name}_sem": value / math.sqrt(len(replicates)) for name, value in deviation.items()}


def pooled_variance(groups: Sequence[Sequence[float]]) -> float | None:
    """The variance of one measurement, pooled over all that was measured more than once; None if nothing was.

    >>> pooled_variance([[1.0, 3.0], [5.0], [2.0, 2.0, 2.0]])
    0.6666666666666666
    """
    import statistics

    repeated = [group for group in groups if len(group) > 1]
    squares = sum((len(group) - 1) * statistics.variance(group) for group in repeated)
    return squares / sum(len(group) - 1 for group in repeated) if repeated else None


class ConstraintViolated(Exception):
    """A candidate violates a constraint: its trial is pruned, with this reason and the metrics measured so far."""

    def __init__(self, reason: str, metrics: Metrics | None = None) -> None:
        super().__init__(reason)
        self.metrics = metrics


class EvaluationFailed(Exception):
    """A candidate could not be evaluated: its trial fails with this reason, and the study continues."""


@dataclass(frozen=True)
class Latency:
    """The latency of one batch with its spread, and all that it depends on.

    `device` names the hardware and the software ("cpu: AMD EPYC 9R14, torch 2.13.0"): two studies may be
    compared only where it is the same.

    `median_ms` estimates the time on a machine that does nothing else, `low_ms` to `high_ms` is how far the estimate
    can be trusted, and p10 to p90 is the spread over the rounds. `ratio` is the time over that of the `reference`
    network in the same rounds, which can be trusted from `ratio_low` to `ratio_high`. `reference_ms` is the time of the
    reference that the estimate assumes, which was measured on a quiet machine if it is `reference_quiet`. `wall_ms` is
    what the clock on the wall showed, `cpu_share` the share of it in which the process had the processor, `load` the
    load average of the machine, `busy` whether other processes disturbed the measurement. `reported` is what the
    command of a device printed beside the latency, `by_device` the latencies of several devices by name, of which this
    is the highest. A field is None where it was not measured.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    repeats: int
    batch: int
    image_size: int
    threads: int | None
    precision: str
    backend: str
    device: str
    low_ms: float | None = None
    high_ms: float | None = None
    wall_ms: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    reference: str | None = None
    reference_ms: float | None = None
    reference_quiet: bool | None = None
    cpu_share: float | None = None
    load: float | None = None
    busy: bool = False
    reported: Mapping[str, Any] | None = None
    by_device: Mapping[str, "Latency"] | None = None

    @property
    def images_s(self) -> float:
        """Throughput at this batch, in images a second."""
        return self.batch / self.median_ms * 1e3

    def metrics(self) -> Metrics:
        """The numbers and settings as they are stored with a candidate."""
        numbers = {
            "latency_ms": self.median_ms,
            "latency_p10_ms": self.p10_ms,
            "latency_p90_ms": self.p90_ms,
            "latency_repeats": self.repeats,
            "latency_batch": self.batch,
            "latency_image_size": self.image_size,
            "latency_precision": self.precision,
            "latency_threads": self.threads,
            "latency_backend": self.backend,
            "latency_device": self.device,
            "latency_busy": self.busy,
        }
        optional = (
            "low_ms",
            "high_ms",
            "wall_ms",
            "ratio",
            "ratio_low",
            "ratio_high",
            "reference",
            "reference_ms",
            "reference_quiet",
            "cpu_share",
            "load",
            "reported",
        )
        measured = {f"latency_{name}": getattr(self, name) for name in optional}
        for name, each in (self.by_device or {}).items():
            ends = {"ms": each.median_ms, "low_ms": each.low_ms, "high_ms": each.high_ms, "device": each.device}
            measured |= {f"latency_{end}@{name}": value for end, value in ends.items()}
        return {name: value for name, value in (numbers | measured).items() if value is not None}


@dataclass(frozen=True)
class Record:
    """One finished candidate of a study.

    `state` is `complete`, `pruned` (a constraint is violated) or `failed`; the last two have a `reason`.
    `choices` are the values of the choices of the space, `architecture` is the network as a document. `published` is
    the name of the published model that it is, if it is one.
    """

    number: int
    key: str
    state: str
    reason: str | None
    metrics: Metrics
    choices: dict[str, Any]
    architecture: dict[str, Any]
    published: str | None
    seconds: float
    cached: bool = False
