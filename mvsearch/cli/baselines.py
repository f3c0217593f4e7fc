"""`mvsearch baselines`: networks outside the family, their costs, and which dominates which."""

from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._help import Command
from mvsearch.cli._output import console, device_option, json_option, print_json, table

if TYPE_CHECKING:
    from mvsearch.baselines.published_latencies import PublishedLatencies
    from mvsearch.report.dominance import Dominance, Network


@click.command(cls=Command, examples=["mvsearch baselines", "mvsearch baselines --device galaxy_s25:float"])
@click.option("--sources", is_flag=True, help="Add the source of each figure.")
@device_option
@json_option
def baselines(sources: bool, device: str | None, as_json: bool) -> None:
    """Compare the MobileViT family with other published networks.

    `mvsearch paper-figures` draws them; with --x latency_ms it measures their latency on this machine. With --device
    the latencies are those that others measured on a phone or a board.
    """
    if device is not None:
        if sources:
            raise click.UsageError("--device has a source of its own, which it prints; leave out --sources.")
        _print_device(device, as_json=as_json)
        return
    from mvsearch.baselines import catalogue
    from mvsearch.report.dominance import baseline_networks, dominances, family_networks

    family, others = family_networks(), baseline_networks()
    results = dominances(family, others)
    if as_json:
        facts = [network.facts() | {"sources": catalogue().baselines[network.name].sources} for network in others]
        print_json(
            {"baselines": facts, "recipes": catalogue().recipes, "standings": [result.facts() for result in results]}
        )
        return
    screen = console()
    screen.print(_table(family, others))
    _print_recipes()
    for result in results:
        screen.print(_sentence(result))
    if sources:
        _print_sources()


def _print_device(device: str, *, as_json: bool) -> None:
    """The published latencies of a device."""
    from mvsearch.baselines.published_latencies import latencies_on

    measured = latencies_on(device)
    if as_json:
        print_json({"latencies": [row.facts() for each in measured for row in each.rows.values()]})
    else:
        print_published_latencies(measured)


def print_published_latencies(measured: "list[PublishedLatencies]") -> None:
    """A table for each precision, what it says of the family, and the source."""
    from mvsearch.report.published_latencies import latency_sentences, latency_table, source_sentence

    for each in measured:
        console().print(latency_table(each))
        for sentence in latency_sentences(each):
            console().print(sentence)
    console().print(source_sentence(), style="dim")


def _table(family: "list[Network]", others: "list[Network]") -> Any:
    from mvsearch.metrics.formatting import pretty

    result = table("network", "name", "kind", "recipe", "px", "params", "MACs", "top-1 %", numbers_from=4)
    for networks in (others, family):
        result.add_section()
        for net in sorted(networks, key=lambda network: network.top1):
            costs = [pretty("params", net.params), pretty("macs", net.macs)]
            kind = net.kind or "the family"
            result.add_row(net.label, net.name, kind, net.recipe, str(net.image_size), *costs, f"{net.top1:.1f}")
    return result


def _print_recipes() -> None:
    """The meaning of the recipes: a Top-1 of more than supervised training does not show a better network."""
    from rich.text import Text

    from mvsearch.baselines import catalogue

    for word, meaning in catalogue().recipes.items():
        console().print(Text.assemble((word, "bold"), f": {meaning}"), style="dim")


def _sentence(dominance: "Dominance") -> Any:
    from rich.text import Text

    label = dominance.network.label
    return Text.assemble((label, "bold"), dominance.words.removeprefix(label))


def _print_sources() -> None:
    from rich.text import Text

    from mvsearch.baselines import baselines as all_baselines

    texts: dict[str, list[str]] = {}
    for baseline in all_baselines():
        for figure, text in baseline.sources.items():
            texts.setdefault(f"{figure}: {text}", []).append(baseline.name)
    for text, names in texts.items():
        console().print(Text.assemble((text, "bold"), f" ({', '.join(names)})"))
