"""The peak memory of a network, counted without running it: the same on every machine."""

from collections.abc import Collection
from dataclasses import dataclass

from mvsearch.arch.architecture import Architecture
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import MEMORY_MIB, TRAIN_MEMORY_MIB
from mvsearch.profiling.measurements import Measurement


@dataclass(frozen=True)
class MemorySettings:
    """`memory:` the batch whose peak is counted."""

    batch: int = 1
    """Images in a batch, for `memory_mib`."""
    train_batch: int = 64
    """Images of a training step, for `train_memory_mib`."""
    image_size: int | None = None
    """The side of the images in pixels; by default the space's."""


class Memory(Measurement):
    """Counts what is asked for alone: a training step takes longer."""

    metrics = (MEMORY_MIB, TRAIN_MEMORY_MIB)
    settings_type = MemorySettings
    positive = ("batch", "train_batch")

    def measure(self, arch: Architecture, settings: MemorySettings, wanted: Collection[str]) -> Metrics:
        """The peaks in MiB."""
        from mvsearch.profiling.memory import MIB, peak_bytes

        size = settings.image_size or arch.image_size
        peaks: Metrics = {}
        if MEMORY_MIB.name in wanted:
            peaks[MEMORY_MIB.name] = peak_bytes(arch, batch=settings.batch, image_size=size) / MIB
            peaks["memory_image_size"] = size
        if TRAIN_MEMORY_MIB.name in wanted:
            peak = peak_bytes(arch, batch=settings.train_batch, image_size=size, training=True)
            peaks[TRAIN_MEMORY_MIB.name] = peak / MIB
            peaks["train_memory_image_size"] = size
        return peaks


MEASUREMENT: Measurement = Memory()
