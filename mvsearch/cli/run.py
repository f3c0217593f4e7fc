"""`mvsearch run SPACE`: search, show it as it goes, leave the remains."""

from typing import TYPE_CHECKING

import click

from mvsearch.cli._print import console, json_option, print_json

if TYPE_CHECKING:
    from mvsearch.plan import Plan


@click.command()
@click.argument("space", type=click.Path())
@click.option("--name", help="The study's name, instead of the space's.")
@click.option("--trials", type=click.IntRange(min=1), help="How many in all, earlier ones included.")
@click.option(
    "--objective",
    "-o",
    "objectives",
    multiple=True,
    help="A score of the proxy (scaled_loss, top1 ...) or a cost (params, macs, latency_ms); may be repeated.",
)
@click.option("--limit", "limits", multiple=True, help="E.g. 'params <= 2M'; may be repeated.")
@click.option("--sampler", help="surrogate, tpe, nsga2, nsga3, gp or random.")
@click.option("--seed", type=click.IntRange(min=0), help="Same seed, one worker: same candidates.")
@click.option("--confirm/--no-confirm", default=None, help="Measure members of the front again, up to six times.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes; 0 is one a core.")
@click.option("--check-proxy", is_flag=True, help="Score the other published models too: how far is the proxy right?")
@click.option("--storage", help="A database URL, instead of sqlite:///studies/NAME/study.db.")
@json_option
def run(
    space: str,
    name: str | None,
    trials: int | None,
    objectives: tuple[str, ...],
    limits: tuple[str, ...],
    sampler: str | None,
    seed: int | None,
    confirm: bool | None,
    workers: int | None,
    check_proxy: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Search SPACE, or go on with the study if it exists. Everything is kept in studies/NAME/."""
    from mvsearch.errors import PlanError
    from mvsearch.plan import Plan

    plan = Plan.load(
        space,
        name=name,
        storage=storage,
        trials=trials,
        objectives=objectives,
        limits=limits,
        sampler=sampler,
        seed=seed,
        confirm=confirm,
        workers=workers,
    )
    if check_proxy and not plan.scored:
        raise PlanError("--check-proxy: this study seeks costs alone; there is no proxy to check.")
    _prepare(plan)
    if _search(plan):
        click.echo("every candidate inside the conditions and limits that could be found is known by now.", err=True)
    if check_proxy:
        from mvsearch.cli._check import check_proxy as check

        check(plan)
    _finish(plan, as_json)


def _prepare(plan: "Plan") -> None:
    """All that can go wrong before the first candidate goes wrong here: images, device, database."""
    from rich.progress import Progress

    from mvsearch.evaluate import latency_device, load_data
    from mvsearch.study import Study

    if plan.wants("latency_ms"):
        latency_device(plan)
    if plan.scored:
        screen = console(stderr=True)
        with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
            data = load_data(plan, progress)
        if data.skipped:
            click.echo(f"{data.name}: {data.skipped} broken images were passed over.", err=True)
    Study.join(plan)


def _search(plan: "Plan") -> bool:
    from mvsearch.cli._watch import Watching
    from mvsearch.executors import local
    from mvsearch.study import Study

    reader = Study.read(plan)
    workers = local.workers_for(plan)
    with Watching(plan, reader.records(), workers, console(stderr=True)) as watching:
        return local.run(plan, reader, watching, workers=workers)


def _finish(plan: "Plan", as_json: bool) -> None:
    from mvsearch.cli.front import front_facts, show_proxy
    from mvsearch.pareto import front
    from mvsearch.report.remains import write_remains
    from mvsearch.report.table import front_table
    from mvsearch.study import Study

    reader = Study.read(plan)
    records = reader.measured(plan.objectives)
    written = write_remains(reader, plan.folder)
    if as_json:
        print_json(front_facts(reader, records, plan.objectives))
        return
    screen = console()
    screen.print(
        front_table(records, front(records, plan.objectives), plan.objectives, title=f"Pareto front of {plan.name}")
    )
    show_proxy(reader, records, plan.objectives)
    screen.print(f"written: {', '.join(str(path) for path in written)}", style="dim")
    screen.print(
        f"next: `mvsearch front {plan.name} --plot front.html`, `mvsearch export {plan.name}:NUMBER`", style="dim"
    )
