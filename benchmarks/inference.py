"""Inference time of networks that `mvsearch.nn.fuse` returns, against plain blocks in the style of the authors' code.

All variants have the same weights and images and are interleaved in one process; ratios are taken within a round. On a
CPU it is processor time on one thread; on a GPU the time of the host until the result is there.

    python benchmarks/inference.py                      plain, ours as built (channels last), ours fused
    python benchmarks/inference.py --device cuda        plain eager; ours fused as a CUDA graph, in fp32 and in fp16
"""

import json
import statistics
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import product

import click
import torch
from _plain import plain
from rich.console import Console
from rich.table import Table
from torch import nn

from mvsearch.arch.published import published
from mvsearch.errors import MvsearchError
from mvsearch.nn import build
from mvsearch.nn.fuse import fuse
from mvsearch.profiling.latency import TimingOptions, load_backend
from mvsearch.utils import machine_lock


@dataclass(frozen=True)
class Variant:
    """The plain blocks or ours, and the options of the backend that runs them."""

    name: str
    plain: bool
    options: TimingOptions


CPU = (
    Variant("plain", True, TimingOptions(channels_last=False)),
    Variant("built", False, TimingOptions()),
    Variant("fused", False, TimingOptions(fused=True)),
)
CUDA = (
    Variant("plain", True, TimingOptions()),
    Variant("built", False, TimingOptions()),
    Variant("fused graph", False, TimingOptions(fused=True, graph=True)),
    Variant("fused graph fp16", False, TimingOptions(fused=True, graph=True, precision="fp16")),
)


NETWORKS = ("mobilevitv3_xxs", "mobilevitv3_xs", "mobilevitv3_s", "mobilevitv1_xxs")
WARM_ROUNDS = 2
MIN_ROUNDS = 5


@dataclass(frozen=True)
class Result:
    """Milliseconds per batch, the plain time over this one in each round, and the error of the fused logits."""

    network: str
    batch: int
    side: str
    median_ms: float
    ratios: list[float]
    apart: float


def measure(network: str, batch: int, device: str, seconds: float) -> list[Result]:
    """Rounds of all variants for so many seconds, but five at least, after two that warm up."""
    variants, clock = (CPU, time.process_time) if device == "cpu" else (CUDA, time.perf_counter)
    backend = load_backend(f"torch_{device}")
    arch = published(network)
    ours = build(arch, seed=0).eval()
    theirs = plain(ours)
    times_ms: dict[str, list[float]] = {variant.name: [] for variant in variants}
    with ExitStack() as stack:
        calls = {}
        for variant in variants:
            model, options = theirs if variant.plain else ours, replace(variant.options, batch=batch)
            calls[variant.name] = stack.enter_context(backend.prepare(model, arch.image_size, options))
        stack.enter_context(machine_lock.exclusive())
        end = time.perf_counter() + seconds
        while len(times_ms["plain"]) < WARM_ROUNDS + MIN_ROUNDS or time.perf_counter() < end:
            for name, call in calls.items():
                start = clock()
                call()
                times_ms[name].append((clock() - start) * 1e3)
    timed = {name: times[WARM_ROUNDS:] for name, times in times_ms.items()}
    error = relative_error(theirs, fuse(ours), arch.image_size)
    return [
        Result(
            network,
            batch,
            name,
            statistics.median(times),
            [a / b for a, b in zip(timed["plain"], times, strict=True)],
            error,
        )
        for name, times in timed.items()
    ]


@torch.inference_mode()
def relative_error(theirs: nn.Module, ours: nn.Module, size: int) -> float:
    """The length of the difference of their logits, over the length of theirs."""
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    expected = theirs(images)
    return float((ours(images) - expected).norm() / expected.norm())


@click.command(help=__doc__)
@click.argument("networks", nargs=-1)
@click.option("--batch", "batches", multiple=True, type=click.IntRange(1), default=(1, 32), show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--seconds", default=20.0, show_default=True, help="For a network and batch, about; 5 rounds at least.")
@click.option("--json", "as_json", is_flag=True)
def main(networks: tuple[str, ...], batches: tuple[int, ...], device: str, seconds: float, as_json: bool) -> None:
    """Measure and print."""
    table = Table("network", "batch", "side", "ms", "times as fast as plain", "rounds", "error")
    results = []
    try:
        name = load_backend(f"torch_{device}").device()
        for network, batch in product(networks or NETWORKS, batches):
            Console(stderr=True).print(f"{network}, batch {batch} ...")
            measured = measure(network, batch, device, seconds)
            results += measured
            table.add_section()
            for result in measured:
                table.add_row(*cells(result))
    except MvsearchError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"device": name, "results": [asdict(result) for result in results]}, indent=2))
    else:
        Console(width=100).print(table, name, sep="\n")


def cells(result: Result) -> list[str]:
    """A row of the table."""
    low, middle, high = quantiles(result.ratios)
    ratio = f"{middle:.2f} ({low:.2f} to {high:.2f})"
    return [
        result.network,
        str(result.batch),
        result.side,
        f"{result.median_ms:.2f}",
        ratio,
        str(len(result.ratios)),
        f"{result.apart:.1e}",
    ]


def quantiles(values: list[float]) -> tuple[float, float, float]:
    """The 10th percentile, the median and the 90th percentile."""
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    return tenths[0], statistics.median(values), tenths[-1]


if __name__ == "__main__":
    main()
