"""`mvsearch worker STUDY`: more hands for a study that another command began, from this machine or any other."""

import click


@click.command()
@click.argument("study")
@click.option("--storage", help="The database URL that `mvsearch run` was given; a password may stand in PGPASSWORD.")
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Processes; 0 is one a core (one a GPU).")
def worker(study: str, storage: str | None, workers: int) -> None:
    """Work on STUDY until its trials are done. It may be running elsewhere, or have been stopped.

    What is sought, how and on which images is read from its database; the images must be on this machine too, and
    latencies are refused from another device. Ctrl-C gives back what is under way.
    """
    from mvsearch.cli._search import prepare, search
    from mvsearch.study.plan import Plan
    from mvsearch.study.reader import open_study

    reader = open_study(study, storage=storage)
    plan = Plan.of_study(reader, workers=workers)
    if reader.count() < plan.search.trials or plan.search.confirm:
        prepare(plan)
        search(plan)
    click.echo(f"study {reader.name}: {reader.count()} of {plan.search.trials} trials are done.", err=True)
