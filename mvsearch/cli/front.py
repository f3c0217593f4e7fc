"""`mvsearch front STUDY`: the Pareto front as a table, as JSON, or as a figure."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_study
from mvsearch.cli._help import Command
from mvsearch.cli._output import console, device_option, drawing_options, json_option, print_json, storage_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.table import Table

    from mvsearch.baselines.published_latencies import PublishedLatencies
    from mvsearch.metrics.pareto import Objective
    from mvsearch.report.dominance import Dominance
    from mvsearch.report.estimates import Estimates
    from mvsearch.report.findings import Findings


@click.command(cls=Command, examples=["mvsearch front v3", "mvsearch front v3 --x latency_ms --plot front.png"])
@click.argument("study", shell_complete=complete_study)
@drawing_options
@click.option(
    "--objective", "objectives", multiple=True, help="Use these objectives instead of the study's. Repeatable."
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    help="A constraint besides the study's, or instead of one of the same metric and direction. Repeatable.",
)
@click.option("--x", help="Metric on the x axis: params, macs, latency_ms, ...")
@click.option("--y", help="Metric on the y axis; default: the first score. gain: the score beyond what size explains.")
@click.option("--size", help="Metric that the area of the markers shows; default: macs.")
@click.option("--pairs", is_flag=True, help="Draw every score against every cost, one below the other.")
@click.option("--show-failed", is_flag=True, help="Draw the trials that are pruned, failed or beyond a limit too.")
@click.option("--all", "whole", is_flag=True, help="List the whole front, or with --beat the whole short list.")
@click.option("--calibrate", is_flag=True, help="Add the expected ImageNet top-1, calibrated on the published models.")
@click.option(
    "--baselines",
    is_flag=True,
    help="Add how the published MobileViT members compare with networks outside the family.",
)
@device_option
@storage_option
@json_option
def front(
    study: str,
    plot: Path | None,
    theme: str,
    force: bool,
    objectives: tuple[str, ...],
    limits: tuple[str, ...],
    x: str | None,
    y: str | None,
    size: str | None,
    pairs: bool,
    show_failed: bool,
    whole: bool,
    calibrate: bool,
    baselines: bool,
    device: str | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Show the Pareto front of a study.

    STUDY is a name, a folder or a study.db. Prints the recommended members of the front, why each is recommended, and
    how reliable the score is.
    """
    from mvsearch.metrics.pareto import Objective
    from mvsearch.report.figures.plot import refuse_to_draw
    from mvsearch.report.findings import compute_findings
    from mvsearch.study.reader import open_study

    if device is not None and not baselines:
        raise click.UsageError("--device is for the baselines; add --baselines.")
    measured = _published_latencies(device) if device is not None else []
    if pairs and (x or y or size):
        raise click.UsageError("--pairs draws all pairs; leave out --x, --y and --size.")
    if plot is None and (pairs or x or y or size or show_failed):
        raise click.UsageError("--x, --y, --size, --pairs and --show-failed describe a figure; add --plot FILE.")
    if plot is not None:
        refuse_to_draw(plot, force=force)
    sought = [Objective.named(name) for name in objectives]
    findings = compute_findings(open_study(study, storage=storage), sought, limits=limits)
    estimates = _estimate_top1(findings) if calibrate else None
    dominances = _compare_with_baselines(findings) if baselines else []
    if plot is not None:
        from mvsearch.report.figures.front_plot import plot_fronts
        from mvsearch.report.figures.palette import THEMES

        axes = _all_pairs(findings.objectives) if pairs else [(x, y, size)]
        title = f"{findings.name} ({findings.progress})" if findings.progress else findings.name
        figures = [
            findings.figure(title, x=across, y=up, area=area, show_failed=show_failed) for across, up, area in axes
        ]
        plot_fronts(figures, plot, THEMES[theme])
    if as_json:
        document = _to_json(findings, estimates)
        document |= {"baselines": [dominance.facts() for dominance in dominances]} if baselines else {}
        latencies = [row.facts() for each in measured for row in each.rows.values()]
        print_json(document | ({"latencies": latencies} if measured else {}))
    else:
        _print(findings, estimates, whole=whole)
        if baselines:
            _print_dominances(dominances, findings)
        if measured:
            from mvsearch.cli.baselines import print_published_latencies

            print_published_latencies(measured)
    if plot is not None:
        click.echo(f"drew {plot}", err=True)


def _published_latencies(device: str) -> "list[PublishedLatencies]":
    from mvsearch.baselines.published_latencies import latencies_on

    return latencies_on(device)


def _estimate_top1(findings: "Findings") -> "Estimates":
    from mvsearch.report.estimates import estimate_top1

    return estimate_top1(findings.front, findings.reliability)


def _compare_with_baselines(findings: "Findings") -> "list[Dominance]":
    """How the MobileViT models on a front compare with the baselines."""
    from mvsearch.report.dominance import baseline_networks, dominances, family_networks

    names = {record.published for record in findings.front}
    return dominances([network for network in family_networks() if network.name in names], baseline_networks())


def _print_dominances(dominances: "list[Dominance]", findings: "Findings") -> None:
    from mvsearch.report.dominance import CAUTION
    from mvsearch.report.estimates import other_classes

    for dominance in dominances:
        console().print(dominance.words)
    published = {record.published for record in findings.front if record.published}
    left_out = sorted(published - {dominance.network.name for dominance in dominances})
    if left_out:
        reason = "only the MobileViT models in the table of `mvsearch baselines` are"
        console().print(f"not compared with the baselines: {', '.join(left_out)}; {reason}.", style="dim")
    if dominances:
        console().print(f"{CAUTION}{other_classes(findings.records)}", style="dim")
    elif not published:
        console().print("No published model is on this front; only published models have a printed top-1.", style="dim")


def _all_pairs(objectives: "tuple[Objective, ...]") -> list[tuple[str | None, str | None, str | None]]:
    """The metrics along x and y and as area, for each figure."""
    from mvsearch.report.figures.axes import pairs

    return [(x, y, None) for x, y in pairs(objectives)] or [(None, None, None)]


def _print(findings: "Findings", estimates: "Estimates | None", *, whole: bool) -> None:
    from mvsearch.metrics.formatting import pretty, volume

    screen = console()
    print_front(findings, {estimates.head: estimates.cell} if estimates else {}, whole=whole)
    if estimates is not None:
        screen.print(estimates.words, style="dim")
    point = ", ".join(f"{name} {pretty(name, value)}" for name, value in findings.reference_point.items())
    screen.print(
        f"hypervolume {volume(findings.hypervolume)} of the box from the ideal to {point} (higher is better)",
        style="dim",
    )
    if findings.progress:
        screen.print(f"the study is not finished: {findings.progress}", style="dim")
    reference = findings.references[findings.suggestion.number]
    command = f"`mvsearch export {reference} --to torch -o net.py`"
    screen.print(f"{command} exports one of them: {findings.suggestion_words}.", style="dim")


def print_front(
    findings: "Findings", columns: "Mapping[str, Callable[[int], str]] | None" = None, *, whole: bool = False
) -> None:
    """The front, or the short list, as a table, the verdicts of validations, and the reliability of the proxy.

    Of a front with recommended members only these are shown, with the reason, unless it is asked for as a `whole`.
    `columns` are further columns, a text for the number of a trial.
    """
    from mvsearch.report.proxy_reliability import families_line, proxy_line
    from mvsearch.report.short_list_table import caution, short_list_sentence, short_list_table
    from mvsearch.report.validated import verdict_lines

    screen, target = console(), findings.target
    if target:
        entries = findings.short_list if whole else findings.listed
        screen.print(short_list_table(entries, target, findings.score, findings.validated))
        screen.print(findings.tally, style="dim")
        screen.print(short_list_sentence(findings.short_list, target), style="bold")
        screen.print(caution(findings.validated), style="dim")
    else:
        screen.print(_members_table(findings, columns or {}, whole=whole))
        for each in findings.recommendations:
            screen.print(f"trial {each.record.number}: {'; '.join(each.reasons)}")
    if beyond := findings.models_beyond:
        screen.print(f"beyond the limits, for reference: {', '.join(model.text for model in beyond)}")
    for sentence, conditions in verdict_lines(findings.validations):
        screen.print(sentence, style="bold")
        screen.print(conditions, style="dim")
    line = proxy_line(findings.facts.settings, findings.reliability)
    if line is not None:
        screen.print(line, style="dim")
    if findings.family_evidence is not None:
        screen.print(families_line(findings.family_evidence), style="dim")
    for note in findings.latency_notes:
        screen.print(note, style="yellow")
    if findings.facts.held_out is not None:
        screen.print(f"held out to evaluate on: {findings.facts.held_out}", style="dim")
    if findings.facts.weights is not None:
        screen.print(f"scores depend on trained networks: {findings.facts.weights}", style="dim")


def _members_table(findings: "Findings", columns: "Mapping[str, Callable[[int], str]]", *, whole: bool) -> "Table":
    """The recommended members of the front, or all of them."""
    from mvsearch.report.table import front_table
    from mvsearch.report.validated import HEAD

    recommended = findings.recommendations
    short = bool(recommended) and not whole and len(recommended) < len(findings.front)
    members = [each.record for each in recommended] if short else findings.front
    texts = {head: [text(record.number) for record in members] for head, text in columns.items()}
    if gains := findings.gains:
        texts["gain beyond size"] = [gains.text(record) for record in members]
    if validated := findings.validated:
        texts[HEAD] = [validated[record.number].text if record.number in validated else "" for record in members]
    hidden = f"; --all shows all {len(findings.front)} members" if short else ""
    title = f"{'Recommended members of the' if short else 'Pareto'} front of {findings.name}"
    caption = f"{findings.tally}{hidden}"
    return front_table(findings.records, members, findings.objectives, title=title, caption=caption, columns=texts)


def _to_json(findings: "Findings", estimates: "Estimates | None") -> dict[str, Any]:
    document = findings.to_json()
    if estimates is not None:
        document["trials"] = [trial | estimates.facts(trial["number"]) for trial in document["trials"]]
    return document
