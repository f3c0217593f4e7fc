"""`mvsearch space SPACE`: check a search space and show its size, choices and costs."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_space, complete_template
from mvsearch.cli._help import Command
from mvsearch.cli._output import console, force_option, json_option, print_json, table
from mvsearch.space.shipped import shipped_spaces

if TYPE_CHECKING:
    from mvsearch.metrics.constraints import Constraint
    from mvsearch.space.exact_front import FrontPoint
    from mvsearch.study.plan import Plan

_SAMPLES = (20_000, 100_000)
"""Points that shares and ranges are estimated from; the more of them only where few are within the limits."""

_FEW = 0.01


@click.command(
    cls=Command,
    examples=[
        "mvsearch space v3",
        "mvsearch space v3 --front --limit 'params >= 1M'",
        "mvsearch space --template repvit -o my.yaml",
        "mvsearch space --template params=1.5M",
    ],
    epilog=f"SPACE by name: {', '.join(shipped_spaces())}.",
)
@click.argument("space", type=click.Path(), required=False, shell_complete=complete_space)
@click.option("--seed", default=0, show_default=True, help="Seed of the sampled shares and ranges.")
@click.option("--front", is_flag=True, help="Compute the exact Pareto front over costs instead.")
@click.option(
    "--objective", "objectives", multiple=True, help="With --front: params, macs, macs_paper or operators. Repeatable."
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    help="With --front or --template: a constraint besides the file's, or instead of one: 'params >= 1M'. Repeatable.",
)
@click.option(
    "--template",
    "template_name",
    metavar="NAME|COST=VALUE",
    shell_complete=complete_template,
    help="Print a commented file to start with instead: of a family (mobilevitv3, repvit, ...), around a published "
    "model, of a space by name, or for a budget.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="With --template: the file to write instead of printing it."
)
@force_option
@json_option
def space(
    space: str | None,
    seed: int,
    front: bool,
    objectives: tuple[str, ...],
    limits: tuple[str, ...],
    template_name: str | None,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Check a search space.

    SPACE is a YAML file, or the name of a space that mvsearch includes. Prints its size, open values, contained models
    and the range of its costs.

    With --front: the exact Pareto front over costs, of all points of SPACE, without sampling. The objectives are those
    of the file that are costs (params, macs, macs_paper, operators), or those given with --objective; all are
    minimised, within the file's limits on costs. The cheapest networks are small, so the front is often a single point:
    with `--limit 'params >= 1M'` it is the least MACs of a network with a million parameters. It is an error if a
    space or a limit makes the exact method intractable.

    With --template: a file that `mvsearch run` searches as it is. A budget is for the rows of `mixed`, and refused if
    no network meets it.
    """
    from mvsearch.study.plan import Plan

    if template_name is not None:
        if space or front or objectives:
            raise click.UsageError("--template is used without SPACE, --front and --objective; remove them.")
        _write_template(template_name, limits, output, force=force, as_json=as_json)
        return
    if space is None:
        raise click.UsageError(f"name a SPACE ({', '.join(shipped_spaces())}, or a YAML file), or use --template.")
    if output:
        raise click.UsageError("--output needs --template; add it.")
    if (objectives or limits) and not front:
        raise click.UsageError("--objective and --limit need --front; add it.")
    plan = Plan.load(space)
    if front:
        _front(plan, objectives, limits, as_json)
        return
    summary = _summary(plan, seed)
    if as_json:
        print_json(summary)
    else:
        _print(summary)


def _write_template(name: str, limits: tuple[str, ...], output: Path | None, *, force: bool, as_json: bool) -> None:
    from mvsearch.metrics.constraints import Constraint
    from mvsearch.study.first_space import read_budget
    from mvsearch.study.settings import study_name
    from mvsearch.study.template import BUDGET, template
    from mvsearch.utils.atomic_write import refuse_existing, write_whole

    if output:
        refuse_existing(output, force=force)
    budgets = [read_budget(name, option="--template", more="--limit")] if "=" in name else []
    own_name = study_name(output.stem) if output else None
    text = template(BUDGET if budgets else name, [*budgets, *map(Constraint.parse, limits)], study=own_name)
    if output:
        write_whole(output, text.encode())
    if as_json:
        print_json({"template": name, "file": str(output) if output else None, "text": text})
    elif output:
        click.echo(f"wrote {output}. `mvsearch space {output}` checks it, `mvsearch run {output}` searches it.")
    else:
        click.echo(text, nl=False)


def _front(plan: "Plan", objectives: tuple[str, ...], limits: tuple[str, ...], as_json: bool) -> None:
    from mvsearch.cli._progress import DelayedBar
    from mvsearch.metrics.constraints import Constraint, check_limits, override_limits
    from mvsearch.metrics.pareto import Objective
    from mvsearch.metrics.registry import STATIC_COSTS
    from mvsearch.space.exact_front import exact_front

    names = tuple(Objective.named(name).name for name in objectives)
    names = names or tuple(name for name in plan.search.objectives if name in STATIC_COSTS)
    texts = override_limits([limit.text for limit in plan.static_limits], limits)
    constraints = [Constraint.parse(text) for text in texts]
    check_limits(constraints)
    start_time = time.perf_counter()
    with DelayedBar("exact front") as bar:
        members = exact_front(plan.space, names, constraints, progress=bar)
    seconds = time.perf_counter() - start_time
    if as_json:
        print_json(_front_to_json(plan, names, constraints, members, seconds))
    else:
        _print_front(plan, names, constraints, members, seconds)


def _front_to_json(
    plan: "Plan", objectives: tuple[str, ...], limits: "list[Constraint]", members: "list[FrontPoint]", seconds: float
) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "space": plan.space.name,
        "objectives": list(objectives),
        "limits": [limit.text for limit in limits],
        "limits_not_checked": [limit.text for limit in plan.measured_limits],
        "objectives_left_out": [name for name in plan.search.objectives if name not in objectives],
        "seconds": round(seconds, 3),
        "front": [
            {**asdict(m.cost), "ties": m.ties, "published": m.published, "choices": plan.space.effective(m.point)}
            for m in members
        ],
    }


def _print_front(
    plan: "Plan", objectives: tuple[str, ...], limits: "list[Constraint]", members: "list[FrontPoint]", seconds: float
) -> None:
    from mvsearch.metrics.registry import metric

    screen = console()
    names = dict.fromkeys([*objectives, *(limit.name for limit in limits), "params", "macs"])
    points = [plan.space.effective(member.point) for member in members]
    choices = dict.fromkeys(name for point in points for name in point)
    differing = [name for name in choices if any(point.get(name) != points[0].get(name) for point in points)]
    heads = [*(metric(name).label for name in names), "tied", *(name.replace(".", "\n") for name in differing)]
    rows = table(*heads, title=f"exact front of {plan.space.name} over {', '.join(objectives)}", numbers_from=0)
    for member, point in zip(members, points, strict=True):
        costs = (f"{getattr(member.cost, name):,}" for name in names)
        rows.add_row(*costs, f"{member.ties:,}", *(_format_value(point.get(name, "-")) for name in differing))
    screen.print(rows)
    same = ", ".join(f"{name} {_format_value(value)}" for name, value in points[0].items() if name not in differing)
    if same:
        screen.print(f"all of them have {same}" if len(members) > 1 else same)
    for member in members:
        if member.published:
            screen.print(f"{member.published} is on the front, with {member.cost.params:,} params", style="bold")
    within = f" within {' and '.join(limit.text for limit in limits)}" if limits else ""
    accuracy = "exactly" if plan.space.size_is_exact else "about"
    screen.print(
        f"Compared all points{within} of {accuracy} {plan.space.size:,} in {seconds:.1f} s; one point of a tie is "
        "shown.",
        style="dim",
    )
    if plan.measured_limits:
        screen.print(_not_checked([limit.text for limit in plan.measured_limits]))


def _not_checked(limits: list[str]) -> str:
    """Which limits a closed form cannot check."""
    return f"not checked: {' and '.join(limits)}, because only `mvsearch run` measures that."


def _summary(plan: "Plan", seed: int) -> dict[str, Any]:
    import numpy as np

    from mvsearch.metrics.registry import metric

    for sampled in _SAMPLES:
        costs = plan.space.costs(sampled, seed=seed)
        within = float(plan.within_limits(costs).mean())
        if within > _FEW:
            break
    shares = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}
    places = np.array(list(shares.values())) * (sampled - 1)  # np.percentile takes as long to import as to compute
    ranges = {
        name: dict(zip(shares, np.interp(places, np.arange(sampled), np.sort(values)).tolist(), strict=True))
        for name, values in vars(costs).items()
        if plan.space.head.task in metric(name).tasks
    }
    return {
        "space": plan.space.name,
        "file": plan.space.document.file,
        "size": plan.space.size,
        "size_is_exact": plan.space.size_is_exact,
        "choices": [{"name": choice.name, "values": list(choice.values)} for choice in plan.space.choices],
        "conditions": [str(condition) for condition in plan.space.conditions],
        "contains": list(plan.space.contains),
        "contains_beyond_limits": _contains_beyond_limits(plan),
        "limits": list(plan.search.limits),
        "limits_checked": [limit.text for limit in plan.static_limits],
        "limits_not_checked": [limit.text for limit in plan.measured_limits],
        "within_limits": within if plan.static_limits or not plan.limits else None,
        "sampled": sampled,
        "image_size": plan.space.image_size,
        "image_sizes": list(plan.space.image_sizes),
        "costs": ranges,
        "notes": _classes_note(plan),
    }


def _classes_note(plan: "Plan") -> list[str]:
    """A sentence if the folders of classes are at hand and are not as many as the classes of the networks."""
    if not plan.needs_proxy or plan.data.source != "folder" or not plan.data.path:
        return []
    from mvsearch.cli._trial_conditions import classes_note
    from mvsearch.data import find_classes  # loads more than other spaces need
    from mvsearch.errors import DataError

    try:
        classes = find_classes(Path(plan.data.path))
    except DataError:  # the images may be on another machine
        return []
    return [f"{plan.data.path}: {note}" for note in classes_note(plan, classes)] if classes else []


def _contains_beyond_limits(plan: "Plan") -> list[str]:
    import numpy as np

    points = plan.space.published_points()
    if not points:
        return []
    admissible = plan.admissible(np.stack([plan.space.codes(point) for _, point in points]))
    return [name for (name, _), within in zip(points, admissible, strict=True) if not within]


def _print(summary: dict[str, Any]) -> None:
    from rich.text import Text

    from mvsearch.metrics.formatting import pretty
    from mvsearch.utils.text import join_words
    from mvsearch.utils.units import significant

    screen = console()
    exact = "exactly" if summary["size_is_exact"] else "about (estimated by sampling)"
    size = f": {exact} {summary['size']:,} architectures; {summary['file']} is valid."
    screen.print(Text.assemble((summary["space"], "bold"), size))
    choices = table("open value", "number", "values", numbers_from=1)
    choices.columns[2].justify, choices.columns[2].no_wrap = "left", False
    for choice in summary["choices"]:
        values = choice["values"]
        text = (
            ", ".join(map(_format_value, values)) if len(values) <= 8 else f"{values[0]}, {values[1]} ... {values[-1]}"
        )
        choices.add_row(choice["name"], str(len(values)), text)
    screen.print(choices)
    for line in summary["conditions"]:
        screen.print(f"where {line}", style="dim")
    sizes = join_words(map(str, summary["image_sizes"]), "or")
    costs = table(f"cost at {sizes} px", "min", "10 %", "median", "90 %", "max")
    for name, spread in summary["costs"].items():
        costs.add_row(name, *(pretty(name, spread[part]) for part in ("min", "p10", "median", "p90", "max")))
    screen.print(costs)
    source = f"of {summary['sampled']:,} random points"
    if summary["limits_checked"]:
        share, limits = 100 * summary["within_limits"], " and ".join(summary["limits_checked"])
        words = f"{significant(share, 2)} % are" if share else "none is"
        screen.print(f"{words} within {limits} ({source}, as the costs above).")
    else:
        screen.print(f"costs {source}", style="dim")
    if summary["limits_not_checked"]:
        screen.print(_not_checked(summary["limits_not_checked"]))
    screen.print(f"contains {', '.join(summary['contains']) or 'no published model'}")
    if beyond := summary["contains_beyond_limits"]:
        screen.print(f"beyond the limits, so not evaluated: {', '.join(beyond)}")
    for note in summary["notes"]:
        screen.print(Text(note), style="yellow")


def _format_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
