"""Every metric is declared once: its name, label, unit, direction, kind and noise.

Static costs and what several packages measure are declared here. Other scores and measurements are declared in the file
of their proxy or measurement, and its package registers them when it is imported. No other module lists the names of
metrics.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mvsearch.arch.published import TASKS
from mvsearch.errors import PlanError
from mvsearch.utils.units import COUNT, PERCENT, PLAIN, Unit

Kind = Literal["static cost", "measurement", "score"]
"""A static cost is computed in closed form, a measurement is taken on a device, a score stands for accuracy."""

Noise = Literal["none", "machine", "seed"]
"""What a repetition can change: nothing, what else the machine does, or the seed."""


@dataclass(frozen=True)
class Metric:
    """A number that a candidate has.

    `label` is the head of its column, `description` the label of its axis. `ideal` is the value that no network can
    exceed. `tasks` are the tasks whose networks have it. Further numbers that are stored with it have names that start
    with `prefix`. A metric that is not `searchable` is reported and cannot be an objective or a constraint; with
    `column` tables have it nevertheless. `quantity` is a score's label without the part of the images that a study
    computes it on: see `label_on`.
    """

    name: str
    kind: Kind
    label: str
    description: str
    unit: Unit = PLAIN
    maximise: bool = False
    ideal: float = 0.0
    noise: Noise = "none"
    tasks: tuple[str, ...] = TASKS
    prefix: str | None = None
    searchable: bool = True
    column: bool = False
    quantity: str = ""

    def label_on(self, part: str) -> str:
        """The label of a score on another part of the images than a study's, e.g. `top-1 (test)`."""
        return f"{self.quantity or self.label} ({part})"


OPERATORS = "operators"
"""The number of nodes of the ONNX file, which is known for classifiers."""

STATIC_COSTS = ("params", "macs", "macs_paper", OPERATORS)
"""The names of the costs in closed form, as `arch.cost.Cost` has them."""

SIZE = ("params", "macs")
"""The costs that stand for the size of a network."""

HELD_OUT, TEST = "held-out", "test"
"""The parts of a data set that networks are evaluated on: a study holds images of the training part out."""


def _accuracy(name: str, quantity: str, task: str) -> Metric:
    label, description = f"{quantity} ({HELD_OUT})", f"proxy {quantity} on held-out images"
    return Metric(name, "score", label, description, PERCENT, True, 1.0, "seed", (task,), quantity=quantity)


TOP1_INT8 = Metric(
    "top1_int8",
    "score",
    f"int8 top-1 ({HELD_OUT})",
    "top-1 of the int8 file on held-out images",
    PERCENT,
    True,
    1.0,
    "seed",
    ("classification",),
    prefix="int8_",
    quantity="int8 top-1",
)
TOP1 = _accuracy("top1", "top-1", "classification")
TOP1_FLOAT32 = replace(
    TOP1_INT8,
    name="top1_float32",
    label=f"float32 top-1 ({HELD_OUT})",
    description="top-1 of the float32 file on held-out images",
    quantity="float32 top-1",
    prefix=None,
    searchable=False,
)
"""That of the same network in the same runtime, which `top1_int8` is compared with."""
MIOU = _accuracy("miou", "mIoU", "segmentation")
MAP = _accuracy("map", "mAP", "detection")
LOSS = Metric("loss", "score", f"loss ({HELD_OUT})", "proxy loss on held-out images", noise="seed", quantity="loss")

GAIN = Metric("gain", "score", "gain", "score beyond size", maximise=True, noise="seed", searchable=False)
"""How much better a score is than expected at a network's costs; computed from the trials of a study."""

MEMORY_MIB = Metric("memory_mib", "measurement", "memory", "peak memory", Unit("MiB"), prefix="memory_")
TRAIN_MEMORY_MIB = Metric(
    "train_memory_mib",
    "measurement",
    "training memory",
    "peak memory of a training step",
    Unit("MiB"),
    prefix="train_memory_",
)
LATENCY_MS = Metric("latency_ms", "measurement", "latency", "latency", Unit("ms"), noise="machine", prefix="latency_")
LATENCY_INT8_MS = Metric(
    "latency_int8_ms",
    "measurement",
    "int8 latency",
    "latency of the int8 file",
    Unit("ms"),
    noise="machine",
    tasks=("classification",),
    prefix="latency_int8_",
)
THROUGHPUT_IMAGES_S = Metric(
    "throughput_images_s",
    "measurement",
    "throughput",
    "throughput",
    Unit("images/s"),
    maximise=True,
    noise="machine",
    prefix="throughput_",
    searchable=False,
)

_metrics: dict[str, Metric] = {}


def declare(*metrics: Metric) -> None:
    """Make metrics known; raises ValueError if another metric has the name. The last declared is the last in order."""
    for metric in metrics:
        if _metrics.get(metric.name, metric) != metric:
            raise ValueError(f"two metrics are called {metric.name!r}; rename one.")
        _metrics.pop(metric.name, None)
        _metrics[metric.name] = metric


declare(
    Metric("params", "static cost", "params", "parameters", COUNT),
    Metric("macs", "static cost", "MACs", "MACs", COUNT),
    Metric("macs_paper", "static cost", "MACs (paper)", "MACs as the paper counts them", COUNT),
    Metric(OPERATORS, "static cost", "operators", "operators of the ONNX file", COUNT, tasks=("classification",)),
    *(MEMORY_MIB, TRAIN_MEMORY_MIB, LATENCY_MS, THROUGHPUT_IMAGES_S, LATENCY_INT8_MS),
    *(TOP1, TOP1_INT8, TOP1_FLOAT32, MIOU, MAP, LOSS, GAIN),
)


def check_costs(names: Iterable[str], task: str) -> None:
    """Raises PlanError for a cost in closed form that is not known for networks of a task."""
    for name in names:
        if name in STATIC_COSTS and task not in metric(name).tasks:
            raise PlanError(f"{name} is known for {' and '.join(metric(name).tasks)} only, not for {task}; remove it.")


def metric(name: str) -> Metric:
    """The metric of that name; a number that nobody declared is a score under its own name.

    >>> metric("latency_ms@pixel").label
    'latency (pixel)'
    """
    if device := device_of(name):
        return replace(LATENCY_MS, name=name, label=f"latency ({device})", description=f"latency on {device}")
    return _metrics.get(name) or Metric(name, "score", name, name)


def device_of(name: str) -> str:
    """The device of `latency_ms@DEVICE`, the latency on one of several devices; empty for another metric."""
    base, _, device = name.partition("@")
    return device if base == LATENCY_MS.name else ""


def with_devices(names: Iterable[str], stored: Iterable[Mapping[str, object]]) -> list[str]:
    """The names, and after `latency_ms` those of the latencies on each device that are stored."""
    devices = sorted({name for metrics in stored for name in metrics if device_of(name)})
    return [each for name in names for each in (name, *(devices if name == LATENCY_MS.name else ()))]


def scores() -> Mapping[str, Metric]:
    """Every declared score by name."""
    return _of_kind("score")


def measurements() -> Mapping[str, Metric]:
    """Every declared measurement by name."""
    return _of_kind("measurement")


def searchable() -> tuple[str, ...]:
    """The names of all metrics that can be objectives or constraints: scores, static costs, measurements."""
    declared = {**scores(), **_of_kind("static cost"), **measurements()}
    return tuple(name for name, each in declared.items() if each.searchable)


def is_score(name: str) -> bool:
    """Whether a stored number is a score: neither a declared cost nor a measurement nor a detail of one."""
    if name in _metrics:
        return _metrics[name].kind == "score"
    return not any(name.startswith(each.prefix) for each in _metrics.values() if each.prefix)


def _of_kind(kind: Kind) -> dict[str, Metric]:
    return {name: each for name, each in _metrics.items() if each.kind == kind}
