"""Latency of PyTorch on an NVIDIA GPU, as the GPU sees it: from the first kernel of a batch to the last.

Batches follow each other without waiting for the host, and the images are on the GPU already. At batch 1 a small
network is bound by the host launching its kernels, and that waiting is in the number; `graph=True` launches all of
them at once and leaves the kernels alone.

`precision` is one of
    fp32   every product in full; TF32 is switched off
    tf32   fp32 weights and sums, products of matrices and convolutions in TensorFloat-32
    fp16, bf16   weights, images and products in half

With `fused` the network is as `mvsearch.nn.fuse` makes it, channels last.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

from mvsearch.errors import EnvironmentFault, PlanError
from mvsearch.metrics.record import Latency
from mvsearch.profiling.timing import affordable, check, fixed_threads, inputs, summarise, warm_up
from mvsearch.utils import machine_lock

VERSION = 1
WARM_LIMIT_S = 30.0
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def measure(
    model: nn.Module,
    image_size: int,
    *,
    batch: int = 1,
    repeats: int = 50,
    threads: int = 1,
    limit_s: float = 30.0,
    precision: str = "fp32",
    graph: bool = False,
    fused: bool = False,
) -> Latency:
    """Time one batch, alone on the machine. The first calls warm up, let cuDNN choose, and are not kept."""
    name = device(graph=graph, fused=fused)
    check(image_size=image_size, batch=batch, repeats=repeats, threads=threads)
    dtype, layout = _format(precision)
    network, images = inputs(model, image_size, batch, device="cuda", dtype=dtype, memory_format=layout, fused=fused)
    with machine_lock.exclusive(), fixed_threads(threads), settings(precision), torch.inference_mode():
        times_ms = _times_ms(lambda: network(images), repeats=repeats, limit_s=limit_s, graph=graph)
    return summarise(
        times_ms,
        batch=batch,
        image_size=image_size,
        threads=threads,
        precision=precision,
        backend="torch_cuda",
        device=name,
    )


@contextmanager
def launched(
    model: nn.Module,
    image_size: int,
    *,
    batch: int = 1,
    threads: int = 1,
    precision: str = "fp32",
    graph: bool = False,
    fused: bool = False,
) -> Iterator[Callable[[], object]]:
    """A call that runs one batch through a copy of the model and waits for its end, as a caller on the host would."""
    device()
    dtype, layout = _format(precision)
    network, images = inputs(model, image_size, batch, device="cuda", dtype=dtype, memory_format=layout, fused=fused)
    stream = _side(torch.cuda.current_device())
    stream.wait_stream(torch.cuda.current_stream())

    def run() -> object:
        with torch.inference_mode():
            return network(images)

    with fixed_threads(threads), settings(precision):
        with torch.cuda.stream(stream):
            warm_up(_waiting(run, stream), limit_s=WARM_LIMIT_S)
            launch = _captured(run, stream) if graph else run

        def call() -> None:
            with torch.cuda.stream(stream):
                launch()
            stream.synchronize()

        yield call


def device(*, graph: bool = False, fused: bool = False) -> str:
    """The GPU, the versions of torch, CUDA and cuDNN, how kernels are launched; if the network is fused."""
    if not torch.cuda.is_available():
        raise EnvironmentFault("latency: torch sees no CUDA device on this machine; use the backend torch_cpu.")
    cudnn = torch.backends.cudnn.version()
    software = f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}"
    ways = f"{'CUDA graph' if graph else 'eager'}{', fused' if fused else ''}"
    return f"cuda: {torch.cuda.get_device_name()}, {software}, {ways}"


def _format(precision: str) -> tuple[torch.dtype, torch.memory_format]:
    if precision not in DTYPES:
        raise PlanError(f"latency: precision={precision!r} is unknown; use one of: {', '.join(DTYPES)}.")
    # Tensor cores want channels last; the convolutions in full fp32 do not use them.
    return DTYPES[precision], torch.contiguous_format if precision == "fp32" else torch.channels_last


def _times_ms(call: Callable[[], object], *, repeats: int, limit_s: float, graph: bool) -> list[float]:
    """Warm-up, capture and timing on one side stream: libraries keep their handles and workspaces per stream."""
    stream = _side(torch.cuda.current_device())
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        seconds = warm_up(_waiting(call, stream), limit_s=limit_s)
        if graph:
            call = _captured(call, stream)
            seconds = warm_up(_waiting(call, stream), limit_s=limit_s)
        return _event_times_ms(call, affordable(repeats, seconds=seconds, limit_s=limit_s))


@cache
def _side(index: int) -> torch.cuda.Stream:
    """The stream of all timings on a GPU: memory that was freed on one stream is not there for another."""
    return torch.cuda.Stream(index)


def _waiting(call: Callable[[], object], stream: torch.cuda.Stream) -> Callable[[], None]:
    def call_and_wait() -> None:
        call()
        stream.synchronize()

    return call_and_wait


def _captured(call: Callable[[], object], stream: torch.cuda.Stream) -> Callable[[], object]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        call()
    return graph.replay


def _event_times_ms(call: Callable[[], object], count: int) -> list[float]:
    starts, ends = _events(count), _events(count)
    for start, end in zip(starts, ends, strict=True):
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in zip(starts, ends, strict=True)]


def _events(count: int) -> list[torch.cuda.Event]:
    return [torch.cuda.Event(enable_timing=True) for _ in range(count)]


@contextmanager
def settings(precision: str, backends: Any = torch.backends) -> Iterator[None]:
    """Set cuDNN's search for the fastest kernels and TF32 for one measurement, and put back what was there."""
    with ExitStack() as stack:
        stack.enter_context(_set(backends.cudnn, "benchmark", True))
        for owner, name, value in _tf32(backends, on=precision == "tf32"):
            stack.enter_context(_set(owner, name, value))
        yield


def _tf32(backends: Any, *, on: bool) -> list[tuple[Any, str, Any]]:
    # torch 2.9 renamed the switches, and the old names raise once anybody has used the new ones.
    if hasattr(backends.cudnn, "conv"):
        value = "tf32" if on else "ieee"
        return [(backends.cuda.matmul, "fp32_precision", value), (backends.cudnn.conv, "fp32_precision", value)]
    return [(backends.cuda.matmul, "allow_tf32", on), (backends.cudnn, "allow_tf32", on)]


@contextmanager
def _set(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
