"""How much the latency of a small network varies between processes: one call beside the reference, or several in a row.

Each repetition is a new process for each way, in turn. The table has the median over the repetitions of the ratio to
the reference, and the largest over the smallest; 1 is best.

    python benchmarks/short_calls.py --repetitions 6
"""

import json
import subprocess
import sys
from contextlib import nullcontext
from unittest.mock import patch

import click
import numpy as np
import torch
from latency_estimators import spread
from rich.console import Console
from rich.table import Table

from mvsearch.arch.published import published
from mvsearch.nn import build
from mvsearch.profiling.latency import load_backend
from mvsearch.profiling.timing import Turn
from mvsearch.utils.cpu_usage import load_average

NETWORK, IMAGE_SIZES, BACKENDS = "mobilevitv3_xxs", (32, 64, 128, 256), ("onnxruntime", "torch_cpu")
WAYS = {"one call": patch.object(Turn, "of", lambda *_, **__: Turn(untimed=0, timed=1)), "in a row": nullcontext()}


def ratios_here(way: str) -> dict[str, float | None]:
    """The latency of the network as a multiple of the reference, by backend and image size."""
    torch.set_num_threads(1)
    model, found = build(published(NETWORK), seed=0), dict[str, float | None]()
    with WAYS[way]:
        for backend in BACKENDS:
            for size in IMAGE_SIZES:
                found[f"{backend}, {size} px"] = load_backend(backend).measure(model, size).ratio
    return found


@click.command()
@click.option("--repetitions", type=click.IntRange(min=2), default=6, show_default=True)
@click.option("--child", hidden=True)
def main(repetitions: int, child: str | None) -> None:
    """Compare both ways."""
    if child:
        print(json.dumps(ratios_here(child)))
        return
    screen = Console(width=120)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for repetition in range(repetitions):
        for way, runs in found.items():
            command = [sys.executable, __file__, "--child", way]
            printed = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
            runs.append(json.loads(printed))
            screen.print(f"{repetition + 1} of {repetitions}, {way}, load {load_average()}", style="dim")
    table = Table(NETWORK, *(f"{way}: {column}" for way in WAYS for column in ("ratio", "largest/smallest")))
    for case in found["in a row"][0]:
        values = {way: [run[case] for run in runs] for way, runs in found.items()}
        cells = ([f"{np.median(each):.3f}", f"{spread(each):.2f}"] for each in values.values())
        table.add_row(case, *(cell for pair in cells for cell in pair))
    screen.print(table)


if __name__ == "__main__":
    main()
