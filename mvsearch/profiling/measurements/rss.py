"""The peak resident memory of a process that only runs inference on a batch: what an operating system has to provide.

It includes Python, PyTorch and what the allocator keeps, which `memory_mib` does not count; so it is measured, and it
depends on the machine and the versions. Each repeat is a fresh process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import EnvironmentFault
from mvsearch.metrics.record import EvaluationFailed, Metrics
from mvsearch.metrics.registry import Metric
from mvsearch.profiling.measurements import Measurement
from mvsearch.utils import machine
from mvsearch.utils.units import Unit

STATUS = Path("/proc/self/status")
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class RssSettings:
    """`rss:` how the peak resident memory of a process is measured."""

    batch: int = 1
    """Images in a batch."""
    threads: int = 1
    """CPU threads."""
    repeats: int = 3
    """Processes that are started; the median of their peaks is the metric."""
    image_size: int | None = None
    """The side of the images in pixels; by default the space's."""


class ResidentMemory(Measurement):
    """The median over processes, with the smallest and the largest, and what a process has before it builds the
    network.
    """

    metrics = (
        Metric(
            "rss_mib",
            "measurement",
            "resident memory",
            "peak resident memory of inference",
            Unit("MiB"),
            noise="machine",
            prefix="rss_",
        ),
    )
    settings_type = RssSettings
    positive = ("batch", "threads", "repeats")

    def measure(self, arch: Architecture, settings: RssSettings, _wanted: Collection[str]) -> Metrics:
        """Raises EvaluationFailed if a process fails."""
        from statistics import median

        device = self.device(settings)
        runs = [_measure_in_process(arch, settings) for _ in range(settings.repeats)]
        peaks = [peak for _, peak in runs]
        return {
            "rss_mib": median(peaks),
            "rss_min_mib": min(peaks),
            "rss_max_mib": max(peaks),
            "rss_low_mib": min(peaks),
            "rss_high_mib": max(peaks),
            "rss_runtime_mib": median(before for before, _ in runs),
            "rss_repeats": settings.repeats,
            "rss_batch": settings.batch,
            "rss_image_size": settings.image_size or arch.image_size,
            "rss_threads": settings.threads,
            "rss_device": device,
        }

    def version(self, _settings: RssSettings) -> int:
        """1 so far."""
        return 1

    def device(self, settings: RssSettings) -> str:
        """The processor, the operating system, Python and torch, and the threads."""
        if not STATUS.exists():
            raise EnvironmentFault(f"peak resident memory is read from {STATUS}, which this system does not have.")
        python, torch = f"{sys.version_info.major}.{sys.version_info.minor}", machine.installed_version("torch")
        return machine.describe_cpu(f"Python {python}, torch {torch}", settings.threads)


def _measure_in_process(arch: Architecture, settings: RssSettings) -> tuple[float, float]:
    """MiB before the network is built, and the peak, of a fresh process."""
    request = {
        "architecture": arch.to_dict(),
        "batch": settings.batch,
        "threads": settings.threads,
        "image_size": settings.image_size or arch.image_size,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mvsearch.profiling.measurements._resident"],
            input=json.dumps(request),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise EvaluationFailed(f"rss: the process did not end within {TIMEOUT_S:g} s") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        raise EvaluationFailed(f"rss: the process failed: {last}") from error
    before, peak = json.loads(done.stdout)
    return before, peak


MEASUREMENT: Measurement = ResidentMemory()
