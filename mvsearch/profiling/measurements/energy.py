"""The energy of one image by the processor's own counters (RAPL), with exclusive access to the machine.

Linux shows the counters under /sys/class/powercap, a folder for each processor package; often only root may read them.
They count all that the package does, so the number includes the idle power of the time that the image takes.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import EnvironmentFault
from mvsearch.metrics.record import EvaluationFailed, Metrics
from mvsearch.metrics.registry import Metric
from mvsearch.profiling.latency import TimingOptions, load_backend
from mvsearch.profiling.measurements import Measurement
from mvsearch.utils import machine_lock
from mvsearch.utils.units import Unit

POWERCAP = Path("/sys/class/powercap")
BACKEND = "torch_cpu"
MIN_ROUND_S = 0.2
"""The counters advance once a millisecond: a round of calls is much longer."""


@dataclass(frozen=True)
class EnergySettings:
    """`energy:` how the energy of one image is measured."""

    batch: int = 1
    """Images at a time."""
    threads: int = 1
    """CPU threads."""
    repeats: int = 10
    """Rounds; their median is the metric."""
    image_size: int | None = None
    """The side of the images in pixels; by default the space's."""


class Energy(Measurement):
    """The median over rounds, with its 10th and 90th percentile."""

    metrics = (
        Metric(
            "energy_mj", "measurement", "energy", "energy of one image", Unit("mJ"), noise="machine", prefix="energy_"
        ),
    )
    settings_type = EnergySettings
    positive = ("batch", "threads", "repeats")
    exclusive = True

    def measure(self, arch: Architecture, settings: EnergySettings, _wanted: Collection[str]) -> Metrics:
        """Raises EvaluationFailed where the counters cannot be read."""
        from statistics import median

        from mvsearch.nn import build
        from mvsearch.profiling.estimate import median_interval

        try:
            device, counters = self.device(settings), read_counters()
        except EnvironmentFault as error:
            raise EvaluationFailed(f"energy: {error}") from error
        size = settings.image_size or arch.image_size
        backend, options = load_backend(BACKEND), TimingOptions(batch=settings.batch, threads=settings.threads)
        with backend.prepare(build(arch.deploy(), seed=0), size, options) as call, machine_lock.exclusive():
            rounds = [millijoules(call, counters) / settings.batch for _ in range(settings.repeats)]
        (low, high), interval = np.percentile(rounds, [10, 90]), median_interval(rounds)
        return {
            "energy_mj": median(rounds),
            "energy_p10_mj": float(low),
            "energy_p90_mj": float(high),
            "energy_low_mj": interval.low,
            "energy_high_mj": interval.high,
            "energy_repeats": settings.repeats,
            "energy_batch": settings.batch,
            "energy_image_size": size,
            "energy_threads": settings.threads,
            "energy_device": device,
        }

    def version(self, _settings: EnergySettings) -> int:
        """1 so far."""
        return 1

    def device(self, settings: EnergySettings) -> str:
        """The backend's device and the packages that are counted; raises EnvironmentFault where none can be read."""
        packages = "+".join(sorted(counter.name for counter in read_counters()))
        options = TimingOptions(batch=settings.batch, threads=settings.threads)
        return f"{load_backend(BACKEND).device(options)}, RAPL of {packages}"


@dataclass(frozen=True)
class Counter:
    """An energy counter in microjoules, which starts again from 0 after `maximum`."""

    name: str
    file: Path
    maximum: int

    def read(self) -> int:
        """The microjoules so far."""
        return int(self.file.read_text(encoding="utf-8"))

    def difference(self, before: int, after: int) -> int:
        """The microjoules between two readings."""
        return after - before if after >= before else after - before + self.maximum


def read_counters() -> list[Counter]:
    """The counters of all processor packages; raises EnvironmentFault where there is none or none can be read."""
    counters = []
    for folder in sorted(POWERCAP.glob("intel-rapl:*")):
        if folder.name.count(":") > 1:  # a part of a package, which the package's counter includes
            continue
        try:
            name = (folder / "name").read_text(encoding="utf-8").strip()
            if not name.startswith("package"):  # `psys`: a laptop as a whole, which includes its package
                continue
            maximum = int((folder / "max_energy_range_uj").read_text(encoding="utf-8"))
            counter = Counter(name, folder / "energy_uj", maximum)
            counter.read()
        except PermissionError as error:
            raise EnvironmentFault(
                "the energy counter cannot be read without permission; allow it with `sudo chmod a+r` on this file.",
                at=str(error.filename),
            ) from error
        counters.append(counter)
    if not counters:
        raise EnvironmentFault("there is no energy counter (RAPL) on this machine; choose another metric.", at=POWERCAP)
    return counters


def millijoules(call: Callable[[], object], counters: list[Counter]) -> float:
    """The energy of one call, averaged over as many calls as fill a round."""
    from mvsearch.profiling.timing import seconds_of, warm_up

    fastest = warm_up(call, limit_s=MIN_ROUND_S)
    calls = max(1, int(MIN_ROUND_S / fastest))
    before = [counter.read() for counter in counters]
    for _ in range(calls):
        seconds_of(call)
    after = [counter.read() for counter in counters]
    total = sum(map(Counter.difference, counters, before, after))
    return total / calls / 1e3


MEASUREMENT: Measurement = Energy()
