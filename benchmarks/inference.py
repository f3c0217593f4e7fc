"""How fast networks answer: as `mvsearch.nn.fuse` makes them, against plain blocks in the style of the authors' code.

All sides have the same weights and the same images, and take turns in one process; the ratio is taken within a turn.
On a CPU it is processor time on one thread; on a GPU the time of the host until the answer is there.

    python benchmarks/inference.py                      plain, ours as built (channels last), ours fused
    python benchmarks/inference.py --device cuda        plain eager; ours fused as a CUDA graph, in fp32 and in fp16
"""

import json
import statistics
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

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
from mvsearch.profiling.latency import torch_cpu, torch_cuda
from mvsearch.utils import machine_lock


@dataclass(frozen=True)
class Side:
    """One way to have the answers: of the plain blocks or of ours, and the options of the backend that runs them."""

    name: str
    plain: bool
    options: dict[str, Any]


CPU = (
    Side("plain", True, {"layout": torch.contiguous_format}),
    Side("built", False, {}),
    Side("fused", False, {"fused": True}),
)
CUDA = (
    Side("plain", True, {}),
    Side("built", False, {}),
    Side("fused graph", False, {"fused": True, "graph": True}),
    Side("fused graph fp16", False, {"fused": True, "graph": True, "precision": "fp16"}),
)


NETWORKS = ("mobilevitv3_xxs", "mobilevitv3_xs", "mobilevitv3_s", "mobilevitv1_xxs")
WARM_TURNS = 2
FEWEST_TURNS = 5


@dataclass(frozen=True)
class Result:
    """Milliseconds a batch, plain's over each side's turn by turn, and how far fused answers are from plain ones."""

    network: str
    batch: int
    side: str
    median_ms: float
    ratios: list[float]
    apart: float


def measured(network: str, batch: int, device: str, seconds: float) -> list[Result]:
    """Turns of all sides for so many seconds, but five at least, after two that warm up."""
    sides, ready, clock = (
        (CPU, torch_cpu.ready, time.process_time) if device == "cpu" else (CUDA, torch_cuda.launched, time.perf_counter)
    )
    arch = published(network)
    ours = build(arch, seed=0).eval()
    theirs = plain(ours)
    taken: dict[str, list[float]] = {side.name: [] for side in sides}
    with ExitStack() as stack:
        calls = {}
        for side in sides:
            model = theirs if side.plain else ours
            calls[side.name] = stack.enter_context(ready(model, arch.image_size, batch=batch, **side.options))
        stack.enter_context(machine_lock.exclusive())
        end = time.perf_counter() + seconds
        while len(taken["plain"]) < WARM_TURNS + FEWEST_TURNS or time.perf_counter() < end:
            for name, call in calls.items():
                start = clock()
                call()
                taken[name].append((clock() - start) * 1e3)
    times = {name: found[WARM_TURNS:] for name, found in taken.items()}
    gap = apart(theirs, fuse(ours), arch.image_size)
    return [
        Result(
            network,
            batch,
            name,
            statistics.median(found),
            [a / b for a, b in zip(times["plain"], found, strict=True)],
            gap,
        )
        for name, found in times.items()
    ]


@torch.inference_mode()
def apart(theirs: nn.Module, ours: nn.Module, size: int) -> float:
    """The length of the difference of their logits, over the length of theirs."""
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    expected = theirs(images)
    return float((ours(images) - expected).norm() / expected.norm())


@click.command(help=__doc__)
@click.argument("networks", nargs=-1)
@click.option("--batch", "batches", multiple=True, type=click.IntRange(1), default=(1, 32), show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--seconds", default=20.0, show_default=True, help="For a network and batch, about; 5 turns at least.")
@click.option("--json", "as_json", is_flag=True)
def main(networks: tuple[str, ...], batches: tuple[int, ...], device: str, seconds: float, as_json: bool) -> None:
    """Measure and print."""
    table = Table("network", "batch", "side", "ms", "times as fast as plain", "turns", "apart")
    results = []
    try:
        name = torch_cpu.device() if device == "cpu" else torch_cuda.device()
        for network, batch in product(networks or NETWORKS, batches):
            Console(stderr=True).print(f"{network}, batch {batch} ...")
            found = measured(network, batch, device, seconds)
            results += found
            table.add_section()
            for result in found:
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
