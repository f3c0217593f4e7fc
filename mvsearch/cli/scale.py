"""`mvsearch scale ARCH --to BUDGET`: scale the width, depth or resolution of a network to a budget."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_architecture, complete_study, plugin_names
from mvsearch.cli._device_options import device_options, device_settings
from mvsearch.cli._help import Command
from mvsearch.cli._output import (
    console,
    force_option,
    json_option,
    print_json,
    refuse_without,
    storage_option,
    theme_option,
)
from mvsearch.errors import EnvironmentFault

if TYPE_CHECKING:
    from mvsearch.arch.architecture import Architecture
    from mvsearch.metrics.record import Latency
    from mvsearch.report.figures.scaling import Member
    from mvsearch.scaling import Budget, Coefficients, Scaled, Scaling


@click.command(
    cls=Command,
    examples=[
        "mvsearch scale mobilevitv3_s --to params=3M --image-size 224 -o net.yaml",
        "mvsearch scale mobilevitv3_s --grid 0.5,0.75,1 -o family",
    ],
)
@click.argument("arch", shell_complete=complete_architecture)
@click.option(
    "--to",
    "budgets",
    multiple=True,
    help="Budget: params=5.6M, macs=1G or latency_ms=8; 'params<=5.6M' is never exceeded. Repeatable: the network "
    "meets the budget that is reached first and stays within the others.",
)
@click.option(
    "--image-size",
    type=click.IntRange(min=32),
    help="Side of the images in pixels, before anything is scaled; default: that of the architecture.",
)
@click.option(
    "--by", default="width", show_default=True, help="What is scaled: width, depth, resolution or compound (all three)."
)
@click.option("--keep", multiple=True, help="Rows or fields to leave unchanged, e.g. stem,dim,layer3.dim. Repeatable.")
@click.option("--coefficients", help="For compound: of depth, width, resolution; default: 1.2,1.1,1.15 (EfficientNet).")
@click.option(
    "--fit",
    metavar="STUDY",
    shell_complete=complete_study,
    help="For compound: fit the coefficients to the front of STUDY.",
)
@click.option("--grid", help="Make a family: multipliers (0.5,0.75,1) or budgets (params=1.25M,2.5M,5.8M).")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="With --grid: draw cost against scale, for v1 and v3 fusion."
)
@theme_option
@click.option("--output", "-o", type=click.Path(path_type=Path), help="YAML file to write; with --grid a folder.")
@force_option
@click.option(
    "--backend",
    shell_complete=plugin_names("latency_backend"),
    help="Latency backend, for latency_ms; default: torch_cpu, or command with --run.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads, for latency_ms."
)
@device_options
@storage_option
@json_option
def scale(
    arch: str,
    budgets: tuple[str, ...],
    image_size: int | None,
    by: str,
    keep: tuple[str, ...],
    coefficients: str | None,
    fit: str | None,
    grid: str | None,
    plot: Path | None,
    theme: str,
    output: Path | None,
    force: bool,
    backend: str | None,
    threads: int,
    storage: str | None,
    as_json: bool,
    **device: Any,
) -> None:
    """Scale a network to a budget.

    ARCH is a published name, a YAML file, STUDY:NUMBER or the folder of a training. Its cost comes to within 1 % of the
    budget --to. All numbers are multiplied by one factor and rounded to allowed values; where these are too coarse, up
    to three numbers differ by one step. `--by width --keep dim,stem,layer1,layer2` scales as MobileViTv3 was scaled:
    the convolutions of the later stages become wider, and attention does not.
    """
    if bool(budgets) == (grid is not None):
        raise click.UsageError("use either --to, for one network, or --grid, for a family.")
    if plot is not None and grid is None:
        raise click.UsageError("--plot needs --grid; add it.")
    if by != "compound" and (coefficients or fit):
        raise click.UsageError("--coefficients and --fit need --by compound; add it.")
    if coefficients and fit:
        raise click.UsageError("use either --coefficients or --fit.")
    if not any(text.strip().startswith("latency_ms") for text in (*budgets, grid or "")):
        refuse_without("a budget of latency_ms", "backend", "threads", *device)
    from mvsearch.report.figures.plot import refuse_to_draw
    from mvsearch.scaling import Scaling
    from mvsearch.study.resolve import find_architecture

    if plot is not None:
        refuse_to_draw(plot, force=force)
    architecture = find_architecture(arch, storage=storage).at(image_size=image_size)
    unchanged = tuple(word.strip() for words in keep for word in words.split(",") if word.strip())
    scaling = Scaling(architecture, by, unchanged, _coefficients(coefficients, fit, storage))

    measure = partial(
        _measure, backend=backend or ("command" if device["run"] else "torch_cpu"), threads=threads, device=device
    )
    scale_to = partial(_scale_to, scaling, measure=measure)
    if budgets:
        _scale_one(budgets, scale_to, partial(_cost, measure=measure), output, force, as_json)
    else:
        members = _members(str(grid), scaling, scale_to)
        if output is not None:
            _write_family(members, output, force)
        if plot is not None:
            _plot_family(scaling, members, plot, theme)
        _print_family(scaling, members, as_json)


def _coefficients(text: str | None, study: str | None, storage: str | None) -> "Coefficients":
    from mvsearch.errors import PlanError
    from mvsearch.scaling import Coefficients, fit_coefficients

    if study is not None:
        from mvsearch.arch.architecture import Architecture
        from mvsearch.metrics.constraints import join_limits
        from mvsearch.metrics.pareto import front
        from mvsearch.study.reader import open_study

        reader = open_study(study, storage=storage)
        best = front(reader.measured(reader.objectives), reader.objectives)
        made = fit_coefficients([Architecture.from_dict(record.architecture) for record in best])
        values = f"depth {made.depth:.3f}, width {made.width:.3f}, resolution {made.resolution:.3f}"
        within = f" within {join_limits(reader.limits)}" if reader.limits else ""
        click.echo(f"fitted to {len(best)} members of the front of {reader.name}{within}: {values}", err=True)
        return made
    if text is None:
        return Coefficients()
    try:
        depth, width, resolution = map(float, text.split(","))
    except ValueError:
        raise PlanError(
            f"--coefficients {text}: use three numbers, for depth, width and resolution, e.g. 1.2,1.1,1.15."
        ) from None
    return Coefficients(depth, width, resolution)


def _scale_to(scaling: "Scaling", budget: "Budget", *, measure: "Callable[[Architecture], Latency]") -> "Scaled":
    from mvsearch.scaling import scale_to_cost, scale_to_latency
    from mvsearch.scaling.budget import TIMED

    if budget.name != TIMED:
        return scale_to_cost(scaling, budget)
    with _timing_progress() as on_timing:
        return scale_to_latency(scaling, budget, measure, on_timing)


@contextmanager
def _timing_progress() -> "Iterator[Callable[[Architecture, Latency], None]]":
    """A progress bar on stderr, and a line for each network that is timed."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    from mvsearch.cli._progress import progress_bar
    from mvsearch.scaling.timed import MAX_TIMINGS

    columns = (TextColumn("timings, at most"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with progress_bar(*columns) as progress:
        task = progress.add_task("", total=MAX_TIMINGS)

        def on_timing(arch: "Architecture", latency: "Latency") -> None:
            progress.advance(task)
            cost = arch.cost()
            progress.console.print(f"{cost.params:,} params, {cost.macs:,} MACs: {latency.median_ms:.2f} ms")

        yield on_timing


def _measure(arch: "Architecture", *, backend: str, threads: int, device: Mapping[str, Any]) -> "Latency":
    from mvsearch.nn import build
    from mvsearch.profiling.latency import TimingOptions, load_backend

    timer, options = load_backend(backend), TimingOptions(threads=threads, **device_settings(device))
    timer.check(options)
    return timer.measure(build(arch.deploy(), seed=0), arch.image_size, options)


def _cost(arch: "Architecture", name: str, *, measure: "Callable[[Architecture], Latency]") -> float:
    """A cost in closed form, or the measured latency."""
    from mvsearch.metrics.registry import STATIC_COSTS

    return float(getattr(arch.cost(), name)) if name in STATIC_COSTS else measure(arch).median_ms


def _scale_one(
    texts: tuple[str, ...],
    scale_to: "Callable[[Budget], Scaled]",
    cost: "Callable[[Architecture, str], float]",
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    from mvsearch.cli._scale_output import scaled_to_json, show_scaled
    from mvsearch.scaling import Budget, scale_to_all
    from mvsearch.utils.atomic_write import refuse_existing

    budgets = [Budget.parse(text) for text in texts]
    if output is not None:
        refuse_existing(output, force=force)
    result, others = scale_to_all(budgets, scale_to, cost)
    if output is not None:
        result.arch.save(output)
    if as_json:
        print_json(scaled_to_json(result, others))
    else:
        show_scaled(result, others, console(), output)


def _members(grid: str, scaling: "Scaling", scale_to: "Callable[[Budget], Scaled]") -> "list[Member]":
    """The family, the smallest first, by multipliers or by budgets."""
    from dataclasses import replace

    from mvsearch.cli._scale_output import sentence
    from mvsearch.errors import PlanError
    from mvsearch.report.figures.scaling import NAMES, Member
    from mvsearch.scaling import Budget

    cost, equals, values = grid.rpartition("=")
    words = list(dict.fromkeys(word.strip() for word in values.split(",")))
    if not 2 <= len(words) <= len(NAMES):
        raise PlanError(f"--grid {grid}: found {len(words)} different values; use 2 to {len(NAMES)}, e.g. 0.5,0.75,1.")
    if equals:
        results = [scale_to(Budget.parse(f"{cost}={word}")) for word in words]
        notes = ["" if result.met else sentence(result) for result in results]
        family = [(result.scale, result.arch, note) for result, note in zip(results, notes, strict=True)]
    else:
        try:
            scales = {float(word) for word in words}
        except ValueError:
            raise PlanError(f"--grid {grid}: use multipliers (0.5,0.75,1) or budgets (params=1.25M,2.5M).") from None
        family = [(factor, scaling.at(factor), "") for factor in scales]
    family.sort(key=lambda member: member[0])
    name = scaling.arch.name or scaling.arch.key
    return [
        Member(size, factor, replace(arch, name=f"{name}_{size.lower()}"), note)
        for size, (factor, arch, note) in zip(NAMES, family, strict=False)
    ]


def _plot_family(scaling: "Scaling", members: "list[Member]", plot: Path, theme: str) -> None:
    from mvsearch.report.figures.palette import THEMES
    from mvsearch.report.figures.scaling import scaling_figure
    from mvsearch.report.figures.scaling_plot import plot_scaling

    plot_scaling(scaling_figure(scaling, members), plot, THEMES[theme])
    click.echo(f"drew {plot}", err=True)


def _print_family(scaling: "Scaling", members: "list[Member]", as_json: bool) -> None:
    from mvsearch.cli._scale_output import family_to_json, show_family

    if as_json:
        print_json(family_to_json(scaling, members))
    else:
        show_family(scaling, members, console())


def _write_family(members: "list[Member]", folder: Path, force: bool) -> None:
    from mvsearch.utils.atomic_write import refuse_existing

    if folder.exists() and not folder.is_dir():
        raise EnvironmentFault("is a file; give a folder for a family.", at=folder)
    files = {folder / f"{member.arch.name}.yaml": member.arch for member in members}
    for path in files if folder.exists() else ():
        refuse_existing(path, force=force)
    folder.mkdir(parents=True, exist_ok=True)
    for path, arch in files.items():
        arch.save(path)
