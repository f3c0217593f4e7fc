"""Latency of PyTorch on the CPU: eager, fp32, channels last, which is PyTorch's fastest memory format here.

With `fused` it is the latency of the network that `mvsearch.nn.fuse` returns.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mvsearch.profiling.latency import DEFAULT_OPTIONS, Call, LatencyBackend, TimingOptions
from mvsearch.profiling.latency._host import HostTimed
from mvsearch.profiling.timing import copy_with_images, fixed_threads, settle_allocator
from mvsearch.utils import machine


class TorchCpu(HostTimed):
    """Eager PyTorch."""

    name = "torch_cpu"
    supports = frozenset({"fused", "channels_last"})

    def device(self, options: TimingOptions = DEFAULT_OPTIONS) -> str:
        """The processor, the version of torch without its build (the CPU code is the same), and the options."""
        release = torch.__version__.split("+")[0]
        fused, layout = ", fused" if options.fused else "", "" if options.channels_last else ", channels first"
        return f"{machine.describe_cpu(f'torch {release}', options.threads)}{fused}{layout}"

    @contextmanager
    def prepare(self, model: nn.Module, image_size: int, options: TimingOptions = DEFAULT_OPTIONS) -> Iterator[Call]:
        """A call that runs one batch through a copy of the model, with the number of threads set meanwhile."""
        network, images = copy_with_images(
            model,
            image_size,
            options.batch,
            device="cpu",
            dtype=torch.float32,
            memory_format=torch.channels_last if options.channels_last else torch.contiguous_format,
            fused=options.fused,
        )

        def call() -> object:
            with torch.inference_mode():
                return network(images)

        settle_allocator()
        with fixed_threads(options.threads):
            yield call


BACKEND: LatencyBackend = TorchCpu()
