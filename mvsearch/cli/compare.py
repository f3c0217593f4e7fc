"""`mvsearch compare STUDY STUDY ...`: compare the fronts of studies and what they took."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_study
from mvsearch.cli._help import Command
from mvsearch.cli._output import console, drawing_options, json_option, print_json, storage_option

if TYPE_CHECKING:
    from mvsearch.study.comparison import Comparison, Run, Side, Stretch
    from mvsearch.study.reader import Reader


@click.command(cls=Command, examples=["mvsearch compare v3 random --plot compare.png"])
@click.argument("studies", nargs=-1, required=True, shell_complete=complete_study)
@drawing_options
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    help="Use these objectives instead of those all studies share. Repeatable.",
)
@click.option("--x", help="Metric on the x axis: params, macs, latency_ms, ...")
@click.option("--y", help="Metric on the y axis; default: the first score.")
@click.option("--pairs", is_flag=True, help="Draw every score against every cost, one below the other.")
@click.option("--allow-mismatch", is_flag=True, help="Compare studies of different proxies or devices, with a warning.")
@storage_option
@json_option
def compare(
    studies: tuple[str, ...],
    plot: Path | None,
    theme: str,
    force: bool,
    objectives: tuple[str, ...],
    x: str | None,
    y: str | None,
    pairs: bool,
    allow_mismatch: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Compare the fronts of studies.

    STUDIES are two or more names, folders or study.db files. Studies that differ only in the seed are replicates and
    count as one side. It is an error if latencies are from different devices, or scores from different proxies, images
    or steps, unless --allow-mismatch is given.
    """
    from mvsearch.metrics.pareto import Objective
    from mvsearch.report.figures.comparison import comparison_figure
    from mvsearch.report.figures.comparison_plot import plot_comparison
    from mvsearch.report.figures.palette import THEMES
    from mvsearch.report.figures.plot import refuse_to_draw
    from mvsearch.study import comparison

    if pairs and (x or y):
        raise click.UsageError("--pairs draws all pairs; leave out --x and --y.")
    if plot is None and (pairs or x or y):
        raise click.UsageError("--x, --y and --pairs describe a figure; add --plot FILE.")
    if plot is not None:
        refuse_to_draw(plot, force=force)
    chosen = tuple(Objective.named(name) for name in objectives)
    result = comparison.compare(_open(studies, storage), chosen, allow_mismatch=allow_mismatch)
    if plot is not None:
        plot_comparison(comparison_figure(result, x=x, y=y, all_pairs=pairs), plot, THEMES[theme])
    if as_json:
        print_json(_to_json(result))
    else:
        _print(result)
    if plot is not None:
        click.echo(f"drew {plot}", err=True)


def _open(studies: tuple[str, ...], storage: str | None) -> "dict[str, Reader]":
    """The studies by name; studies of the same name by the words on the command line."""
    from mvsearch.errors import StudyError
    from mvsearch.study.reader import open_study

    readers = [open_study(study, storage=storage) for study in studies]
    names = [reader.name for reader in readers]
    by_name = {
        reader.name if names.count(reader.name) == 1 else word: reader
        for word, reader in zip(studies, readers, strict=True)
    }
    if len({(reader.store.location, reader.name) for reader in readers}) < len(studies):
        raise StudyError(f"{' '.join(studies)}: a study is named twice; name each once.")
    return by_name


def _print(comparison: "Comparison") -> None:
    from mvsearch.report.comparison_text import comparison_sentences, explanations, pairs_table, studies_table

    screen = console()
    for warning in comparison.warnings:
        screen.print(f"not comparable: {warning}", style="bold red")
    screen.print(studies_table(comparison))
    screen.print(pairs_table(comparison))
    for sentence in comparison_sentences(comparison):
        screen.print(sentence)
    for line in (*explanations(comparison), *comparison.notes):
        screen.print(line, style="dim")


def _to_json(comparison: "Comparison") -> dict[str, Any]:
    from mvsearch.report.comparison_text import trade_offs

    return {
        "objectives": [objective.name for objective in comparison.objectives],
        "reference_point": comparison.reference,
        "epsilon_spans": comparison.spans,
        "warnings": comparison.warnings,
        "notes": comparison.notes,
        "studies": [_run_facts(run) for run in comparison.runs],
        "sides": [{"name": side.name, "studies": [run.name for run in side.runs]} for side in comparison.sides],
        "pairs": [vars(pair) for pair in comparison.pairs],
        "ahead": [
            {"cost": cost, "gain": gain, "stretches": list(map(_stretch_facts, comparison.stretches(cost, gain)))}
            for cost, gain in trade_offs(comparison)
        ],
        "repeats": [_repeat_facts(side, comparison) for side in comparison.repeats],
    }


def _run_facts(run: "Run") -> dict[str, Any]:
    return {
        "study": run.name,
        "trials": run.evaluations,
        "hypervolume": run.hypervolume,
        "hypervolumes": run.hypervolumes,
        "seconds": run.seconds,
        "front": [record.number for record in run.front],
    }


def _stretch_facts(stretch: "Stretch") -> dict[str, Any]:
    """JSON has no infinity: `end` is null where a stretch has no end, `by` where no other study is as cheap."""
    return {name: None if value == math.inf else value for name, value in vars(stretch).items()}


def _repeat_facts(side: "Side", comparison: "Comparison") -> dict[str, Any]:
    """The attainment surfaces of replicates, which are defined for two or three objectives."""
    levels = {"best": 1, "median": side.half, "worst": len(side.runs)}
    few = 2 <= len(comparison.objectives) <= 3
    surfaces = {name: side.surface(comparison.objectives, times) for name, times in levels.items() if few}
    return {"name": side.name, "studies": [run.name for run in side.runs], "attainment": surfaces}
