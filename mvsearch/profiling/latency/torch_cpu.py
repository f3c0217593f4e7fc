"""Latency of PyTorch on the CPU: eager, fp32, channels last, which is what PyTorch itself runs fastest here.

With `fused` it is that of the network as `mvsearch.nn.fuse` makes it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mvsearch.metrics.record import Latency
from mvsearch.profiling.timing import check, fixed_threads, inputs, measured
from mvsearch.utils import machine

VERSION = 1


def measure(
    model: nn.Module,
    image_size: int,
    *,
    batch: int = 1,
    repeats: int = 50,
    threads: int = 1,
    limit_s: float = 30.0,
    fused: bool = False,
) -> Latency:
    """Time one batch, alone on the machine. The first calls warm up and are not kept."""
    check(image_size=image_size, batch=batch, repeats=repeats, threads=threads)
    with ready(model, image_size, batch=batch, threads=threads, fused=fused) as call:
        return measured(
            call,
            image_size,
            batch=batch,
            repeats=repeats,
            threads=threads,
            limit_s=limit_s,
            backend="torch_cpu",
            device=device(threads=threads, fused=fused),
        )


@contextmanager
def ready(
    model: nn.Module,
    image_size: int,
    *,
    batch: int = 1,
    threads: int = 1,
    fused: bool = False,
    layout: torch.memory_format = torch.channels_last,
) -> Iterator[Callable[[], object]]:
    """A call that runs one batch through a copy of the model; torch has so many threads meanwhile."""
    network, images = inputs(
        model, image_size, batch, device="cpu", dtype=torch.float32, memory_format=layout, fused=fused
    )

    def call() -> object:
        with torch.inference_mode():
            return network(images)

    with fixed_threads(threads):
        yield call


def device(*, threads: int = 1, fused: bool = False) -> str:
    """The processor, the version of torch (its build left out: the CPU code is the same), the threads; if fused."""
    release, plural = torch.__version__.split("+")[0], "s" if threads > 1 else ""
    return f"cpu: {machine.cpu_name()}, torch {release}, {threads} thread{plural}{', fused' if fused else ''}"
