"""What the launching of kernels costs: batch-1 latency of published models on this GPU, eager and as a CUDA graph.

    python benchmarks/latency_cuda.py mobilevitv1_xxs mobilevitv3_xxs mobilevitv3_xxs_l2 --precision fp16

Both ways are timed in every round, in changing order, and the whole run is alone on the machine; the ratio is taken
within a round, so that a GPU that slows down as it warms does not favour either.
"""

from collections.abc import Iterator
from statistics import median

import click
from torch import nn

from mvsearch import machine, published
from mvsearch.errors import MvsearchError
from mvsearch.latency import torch_cuda
from mvsearch.nn import build

MODELS = ("mobilevitv1_xxs", "mobilevitv3_xxs", "mobilevitv3_xxs_l2", "mobilevitv3_s", "mobilevitv3_s_l2")


def rounds_of(
    model: nn.Module, image_size: int, *, rounds: int, repeats: int, precision: str
) -> Iterator[dict[bool, float]]:
    for number in range(rounds):
        order = (False, True) if number % 2 == 0 else (True, False)
        yield {
            graph: torch_cuda.measure(model, image_size, repeats=repeats, precision=precision, graph=graph).median_ms
            for graph in order
        }


def line(name: str, timed: list[dict[bool, float]]) -> str:
    eager, graph = (median(times[way] for times in timed) for way in (False, True))
    ratios = sorted(times[False] / times[True] for times in timed)
    spread = f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
    return f"{name:24} {eager:9.3f} {graph:9.3f}   {median(ratios):5.2f} {spread}"


@click.command(help=__doc__)
@click.argument("models", nargs=-1)
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
@click.option("--repeats", default=100, show_default=True, type=click.IntRange(1))
@click.option("--precision", default="fp32", show_default=True, type=click.Choice(list(torch_cuda.DTYPES)))
def main(models: tuple[str, ...], rounds: int, repeats: int, precision: str) -> None:
    try:
        click.echo(f"{torch_cuda.device().removesuffix(', eager')}, {precision}, batch 1, median of {rounds} rounds")
        click.echo(f"{'model':24} {'eager ms':>9} {'graph ms':>9}   eager/graph")
        with machine.alone():
            for name in models or MODELS:
                arch = published(name)
                timed = rounds_of(build(arch), arch.image_size, rounds=rounds, repeats=repeats, precision=precision)
                click.echo(line(name, list(timed)))
    except MvsearchError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
