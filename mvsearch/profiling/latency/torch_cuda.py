"""Latency of PyTorch on an NVIDIA GPU, by the GPU's clock: from the first kernel of a batch to the last.

Batches follow each other without waiting for the host, and the images are on the GPU. At batch 1 a small network is
limited by the host that launches its kernels, and this wait is part of the latency; `graph` launches all kernels at
once and leaves only their own time.

`precision` is one of
    fp32         all products in full; TF32 is off
    tf32         fp32 weights and sums; matrix products and convolutions in TensorFloat-32
    fp16, bf16   weights, images and products in half precision

With `fused` the network is the one that `mvsearch.nn.fuse` returns, channels last.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

from mvsearch.errors import EnvironmentFault, Location, PlanError
from mvsearch.metrics.record import Latency
from mvsearch.profiling import reference
from mvsearch.profiling.estimate import estimate
from mvsearch.profiling.latency import (
    DEFAULT_OPTIONS,
    LIMIT_S,
    REPEATS,
    Call,
    LatencyBackend,
    TimingOptions,
    check_options,
)
from mvsearch.profiling.timing import InterleavedTimes, affordable, check, copy_with_images, fixed_threads, warm_up
from mvsearch.utils import machine_lock
from mvsearch.utils.cpu_usage import CpuMeter

WARM_LIMIT_S = 30.0
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class TorchCuda(LatencyBackend):
    """PyTorch on the current CUDA device. `measure` uses the GPU's clock, `prepare` is for the host's."""

    name = "torch_cuda"
    version = 2
    supports = frozenset({"precision", "graph", "fused"})
    side_by_side = False

    def device(self, options: TimingOptions = DEFAULT_OPTIONS) -> str:
        """The GPU, the versions of torch, CUDA and cuDNN, how kernels are launched, and whether it is fused."""
        if not torch.cuda.is_available():
            raise EnvironmentFault("torch sees no CUDA device on this machine; use torch_cpu.", at="latency")
        cudnn = torch.backends.cudnn.version()
        software = f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}"
        launch = f"{'CUDA graph' if options.graph else 'eager'}{', fused' if options.fused else ''}"
        return f"cuda: {torch.cuda.get_device_name()}, {software}, {launch}"

    def measure(
        self,
        model: nn.Module,
        image_size: int,
        options: TimingOptions = DEFAULT_OPTIONS,
        *,
        repeats: int = REPEATS,
        limit_s: float = LIMIT_S,
    ) -> Latency:
        """Time one batch and the reference, with exclusive access to the machine. Warm-up calls, in which cuDNN chooses
        its algorithms, are not counted."""
        check_options(self, options)
        conditions = self.conditions(image_size, options)
        check(image_size=image_size, batch=options.batch, repeats=repeats, threads=options.threads)
        precision = options.precision
        network, images = _copy_to_gpu(model, image_size, options)
        beside, image = _copy_to_gpu(reference.network(), reference.IMAGE_SIZE, TimingOptions(precision=precision))
        with machine_lock.exclusive(), fixed_threads(options.threads), cuda_settings(precision), torch.inference_mode():
            meter = CpuMeter()
            times_ms, reference_ms = _times_ms(
                lambda: network(images),
                lambda: beside(image),
                repeats=repeats,
                limit_s=limit_s,
                graph=options.graph,
            )
        times = InterleavedTimes(
            {self.name: times_ms}, len(times_ms), reference_ms=reference_ms, usage=meter.read(), clock="GPU time"
        )
        return estimate(times, {self.name: conditions})[self.name]

    @contextmanager
    def prepare(self, model: nn.Module, image_size: int, options: TimingOptions = DEFAULT_OPTIONS) -> Iterator[Call]:
        """A call that runs one batch through a copy of the model and waits until it is computed."""
        self.device(options)
        network, images = _copy_to_gpu(model, image_size, options)
        stream = _side_stream(torch.cuda.current_device())
        stream.wait_stream(torch.cuda.current_stream())

        def run() -> object:
            with torch.inference_mode():
                return network(images)

        with fixed_threads(options.threads), cuda_settings(options.precision):
            with torch.cuda.stream(stream):
                warm_up(_synchronous(run, stream), limit_s=WARM_LIMIT_S)
                launch = _capture(run, stream) if options.graph else run

            def call() -> None:
                with torch.cuda.stream(stream):
                    launch()
                stream.synchronize()

            yield call


BACKEND: LatencyBackend = TorchCuda()


def _copy_to_gpu(model: nn.Module, image_size: int, options: TimingOptions) -> tuple[nn.Module, torch.Tensor]:
    if options.precision not in DTYPES:
        known = f"use one of: {', '.join(DTYPES)}"
        raise PlanError(f"unknown precision {options.precision!r}; {known}.", at=Location(key="latency.precision"))
    # Tensor cores need channels last; convolutions in full fp32 do not use them.
    layout = torch.contiguous_format if options.precision == "fp32" else torch.channels_last
    dtype = DTYPES[options.precision]
    return copy_with_images(
        model, image_size, options.batch, device="cuda", dtype=dtype, memory_format=layout, fused=options.fused
    )


def _times_ms(
    call: Callable[[], object], beside: Callable[[], object], *, repeats: int, limit_s: float, graph: bool
) -> tuple[list[float], list[float]]:
    """Warm up, capture and time on one side stream: libraries keep handles and workspaces per stream."""
    stream = _side_stream(torch.cuda.current_device())
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        seconds = warm_up(_synchronous(call, stream), limit_s=limit_s)
        if graph:
            call = _capture(call, stream)
            seconds = warm_up(_synchronous(call, stream), limit_s=limit_s)
        seconds += warm_up(_synchronous(beside, stream), limit_s=limit_s)
        times_ms = _event_times_ms([call, beside], affordable(repeats, seconds=seconds, limit_s=limit_s))
        return times_ms[0], times_ms[1]


@cache
def _side_stream(index: int) -> torch.cuda.Stream:
    """The stream of all timings on a GPU: memory freed on one stream cannot be used by another."""
    return torch.cuda.Stream(index)


def _synchronous(call: Callable[[], object], stream: torch.cuda.Stream) -> Callable[[], None]:
    def call_and_wait() -> None:
        call()
        stream.synchronize()

    return call_and_wait


def _capture(call: Callable[[], object], stream: torch.cuda.Stream) -> Callable[[], object]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        call()
    return graph.replay


def _event_times_ms(calls: Sequence[Callable[[], object]], count: int) -> list[list[float]]:
    """The milliseconds of every call, which follow each other in every round."""
    spans = [(call, _events(count), _events(count)) for call in calls]
    for i in range(count):
        for call, starts, ends in spans:
            starts[i].record()
            call()
            ends[i].record()
    torch.cuda.synchronize()
    return [[start.elapsed_time(end) for start, end in zip(starts, ends, strict=True)] for _call, starts, ends in spans]


def _events(count: int) -> list[torch.cuda.Event]:
    return [torch.cuda.Event(enable_timing=True) for _ in range(count)]


@contextmanager
def cuda_settings(precision: str, backends: Any = torch.backends) -> Iterator[None]:
    """Set cuDNN's search for the fastest kernels and TF32 for one measurement, and restore them after."""
    with ExitStack() as stack:
        stack.enter_context(_set(backends.cudnn, "benchmark", True))
        for owner, name, value in _tf32(backends, on=precision == "tf32"):
            stack.enter_context(_set(owner, name, value))
        yield


def _tf32(backends: Any, *, on: bool) -> list[tuple[Any, str, Any]]:
    # torch 2.9 renamed the switches; the old names raise once the new ones have been used.
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
