"""`mvsearch paper-figures`: Figures 1 and 3 of the MobileViTv3 paper from data, with newer networks added."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mvsearch.cli._help import Command
from mvsearch.cli._output import console, force_option, json_option, print_json, refuse_without, theme_option

if TYPE_CHECKING:
    from mvsearch.baselines.latencies import DeviceLatencies

_TIMES = "latency.json"

_PUBLISHED = "latency@"


class Axis(click.Choice[str]):
    """A metric, or `latency@` with a device."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As the choice, but every `latency@...` is one."""
        return value if value.startswith(_PUBLISHED) else super().convert(value, param, ctx)


@click.command(
    cls=Command, examples=["mvsearch paper-figures", "mvsearch paper-figures --x latency@galaxy_s25 -o figures"]
)
@click.option(
    "--output",
    "-o",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("figures"),
    show_default=True,
    help="Folder for figure1 and figure3; created if needed.",
)
@click.option(
    "--x",
    type=Axis(["params", "macs", "latency_ms", f"{_PUBLISHED}DEVICE"]),
    default="params",
    show_default=True,
    help="Metric on the x axis; latency_ms is measured on this machine (takes minutes, needs timm), latency@DEVICE is "
    "published: DEVICE[:PRECISION[:RUNTIME]], e.g. latency@galaxy_s25:float.",
)
@click.option(
    "--times",
    "times_file",
    type=click.Path(path_type=Path),
    help=f"Read latencies from the {_TIMES} of an earlier run instead of measuring.",
)
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Device of the measurement."
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Number of rounds, if the time limit allows.",
)
@theme_option
@click.option(
    "--format", "kind", type=click.Choice(["png", "svg", "html"]), default="png", show_default=True, help="File format."
)
@force_option
@json_option
def paper_figures(
    folder: Path,
    x: str,
    times_file: Path | None,
    device: str,
    threads: int,
    repeats: int,
    theme: str,
    kind: str,
    force: bool,
    as_json: bool,
) -> None:
    """Draw Figures 1 and 3 of the paper with newer networks.

    They show the top-1 of MobileViT and of baselines against a cost; the area of a marker is MACs. The baselines of
    Figure 1 are transformers and hybrids, those of Figure 3 convolutional networks.
    """
    from mvsearch.baselines.published_latencies import latencies_in
    from mvsearch.cli._progress import Steps
    from mvsearch.errors import PlanError
    from mvsearch.report.dominance import baseline_networks, dominances, family_networks, speed_comparison
    from mvsearch.report.figures.accuracy_cost import FIGURES, accuracy_cost_figure
    from mvsearch.report.figures.accuracy_cost_plot import plot_accuracy_cost
    from mvsearch.report.figures.palette import THEMES
    from mvsearch.report.published_latencies import latency_sentences

    suffix = "" if x == "params" else f"_{re.sub(r'[@:]', '_', x)}"
    paths = {name: folder / f"{name}{suffix}.{kind}" for name in FIGURES}
    published = x.removeprefix(_PUBLISHED) if x.startswith(_PUBLISHED) else None
    if published is not None and times_file:
        raise click.UsageError(f"--x {x} is published; leave out --times.")
    measuring = x == "latency_ms" and times_file is None
    if not measuring:
        refuse_without("--x latency_ms without --times", "device", "threads", "repeats")
    measured = None if published is None else latencies_in(published)
    times = measured.times if measured else None
    _check_writable(folder, [*paths.values(), *([folder / _TIMES] if measuring else [])], force=force)
    if measuring or times_file:
        times = _times(folder, times_file, device=device, threads=threads, repeats=repeats)
    times_ms = times.latency_ms if times else None
    family, others = family_networks(times_ms), baseline_networks(times_ms)
    axis = x if published is None else "latency_ms"
    shown = times if axis == "latency_ms" else None
    figures, reasons = {}, list[PlanError]()
    for name in FIGURES:
        try:
            figures[name] = accuracy_cost_figure(name, [*family, *others], axis, times=shown)
        except PlanError as error:  # e.g. a device in int8, on which no transformer was timed
            reasons.append(error)
    if not figures:
        raise reasons[0]
    folder.mkdir(exist_ok=True)
    with Steps() as steps:
        for name, figure in figures.items():
            steps.show(f"drawing {paths[name]}")
            plot_accuracy_cost(figure, paths[name], THEMES[theme])
    for reason in reasons:
        click.echo(f"not drawn: {reason}", err=True)
    results = dominances(family, others)
    if as_json:
        networks = [network.facts() for network in (*family, *others)]
        files = {"files": [str(paths[name]) for name in figures], "device": times.device if times else None}
        print_json(files | {"networks": networks, "standings": [result.facts() for result in results]})
    else:
        compared = latency_sentences(measured) if measured else speed_comparison(family, others)
        for sentence in compared if times else (result.words for result in results):
            console().print(sentence)


def _check_writable(folder: Path, paths: list[Path], *, force: bool) -> None:
    """Raise EnvironmentFault before anything is measured if a file exists or cannot be written."""
    from mvsearch.utils.atomic_write import refuse_existing

    if not folder.exists():
        refuse_existing(folder, force=False, folder=True)
        return
    for path in paths:
        refuse_existing(path, force=force)


def _times(folder: Path, file: Path | None, *, device: str, threads: int, repeats: int) -> "DeviceLatencies":
    """The latencies of an earlier run, or measured now and written to the folder."""
    from mvsearch.baselines.latencies import median_latencies, read_latencies, write_latencies
    from mvsearch.cli._progress import Steps

    if file is not None:
        return read_latencies(file)
    from mvsearch.baselines import baselines
    from mvsearch.metrics.latency_text import busy_note
    from mvsearch.profiling.protocols import EVEN, load_network, time_networks
    from mvsearch.proxy_eval.rank_correlation import published

    names = [
        *(reference.name for reference in published()),
        *(baseline.name for baseline in baselines() if baseline.timm),
    ]
    with Steps() as steps:
        steps.show(f"building {len(names)} networks")
        session = time_networks(
            [load_network(name) for name in names],
            [EVEN],
            device=device,
            threads=threads,
            repeats=repeats,
            limit_s=30.0,
            progress=steps,
        )
    if session.interrupted:
        raise KeyboardInterrupt
    if note := busy_note([row.latency.metrics() for row in session.timings]):
        click.echo(note, err=True)
    measured = {each.network: each.latency for each in session.timings}
    folder.mkdir(exist_ok=True)
    write_latencies(folder / _TIMES, measured)
    return median_latencies(measured)
