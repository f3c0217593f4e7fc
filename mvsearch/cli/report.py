"""`mvsearch report STUDY`: what is known of a study as one page for a browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_study
from mvsearch.cli._help import Command
from mvsearch.cli._output import force_option, json_option, print_json, storage_option

if TYPE_CHECKING:
    from mvsearch.report.findings import Findings
    from mvsearch.report.importance import Importance


@click.command(cls=Command, examples=["mvsearch report v3"])
@click.argument("study", shell_complete=complete_study)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True, help="The file."
)
@force_option
@storage_option
@json_option
def report(study: str, output: Path, force: bool, storage: str | None, as_json: bool) -> None:
    """Write a study as one HTML page.

    STUDY is a name, a folder or a study.db. The page is self-contained: the front, its members, the importance of
    choices, the progress of the search, the reliability of the proxy, validations, and how to reproduce it. A study
    that is still running is shown as it stands.
    """
    from mvsearch.report.figures.plot import refuse_to_write
    from mvsearch.report.findings import compute_findings
    from mvsearch.report.page.page import page
    from mvsearch.study.reader import open_study
    from mvsearch.utils.atomic_write import write_whole
    from mvsearch.validation.document import to_document

    refuse_to_write(output, (".html", ".htm"), force=force)
    findings = compute_findings(open_study(study, storage=storage), allow_empty=True)
    importances = _importances(findings)
    content = page(findings, importances)
    write_whole(output, content)
    if as_json:
        documents = {"validations": [to_document(validation) for validation in findings.validations]}
        print_json(_to_json(findings, importances, output) | documents)
    script = "; most of it is the script that draws, so that the page needs no network" if findings.measured else ""
    click.echo(f"wrote {output} ({len(content) / 1e6:.1f} MB{script})", err=True)
    if findings.no_front:
        click.echo(f"it shows no front: {findings.no_front}", err=True)


def _importances(findings: "Findings") -> "list[Importance]":
    """The importance of each choice, which takes seconds: a progress bar on a terminal."""
    from mvsearch.cli._progress import progress_bar
    from mvsearch.report.importance import importances

    with progress_bar() as progress:
        return importances(findings.space, findings.records, findings.objectives, progress=progress)


def _to_json(findings: "Findings", importances: "list[Importance]", output: Path) -> dict[str, Any]:
    """The numbers of the page."""
    return {
        "study": findings.name,
        "file": str(output),
        "objectives": [objective.name for objective in findings.objectives],
        "trials": len(findings.records),
        "limits": [limit.text for limit in findings.limits],
        "beyond_limits": findings.beyond,
        "held_out": findings.facts.held_out,
        "progress": findings.progress,
        "no_front": findings.no_front,
        "front": [record.number for record in findings.front],
        "reference_point": dict(findings.reference_point),
        "hypervolumes": findings.hypervolumes,
        "importance": [
            vars(importance) | {"shares": {name: vars(share) for name, share in importance.shares.items()}}
            for importance in importances
        ],
        "trust": vars(findings.reliability),
        "machines": findings.machines,
    }
