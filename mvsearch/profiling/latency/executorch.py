"""Latency of ExecuTorch with XNNPACK, fp32: the file that `mvsearch export --to executorch` writes.

The file takes one image, so the images of a batch run in sequence.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mvsearch.export.runtime import suppress_output
from mvsearch.profiling.latency import DEFAULT_OPTIONS, Call, LatencyBackend, TimingOptions
from mvsearch.profiling.latency._exported import Exported


class ExecuTorch(Exported):
    """ExecuTorch's own runtime."""

    name = format_name = "executorch"

    @contextmanager
    def prepare(self, model: nn.Module, image_size: int, options: TimingOptions = DEFAULT_OPTIONS) -> Iterator[Call]:
        """A call that runs one batch. The process's number of ExecuTorch threads is restored after."""
        with suppress_output(), torch.random.fork_rng(devices=[]):  # the first import uses torch's random state
            from executorch.extension.pybindings import portable_lib

            before = portable_lib._threadpool_get_thread_count()
        try:
            with super().prepare(model, image_size, options) as call:
                yield call
        finally:
            with suppress_output():
                portable_lib._unsafe_reset_threadpool(before)


BACKEND: LatencyBackend = ExecuTorch()
