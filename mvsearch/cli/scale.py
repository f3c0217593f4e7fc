"""`mvsearch scale ARCH --to BUDGET`: a wider, deeper or finer network, or all three, that costs what was asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mvsearch.cli._output import console, force_option, json_option, print_json, storage_option, theme_option
from mvsearch.errors import EnvironmentFault

if TYPE_CHECKING:
    from mvsearch.arch.architecture import Architecture
    from mvsearch.metrics.record import Latency
    from mvsearch.report.figures.scaling import Member
    from mvsearch.scaling import Budget, Coefficients, Scaled, Scaling


@click.command()
@click.argument("arch")
@click.option("--to", help="The budget: params=5.6M, macs=1G, latency_ms=8; 'params<=5.6M' is never exceeded.")
@click.option("--by", default="width", show_default=True, help="What grows: width, depth, resolution or compound.")
@click.option(
    "--keep", multiple=True, help="Rows or fields that stay as they are: stem, dim, layer3.dim; comma or repeat."
)
@click.option(
    "--coefficients", help="For compound: of depth, width, resolution; 1.2,1.1,1.15 (EfficientNet) if not given."
)
@click.option("--fit", metavar="STUDY", help="For compound: fit the coefficients to the front of a study.")
@click.option("--grid", help="A family instead: multipliers (0.5,0.75,1), or budgets (params=1.25M,2.5M,5.8M).")
@click.option("--plot", type=click.Path(path_type=Path), help="With --grid: cost against scale, for v1 and v3 fusion.")
@theme_option
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The YAML file to write; with --grid a folder.")
@force_option
@click.option("--backend", default="torch_cpu", show_default=True, help="For latency_ms: where to time it.")
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads, for latency_ms."
)
@storage_option
@json_option
def scale(
    arch: str,
    to: str | None,
    by: str,
    keep: tuple[str, ...],
    coefficients: str | None,
    fit: str | None,
    grid: str | None,
    plot: Path | None,
    theme: str,
    output: Path | None,
    force: bool,
    backend: str,
    threads: int,
    storage: str | None,
    as_json: bool,
) -> None:
    """Scale ARCH (a published name, a YAML file or STUDY:NUMBER) until it costs --to, to within 1 %.

    One multiplier turns all numbers, rounded to what is legal; where its steps are too coarse, up to three numbers
    stand a step beside. What MobileViTv3 did to its blocks is `--by width --keep dim,stem,layer1,layer2`: convolutions
    of the later stages grow, attention stays as wide as it was.
    """
    if (to is None) == (grid is None):
        raise click.UsageError("say what it is to cost with --to, or give a family with --grid; one of the two.")
    if plot is not None and grid is None:
        raise click.UsageError("--plot draws a family; add --grid.")
    if by != "compound" and (coefficients or fit):
        raise click.UsageError("coefficients are for --by compound; add it.")
    if coefficients and fit:
        raise click.UsageError("--coefficients or --fit; not both.")
    from mvsearch.report.figures.plot import refuse_to_draw
    from mvsearch.scaling import Scaling
    from mvsearch.study.resolve import find_architecture

    if plot is not None:
        refuse_to_draw(plot, force=force)
    found = find_architecture(arch, storage=storage)
    kept = tuple(word.strip() for words in keep for word in words.split(",") if word.strip())
    scaling = Scaling(found, by, kept, _coefficients(coefficients, fit, storage))

    def scaled(budget: "Budget") -> "Scaled":
        return _scaled(scaling, budget, backend, threads)

    if to is not None:
        _one(to, scaled, output, force, as_json)
    else:
        members = _members(str(grid), scaling, scaled)
        if output is not None:
            _write_family(members, output, force)
        if plot is not None:
            _plot_family(scaling, members, plot, theme)
        _show_family(scaling, members, as_json)


def _coefficients(text: str | None, study: str | None, storage: str | None) -> "Coefficients":
    from mvsearch.errors import PlanError
    from mvsearch.scaling import Coefficients, fitted

    if study is not None:
        from mvsearch.arch.architecture import Architecture
        from mvsearch.metrics.pareto import front
        from mvsearch.study.reader import open_study

        reader = open_study(study, storage=storage)
        best = front(reader.measured(reader.objectives), reader.objectives)
        made = fitted([Architecture.from_dict(record.architecture) for record in best])
        values = f"depth {made.depth:.3f}, width {made.width:.3f}, resolution {made.resolution:.3f}"
        click.echo(f"fitted to {len(best)} members of the front of {reader.name}: {values}", err=True)
        return made
    if text is None:
        return Coefficients()
    try:
        depth, width, resolution = map(float, text.split(","))
    except ValueError:
        raise PlanError(
            f"--coefficients {text}: write three numbers, of depth, width, resolution: 1.2,1.1,1.15."
        ) from None
    return Coefficients(depth, width, resolution)


def _scaled(scaling: "Scaling", budget: "Budget", backend: str, threads: int) -> "Scaled":
    from mvsearch.scaling import to_budget, to_latency
    from mvsearch.scaling.budget import TIMED

    if budget.name != TIMED:
        return to_budget(scaling, budget)
    measure = _measure(backend, threads)
    with _timings() as told:
        return to_latency(scaling, budget, measure, told)


@contextmanager
def _timings() -> "Iterator[Callable[[Architecture, Latency], None]]":
    """A bar on stderr, and a line for each network that was timed."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    from mvsearch.cli._progress import progress_bar
    from mvsearch.scaling.timed import MOST_TIMINGS

    columns = (TextColumn("timed, at most"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with progress_bar(*columns) as progress:
        task = progress.add_task("", total=MOST_TIMINGS)

        def told(arch: "Architecture", latency: "Latency") -> None:
            progress.advance(task)
            cost = arch.cost()
            progress.console.print(f"{cost.params:,} params, {cost.macs:,} MACs: {latency.median_ms:.2f} ms")

        yield told


def _measure(backend: str, threads: int) -> "Callable[[Architecture], Latency]":
    from mvsearch.nn import build
    from mvsearch.profiling.latency import TimingOptions, load_backend

    latency_backend, options = load_backend(backend), TimingOptions(threads=threads)

    def measure(arch: "Architecture") -> "Latency":
        return latency_backend.measure(build(arch, seed=0), arch.image_size, options)

    return measure


def _one(to: str, scaled: "Callable[[Budget], Scaled]", output: Path | None, force: bool, as_json: bool) -> None:
    from mvsearch.cli._scale_output import scaled_facts, show_scaled
    from mvsearch.scaling import Budget
    from mvsearch.utils.atomic_write import refuse_existing

    budget = Budget.parse(to)
    if output is not None:
        refuse_existing(output, force=force)
    result = scaled(budget)
    if output is not None:
        result.arch.save(output)
    if as_json:
        print_json(scaled_facts(result))
    else:
        show_scaled(result, console(), output)


def _members(grid: str, scaling: "Scaling", scaled: "Callable[[Budget], Scaled]") -> "list[Member]":
    """The family, the smallest first: multipliers as they are given, budgets where they lead."""
    from dataclasses import replace

    from mvsearch.cli._scale_output import sentence
    from mvsearch.errors import PlanError
    from mvsearch.report.figures.scaling import NAMES, Member
    from mvsearch.scaling import Budget

    cost, equals, values = grid.rpartition("=")
    words = list(dict.fromkeys(word.strip() for word in values.split(",")))
    if not 2 <= len(words) <= len(NAMES):
        raise PlanError(f"--grid {grid}: different values: {len(words)}; use 2 to {len(NAMES)}, e.g. 0.5,0.75,1.")
    if equals:
        results = [scaled(Budget.parse(f"{cost}={word}")) for word in words]
        notes = ["" if result.met else sentence(result) for result in results]
        made = [(result.scale, result.arch, note) for result, note in zip(results, notes, strict=True)]
    else:
        try:
            scales = {float(word) for word in words}
        except ValueError:
            raise PlanError(f"--grid {grid}: write multipliers (0.5,0.75,1) or budgets (params=1.25M,2.5M).") from None
        made = [(one, scaling.at(one), "") for one in scales]
    made.sort(key=lambda member: member[0])
    name = scaling.arch.name or scaling.arch.key
    return [
        Member(size, one, replace(found, name=f"{name}_{size.lower()}"), note)
        for size, (one, found, note) in zip(NAMES, made, strict=False)
    ]


def _plot_family(scaling: "Scaling", members: "list[Member]", plot: Path, theme: str) -> None:
    from mvsearch.report.figures.palette import THEMES
    from mvsearch.report.figures.scaling import growth
    from mvsearch.report.figures.scaling_plot import plot_growth

    plot_growth(growth(scaling, members), plot, THEMES[theme])
    click.echo(f"drew {plot}", err=True)


def _show_family(scaling: "Scaling", members: "list[Member]", as_json: bool) -> None:
    from mvsearch.cli._scale_output import family_facts, show_family

    if as_json:
        print_json(family_facts(scaling, members))
    else:
        show_family(scaling, members, console())


def _write_family(members: "list[Member]", folder: Path, force: bool) -> None:
    from mvsearch.utils.atomic_write import refuse_existing

    if folder.exists() and not folder.is_dir():
        raise EnvironmentFault("is a file; a family goes into a folder.", at=folder)
    files = {folder / f"{member.arch.name}.yaml": member.arch for member in members}
    for path in files if folder.exists() else ():
        refuse_existing(path, force=force)
    folder.mkdir(parents=True, exist_ok=True)
    for path, arch in files.items():
        arch.save(path)
