"""Backends that are timed by the clock of the host."""

from torch import nn

from mvsearch.metrics.record import Latency
from mvsearch.profiling import reference
from mvsearch.profiling.estimate import estimate, interleave_precisely
from mvsearch.profiling.latency import DEFAULT_OPTIONS, LIMIT_S, REPEATS, LatencyBackend, TimingOptions, check_options
from mvsearch.profiling.timing import check
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
        """Time one batch and the reference, with exclusive access to the machine. Warm-up calls are not counted."""
        check(image_size=image_size, batch=options.batch, repeats=repeats, threads=options.threads)
        check_options(self, options)
        conditions = self.conditions(image_size, options)
        named = {self.name: conditions}
        # The reference comes first: threads stay as the network's own call needs them.
        with (
            reference.prepare(conditions) as beside,
            self.prepare(model, image_size, options) as call,
            machine_lock.exclusive(),
        ):
            times = interleave_precisely(
                {self.name: call}, named, beside=beside, repeats=repeats, limit_s=limit_s, settle=options.threads > 1
            )
        return estimate(times, named)[self.name]
