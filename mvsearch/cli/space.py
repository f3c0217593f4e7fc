"""`mvsearch space SPACE`: is the file sound, how large is it, what does it hold, what would it cost."""

from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._print import console, json_option, print_json, table

if TYPE_CHECKING:
    from mvsearch.plan import Plan

_SAMPLE = 100_000


@click.command()
@click.argument("space", type=click.Path())
@click.option("--seed", default=0, show_default=True, help="For the sampled shares and ranges.")
@json_option
def space(space: str, seed: int, as_json: bool) -> None:
    """Check SPACE, and say its size, open values, contents, and what its candidates cost."""
    from mvsearch.plan import Plan

    plan = Plan.load(space)
    facts = _facts(plan, seed)
    if as_json:
        print_json(facts)
    else:
        _show(facts)


def _facts(plan: "Plan", seed: int) -> dict[str, Any]:
    import numpy as np

    costs = plan.space.costs(_SAMPLE, seed=seed)
    kept = plan.within_limits(costs)
    ranges = {
        name: dict(
            zip(
                ("min", "p10", "median", "p90", "max"),
                np.percentile(values, [0, 10, 50, 90, 100]).tolist(),
                strict=True,
            )
        )
        for name, values in (("params", costs.params), ("macs", costs.macs), ("macs_paper", costs.macs_paper))
    }
    return {
        "space": plan.space.name,
        "size": plan.space.size,
        "size_is_exact": plan.space.size_is_exact,
        "choices": [{"name": choice.name, "values": list(choice.values)} for choice in plan.space.choices],
        "conditions": [str(condition) for condition in plan.space.conditions],
        "contains": list(plan.space.contains),
        "limits": list(plan.search.limits),
        "within_limits": float(kept.mean()),
        "sampled": _SAMPLE,
        "costs": ranges,
    }


def _show(facts: dict[str, Any]) -> None:
    from rich.text import Text

    from mvsearch.report.units import pretty

    screen = console()
    exact = "exactly" if facts["size_is_exact"] else "about (estimated by sampling)"
    screen.print(f"[bold]{facts['space']}[/]: {exact} {facts['size']:,} architectures; the file is sound.")
    opened = table("open value", "number", "values", numbers_from=1)
    opened.columns[2].justify, opened.columns[2].no_wrap = "left", False
    for choice in facts["choices"]:
        values = choice["values"]
        shown = ", ".join(map(_shown, values)) if len(values) <= 8 else f"{values[0]}, {values[1]} ... {values[-1]}"
        opened.add_row(choice["name"], str(len(values)), Text(shown))
    screen.print(opened)
    for line in facts["conditions"]:
        screen.print(Text(f"where {line}", style="dim"))
    costs = table("cost", "min", "10 %", "median", "90 %", "max")
    for name, spread in facts["costs"].items():
        costs.add_row(name, *(pretty(name, spread[part]) for part in ("min", "p10", "median", "p90", "max")))
    screen.print(costs)
    limits = " and ".join(facts["limits"])
    if limits:
        share = 100 * facts["within_limits"]
        screen.print(f"{share:.1f} % keep to {limits} (of {facts['sampled']:,} samples).")
    screen.print(f"contains {', '.join(facts['contains']) or 'no published model'}")


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
