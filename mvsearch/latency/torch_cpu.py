"""Latency of PyTorch on the CPU: eager, fp32, channels last, which is what PyTorch itself runs fastest here."""

import torch
from torch import nn

from mvsearch import machine
from mvsearch.latency._timing import affordable, check, fixed_threads, inputs, seconds_of, summarise, warm_up
from mvsearch.record import Latency


def measure(
    model: nn.Module, image_size: int, *, batch: int = 1, repeats: int = 50, threads: int = 1, limit_s: float = 30.0
) -> Latency:
    """Time one batch, alone on the machine. The first calls warm up and are not kept."""
    check(image_size=image_size, batch=batch, repeats=repeats, threads=threads)
    network, images = inputs(
        model, image_size, batch, device="cpu", dtype=torch.float32, memory_format=torch.channels_last
    )
    with machine.alone(), fixed_threads(threads), torch.inference_mode():
        seconds = warm_up(lambda: network(images), limit_s=limit_s)
        count = affordable(repeats, seconds=seconds, limit_s=limit_s)
        times_ms = [seconds_of(lambda: network(images)) * 1e3 for _ in range(count)]
    return summarise(
        times_ms,
        batch=batch,
        image_size=image_size,
        threads=threads,
        precision="fp32",
        backend="torch_cpu",
        device=device(threads=threads),
    )


def device(*, threads: int = 1) -> str:
    """The processor, the version of torch (its build left out: the CPU code is the same), and the threads."""
    release = torch.__version__.split("+")[0]
    return f"cpu: {machine.cpu_name()}, torch {release}, {threads} thread{'s' if threads > 1 else ''}"
