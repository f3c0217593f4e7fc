"""How many candidates a second are priced on one core: parameters, MACs and the paper's MACs of each, exactly.

Prices the same sampled candidates again and again and prints the median; NumPy does whole numbers on one core. A few
are priced one by one as well, for the ratio and to see that both ways agree.

    python benchmarks/bulk_costs.py spaces/v3.yaml --candidates 100000 --rounds 9
"""

import statistics
import time

import click

from mvsearch.arch.cost import Cost
from mvsearch.space.search_space import SearchSpace

ONE_BY_ONE = 500


@click.command()
@click.argument("space", type=click.Path(exists=True), default="spaces/v3.yaml")
@click.option("--candidates", default=100_000, show_default=True)
@click.option("--rounds", default=9, show_default=True)
def main(space: str, candidates: int, rounds: int) -> None:
    """Measure and print."""
    loaded = SearchSpace.load(space)
    codes = loaded.sample(candidates, 0)
    loaded.costs(codes)

    priced, drawn = [], []
    for i in range(rounds):
        start = time.perf_counter()
        costs = loaded.costs(codes)
        priced.append(candidates / (time.perf_counter() - start))
        start = time.perf_counter()
        loaded.costs(candidates, seed=i)
        drawn.append(candidates / (time.perf_counter() - start))

    start = time.perf_counter()
    alone = [loaded.architecture(loaded.point(row)).cost() for row in codes[:ONE_BY_ONE]]
    single = len(alone) / (time.perf_counter() - start)
    bulk = [
        Cost(*map(int, parts))
        for parts in zip(costs.params, costs.macs, costs.macs_paper, costs.operators, strict=True)
    ]
    if bulk[:ONE_BY_ONE] != alone:
        raise click.ClickException("the costs in bulk are not those of the candidates alone")

    click.echo(f"priced in bulk           {statistics.median(priced):12,.0f} candidates/s (slowest {min(priced):,.0f})")
    click.echo(f"drawn and priced in bulk {statistics.median(drawn):12,.0f} candidates/s (slowest {min(drawn):,.0f})")
    click.echo(f"one by one               {single:12,.0f} candidates/s; the same costs")


if __name__ == "__main__":
    main()
