"""`mvsearch report STUDY`: all that is known of a study as one page for a browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._print import console, force_option, json_option, print_json, storage_option

if TYPE_CHECKING:
    from mvsearch.report.page.findings import Findings
    from mvsearch.study.reader import Reader


@click.command()
@click.argument("study")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True, help="The file."
)
@force_option
@storage_option
@json_option
def report(study: str, output: Path, force: bool, storage: str | None, as_json: bool) -> None:
    """Write all that is known of STUDY (a name, a folder, or a study.db) as one HTML page that needs nothing else.

    The front, its members, what the choices do, how the search went, how far the proxy is to be believed, and how to
    run it again. A study that is still running is shown as it stands.
    """
    from mvsearch.report.figures.plot import refuse_to_write
    from mvsearch.report.page.page import page
    from mvsearch.study.reader import open_study
    from mvsearch.utils.atomic_write import write_whole

    refuse_to_write(output, (".html", ".htm"), force=force)
    findings = _gathered(open_study(study, storage=storage))
    write_whole(output, page(findings))
    if as_json:
        print_json(_facts(findings, output))
    click.echo(f"wrote {output}", err=True)
    if findings.silence:
        click.echo(f"it shows no front: {findings.silence}", err=True)


def _gathered(reader: "Reader") -> "Findings":
    """The findings; a bar where people see it, for weighing choices takes seconds."""
    from rich.progress import Progress

    from mvsearch.report.page.findings import gather

    screen = console(stderr=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("choices weighed", total=None)
        return gather(reader, tell=lambda done, of: progress.update(task, completed=done, total=of))


def _facts(findings: "Findings", output: Path) -> dict[str, Any]:
    """What the page says in numbers."""
    return {
        "study": findings.name,
        "file": str(output),
        "objectives": [objective.name for objective in findings.objectives],
        "trials": len(findings.records),
        "progress": findings.progress,
        "no_front": findings.silence,
        "front": [record.number for record in findings.front],
        "reference_point": dict(findings.reference),
        "hypervolumes": findings.hypervolumes,
        "importance": [
            vars(found) | {"shares": {name: vars(share) for name, share in found.shares.items()}}
            for found in findings.importances
        ],
        "trust": vars(findings.trust),
        "machines": findings.machines,
    }
