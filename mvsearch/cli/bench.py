"""`mvsearch bench ARCH...`: time networks side by side on several runtimes of this machine."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_architecture, joined_names
from mvsearch.cli._device_options import device_options, device_settings
from mvsearch.cli._help import Command
from mvsearch.cli._output import (
    console,
    force_option,
    image_size_option,
    json_option,
    print_json,
    storage_option,
    table,
    theme_option,
)
from mvsearch.cli._sustained import Drawing, Duration, run_sustained
from mvsearch.utils.text import plural

if TYPE_CHECKING:
    from mvsearch.profiling.benchmark import ArchitectureTiming

_BACKENDS = "torch_cpu,onnxruntime,executorch,openvino"


@click.command(
    cls=Command,
    examples=[
        "mvsearch bench mobilevitv3_xxs v3:17 --backend torch_cpu,onnxruntime",
        "mvsearch bench v3:17 --sustained 10m --plot sustained.png",
    ],
)
@click.argument("archs", metavar="ARCH...", nargs=-1, required=True, shell_complete=complete_architecture)
@click.option(
    "--backend",
    shell_complete=joined_names("latency_backend"),
    help=f"Backends, separated by commas; default: {_BACKENDS}; with --sustained: torch_cpu.",
)
@image_size_option
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Images in a batch.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Number of rounds, if the time limit allows.",
)
@click.option(
    "--sustained",
    type=Duration(),
    metavar="DURATION",
    help="Run one network on one backend for this long, e.g. 10m or 90s, to see whether its latency stays or drifts.",
)
@click.option("--plot", type=click.Path(path_type=Path), help="With --sustained: draw a figure, .png or .svg.")
@theme_option
@force_option
@device_options
@storage_option
@json_option
def bench(
    archs: tuple[str, ...],
    backend: str | None,
    image_size: int | None,
    batch: int,
    threads: int,
    repeats: int,
    sustained: float | None,
    plot: Path | None,
    theme: str,
    force: bool,
    storage: str | None,
    as_json: bool,
    **device: Any,
) -> None:
    """Time networks on several runtimes.

    ARCH is a published name, a YAML file, STUDY:NUMBER or the folder of a training.

    Timings are interleaved, every round in a new order, so that other load on the machine affects all networks alike.
    The weights are random: latency does not depend on them.
    """
    from mvsearch.cli._progress import Steps
    from mvsearch.profiling.benchmark import benchmark_architectures, benchmark_backends
    from mvsearch.profiling.latency import TimingOptions
    from mvsearch.study.resolve import find_architecture

    if plot is not None and sustained is None:
        raise click.UsageError("--plot draws latency over time; add --sustained DURATION.")
    backend = backend if backend is not None else _BACKENDS if sustained is None else "torch_cpu"
    backends = [name.strip() for name in backend.split(",") if name.strip()]
    if sustained is not None and (len(archs) > 1 or len(backends) > 1):
        raise click.UsageError("--sustained runs one network on one backend; name one of each.")
    if not backends:
        raise click.UsageError(f"--backend {backend!r} names no backend; use one or more of {_BACKENDS}.")
    options = TimingOptions(batch=batch, threads=threads, **device_settings(device))
    benchmark_backends(backends, options)
    networks = [find_architecture(arch, storage=storage).at(image_size=image_size) for arch in archs]
    if sustained is not None:
        drawing = Drawing(plot, theme, force)
        run_sustained(networks[0], backends[0], options, sustained, drawing, as_json=as_json)
        return
    with Steps() as steps:
        results = benchmark_architectures(networks, backends, options, repeats=repeats, progress=steps)
    if as_json:
        print_json([_to_json(result) for result in results])
    else:
        _print(results)


def _to_json(timing: "ArchitectureTiming") -> dict[str, Any]:
    arch = timing.arch
    about = {"name": arch.name, "key": arch.key, "image_size": arch.image_size, **arch.metrics()}
    return about | timing.latency.metrics() | {"ratio_to_eager": timing.ratio_to_eager}


def _print(results: "list[ArchitectureTiming]") -> None:
    from rich.text import Text

    from mvsearch.metrics.formatting import pretty
    from mvsearch.metrics.latency_text import busy_note
    from mvsearch.utils.units import three_digits

    rows = table("architecture", "px", "params", "MACs", "backend", "median", "10 %", "90 %", "of eager", "rounds")
    rows.columns[4].justify = "left"
    for _, group in groupby(results, key=lambda result: id(result.arch)):
        timings = list(group)
        arch, fastest = timings[0].arch, min(timings, key=lambda result: result.latency.median_ms)
        first_cells = [
            arch.name or arch.key,
            str(arch.image_size),
            pretty("params", arch.cost().params),
            pretty("macs", arch.cost().macs),
        ]
        rows.add_section()
        for result in timings:
            times, style = result.latency, "bold" if result is fastest else ""
            rows.add_row(
                *first_cells,
                Text(times.backend, style),
                Text(f"{three_digits(times.median_ms)} ms", style),
                *(f"{three_digits(ms)} ms" for ms in (times.p10_ms, times.p90_ms)),
                "-" if result.ratio_to_eager is None else f"{result.ratio_to_eager:.2f}",
                str(times.repeats),
            )
            first_cells = [""] * len(first_cells)
    batch, screen = results[0].latency.batch, console()
    screen.print(rows)
    screen.print(f"{plural(batch, 'image')} per batch, fp32; on")
    for device in dict.fromkeys(result.latency.device for result in results):
        screen.print(f"  {device}")
    if note := busy_note([result.latency.metrics() for result in results]):
        screen.print(note, style="yellow")
