"""`mvsearch run SPACE`: search, show it as it goes, leave the remains."""

import shlex
from typing import TYPE_CHECKING

import click

from mvsearch.cli._output import Amount, console, json_option, print_json

if TYPE_CHECKING:
    from mvsearch.study.plan import Plan


@click.command()
@click.argument("space", type=click.Path())
@click.option("--name", help="The study's name, instead of the space's.")
@click.option("--trials", type=click.IntRange(min=1), help="How many in all, earlier ones included.")
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    help="A score of the proxy (scaled_loss, top1 ...) or a cost (params, macs, latency_ms); may be repeated.",
)
@click.option("--limit", "limits", multiple=True, help="E.g. 'params <= 2M'; may be repeated.")
@click.option("--sampler", help="surrogate, tpe, nsga2, nsga3, gp or random.")
@click.option("--seed", type=click.IntRange(min=0), help="Same seed, one worker: same candidates.")
@click.option(
    "--reevaluate/--no-reevaluate",
    "confirm",
    default=None,
    help="Evaluate members of the front again with further seeds, up to six times in all.",
)
@click.option("--isolate", is_flag=True, default=None, help="Evaluate in child processes: a crash is a failed trial.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), help="Seconds a trial may take; isolates.")
@click.option("--memory", "memory_gib", type=click.FloatRange(min=0), help="GiB a trial may take; isolates.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes; 0 is one a core.")
@click.option("--check-proxy", is_flag=True, help="Score the other published models too: how far is the proxy right?")
@click.option(
    "--executor", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Where trials run."
)
@click.option("--address", help="Of a Ray cluster; `auto` is the one this machine belongs to. None: one of its own.")
@click.option("--gpus-per-trial", type=Amount(), help="With Ray: e.g. 0.5 for two a GPU; else none.")
@click.option("--cpus-per-trial", type=Amount(), help="With Ray; else 1.")
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
    isolate: bool | None,
    timeout_s: float | None,
    memory_gib: float | None,
    workers: int | None,
    check_proxy: bool,
    executor: str,
    address: str | None,
    gpus_per_trial: float | None,
    cpus_per_trial: float | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Search SPACE, or go on with the study if it exists. Everything is kept in studies/NAME/."""
    from mvsearch.cli._search import prepare, search, search_with_ray
    from mvsearch.errors import PlanError
    from mvsearch.study.plan import Plan
    from mvsearch.study.study import Study

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
        isolate=isolate,
        timeout_s=timeout_s,
        memory_gib=memory_gib,
        workers=workers,
    )
    if check_proxy and plan.space.head.task != "classification":
        raise PlanError(f"--check-proxy holds scores against ImageNet; these networks are for {plan.space.head.task}.")
    if check_proxy and not plan.needs_proxy:
        raise PlanError("--check-proxy: this study seeks costs alone; there is no proxy to check.")
    with_ray = {"--address": address, "--gpus-per-trial": gpus_per_trial, "--cpus-per-trial": cpus_per_trial}
    given = {flag: value for flag, value in with_ray.items() if value is not None}
    if executor != "ray" and given:
        raise PlanError(f"{next(iter(given))} is for Ray's clusters; add --executor ray, or leave it out.")
    if executor == "ray":
        from mvsearch.study.executors import ray

        share = ray.Share(gpus_per_trial or 0.0, 1.0 if cpus_per_trial is None else cpus_per_trial)
        with ray.cluster(address):
            slots = share.slots(ray.resources())
            Study.join(plan)
            search_with_ray(plan, share, slots)
    else:
        prepare(plan)
        Study.join(plan)
        search(plan)
    if check_proxy:
        from mvsearch.cli._check import check_proxy as check

        check(plan)
    _finish(plan, as_json)


def _finish(plan: "Plan", as_json: bool) -> None:
    from mvsearch.cli.front import print_front
    from mvsearch.report.artifacts import write_artifacts
    from mvsearch.report.findings import compute_findings
    from mvsearch.study.storage.store import shown
    from mvsearch.study.study import Study

    reader = Study.read(plan)
    findings = compute_findings(reader, plan.objectives)
    written = write_artifacts(findings, plan.folder)
    if as_json:
        print_json(findings.to_json())
        return
    print_front(findings)
    storage = f" --storage {shlex.quote(shown(reader.store.url))}" if plan.storage else ""
    screen = console()
    screen.print(f"written: {', '.join(str(path) for path in written)}", style="dim")
    screen.print(
        f"next: `mvsearch front {plan.name}{storage} --plot front.html`, `mvsearch export {plan.name}:NUMBER{storage}`",
        style="dim",
    )
