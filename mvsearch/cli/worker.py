"""`mvsearch worker STUDY`: add worker processes to a study that `mvsearch run` created, on this or another machine."""

import click

from mvsearch.cli._completion import complete_study
from mvsearch.cli._help import Command


@click.command(cls=Command, examples=["mvsearch worker v3 --storage postgresql+psycopg://me@host/nas"])
@click.argument("study", shell_complete=complete_study)
@click.option("--storage", help="The database URL given to `mvsearch run`; PGPASSWORD may hold the password.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    help="Number of worker processes; 0: one per GPU, or one per core up to 16.",
)
def worker(study: str, storage: str | None, workers: int) -> None:
    """Add workers to a study.

    They work on STUDY, running elsewhere or interrupted, until all its trials are finished. The plan is read from the
    database. The images must be on this machine too, and a study with a latency objective accepts workers on the same
    device only. Ctrl-C releases the running trials; the same command resumes.
    """
    from mvsearch.cli._search import prepare, search
    from mvsearch.study.plan import Plan
    from mvsearch.study.reader import open_study

    reader = open_study(study, storage=storage)
    plan = Plan.of_study(reader, workers=workers)
    if reader.count() < plan.search.trials or plan.remeasures:
        for note in prepare(plan):
            click.echo(note, err=True)
        search(plan)
    click.echo(f"study {reader.name}: {reader.count()} of {plan.search.trials} trials are finished.", err=True)
