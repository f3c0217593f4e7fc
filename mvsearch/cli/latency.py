"""`mvsearch latency ARCH...`: Table 8 of the paper on this machine, and what we would have instead."""

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._output import console, json_option, print_json, storage_option, table
from mvsearch.cli._progress import Steps

if TYPE_CHECKING:
    from mvsearch.profiling.benchmark import BenchmarkResult, Timing
    from mvsearch.profiling.protocols import NamedNetwork

_TITLES = {"latency": "latency of one image, ms", "throughput": "throughput, images/s at a batch of"}
_PAIRS = (
    *((f"mobilevitv3_{size}_l2", f"mobilevitv3_{size}") for size in ("xxs", "xs", "s")),
    *((f"mobilevitv3_{size}", f"mobilevitv1_{size}") for size in ("xxs", "xs", "s")),
    *((f"mobilevit{size}", f"mobilevit{size[:2]}_xxs") for size in ("v3_xs", "v3_s", "v1_xs", "v1_s")),
)


@click.command()
@click.argument("archs", metavar="[ARCH]...", nargs=-1)
@click.option("--published", is_flag=True, help="The networks of the paper's Table 8, beside its figures.")
@click.option(
    "--protocol",
    type=click.Choice(["paper", "own"]),
    default="paper",
    show_default=True,
    help="The paper's (eager, fp32), with ours beside it; or ours alone.",
)
@click.option("--quick", is_flag=True, help="100 rounds in place of 10,000, 10 of throughput in place of 1,000.")
@click.option("--batch", type=click.IntRange(min=0), default=100, show_default=True, help="For throughput; 0: none.")
@click.option("--image-size", type=click.IntRange(min=32), help="Pixels of a side, instead of the architecture's.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@storage_option
@json_option
def latency(
    archs: tuple[str, ...],
    published: bool,
    protocol: str,
    quick: bool,
    batch: int,
    image_size: int | None,
    threads: int,
    device: str,
    storage: str | None,
    as_json: bool,
) -> None:
    """Time each ARCH (a published name, a YAML file, STUDY:NUMBER or a rival): one image, then throughput.

    All networks are interleaved, in a new order in every round. Ours: fused, channels last; on a GPU in half precision
    and as a CUDA graph. Ctrl-C ends the rounds and shows what there is.
    """
    from mvsearch.profiling.protocols import FULL, OWN, PAPER, QUICK, time_networks

    networks = _networks(archs, published=published, image_size=image_size, storage=storage)
    length = QUICK if quick else FULL
    protocols = (PAPER, OWN) if protocol == "paper" else (OWN,)
    sessions: dict[str, BenchmarkResult] = {}
    with Steps() as steps:
        for what, size, repeats in (("latency", 1, length.repeats), ("throughput", batch, length.throughput_repeats)):
            if size and not any(session.interrupted for session in sessions.values()):
                sessions[what] = time_networks(
                    networks,
                    protocols,
                    device=device,
                    batch=size,
                    threads=threads,
                    repeats=repeats,
                    limit_s=length.limit_s,
                    on_status=steps,
                    on_round=steps.rounds,
                )
    if as_json:
        print_json({what: _facts(session) for what, session in sessions.items()})
    else:
        _show(sessions)
    if any(session.interrupted for session in sessions.values()):
        raise KeyboardInterrupt


def _networks(
    archs: tuple[str, ...], *, published: bool, image_size: int | None, storage: str | None
) -> "list[NamedNetwork]":
    from mvsearch.arch.published import model, model_names
    from mvsearch.baselines import field
    from mvsearch.nn import build
    from mvsearch.profiling.protocols import NamedNetwork, load_network
    from mvsearch.study.resolve import find_architecture

    printed = (model(name) for name in model_names() if published and "latency_ms" in model(name).figures)
    table8 = sorted(printed, key=lambda each: (each.name.partition("_")[0], each.architecture.cost().params))
    names = list(dict.fromkeys((*(each.name for each in table8), *archs)))
    if not names:
        raise click.UsageError("name an ARCH or more, or take --published.")
    networks = []
    for name in names:
        if name in field().rivals:
            networks.append(_sized(load_network(name), image_size))
        else:
            arch = find_architecture(name, storage=storage).at(image_size=image_size)
            networks.append(NamedNetwork(name, build(arch, seed=0), arch.image_size))
    return networks


def _sized(network: "NamedNetwork", image_size: int | None) -> "NamedNetwork":
    """A rival for another image size; those with a position for each patch take their own alone."""
    import torch

    from mvsearch.errors import PlanError

    if image_size is None or image_size == network.image_size:
        return network
    try:
        with torch.inference_mode():
            network.model(torch.zeros(1, 3, image_size, image_size))
    except (AssertionError, RuntimeError):
        raise PlanError(
            f"--image-size {image_size}: {network.name} cannot take it; it is built for {network.image_size} px."
        ) from None
    return replace(network, image_size=image_size)


def _printed(name: str, what: str) -> float | None:
    """The paper's figure: ms of one image, or images/s at a batch of 100, on an RTX 2080 Ti."""
    from mvsearch.arch.published import model, model_names

    key = "latency_ms" if what == "latency" else "throughput_images_s"
    return model(name).figures.get(key) if name in model_names() else None


def _facts(session: "BenchmarkResult") -> dict[str, Any]:
    rows = [
        {
            "name": row.network,
            "protocol": row.variant,
            **row.latency.metrics(),
            "latency_mean_ms": row.mean_ms,
            "throughput_images_s": row.latency.images_s,
            "printed_latency_ms": _printed(row.network, "latency"),
            "printed_throughput_images_s": _printed(row.network, "throughput"),
        }
        for row in session.timings
    ]
    return {"timed": rows, "ratios": _ratios(session), "away": session.away, "interrupted": session.interrupted}


def _ratios(session: "BenchmarkResult") -> list[dict[str, Any]]:
    """Times over times of the same round, for the pairs worth comparing; else of each network over the first."""
    rows = {(row.variant, row.network): row for row in session.timings}
    names = list(dict.fromkeys(row.network for row in session.timings))
    pairs = [pair for pair in _PAIRS if {*pair} <= {*names}] or [(name, names[0]) for name in names[1:]]
    found = []
    for name, base in pairs:
        for protocol in dict.fromkeys(row.variant for row in session.timings):
            middle, low, high = rows[protocol, name].ratio_to(rows[protocol, base])
            found.append({"name": name, "to": base, "protocol": protocol, "ratio": middle, "p10": low, "p90": high})
    return found


def _show(sessions: "dict[str, BenchmarkResult]") -> None:
    screen = console()
    for what, session in sessions.items():
        screen.print(_times(what, session))
        if ratios := _ratios(session):
            screen.print(_ratio_table(what, ratios))
    for device in dict.fromkeys(row.latency.device for session in sessions.values() for row in session.timings):
        screen.print(device)
    for what, session in sessions.items():
        if session.busy:
            screen.print(
                f"{what}: the processor was away with others for {session.away:.0%} of the time; "
                "trust the ratios before the times, or ask again when the machine is idle.",
                style="yellow",
            )


def _times(what: str, session: "BenchmarkResult") -> Any:
    from mvsearch.utils.units import three_digits

    batch, rounds = session.timings[0].latency.batch, session.timings[0].latency.repeats
    protocols = list(dict.fromkeys(row.variant for row in session.timings))
    heads = [head for name in protocols for head in (f"{name} protocol", "10 to 90 %")]
    gain = ["own, times as fast"] if len(protocols) > 1 else []
    title = _TITLES[what] if what == "latency" else f"{_TITLES[what]} {batch}"
    made = table("network", "RTX 2080 Ti, printed", *heads, *gain, title=f"{title}; {rounds} rounds")
    for name, group in groupby(session.timings, key=lambda row: row.network):
        rows = list(group)
        cells = [cell for row in rows for cell in _cells(what, row)]
        faster = [f"{rows[0].ratio_to(rows[1])[0]:.2f}"] if gain else []
        printed = _printed(name, what)
        made.add_row(name, "-" if printed is None else three_digits(printed), *cells, *faster)
    return made


def _cells(what: str, row: "Timing") -> tuple[str, str]:
    from mvsearch.utils.units import three_digits

    times, batch = row.latency, row.latency.batch
    middle, low, high = times.median_ms, times.p10_ms, times.p90_ms
    if what == "throughput":
        middle, low, high = (batch / ms * 1e3 for ms in (middle, high, low))
    return three_digits(middle), f"{three_digits(low)} to {three_digits(high)}"


def _ratio_table(what: str, ratios: list[dict[str, Any]]) -> Any:
    """Times over times, so that the table of throughput reads as that of latency does: less is faster."""
    protocols = list(dict.fromkeys(row["protocol"] for row in ratios))
    heads = [head for name in protocols for head in (f"{name} protocol", "10 to 90 %")]
    made = table("time of", "over", "printed", *heads, numbers_from=2)
    for (name, base), group in groupby(ratios, key=lambda row: (row["name"], row["to"])):
        ours, theirs = _printed(name, what), _printed(base, what)
        printed = "-"
        if ours is not None and theirs is not None:
            printed = f"{ours / theirs if what == 'latency' else theirs / ours:.2f}"
        cells = [f(row) for row in group for f in (_middle, _spread)]
        made.add_row(name, base, printed, *cells)
    return made


def _middle(row: dict[str, Any]) -> str:
    return f"{row['ratio']:.2f}"


def _spread(row: dict[str, Any]) -> str:
    return f"{row['p10']:.2f} to {row['p90']:.2f}"
