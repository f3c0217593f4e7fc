"""`mvsearch bench ARCH...`: networks timed side by side on several runtimes of this machine."""

from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._output import console, json_option, print_json, storage_option, table
from mvsearch.cli._progress import Steps

if TYPE_CHECKING:
    from mvsearch.profiling.benchmark import Timed

_BACKENDS = "torch_cpu,onnxruntime,executorch,openvino"


@click.command()
@click.argument("archs", metavar="ARCH...", nargs=-1, required=True)
@click.option("--backend", default=_BACKENDS, show_default=True, help="Which, with commas between them.")
@click.option("--image-size", type=click.IntRange(min=32), help="Pixels of a side, instead of the architecture's.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Images at a time.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
@click.option("--repeats", type=click.IntRange(min=1), default=50, show_default=True, help="Rounds, if time allows.")
@storage_option
@json_option
def bench(
    archs: tuple[str, ...],
    backend: str,
    image_size: int | None,
    batch: int,
    threads: int,
    repeats: int,
    storage: str | None,
    as_json: bool,
) -> None:
    """Time each ARCH (a published name, a YAML file or STUDY:NUMBER) on each backend.

    All pairs take turns, round after round in a new order, so that whatever else the machine does meets all alike. The
    weights are fresh: they do not matter to time.
    """
    from mvsearch.profiling.benchmark import backends_of
    from mvsearch.profiling.benchmark import bench as timed
    from mvsearch.study.resolve import find_architecture

    backends = [name.strip() for name in backend.split(",") if name.strip()]
    if not backends:
        raise click.UsageError(f"--backend {backend!r} names none; use {_BACKENDS}, or some of them.")
    backends_of(backends)
    found = [find_architecture(arch, storage=storage).at(image_size=image_size) for arch in archs]
    with Steps() as steps:
        results = timed(
            found, backends, batch=batch, threads=threads, repeats=repeats, say=steps, progress=steps.rounds
        )
    if as_json:
        print_json([_facts(each) for each in results])
    else:
        _show(results)


def _facts(timed: "Timed") -> dict[str, Any]:
    arch = timed.arch
    facts = {"name": arch.name, "key": arch.key, "image_size": arch.image_size, **arch.metrics()}
    return facts | timed.latency.metrics() | {"ratio_to_eager": timed.of_eager}


def _show(results: "list[Timed]") -> None:
    from rich.text import Text

    from mvsearch.utils.units import pretty, three_digits

    made = table("architecture", "px", "params", "MACs", "backend", "median", "10 %", "90 %", "of eager", "rounds")
    made.columns[4].justify = "left"
    for _, group in groupby(results, key=lambda each: id(each.arch)):
        rows = list(group)
        arch, fastest = rows[0].arch, min(rows, key=lambda each: each.latency.median_ms)
        named = [
            arch.name or arch.key,
            str(arch.image_size),
            pretty("params", arch.cost().params),
            pretty("macs", arch.cost().macs),
        ]
        made.add_section()
        for each in rows:
            times, style = each.latency, "bold" if each is fastest else ""
            made.add_row(
                *named,
                Text(times.backend, style),
                Text(f"{three_digits(times.median_ms)} ms", style),
                *(f"{three_digits(ms)} ms" for ms in (times.p10_ms, times.p90_ms)),
                "-" if each.of_eager is None else f"{each.of_eager:.2f}",
                str(times.repeats),
            )
            named = [""] * len(named)
    batch, screen = results[0].latency.batch, console()
    screen.print(made)
    screen.print(Text(f"{batch} image{'s' if batch > 1 else ''} a call, fp32; on"))
    for device in dict.fromkeys(each.latency.device for each in results):
        screen.print(Text(f"  {device}"))
