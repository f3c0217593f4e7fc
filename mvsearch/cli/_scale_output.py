"""The output of `scale`: sentences and tables, or raw numbers for `--json`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from mvsearch.arch.architecture import Architecture
from mvsearch.cli._output import table
from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.latency_text import busy_note, conditions, interval
from mvsearch.metrics.registry import metric
from mvsearch.report.diagram import difference_table
from mvsearch.report.figures.architecture_diff import difference
from mvsearch.report.figures.scaling import Member, member_costs
from mvsearch.scaling import Budget, Scaled, Scaling


def show_scaled(result: Scaled, others: Sequence[Scaled], screen: Console, written: Path | None) -> None:
    """Print the sentence, its costs beside the other budgets, the table of new costs, and the next command."""
    arch = result.scaling.arch
    screen.print(Text.assemble((arch.name or arch.key, "bold"), f" {_method(result)}: {sentence(result)}"))
    for other in others:
        screen.print(f"{_costs(other, other.value)}, {_deviation(other)}.")
    if result.arch.key != arch.key:
        arrow = "->" if screen.options.ascii_only else "→"
        screen.print(difference_table(arch, result.arch, arrow=arrow, costs_of_second=True))
    for line in _remarks(result):
        screen.print(line, style="dim")
    screen.print(f"wrote {written}" if written else "use -o FILE.yaml to write it.", style="dim")


def sentence(result: Scaled) -> str:
    """`5.60 M parameters, 0.02 % over 5.6M`; if that is not within 1 %, also the next smaller and larger value."""
    text = f"{_costs(result, result.value)}, {_deviation(result)}"
    if result.latency is not None:
        p10, p90 = f"{result.latency.p10_ms:.2f}", f"{result.latency.p90_ms:.2f}"
        text += f" ({interval(result.latency.metrics())}10th to 90th percentile {p10} to {p90} ms)"
    if result.met:
        return f"{text}."
    neighbours = [
        f"the next {word} is {pretty(result.budget.name, value)}"
        for word, value in (("smaller", result.smaller), ("larger", result.larger))
        if value is not None and value != result.value
    ]
    return f"closest {'measured' if result.latency else 'allowed'}: {'; '.join([text, *neighbours])}."


def _costs(result: Scaled, value: float) -> str:
    name = result.budget.name
    return pretty(name, value) if name == "latency_ms" else f"{pretty(name, value)} {metric(name).description}"


def _deviation(result: Scaled) -> str:
    off = 100 * result.budget.relative_error(result.value)
    if off == 0:
        return f"exactly {result.budget.text}"
    share = f"{abs(off):.1f} %" if abs(off) >= 0.1 else f"{abs(off):.1g} %" if abs(off) >= 0.01 else "less than 0.01 %"
    return f"{share} {'over' if off > 0 else 'under'} {result.budget.text}"


def _method(result: Scaled) -> str:
    if result.arch.key == result.scaling.arch.key:
        return "unchanged"
    unchanged = f" ({', '.join(result.scaling.keep)} unchanged)" if result.scaling.keep else ""
    if result.scaling.by == "compound":
        return f"scaled by {result.scale:+.2f} units of depth, width and resolution{unchanged}"
    if result.scaling.by == "resolution":
        return f"at {result.arch.image_size} px"
    return f"made {result.scale:.3g} times as {'wide' if result.scaling.by == 'width' else 'deep'}{unchanged}"


def _remarks(result: Scaled) -> list[str]:
    remarks = []
    if result.adjusted:
        differ = "differs" if len(result.adjusted) == 1 else "differ"
        remarks.append(
            f"{', '.join(result.adjusted)} {differ} by one step from the multiplied value, to come within 1 %."
        )
    if result.scaling.by == "resolution":
        remarks.append("The number of parameters does not depend on the size of the images.")
    if result.latency is not None:
        numbers = result.latency.metrics()
        measured = f"{conditions(numbers)} on {result.latency.device}, {result.latency.repeats} calls"
        remarks += [f"measured with {measured}", *filter(None, [busy_note([numbers])])]
    return remarks


def scaled_to_json(result: Scaled, others: Sequence[Scaled]) -> dict[str, Any]:
    """The result for `--json`."""
    latency = result.latency.metrics() if result.latency else {}
    return {
        **_settings(result.scaling),
        "budget": _budget_to_json(result.budget),
        "other_budgets": [{**_budget_to_json(other.budget), "reached": other.value} for other in others],
        "met": result.met,
        "off": result.budget.relative_error(result.value),
        "scale": result.scale,
        "smaller": result.smaller,
        "larger": result.larger,
        "adjusted": list(result.adjusted),
        "before": _to_json(result.scaling.arch),
        "after": _to_json(result.arch) | latency,
        "parts": [change.facts() for change in difference(result.scaling.arch, result.arch)],
        "architecture": result.arch.to_dict(),
    }


def _budget_to_json(budget: Budget) -> dict[str, Any]:
    return {"name": budget.name, "value": budget.value, "at_most": budget.at_most}


def _settings(scaling: Scaling) -> dict[str, Any]:
    coefficients = {"coefficients": asdict(scaling.coefficients)} if scaling.by == "compound" else {}
    return {"by": scaling.by, "keep": list(scaling.keep), **coefficients}


def _to_json(arch: Architecture) -> dict[str, Any]:
    return {"name": arch.name, "key": arch.key, "image_size": arch.image_size, **arch.metrics()}


def show_family(scaling: Scaling, members: Sequence[Member], screen: Console) -> None:
    """Print the sizes with their widths and costs, and their costs with each fusion."""
    rows = table(
        "size", "units" if scaling.by == "compound" else "times", "px", "widths", "attention", "params", "MACs"
    )
    for column in rows.columns[3:5]:
        column.justify, column.no_wrap = "left", False
    for member in members:
        arch, cost = member.arch, member.arch.cost()
        outs = dict.fromkeys(str(row.out) for row in arch.blocks)
        attention = (f"{row.attention_width}x{row.layer_count}" for row in arch.blocks if row.attention_width)
        priced = pretty("params", cost.params), pretty("macs", cost.macs)
        rows.add_row(
            member.name, f"{member.scale:.3g}", str(arch.image_size), " ".join(outs), " ".join(attention), *priced
        )
    screen.print(rows)
    costs = [member_costs(member) for member in members]
    if len(costs[0]) > 1:
        fusions = table("size", *costs[0], title="parameters / MACs at the same widths")
        for member, row in zip(members, costs, strict=True):
            fusions.add_row(
                member.name, *(f"{pretty('params', c.params)} / {pretty('macs', c.macs)}" for c in row.values())
            )
        screen.print(fusions)
    for member in members:
        if member.note:
            screen.print(f"{member.name} is the {member.note}", style="dim")


def family_to_json(scaling: Scaling, members: Sequence[Member]) -> dict[str, Any]:
    """The family for `--json`."""
    return {
        **_settings(scaling),
        "members": [
            {
                "size": member.name,
                "scale": member.scale,
                **_to_json(member.arch),
                "fusions": {words: {"params": c.params, "macs": c.macs} for words, c in member_costs(member).items()},
                "architecture": member.arch.to_dict(),
            }
            for member in members
        ],
    }
