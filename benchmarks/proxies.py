"""What every proxy costs a candidate: CPU milliseconds for MobileViTv3-XXS, XS and S, images and building included.

All proxies score all networks in turn, a turn after the other, in one process with one thread; the first turn warms up
and is not kept. The training proxy, at its default settings, takes a minute: it has fewer turns.

    OMP_NUM_THREADS=1 python benchmarks/proxies.py --page
"""

import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby, product
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mvsearch.arch.published import published, short_name
from mvsearch.data import DataSet, load
from mvsearch.proxies import load_proxy
from mvsearch.utils import plugins
from mvsearch.utils.machine import describe
from mvsearch.utils.units import three_digits

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks" / "proxies.md"
MODELS = ("mobilevitv3_xxs", "mobilevitv3_xs", "mobilevitv3_s")
HEADS = ("proxy", "looks at", *map(short_name, MODELS), "turns")
TRAINED = "train"
UNTRAINED = [name for name in plugins.names("proxy") if name != TRAINED]


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds of one proxy for one network, turn by turn."""

    proxy: str
    model: str
    cpu_ms: tuple[float, ...]

    def __str__(self) -> str:
        middle, low, high = (three_digits(of(self.cpu_ms)) for of in (statistics.median, min, max))
        return f"{middle} ({low} to {high})"


def measure(proxies: list[str], data: DataSet, turns: int) -> Iterator[Cost]:
    """The cost of each proxy for each network, with another seed each turn."""
    cases = list(product(proxies, MODELS))
    times_ms: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    planned = list(product(range(turns + 1), cases))
    for turn, (proxy, model) in track(planned, ", ".join(proxies), console=Console(stderr=True)):
        loaded, arch = load_proxy(proxy), published(model)
        start = time.process_time()
        loaded.score(arch, loaded.settings(), data, seed=turn, device="cpu")
        if turn:
            times_ms[proxy, model].append(1e3 * (time.process_time() - start))
    return (Cost(proxy, model, tuple(cpu_ms)) for (proxy, model), cpu_ms in times_ms.items())


def rows(costs: list[Cost]) -> Iterator[tuple[str, ...]]:
    """A row for each proxy: its name, its input, its cost for each network, and the turns."""
    for proxy, of_one in groupby(costs, key=lambda cost: cost.proxy):
        settings = asdict(load_proxy(proxy).settings())
        known = {"steps": "{} steps of ", "batch": "{} images", "image_size": ", {} px"}
        words = [text.format(settings[name]) for name, text in known.items() if name in settings]
        group = list(of_one)
        yield proxy, "".join(words) or "rows", *map(str, group), str(len(group[0].cpu_ms))


def page(costs: list[Cost], source: str, turns: int, trainings: int) -> str:
    """docs/benchmarks/proxies.md."""
    machine = describe()
    versions = ", ".join(f"{name} {machine['versions'][name]}" for name in ("mvsearch", "torch", "numpy"))
    lines = [
        "# What a proxy costs",
        "",
        f"CPU milliseconds to score a candidate (lower is better) on {source}, at these settings, including the time",
        "to draw the images and to build the network: median (least to most) of interleaved turns. `zico` takes two",
        "batches, `synflow` one image of ones. How well proxies rank: [evidence](../evidence/proxies.md).",
        "",
        *(f"| {' | '.join(row)} |" for row in (HEADS, ["---"] * len(HEADS), *rows(costs))),
        "",
        f"    OMP_NUM_THREADS=1 python benchmarks/proxies.py --page --turns {turns} --trainings {trainings}",
        "",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, one thread. Python",
        f"{machine['python']}, {versions}.",
        "",
    ]
    return "\n".join(lines)


@click.command()
@click.option("--turns", default=9, show_default=True)
@click.option("--trainings", default=2, show_default=True, help="Turns of the training proxy; 0 leaves it out.")
@click.option("--json", "as_json", is_flag=True)
@click.option("--page", "write", is_flag=True, help="Write docs/benchmarks/proxies.md.")
def main(turns: int, trainings: int, as_json: bool, write: bool) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    data = load("fashion_mnist")
    costs = [*measure(UNTRAINED, data, turns), *(measure([TRAINED], data, trainings) if trainings else ())]
    if write:
        PAGE.write_text(page(costs, data.name, turns, trainings), encoding="utf-8")
    if as_json:
        click.echo(json.dumps([asdict(cost) for cost in costs], indent=2))
        return
    table = Table(*HEADS)
    for row in rows(costs):
        table.add_row(*row)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
