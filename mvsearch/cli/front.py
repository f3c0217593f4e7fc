"""`mvsearch front STUDY`: the Pareto front as a table, JSON, or a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._print import console, drawing_options, json_option, print_json, storage_option

if TYPE_CHECKING:
    from mvsearch.metrics.pareto import Objective
    from mvsearch.metrics.record import Record
    from mvsearch.report.dominance import Standing
    from mvsearch.report.estimates import Estimates
    from mvsearch.report.figures.front import FrontPicture
    from mvsearch.study.reader import Reader


@click.command()
@click.argument("study")
@drawing_options
@click.option("--objective", "-o", "objectives", multiple=True, help="Instead of the study's own; may be repeated.")
@click.option("--x", help="What to draw across: params, macs, latency_ms ...")
@click.option("--y", help="What to draw up; the first score, if one is sought.")
@click.option("--area", help="What the markers' area is; MACs, if they are known.")
@click.option("--pairs", is_flag=True, help="Draw each score against each cost, one below the other.")
@click.option("--calibrate", is_flag=True, help="Add the ImageNet top-1 to be expected, by the published models.")
@click.option("--rivals", is_flag=True, help="Add which networks outside the family its published members dominate.")
@storage_option
@json_option
def front(
    study: str,
    plot: Path | None,
    theme: str,
    force: bool,
    objectives: tuple[str, ...],
    x: str | None,
    y: str | None,
    area: str | None,
    pairs: bool,
    calibrate: bool,
    rivals: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """The best trade-offs of STUDY: a name, a folder, or a study.db."""
    from mvsearch.metrics.pareto import Objective
    from mvsearch.report.figures.palette import THEMES
    from mvsearch.report.figures.plot import plot_fronts, refuse_to_draw
    from mvsearch.study.reader import open_study

    if pairs and (x or y or area):
        raise click.UsageError("--pairs draws every pair; leave out --x, --y and --area.")
    if plot is None and (pairs or x or y or area):
        raise click.UsageError("--x, --y, --area and --pairs are about the plot; add --plot FILE.")
    if plot is not None:
        refuse_to_draw(plot, force=force)
    reader = open_study(study, storage=storage)
    sought = tuple(Objective.named(name) for name in objectives) or reader.objectives
    records = reader.measured(sought)
    estimates = _estimates(reader, records, sought) if calibrate else None
    if plot is not None:
        ways = _ways(sought) if pairs else [(x, y, area)]
        plot_fronts([_picture(reader, records, sought, *way) for way in ways], plot, THEMES[theme])
    facts = front_facts(reader, records, sought, estimates)
    against = _rivals(facts) if rivals else []
    if as_json:
        print_json(facts | ({"rivals": [each.facts() for each in against]} if rivals else {}))
    else:
        _show(reader, records, sought, facts, estimates)
        if rivals:
            _show_rivals(against)
    if plot is not None:
        click.echo(f"drew {plot}", err=True)


def _estimates(reader: "Reader", records: "list[Record]", objectives: "tuple[Objective, ...]") -> "Estimates":
    from mvsearch.metrics.pareto import front as best
    from mvsearch.report.estimates import estimates
    from mvsearch.report.proxy_reliability import trust

    return estimates(best(records, objectives), trust(records, objectives, reader.checked))


def _rivals(facts: dict[str, Any]) -> "list[Standing]":
    """Where the published members of a front stand by their printed Top-1: nothing else here has one."""
    from mvsearch.report.dominance import against, family, standings

    names = {trial["published"] for trial in facts["trials"]}
    return standings([each for each in family() if each.name in names], against())


def _show_rivals(standings: "list[Standing]") -> None:
    from mvsearch.report.dominance import CAUTION

    for each in standings:
        console().print(each.words)
    console().print(
        CAUTION if standings else "No published model is on this front; only these have a printed Top-1.", style="dim"
    )


def _ways(objectives: "tuple[Objective, ...]") -> list[tuple[str | None, str | None, str | None]]:
    """What to draw across, up and as area, a picture each."""
    from mvsearch.report.figures.front import pairs

    return [(x, y, None) for x, y in pairs(objectives)] or [(None, None, None)]


def _picture(
    reader: "Reader",
    records: "list[Record]",
    objectives: "tuple[Objective, ...]",
    x: str | None,
    y: str | None,
    area: str | None,
) -> "FrontPicture":
    from mvsearch.report.figures.front import front_picture

    title = f"{reader.name} ({reader.progress})" if reader.progress else reader.name
    return front_picture(records, objectives, title=title, limits=reader.limits, x=x, y=y, area=area)


def _show(
    reader: "Reader",
    records: "list[Record]",
    objectives: "tuple[Objective, ...]",
    facts: dict[str, Any],
    estimates: "Estimates | None",
) -> None:
    from rich.text import Text

    from mvsearch.metrics.pareto import front as best
    from mvsearch.report.estimates import HEAD
    from mvsearch.report.table import front_table
    from mvsearch.utils.units import pretty, volume

    screen = console()
    members = best(records, objectives)
    beside = {HEAD: [estimates.cell(member.number) for member in members]} if estimates else {}
    title = f"Pareto front of {reader.name}"
    screen.print(front_table(records, members, objectives, title=title, beside=beside))
    point = ", ".join(f"{name} {pretty(name, value)}" for name, value in facts["reference_point"].items())
    screen.print(f"hypervolume {volume(facts['hypervolume'])} of the box from the ideal to {point}", style="dim")
    show_proxy(reader, records, objectives)
    if estimates is not None:
        screen.print(Text(estimates.words, style="dim"))
    if reader.progress:
        screen.print(f"the study is not at its end: {reader.progress}", style="dim")
    last = reader.called(facts["trials"][-1]["number"])
    screen.print(Text(f"`mvsearch export {last} --to torch -o net.py` takes one along.", style="dim"))


def show_proxy(reader: "Reader", records: "list[Record]", objectives: "tuple[Objective, ...]") -> None:
    """In one line, which proxy scored the front and how far it is to be trusted; nothing where none did."""
    from rich.text import Text

    from mvsearch.report.proxy_line import proxy_line
    from mvsearch.report.proxy_reliability import trust

    line = proxy_line(reader.facts["settings"], trust(records, objectives, reader.checked))
    if line is not None:
        console().print(Text(line, style="dim"))


def front_facts(
    reader: "Reader",
    records: "list[Record]",
    objectives: "tuple[Objective, ...]",
    estimates: "Estimates | None" = None,
) -> dict[str, Any]:
    """The front as raw numbers, as `--json` prints them."""
    from dataclasses import asdict

    from mvsearch.metrics.pareto import front, hypervolume, reference_point
    from mvsearch.report.proxy_reliability import trust

    point = reference_point(records, objectives)
    best = front(records, objectives)
    return {
        "study": reader.name,
        "objectives": [objective.name for objective in objectives],
        "reference_point": point,
        "hypervolume": hypervolume(best, objectives, point),
        "proxy": reader.facts["settings"].get("proxy"),
        "trust": asdict(trust(records, objectives, reader.checked)),
        "trials": [
            {"number": r.number, "key": r.key, **r.metrics, "published": r.published, "choices": r.choices}
            | (estimates.facts(r.number) if estimates else {})
            for r in best
        ],
    }
