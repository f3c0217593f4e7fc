"""What is measured of an untrained network: one file a measurement, and the file's name is its section in a space file.

    profiling/measurements/x.py
      MEASUREMENT: Measurement        with the metrics that it declares and the settings of `x:` in a file

What every measurement promises, and a test asks of every file here:

* Numbers that differ from run to run come with their spread and with the number of runs.
* `device` names the hardware and the software that the numbers depend on; two studies are compared only where it is the
  same.
* A network that cannot be measured raises `EvaluationFailed`, with the reason.

A file here loads no torch until it measures.
"""

from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import Metric, declare
from mvsearch.utils import plugins

if TYPE_CHECKING:
    from mvsearch.arch.architecture import Architecture
    from mvsearch.training.in_memory import TrainedInMemory


class Measurement(Protocol):
    """Measures metrics of an architecture, as its `settings` say.

    `settings_type` is a frozen dataclass with an `image_size` among its fields, None for the architecture's own.
    `positive` are the settings that must be 1 or more. `exclusive` measurements need the machine for themselves, so
    they follow the others. A measurement that is `trained` is of the network that the proxy trained, at the proxy's
    image size, which its settings do not have: `measure_trained` measures it. The `scores` that it has are new with
    every seed of the proxy.
    """

    metrics: tuple[Metric, ...]
    scores: tuple[Metric, ...] = ()
    trained: bool = False
    settings_type: type[Any]
    positive: tuple[str, ...] = ()
    exclusive: bool = False

    def measure(self, arch: "Architecture", settings: Any, wanted: Collection[str]) -> Metrics:
        """The wanted metrics of an untrained network, with what belongs beside them."""
        ...

    def measure_trained(self, network: "TrainedInMemory", settings: Any, wanted: Collection[str]) -> Metrics:
        """The wanted metrics and all scores of a trained network, with what belongs beside them."""
        return {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its metrics and scores."""
        return tuple(metric.name for metric in (*self.metrics, *self.scores))

    def seconds(self, arch: "Architecture", settings: Any) -> float | None:
        """About how long `measure` takes of an architecture on a machine that does nothing else; None if unknown."""
        return None

    def seconds_trained(
        self, network: "TrainedInMemory", settings: Any, wanted: Collection[str], held_out: int
    ) -> tuple[float, float] | None:
        """About how long `measure_trained` takes with so many held-out images; None if unknown.

        The seconds of every seed, and those of what is measured once.
        """
        return None

    def check(self, settings: Any) -> None:
        """Raises PlanError for settings that cannot be measured."""
        return

    def version(self, settings: Any) -> int | None:
        """A number that rises when the same settings would give another value."""
        return None

    def device(self, settings: Any) -> str | None:
        """The hardware and software that the numbers depend on; None if they are the same everywhere.

        Raises EnvironmentFault if it is not available, PlanError for a setting that it does not have.
        """
        return None

    def stored_settings(self, settings: Any, image_size: int) -> dict[str, Any]:
        """The settings that the numbers depend on, as they are stored with a study of networks of this image size."""
        return {**asdict(settings), "image_size": settings.image_size or image_size}


def load_measurement(name: str) -> Measurement:
    """The measurement of that name."""
    measurement: Measurement = plugins.load("measurement", name).MEASUREMENT
    return measurement


def measurements() -> dict[str, Measurement]:
    """Every measurement by name; those that need the machine for themselves come last."""
    loaded = {name: load_measurement(name) for name in plugins.names("measurement")}
    return dict(sorted(loaded.items(), key=lambda item: item[1].exclusive))


for _measurement in measurements().values():
    declare(*_measurement.metrics)
