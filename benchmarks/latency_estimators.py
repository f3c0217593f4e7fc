"""Which estimate of a latency changes least from one process to the next.

Each repetition is a new process that times every network beside the reference, in an order of its own: as workers of a
search do. With `as found` the allocator is as the process left it, with `settled` as `mvsearch` brings it. The table
has the largest over the smallest estimate of all repetitions; 1 is best. Run it on a busy machine, and on a quiet one.

    python benchmarks/latency_estimators.py --repetitions 8
"""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mvsearch.arch.published import published
from mvsearch.nn import build
from mvsearch.profiling import reference
from mvsearch.profiling.latency import TimingOptions, load_backend
from mvsearch.profiling.timing import interleave
from mvsearch.utils.cpu_usage import load_average

NETWORKS = ("mobilevitv3_xxs", "mobilevitv3_xs", "mobilevitv3_xxs_l2", "mobilevitv1_xxs")
ALLOCATORS = ("as found", "settled")
LIMIT_S = 20.0

Times = NDArray[np.float64]

ESTIMATES: dict[str, Callable[[Times, Times, Times, Times], float]] = {
    "wall, median": lambda wall, _cpu, _ref_wall, _ref_cpu: float(np.median(wall)),
    "wall, fastest call": lambda wall, _cpu, _ref_wall, _ref_cpu: float(wall.min()),
    "processor time, median": lambda _wall, cpu, _ref_wall, _ref_cpu: float(np.median(cpu)),
    "processor time, fastest call": lambda _wall, cpu, _ref_wall, _ref_cpu: float(cpu.min()),
    "wall, ratio of medians": lambda wall, _cpu, ref_wall, _ref_cpu: float(np.median(wall) / np.median(ref_wall)),
    "wall, median of ratios": lambda wall, _cpu, ref_wall, _ref_cpu: float(np.median(wall / ref_wall)),
    "processor time, ratio of fastest calls": lambda _wall, cpu, _ref_wall, ref_cpu: float(cpu.min() / ref_cpu.min()),
    "processor time, ratio of medians": lambda _wall, cpu, _ref, ref_cpu: float(np.median(cpu) / np.median(ref_cpu)),
    "processor time, median of ratios": lambda _wall, cpu, _ref_wall, ref_cpu: float(np.median(cpu / ref_cpu)),
}


def time_here(seed: int, allocator: str, rounds: int) -> dict[str, list[list[float]]]:
    """The milliseconds of every network and of the reference beside it: on the wall and of processor time."""
    backend, options = load_backend("torch_cpu"), TimingOptions()
    order, times = random.Random(seed).sample(NETWORKS, len(NETWORKS)), {}
    as_found = patch("mvsearch.profiling.latency.torch_cpu.settle_allocator", lambda: None)
    with as_found if allocator == "as found" else nullcontext():
        for name in order:
            arch = published(name)
            conditions = backend.conditions(arch.image_size, options)
            with (
                reference.prepare(conditions) as beside,
                backend.prepare(build(arch, seed=0), arch.image_size, options) as call,
            ):
                found = interleave({name: call}, repeats=rounds, limit_s=LIMIT_S, reference=beside, seed=seed)
            times[name] = [found.times_ms[name], found.cpu_ms[name], found.reference_ms, found.reference_cpu_ms]
    return times


def time_in_process(seed: int, allocator: str, rounds: int) -> dict[str, list[Times]]:
    """The same in a new process."""
    arguments = [sys.executable, __file__, "--child", str(seed), allocator, str(rounds)]
    printed = subprocess.run(arguments, capture_output=True, text=True, encoding="utf-8", check=True).stdout
    return {name: [np.array(each) for each in lists] for name, lists in json.loads(printed).items()}


def spread(values: list[float]) -> float:
    """The largest over the smallest."""
    return max(values) / min(values)


@click.command()
@click.option("--repetitions", type=click.IntRange(min=2), default=8, show_default=True)
@click.option("--rounds", type=click.IntRange(min=3), default=30, show_default=True)
@click.option("--child", nargs=3, hidden=True)
@click.option("-o", "output", type=click.Path(path_type=Path), help="Write all times as JSON.")
def main(repetitions: int, rounds: int, child: tuple[str, str, str] | None, output: Path | None) -> None:
    """Compare estimates of a latency."""
    if child:
        seed, allocator, child_rounds = child
        print(json.dumps(time_here(int(seed), allocator, int(child_rounds))))
        return
    screen = Console(width=200)
    measured: dict[str, list[dict[str, list[Times]]]] = {allocator: [] for allocator in ALLOCATORS}
    for seed in range(repetitions):
        for allocator in ALLOCATORS:
            measured[allocator].append(time_in_process(seed, allocator, rounds))
            screen.print(f"{seed + 1} of {repetitions}, {allocator}, load {load_average()}", style="dim")
            if output:
                plain = {
                    a: [{n: [t.tolist() for t in ts] for n, ts in r.items()} for r in runs]
                    for a, runs in measured.items()
                }
                output.write_text(json.dumps(plain), encoding="utf-8")
    table = Table("allocator", "estimate", *NETWORKS)
    for allocator in ALLOCATORS:
        for title, estimate in ESTIMATES.items():
            spreads = [spread([estimate(*run[name]) for run in measured[allocator]]) for name in NETWORKS]
            table.add_row(allocator, title, *(f"{each:.2f}" for each in spreads))
    screen.print(table)


if __name__ == "__main__":
    main()
