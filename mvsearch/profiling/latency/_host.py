"""Backends that are timed by the clock of the host."""

from torch import nn

from mvsearch.metrics.record import Latency
from mvsearch.profiling.latency import DEFAULT_OPTIONS, LIMIT_S, REPEATS, LatencyBackend, TimingOptions, check_options
from mvsearch.profiling.timing import check, interleave, summarise
from mvsearch.utils import machine_lock


class HostTimed(LatencyBackend):
    """Measures what `prepare` returns."""

    def measure(
        self,
        model: nn.Module,
        image_size: int,
        options: TimingOptions = DEFAULT_OPTIONS,
        *,
        repeats: int = REPEATS,
        limit_s: float = LIMIT_S,
    ) -> Latency:
        """Time one batch with exclusive access to the machine. Warm-up calls are not counted."""
        check(image_size=image_size, batch=options.batch, repeats=repeats, threads=options.threads)
        check_options(self, options)
        conditions = self.conditions(image_size, options)
        with self.prepare(model, image_size, options) as call, machine_lock.exclusive():
            times = interleave({self.name: call}, repeats=repeats, limit_s=limit_s)
        return summarise(times.times_ms[self.name], conditions)
