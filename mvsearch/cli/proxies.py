"""`mvsearch proxies`: how well each proxy ranks published models, or networks that were trained in full."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_data, plugin_names
from mvsearch.cli._help import Command
from mvsearch.cli._output import (
    console,
    drawing_options,
    json_option,
    path_option,
    print_data_notes,
    print_json,
    table,
)
from mvsearch.utils.text import plural

if TYPE_CHECKING:
    from rich.table import Table

    from mvsearch.arch.architecture import Architecture
    from mvsearch.data import DataSet
    from mvsearch.proxy_eval.benchmark import ProxyBenchmark, ProxyScores
    from mvsearch.proxy_eval.rank_correlation import Estimate
    from mvsearch.report.figures.proxy_scores import ProxyScoresFigure
    from mvsearch.study.storage.store import Store

_DATABASE = Path("studies/proxies/scores.db")


@click.command(cls=Command, examples=["mvsearch proxies --proxy params --proxy synflow --seeds 1"])
@click.option(
    "--proxy",
    "names",
    multiple=True,
    shell_complete=plugin_names("proxy"),
    help="Proxy to evaluate; default: all. Repeatable.",
)
@click.option(
    "--data",
    shell_complete=complete_data,
    help="Source of images, or a folder; see `mvsearch data list`. Default: fashion_mnist; with --against ground_truth "
    "cifar10.",
)
@path_option
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Number of scores for each model."
)
@click.option("--set", "changes", multiple=True, help="Setting of a proxy, e.g. train.steps=100. Repeatable.")
@click.option("--models", help="Only these networks, separated by commas.")
@click.option(
    "--against",
    metavar="ground_truth|TABLE",
    help="Compare with networks that were trained in full: those that mvsearch includes (CIFAR-10), or of a CSV.",
)
@click.option("--storage", help=f"Database URL for the scores; default: sqlite:///{_DATABASE}.")
@drawing_options
@json_option
def proxies(
    names: tuple[str, ...],
    data: str | None,
    path: Path | None,
    seeds: int,
    changes: tuple[str, ...],
    models: str | None,
    against: str | None,
    storage: str | None,
    plot: Path | None,
    theme: str,
    force: bool,
    as_json: bool,
) -> None:
    """Evaluate proxies on published or trained networks.

    Each proxy scores fifteen published models, the five rows of the paper's ablation, and twelve published models of
    other families; its ranking is compared with that of ImageNet top-1. Parameters and MACs are listed for comparison.
    With --against the networks are others, which were trained in full, and the reference is their test top-1.

    The training proxy takes more than an hour of a core for each seed; --set train.steps=75 takes an eighth. Scores are
    stored as they are computed: Ctrl-C prints those so far, and the same command resumes. docs/proxies.md explains the
    numbers.
    """
    from mvsearch.cli._against import print_comparison
    from mvsearch.data import find_source
    from mvsearch.errors import PlanError
    from mvsearch.proxy_eval.benchmark import BASELINES, architectures, baseline, detect_device
    from mvsearch.proxy_eval.comparison import Comparison, compared_architectures, scores_of
    from mvsearch.proxy_eval.ground_truth import GROUND_TRUTH, load_ground_truth
    from mvsearch.proxy_eval.rank_correlation import published
    from mvsearch.report.figures.palette import THEMES
    from mvsearch.report.figures.plot import refuse_to_draw
    from mvsearch.report.figures.proxy_scores import comparison_figure
    from mvsearch.report.figures.proxy_scores_plot import plot_proxy_scores

    if plot is not None:
        refuse_to_draw(plot, force=force)
    chosen = tuple(name.strip() for name in models.split(",")) if models else ()
    truth = None if against is None else load_ground_truth(against)
    archs = architectures(chosen) if truth is None else compared_architectures(truth, chosen)
    if truth is None and plot is not None and not any(reference.name in archs for reference in published()):
        raise PlanError("--plot draws models with a printed top-1, but --models names only rows of the ablation.")
    settings = _settings(names, changes)
    source = find_source(data or ("cifar10" if against == GROUND_TRUTH else "fashion_mnist"))
    path = path or (Path(source.path) if source.path else None)
    sizes = [getattr(each, "image_size", 0) for each in settings.values()]
    images = _images(source.source, path, max(sizes, default=0))
    device = detect_device() if settings else "cpu"
    benchmarks = _benchmarks(settings, images, storage, device)
    held_out = {benchmark.proxy: benchmark.held_out.words for benchmark in benchmarks if benchmark.held_out}
    for benchmark in benchmarks:
        if benchmark.held_out and benchmark.held_out.reduced:
            click.echo(f"{benchmark.proxy}: {benchmark.held_out.words} are held out to compute scores on.", err=True)
    missing = {benchmark.proxy: benchmark.missing(archs, range(seeds)) for benchmark in benchmarks}
    if counts := [f"{name} {count:,}" for name, count in missing.items() if count]:
        click.echo(f"scores to compute: {', '.join(counts)}. Ctrl-C prints those so far.", err=True)
    interrupted = not _run(benchmarks, archs, seeds)
    results = [
        *(benchmark.results(archs, range(seeds)) for benchmark in benchmarks),
        *(baseline(name, archs) for name in BASELINES),
    ]
    if truth is not None:
        scores = [
            score for result in (*results, *_stored_default(benchmarks, archs, seeds)) for score in scores_of(result)
        ]
        comparison = Comparison(
            truth, archs, tuple(scores), " ".join(map(str, filter(None, (images.name, path)))), seeds, device
        )
        print_json(comparison.to_json() | {"held_out": held_out}) if as_json else print_comparison(comparison)
    elif as_json:
        print_json(_to_json(results, archs, images, seeds, device) | {"held_out": held_out})
    else:
        _print(results, archs, images, seeds, device)
    if interrupted:
        raise KeyboardInterrupt
    if plot is not None:
        figure = _figure(results, images) if truth is None else comparison_figure(comparison)
        plot_proxy_scores(figure, plot, THEMES[theme])
        click.echo(f"drew {plot}", err=True)
    if unscored := [result.proxy for result in results if not result.metrics]:
        raise PlanError(f"{', '.join(unscored)}: no model has a score; see the reasons above.")


def _run(benchmarks: "Sequence[ProxyBenchmark]", archs: "Mapping[str, Architecture]", seeds: int) -> bool:
    """Compute the missing scores and show the progress; False if that was interrupted."""
    from mvsearch.cli._progress import ProxyProgress

    try:
        with ProxyProgress([benchmark.proxy for benchmark in benchmarks], archs, seeds) as progress:
            for benchmark in benchmarks:
                benchmark.run(archs, range(seeds), progress.callback(benchmark.proxy))
    except KeyboardInterrupt:
        return False
    return True


def _stored_default(
    benchmarks: "Sequence[ProxyBenchmark]", archs: "Mapping[str, Architecture]", seeds: int
) -> "list[ProxyScores]":
    """What the store has of the default proxy on the same images, if it is not among the benchmarks."""
    from dataclasses import replace

    from mvsearch.proxies import load_proxy
    from mvsearch.proxy_eval.comparison import DEFAULT_PROXY

    usual = load_proxy(DEFAULT_PROXY).settings()
    if not benchmarks or any((each.proxy, each.settings) == (DEFAULT_PROXY, usual) for each in benchmarks):
        return []
    results = replace(benchmarks[0], proxy=DEFAULT_PROXY, settings=usual, failed={}).results(archs, range(seeds))
    return [results] if results.metrics else []


def _settings(names: Sequence[str], changes: Sequence[str]) -> dict[str, Any]:
    """The settings of each proxy by name; proxies with training steps, which take longer, come last."""
    from mvsearch.errors import PlanError
    from mvsearch.proxies import load_proxy
    from mvsearch.proxy_eval.benchmark import BASELINES
    from mvsearch.utils import plugins

    chosen = [name for name in dict.fromkeys(names or plugins.names("proxy")) if name not in BASELINES]
    for name in chosen:
        plugins.check("proxy", name, error=PlanError)
    overrides: dict[str, dict[str, Any]] = {name: {} for name in chosen}
    for change in changes:
        proxy, key, value = _parse_setting(change, chosen)
        overrides[proxy][key] = value
    settings = {name: _to_settings(name, values) for name, values in overrides.items()}
    return dict(sorted(settings.items(), key=lambda item: load_proxy(item[0]).has_steps))


def _to_settings(proxy: str, values: dict[str, Any]) -> Any:
    from mvsearch.proxies import load_proxy
    from mvsearch.utils.settings import from_mapping

    return from_mapping(load_proxy(proxy).settings, values, lambda key: f"--set {proxy}.{key}")


def _parse_setting(text: str, proxies: Sequence[str]) -> tuple[str, str, Any]:
    """`train.steps=100` as a proxy, its setting and a value."""
    from mvsearch.errors import PlanError
    from mvsearch.utils import yaml_document

    path, equals, value = text.partition("=")
    proxy, dot, key = path.strip().partition(".")
    if not equals or not dot or proxy not in proxies:
        raise PlanError(
            f"--set {text}: use PROXY.SETTING=VALUE with one of these proxies: {', '.join(proxies) or 'none'}."
        )
    return proxy, key, yaml_document.parse(f"value: {value}", "--set").data["value"]


def _images(source: str, path: Path | None, size: int) -> "DataSet":
    """The images of a source, files at `size` pixels where the source would decode them smaller."""
    from mvsearch.cli._progress import progress_bar
    from mvsearch.data import load, load_source

    with progress_bar() as progress:
        images = load(source, path=path, task="classification", progress=progress)
        if path and images.train.pixels.shape[1] < size and load_source(source).size is None:
            images = load(source, path=path, size=size, task="classification", progress=progress)
    print_data_notes(images)
    return images


def _benchmarks(
    settings: Mapping[str, Any], images: "DataSet", storage: str | None, device: str
) -> "list[ProxyBenchmark]":
    from mvsearch.proxy_eval.benchmark import ProxyBenchmark
    from mvsearch.study.storage.store import Store

    store = Store(storage, create=True) if storage else _own_store()
    return [ProxyBenchmark(store, name, values, images, device) for name, values in settings.items()]


def _own_store() -> "Store":
    from mvsearch.study.storage.store import Store

    _DATABASE.parent.mkdir(parents=True, exist_ok=True)
    return Store(f"sqlite:///{_DATABASE}", create=True)


def _print(
    results: "Sequence[ProxyScores]", archs: Mapping[str, "Architecture"], images: "DataSet", seeds: int, device: str
) -> None:
    from mvsearch.proxy_eval.rank_correlation import ablation, published

    screen = console()
    screen.print(_table(results, device))
    models, rows = (sum(r.name in archs for r in references()) for references in (published, ablation))
    basis = f"{plural(seeds, 'seed')}, {images.name}"
    families = max((result.families for result in results), key=lambda each: each.models)
    for line in (
        f"{plural(models, 'published model')} and {plural(rows, 'row')} of the ablation, {basis}. tau (Kendall) and "
        "rho (Spearman) are rank correlations with ImageNet top-1: 1 is best. Regret, in points of top-1: lower is "
        "better. In brackets: 95 % bootstrap intervals over the models.",
        "Size alone ranks models of different cost; `within size` and `ablation` show what a proxy adds to it.",
        f"`families` are {plural(families.models, 'published model')}, with those of other families: over "
        f"{plural(families.pairs['within_family'], 'pair')} within a family and "
        f"{plural(families.pairs['across_families'], 'pair')} across. RepViT was trained with a teacher.",
    ):
        screen.print(line, style="dim")
    for result in results:
        for reason, names in result.reasons.items():
            screen.print(f"{result.proxy}: {reason}: {', '.join(names)}")


def _table(results: "Sequence[ProxyScores]", device: str) -> "Table":
    """A row for each proxy, the best within a size first; params and macs are dim."""
    from mvsearch.cli._against import two_lines
    from mvsearch.proxy_eval.benchmark import BASELINES
    from mvsearch.utils.units import three_digits

    seconds = "CPU s" if device == "cpu" else "s"
    heads = ("proxy", "models,\nseeds", "tau\nall", "rho", "tau\nwithin size", "tau\nablation", "regret\nmean")
    others = ("regret\nworst", "seed to\nseed", "families:\nwithin", "families:\nacross", f"{seconds}\nper seed")
    rows = table(*heads, *others)
    for result in sorted(results, key=lambda result: -_value(result.ranking.within, -2)):
        ranking, cost = result.ranking, result.cpu_s if device == "cpu" else result.wall_s
        estimates = (ranking.tau, ranking.rho, ranking.within, ranking.ablation, ranking.regret, ranking.worst_regret)
        rows.add_row(
            result.proxy,
            f"{ranking.models}, {ranking.seeds}",
            *map(two_lines, (*estimates, ranking.seed_tau)),
            *map(two_lines, (result.families.within_family, result.families.across_families)),
            "-" if cost is None else three_digits(cost),
            style="dim" if result.proxy in BASELINES else "",
        )
    return rows


def _value(estimate: "Estimate", default: float) -> float:
    return default if estimate.value is None else estimate.value


def _to_json(
    results: "Sequence[ProxyScores]", archs: "Mapping[str, Architecture]", images: "DataSet", seeds: int, device: str
) -> dict[str, Any]:
    from mvsearch.arch.published import family
    from mvsearch.proxy_eval.families import family_models
    from mvsearch.proxy_eval.rank_correlation import ablation, published

    own = [reference for reference in (*published(), *ablation()) if reference.name in archs]
    names = {reference.name for reference in own}
    others = [model for model in family_models() if model.name in archs and model.name not in names]
    facts = [*map(asdict, own), *map(asdict, others)]
    return {
        "data": {"name": images.name, "checksum": images.checksum},
        "seeds": seeds,
        "device": device,
        "models": [
            {"family": family(each["name"]), **each, "key": archs[each["name"]].key, **archs[each["name"]].metrics()}
            for each in facts
        ],
        "proxies": [
            {
                "proxy": result.proxy,
                "score": result.score,
                "maximise": result.maximise,
                "settings": result.settings,
                "cpu_s": result.cpu_s,
                "wall_s": result.wall_s,
                "statistics": asdict(result.ranking),
                "families": asdict(result.families),
                "scores": result.metrics,
                "missing": result.missing,
            }
            for result in results
        ],
    }


def _figure(results: "Sequence[ProxyScores]", images: "DataSet") -> "ProxyScoresFigure":
    from mvsearch.report.figures.proxy_scores import proxy_scores_figure, score_panel

    panels = [score_panel(r.proxy, r.score, r.scores, r.maximise, r.ranking) for r in results]
    return proxy_scores_figure([panel for panel in panels if panel.dots], images.name)
