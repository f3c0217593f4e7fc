"""`mvsearch front STUDY`: the Pareto front as a table, JSON, or a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._print import console, json_option, print_json, storage_option

if TYPE_CHECKING:
    from mvsearch.pareto import Objective
    from mvsearch.reading import Reader
    from mvsearch.record import Record


@click.command()
@click.argument("study")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw it: a .png, .svg or .html file.")
@click.option("--objective", "-o", "objectives", multiple=True, help="Instead of the study's own; may be repeated.")
@click.option("--x", help="The cost along the horizontal axis: params, macs, latency_ms ...")
@storage_option
@json_option
def front(
    study: str, plot: Path | None, objectives: tuple[str, ...], x: str | None, storage: str | None, as_json: bool
) -> None:
    """The best trade-offs of STUDY: a name, a folder, or a study.db."""
    from mvsearch.pareto import Objective
    from mvsearch.reading import open_study
    from mvsearch.report.plot import drawer, plot_front
    from mvsearch.report.table import front_table
    from mvsearch.report.units import pretty

    if plot is not None:
        drawer(plot)
    reader = open_study(study, storage=storage)
    sought = tuple(Objective.named(name) for name in objectives) or reader.objectives
    records = reader.within_limits(reader.records())
    facts = front_facts(reader, records, sought)
    if as_json:
        print_json(facts)
    else:
        from mvsearch.pareto import front as best

        screen = console()
        screen.print(front_table(records, best(records, sought), sought, title=f"Pareto front of {reader.name}"))
        point = ", ".join(f"{name} {pretty(name, value)}" for name, value in facts["reference_point"].items())
        screen.print(f"hypervolume {facts['hypervolume']:.4f} of the box from the ideal to {point}", style="dim")
        if facts["trials"]:
            screen.print(
                f"`mvsearch export {study}:{facts['trials'][-1]['number']} --to torch -o net.py` takes one along.",
                style="dim",
            )
    if plot is not None:
        plot_front(records, sought, plot, title=reader.name, x=x)
        click.echo(f"drew {plot}", err=True)


def front_facts(reader: "Reader", records: "list[Record]", objectives: "tuple[Objective, ...]") -> dict[str, Any]:
    """The front as raw numbers, as `--json` prints them."""
    from mvsearch.pareto import front, hypervolume, reference_point

    point = reference_point(records, objectives)
    best = front(records, objectives)
    return {
        "study": reader.name,
        "objectives": [objective.name for objective in objectives],
        "reference_point": point,
        "hypervolume": hypervolume(best, objectives, point),
        "trials": [
            {"number": r.number, "key": r.key, **r.metrics, "published": r.published, "choices": r.choices}
            for r in best
        ],
    }
