"""Latency of ExecuTorch with XNNPACK, fp32: the file that `mvsearch export --to executorch` writes.

The file takes one image, so a batch is its images one after another.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mvsearch.export.runtime import quiet
from mvsearch.profiling.latency._exported import Exported

VERSION = 1


class _Files(Exported):
    @contextmanager
    def ready(
        self, model: nn.Module, image_size: int, *, batch: int = 1, threads: int = 1
    ) -> Iterator[Callable[[], object]]:
        with quiet(), torch.random.fork_rng(devices=[]):  # the first import draws from torch's random state
            from executorch.extension.pybindings import portable_lib

            # ExecuTorch's threads are the whole process's, and go back to the caller's number.
            before = portable_lib._threadpool_get_thread_count()
        try:
            with super().ready(model, image_size, batch=batch, threads=threads) as call:
                yield call
        finally:
            with quiet():
                portable_lib._unsafe_reset_threadpool(before)


_FILES = _Files("executorch", "executorch")
measure, ready, device, missing = _FILES.measure, _FILES.ready, _FILES.device, _FILES.missing
