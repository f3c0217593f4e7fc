"""Published latencies of networks on a phone or a board as tables, and what they say of the family."""

from collections.abc import Sequence

from mvsearch.baselines.published_latencies import SOURCE, PublishedLatencies
from mvsearch.report.dominance import Network, baseline_networks, family_networks, speed_comparison
from mvsearch.utils.fitted_table import FittedTable, plain_table
from mvsearch.utils.units import three_digits

_HEADS = ("network", "name", "px", "top-1 %", "latency", "runtime", "operators", "on the NPU")


def timed_networks(measured: PublishedLatencies) -> tuple[list[Network], list[Network]]:
    """The networks with a latency, those of the family and the baselines, the fastest first."""
    times_ms = measured.times.latency_ms
    family, others = family_networks(times_ms), baseline_networks(times_ms)
    return _timed(family, times_ms), _timed(others, times_ms)


def _timed(networks: Sequence[Network], times_ms: dict[str, float]) -> list[Network]:
    return sorted((each for each in networks if each.name in times_ms), key=lambda each: times_ms[each.name])


def latency_table(measured: PublishedLatencies) -> FittedTable:
    """A row for each network with a latency, the fastest first; the caption names all that they depend on."""
    title = f"{measured.device} (NPU), {measured.precision}, one image"
    table = plain_table(*_HEADS, title=title, numbers_from=2)
    family, others = timed_networks(measured)
    networks = {network.name: network for network in (*family, *others)}
    for name, row in measured.rows.items():
        network = networks[name]
        numbers = [str(row.image_size), f"{network.top1:.1f}", f"{three_digits(row.latency_ms)} ms", row.runtime]
        table.add_row(network.full_label, name, *numbers, str(row.operators), str(row.on_npu))
    table.caption = f"measured with {measured.tools}; Top-1 of the weights in float"
    return table


def latency_sentences(measured: PublishedLatencies) -> list[str]:
    """The fastest baseline that is at least as accurate as each network of the family, or that none is measured."""
    family, others = timed_networks(measured)
    if not family:
        return [f"No network of the family has a published latency on {measured.device} in {measured.precision}."]
    return speed_comparison(family, others, measured.runtimes)


def source_sentence() -> str:
    """Where the latencies are from."""
    return f"Latencies as published by Qualcomm in {SOURCE}; another version of the tools changes them."
