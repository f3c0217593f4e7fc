"""`mvsearch run SPACE`: search a space, show the progress, and write the front."""

import shlex
from typing import TYPE_CHECKING

import click

from mvsearch.cli._completion import complete_architecture, complete_space, plugin_names
from mvsearch.cli._help import Command
from mvsearch.cli._output import Amount, console, json_option, print_json
from mvsearch.space.shipped import shipped_spaces

if TYPE_CHECKING:
    from mvsearch.study.plan import Plan


@click.command(
    cls=Command,
    examples=["mvsearch run v3 --trials 100", "mvsearch run my.yaml --limit 'params <= 2M' --workers 0"],
    epilog=f"SPACE by name: {', '.join(shipped_spaces())}.",
)
@click.argument("space", type=click.Path(), shell_complete=complete_space)
@click.option("--name", help="Name of the study; default: the name of the space.")
@click.option("--trials", type=click.IntRange(min=1), help="Number of trials in all, finished ones included.")
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    help="A score of the proxy (loss, top1, ...) or a cost (params, macs, latency_ms). Repeatable.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    help="A constraint besides the file's, or instead of that of its metric and direction: 'params <= 2M'. Repeatable.",
)
@click.option(
    "--beat",
    metavar="ARCH",
    shell_complete=complete_architecture,
    help="Search for networks that are better than this one at no more parameters and MACs: the score is the only "
    "objective, and the end is a short list with the probability that each is better.",
)
@click.option(
    "--beat-on",
    "beat_on",
    metavar="METRIC",
    multiple=True,
    help="With --beat: no more of this cost either, e.g. latency_ms, which is measured of ARCH first. Repeatable.",
)
@click.option(
    "--sampler",
    shell_complete=plugin_names("sampler"),
    help="How candidates are proposed: surrogate, tpe, nsga2, nsga3, gp or random.",
)
@click.option("--seed", type=click.IntRange(min=0), help="With one worker, the same seed proposes the same candidates.")
@click.option(
    "--reevaluate/--no-reevaluate",
    "confirm",
    default=None,
    help="At the end, evaluate members of the front again with other seeds, up to six times each; default with --beat: "
    "the short list, three times each.",
)
@click.option(
    "--isolate",
    is_flag=True,
    default=None,
    help="Evaluate each candidate in a child process, so that a crash fails one trial only.",
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), help="Limit on the seconds of a trial; implies --isolate."
)
@click.option(
    "--memory",
    "memory_gib",
    type=click.FloatRange(min=0),
    help="Limit on the memory of a trial in GiB; implies --isolate.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Number of worker processes; 0: one per GPU, or one per core up to 16.",
)
@click.option(
    "--check-proxy",
    is_flag=True,
    help="Also score published models, to compare the proxy with ImageNet top-1: those of MobileViT, and of the other "
    "families whose blocks the space has.",
)
@click.option(
    "--executor",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where trials are evaluated.",
)
@click.option(
    "--address", help="Address of a Ray cluster; `auto`: the one of this machine. Default: start a local one."
)
@click.option(
    "--gpus-per-trial", type=Amount(), help="With Ray: share of a GPU, e.g. 0.5 for two trials per GPU. Default: 0."
)
@click.option("--cpus-per-trial", type=Amount(), help="With Ray: CPUs of a trial. Default: 1.")
@click.option("--storage", help="Database URL; default: sqlite:///studies/NAME/study.db.")
@json_option
def run(
    space: str,
    name: str | None,
    trials: int | None,
    objectives: tuple[str, ...],
    limits: tuple[str, ...],
    beat: str | None,
    beat_on: tuple[str, ...],
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
    """Search a space, or resume the search.

    SPACE is a YAML file, or the name of a space that mvsearch includes. All results are written to studies/NAME/.
    Ctrl-C stops the search; the same command resumes it. With other settings the command prints what it changes of the
    study.
    """
    from mvsearch.cli._search import check_weights, join, prepare, search, search_with_ray
    from mvsearch.errors import PlanError
    from mvsearch.study.plan import Plan

    plan = Plan.load(
        space,
        name=name,
        storage=storage,
        trials=trials,
        objectives=objectives,
        limits=limits,
        beat=beat,
        beat_on=beat_on,
        sampler=sampler,
        seed=seed,
        confirm=confirm,
        isolate=isolate,
        timeout_s=timeout_s,
        memory_gib=memory_gib,
        workers=workers,
    )
    if check_proxy and plan.space.head.task != "classification":
        raise PlanError(f"--check-proxy compares with ImageNet top-1; these networks are for {plan.space.head.task}.")
    if check_proxy and not plan.needs_proxy:
        raise PlanError("--check-proxy: every objective of this study is a cost, so there is no proxy to check.")
    with_ray = {"--address": address, "--gpus-per-trial": gpus_per_trial, "--cpus-per-trial": cpus_per_trial}
    ray_flags = [flag for flag, value in with_ray.items() if value is not None]
    if executor != "ray" and ray_flags:
        raise PlanError(f"{ray_flags[0]} needs --executor ray; add it, or leave {ray_flags[0]} out.")
    if executor == "ray":
        from mvsearch.study.executors import ray

        share = ray.ResourceShare(gpus_per_trial or 0.0, 1.0 if cpus_per_trial is None else cpus_per_trial)
        with ray.cluster(address):
            slots = share.slots(ray.resources())
            plan = join(plan)
            search_with_ray(plan, share, slots)
    else:
        plan = join(plan, prepare(plan))
        check_weights(plan)
        search(plan)
    if check_proxy:
        from mvsearch.cli._check_proxy import check_proxy as check

        check(plan)
    _finish(plan, as_json)


def _finish(plan: "Plan", as_json: bool) -> None:
    from mvsearch.cli.front import print_front
    from mvsearch.report.artifacts import write_artifacts
    from mvsearch.report.findings import compute_findings
    from mvsearch.study.storage.url import display_url
    from mvsearch.study.study import Study

    reader = Study.read(plan)
    findings = compute_findings(reader, plan.objectives)
    written = write_artifacts(findings, plan.folder)
    if as_json:
        print_json(findings.to_json())
        return
    print_front(findings)
    storage = f" --storage {shlex.quote(display_url(reader.store.url))}" if plan.storage else ""
    validate = f"`mvsearch validate {plan.name}{storage}`, " if plan.needs_proxy else ""
    screen = console()
    screen.print(f"wrote {', '.join(str(path) for path in written)}", style="dim")
    screen.print(
        f"next: `mvsearch front {plan.name}{storage} --plot front.html`, {validate}"
        f"`mvsearch export {plan.name}:{findings.suggestion.number}{storage}`: {findings.suggestion_words}",
        style="dim",
    )
