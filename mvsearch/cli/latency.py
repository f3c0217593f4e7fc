"""`mvsearch latency ARCH...`: latency and throughput as in Table 8 of the paper, and under a protocol of our own."""

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_architecture
from mvsearch.cli._help import Command
from mvsearch.cli._output import console, image_size_option, json_option, print_json, storage_option, table

if TYPE_CHECKING:
    from mvsearch.profiling.benchmark import BenchmarkResult, CaseTiming
    from mvsearch.profiling.protocols import NamedNetwork

_TITLES = {"latency": "latency of one image, ms", "throughput": "throughput, images/s at a batch of"}
_PAIRS = (
    *((f"mobilevitv3_{size}_l2", f"mobilevitv3_{size}") for size in ("xxs", "xs", "s")),
    *((f"mobilevitv3_{size}", f"mobilevitv1_{size}") for size in ("xxs", "xs", "s")),
    *((f"mobilevit{size}", f"mobilevit{size[:2]}_xxs") for size in ("v3_xs", "v3_s", "v1_xs", "v1_s")),
)


@click.command(cls=Command, examples=["mvsearch latency mobilevitv3_xxs v3:17 --quick"])
@click.argument("archs", metavar="[ARCH]...", nargs=-1, shell_complete=complete_architecture)
@click.option("--published", is_flag=True, help="The networks of the paper's Table 8, with the printed figures.")
@click.option(
    "--protocol",
    type=click.Choice(["paper", "own"]),
    default="paper",
    show_default=True,
    help="paper: the paper's (eager, fp32) beside our own; own: our own only.",
)
@click.option("--quick", is_flag=True, help="100 rounds instead of 10,000; 10 of throughput instead of 1,000.")
@click.option(
    "--batch",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Batch size for throughput; 0: do not measure it.",
)
@image_size_option
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Device of the measurement."
)
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
    """Measure latency and throughput.

    ARCH is a published name, a YAML file, STUDY:NUMBER or a baseline. Timings are interleaved, every round in a new
    order. Our own protocol: fused layers and channels last; on a GPU half precision and a CUDA graph. Ctrl-C ends the
    rounds and prints the results so far.
    """
    from mvsearch.cli._progress import Steps
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
                    progress=steps,
                )
    if as_json:
        print_json({what: _to_json(session) for what, session in sessions.items()})
    else:
        _print(sessions)
    if any(session.interrupted for session in sessions.values()):
        raise KeyboardInterrupt


def _networks(
    archs: tuple[str, ...], *, published: bool, image_size: int | None, storage: str | None
) -> "list[NamedNetwork]":
    from mvsearch.arch.published import model, model_names
    from mvsearch.baselines import catalogue
    from mvsearch.nn import build
    from mvsearch.profiling.protocols import NamedNetwork, load_network
    from mvsearch.study.resolve import find_architecture

    models = (model(name) for name in model_names() if published and "latency_ms" in model(name).figures)
    table8 = sorted(models, key=lambda m: (m.name.partition("_")[0], m.architecture.cost().params))
    names = list(dict.fromkeys((*(m.name for m in table8), *archs)))
    if not names:
        raise click.UsageError("name at least one ARCH, or use --published.")
    networks = []
    for name in names:
        if name in catalogue().baselines:
            networks.append(_resize(load_network(name), image_size))
        else:
            arch = find_architecture(name, storage=storage).at(image_size=image_size)
            networks.append(NamedNetwork(name, build(arch.deploy(), seed=0), arch.image_size))
    return networks


def _resize(network: "NamedNetwork", image_size: int | None) -> "NamedNetwork":
    """A baseline for another image size; those with an embedding per position support their own size only."""
    import torch

    from mvsearch.errors import PlanError

    if image_size is None or image_size == network.image_size:
        return network
    try:
        with torch.inference_mode():
            network.model(torch.zeros(1, 3, image_size, image_size))
    except (AssertionError, RuntimeError):
        raise PlanError(f"--image-size {image_size}: {network.name} supports {network.image_size} px only.") from None
    return replace(network, image_size=image_size)


def _paper_figure(name: str, what: str) -> float | None:
    """The paper's figure: ms of one image, or images/s at a batch of 100, on an RTX 2080 Ti."""
    from mvsearch.arch.published import model, model_names

    key = "latency_ms" if what == "latency" else "throughput_images_s"
    return model(name).figures.get(key) if name in model_names() else None


def _to_json(session: "BenchmarkResult") -> dict[str, Any]:
    rows = [
        {
            "name": row.network,
            "protocol": row.variant,
            **row.latency.metrics(),
            "latency_mean_ms": row.mean_ms,
            "throughput_images_s": row.latency.images_s,
            "printed_latency_ms": _paper_figure(row.network, "latency"),
            "printed_throughput_images_s": _paper_figure(row.network, "throughput"),
        }
        for row in session.timings
    ]
    return {"timed": rows, "ratios": _ratios(session), "away": session.away, "interrupted": session.interrupted}


def _ratios(session: "BenchmarkResult") -> list[dict[str, Any]]:
    """Ratios of times of the same round: for pairs of the paper, or of each network to the first."""
    rows = {(row.variant, row.network): row for row in session.timings}
    names = list(dict.fromkeys(row.network for row in session.timings))
    pairs = [pair for pair in _PAIRS if {*pair} <= {*names}] or [(name, names[0]) for name in names[1:]]
    ratios = []
    for name, base in pairs:
        for protocol in dict.fromkeys(row.variant for row in session.timings):
            middle, low, high = rows[protocol, name].ratio_to(rows[protocol, base])
            ratios.append({"name": name, "to": base, "protocol": protocol, "ratio": middle, "p10": low, "p90": high})
    return ratios


def _print(sessions: "dict[str, BenchmarkResult]") -> None:
    from mvsearch.metrics.latency_text import busy_note

    screen = console()
    for what, session in sessions.items():
        screen.print(_times(what, session))
        if ratios := _ratios(session):
            screen.print(_ratio_table(what, ratios))
    timings = [row for session in sessions.values() for row in session.timings]
    if any(_paper_figure(row.network, "latency") is not None for row in timings):
        batch = ", throughput at a batch of 100" if "throughput" in sessions else ""
        screen.print(f"printed: at the published image size{batch}.", style="dim")
    for device in dict.fromkeys(row.latency.device for row in timings):
        screen.print(device)
    for what, session in sessions.items():
        if note := busy_note([row.latency.metrics() for row in session.timings]):
            screen.print(f"{what}: {note}", style="yellow")


def _times(what: str, session: "BenchmarkResult") -> Any:
    from mvsearch.utils.units import three_digits

    batch, rounds = session.timings[0].latency.batch, session.timings[0].latency.repeats
    protocols = list(dict.fromkeys(row.variant for row in session.timings))
    heads = [head for name in protocols for head in (f"{name} protocol", "10 to 90 %")]
    gain = ["own, speed-up"] if len(protocols) > 1 else []
    title = _TITLES[what] if what == "latency" else f"{_TITLES[what]} {batch}"
    rows_table = table("network", "RTX 2080 Ti, printed", *heads, *gain, title=f"{title}; {rounds} rounds")
    for name, group in groupby(session.timings, key=lambda row: row.network):
        rows = list(group)
        cells = [cell for row in rows for cell in _cells(what, row)]
        speedup = [f"{rows[0].ratio_to(rows[1])[0]:.2f}"] if gain else []
        printed = _paper_figure(name, what)
        rows_table.add_row(name, "-" if printed is None else three_digits(printed), *cells, *speedup)
    return rows_table


def _cells(what: str, row: "CaseTiming") -> tuple[str, str]:
    from mvsearch.utils.units import three_digits

    times, batch = row.latency, row.latency.batch
    middle, low, high = times.median_ms, times.p10_ms, times.p90_ms
    if what == "throughput":
        middle, low, high = (batch / ms * 1e3 for ms in (middle, high, low))
    return three_digits(middle), f"{three_digits(low)} to {three_digits(high)}"


def _ratio_table(what: str, ratios: list[dict[str, Any]]) -> Any:
    """Ratios of times, so that lower is faster for throughput as for latency."""
    protocols = list(dict.fromkeys(row["protocol"] for row in ratios))
    heads = [head for name in protocols for head in (f"{name} protocol", "10 to 90 %")]
    rows_table = table("time of", "over", "printed", *heads, numbers_from=2)
    for (name, base), group in groupby(ratios, key=lambda row: (row["name"], row["to"])):
        ours, theirs = _paper_figure(name, what), _paper_figure(base, what)
        printed = "-"
        if ours is not None and theirs is not None:
            printed = f"{ours / theirs if what == 'latency' else theirs / ours:.2f}"
        cells = [f(row) for row in group for f in (_middle, _spread)]
        rows_table.add_row(name, base, printed, *cells)
    return rows_table


def _middle(row: dict[str, Any]) -> str:
    return f"{row['ratio']:.2f}"


def _spread(row: dict[str, Any]) -> str:
    return f"{row['p10']:.2f} to {row['p90']:.2f}"
