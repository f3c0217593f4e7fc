"""`mvsearch baselines`: networks outside the family, what they cost, and who dominates whom."""

from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._output import console, json_option, print_json, table

if TYPE_CHECKING:
    from mvsearch.report.dominance import Contender, Standing


@click.command()
@click.option("--sources", is_flag=True, help="Where each figure is from.")
@json_option
def baselines(sources: bool, as_json: bool) -> None:
    """Published networks outside the family, and how the family stands among them.

    `mvsearch paper-figures` draws them; with --x latency_ms it times them here.
    """
    from mvsearch.baselines import catalogue
    from mvsearch.report.dominance import against, family, standings

    ours, others = family(), against()
    found = standings(ours, others)
    if as_json:
        facts = [other.facts() | {"sources": catalogue().baselines[other.name].sources} for other in others]
        print_json({"baselines": facts, "recipes": catalogue().recipes, "standings": [each.facts() for each in found]})
        return
    screen = console()
    screen.print(_table([*others, *ours]))
    _show_recipes()
    for each in found:
        screen.print(_sentence(each))
    if sources:
        _show_sources()


def _table(contenders: "list[Contender]") -> Any:
    from mvsearch.metrics.formatting import pretty

    made = table("network", "name", "kind", "recipe", "px", "params", "MACs", "top-1 %", numbers_from=4)
    for family, group in ((False, "baseline"), (True, "the family")):
        made.add_section()
        for each in sorted(contenders, key=lambda each: each.top1):
            if (each.family is not None) is family:
                costs = [pretty("params", each.params), pretty("macs", each.macs)]
                kind = each.kind or group
                made.add_row(each.label, each.name, kind, each.recipe, str(each.image_size), *costs, f"{each.top1:.1f}")
    return made


def _show_recipes() -> None:
    """What the words for recipes mean: who was trained with more help is not the better network for it."""
    from rich.text import Text

    from mvsearch.baselines import catalogue

    for word, meaning in catalogue().recipes.items():
        console().print(Text.assemble((word, "bold"), f": {meaning}"), style="dim")


def _sentence(standing: "Standing") -> Any:
    from rich.text import Text

    label, rest = standing.contender.label, standing.words.removeprefix(standing.contender.label)
    return Text.assemble((label, "bold"), rest)


def _show_sources() -> None:
    from rich.text import Text

    from mvsearch.baselines import baselines as all_baselines

    texts: dict[str, list[str]] = {}
    for each in all_baselines():
        for figure, text in each.sources.items():
            texts.setdefault(f"{figure}: {text}", []).append(each.name)
    for text, names in texts.items():
        console().print(Text.assemble((text, "bold"), f" ({', '.join(names)})"))
