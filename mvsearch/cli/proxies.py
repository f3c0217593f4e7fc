"""`mvsearch proxies`: how far each proxy is to be trusted, on the models whose ImageNet Top-1 is published."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._output import console, drawing_options, json_option, print_json, table

if TYPE_CHECKING:
    from rich.table import Table

    from mvsearch.arch.architecture import Architecture
    from mvsearch.data import DataSet
    from mvsearch.proxy_eval.benchmark import ProxyBenchmark, ProxyScores
    from mvsearch.proxy_eval.rank_correlation import Estimate
    from mvsearch.study.storage.store import Store

_DATABASE = Path("studies/proxies/scores.db")


@click.command()
@click.option("--proxy", "names", multiple=True, help="Which; all of them, if none is named. May be repeated.")
@click.option("--data", default="fashion_mnist", show_default=True, help="The source of images; see `mvsearch data`.")
@click.option("--path", type=click.Path(path_type=Path), help="Where the images lie, if they are yours.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Scores of each model.")
@click.option("--set", "changes", multiple=True, help="A proxy's setting, e.g. train.steps=100; may be repeated.")
@click.option("--models", help="Only these published models, with commas between them.")
@click.option("--storage", help=f"The database that keeps the scores, instead of sqlite:///{_DATABASE}.")
@drawing_options
@json_option
def proxies(
    names: tuple[str, ...],
    data: str,
    path: Path | None,
    seeds: int,
    changes: tuple[str, ...],
    models: str | None,
    storage: str | None,
    plot: Path | None,
    theme: str,
    force: bool,
    as_json: bool,
) -> None:
    """Score the published models with each proxy, and say how well it ranks them as ImageNet does.

    Fifteen models and the five rows of the paper's ablation; parameters and MACs, which cost nothing, stand beside.
    The training proxy takes some 10 minutes of a core for each seed; `--proxy` and `--seeds` make it less.
    Every score is kept as soon as it is known: Ctrl-C shows what there is, and the same command goes on from there.
    docs/proxies.md says how to read the numbers.
    """
    from mvsearch.cli._progress import ProxyProgress
    from mvsearch.errors import PlanError
    from mvsearch.proxy_eval.benchmark import BASELINES, architectures, baseline, found_device
    from mvsearch.proxy_eval.rank_correlation import published
    from mvsearch.report.figures.plot import refuse_to_draw

    if plot is not None:
        refuse_to_draw(plot, force=force)
    archs = architectures(tuple(name.strip() for name in models.split(",")) if models else ())
    if plot is not None and not any(reference.name in archs for reference in published()):
        raise PlanError("--plot draws models with a printed top-1, and --models names rows of the ablation alone.")
    settings = _settings(names, changes)
    images = _images(data, path)
    device = found_device() if settings else "cpu"
    scorers = _scorers(settings, images, storage, device)
    interrupted = False
    try:
        with ProxyProgress([scorer.proxy for scorer in scorers], archs, seeds) as progress:
            for scorer in scorers:
                scorer.fill(archs, range(seeds), progress.callback(scorer.proxy))
    except KeyboardInterrupt:
        interrupted = True
    judged = [*(scorer.read(archs, range(seeds)) for scorer in scorers), *(baseline(name, archs) for name in BASELINES)]
    if as_json:
        print_json(_facts(judged, archs, images, seeds, device))
    else:
        _show(judged, archs, images, seeds, device)
    if interrupted:
        raise KeyboardInterrupt
    if plot is not None:
        _draw(judged, images, plot, theme)
        click.echo(f"drew {plot}", err=True)
    if unscored := [each.proxy for each in judged if not each.metrics]:
        raise PlanError(f"{', '.join(unscored)}: no model has a score; the reasons stand above.")


def _settings(names: Sequence[str], changes: Sequence[str]) -> dict[str, Any]:
    """The settings of each proxy by name; those that take steps, and so time, come last."""
    from mvsearch.errors import PlanError
    from mvsearch.proxy_eval.benchmark import BASELINES
    from mvsearch.utils import plugins

    wanted = [name for name in dict.fromkeys(names or plugins.names("proxy")) if name not in BASELINES]
    for name in wanted:
        plugins.check("proxy", name, error=PlanError)
    given: dict[str, dict[str, Any]] = {name: {} for name in wanted}
    for change in changes:
        proxy, key, value = _change(change, wanted)
        given[proxy][key] = value
    made = {name: _filled(name, raw) for name, raw in given.items()}
    return dict(sorted(made.items(), key=lambda item: hasattr(item[1], "steps")))


def _filled(proxy: str, raw: dict[str, Any]) -> Any:
    from mvsearch.utils import plugins
    from mvsearch.utils.settings import from_mapping

    return from_mapping(plugins.load("proxy", proxy).Settings, raw, lambda key: f"--set {proxy}.{key}")


def _change(text: str, proxies: Sequence[str]) -> tuple[str, str, Any]:
    """`train.steps=100` as a proxy, its setting and a value."""
    from mvsearch.errors import PlanError
    from mvsearch.utils import yaml_document

    place, equals, value = text.partition("=")
    proxy, dot, key = place.strip().partition(".")
    if not equals or not dot or proxy not in proxies:
        raise PlanError(
            f"--set {text}: use PROXY.SETTING=VALUE with a proxy that runs: {', '.join(proxies) or 'none'}."
        )
    return proxy, key, yaml_document.parse(f"value: {value}", "--set").data["value"]


def _images(source: str, path: Path | None) -> "DataSet":
    from mvsearch.cli._progress import progress_bar
    from mvsearch.data import load

    with progress_bar() as progress:
        return load(source, path=path, task="classification", progress=progress)


def _scorers(settings: Mapping[str, Any], images: "DataSet", storage: str | None, device: str) -> "list[ProxyScores]":
    from mvsearch.proxy_eval.benchmark import ProxyScores
    from mvsearch.study.storage.store import Store

    store = Store(storage, create=True) if storage else _own_store()
    return [ProxyScores(store, name, values, images, device) for name, values in settings.items()]


def _own_store() -> "Store":
    from mvsearch.study.storage.store import Store

    _DATABASE.parent.mkdir(parents=True, exist_ok=True)
    return Store(f"sqlite:///{_DATABASE}", create=True)


def _show(
    judged: "Sequence[ProxyBenchmark]", archs: Mapping[str, "Architecture"], images: "DataSet", seeds: int, device: str
) -> None:
    from rich.text import Text

    from mvsearch.proxy_eval.rank_correlation import ablation, published

    screen = console()
    screen.print(_table(judged, device))
    scored, rows = (sum(each.name in archs for each in held_to()) for held_to in (published, ablation))
    taken = f"{_many(seeds, 'seed')}, {images.name}"
    for line in (
        f"{_many(scored, 'published model')} and {_many(rows, 'row')} of the ablation, {taken}; in brackets what "
        "95 % of resamples of the models give; regret in points of top-1.",
        "Size alone ranks models of different cost: what a proxy adds is in `within size` and `ablation`.",
    ):
        screen.print(Text(line, style="dim"))
    for each in judged:
        for reason, names in each.reasons.items():
            screen.print(Text(f"{each.proxy}: {reason}: {', '.join(names)}"))


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


def _table(judged: "Sequence[ProxyBenchmark]", device: str) -> "Table":
    """A row a proxy, the best within a size first; the baselines dim."""
    from mvsearch.proxy_eval.benchmark import BASELINES
    from mvsearch.utils.units import three_digits

    spent = "CPU s" if device == "cpu" else "s"
    heads = ("proxy", "models,\nseeds", "tau\nall", "rho", "tau\nwithin size", "tau\nablation", "regret\nmean")
    made = table(*heads, "regret\nworst", "seed to\nseed", f"{spent}\na seed")
    for each in sorted(judged, key=lambda each: -_value(each.ranking.within, -2)):
        found, cost = each.ranking, each.cpu_s if device == "cpu" else each.wall_s
        of = (found.tau, found.rho, found.within, found.ablation, found.regret, found.worst_regret, found.seed_tau)
        made.add_row(
            each.proxy,
            f"{found.models}, {found.seeds}",
            *map(_with_interval, of),
            "-" if cost is None else three_digits(cost),
            style="dim" if each.proxy in BASELINES else "",
        )
    return made


def _value(estimate: "Estimate", otherwise: float) -> float:
    return otherwise if estimate.value is None else estimate.value


def _with_interval(estimate: "Estimate") -> str:
    if estimate.value is None:
        return "-"
    return f"{estimate.value:.2f}\n[{estimate.low:.2f}, {estimate.high:.2f}]"


def _facts(
    judged: "Sequence[ProxyBenchmark]", archs: "Mapping[str, Architecture]", images: "DataSet", seeds: int, device: str
) -> dict[str, Any]:
    from mvsearch.proxy_eval.rank_correlation import ablation, published

    references = [reference for reference in (*published(), *ablation()) if reference.name in archs]
    return {
        "data": {"name": images.name, "checksum": images.checksum},
        "seeds": seeds,
        "device": device,
        "models": [{**asdict(each), "key": archs[each.name].key, **archs[each.name].metrics()} for each in references],
        "proxies": [
            {
                "proxy": each.proxy,
                "score": each.score,
                "maximise": each.maximise,
                "settings": each.settings,
                "cpu_s": each.cpu_s,
                "wall_s": each.wall_s,
                "statistics": asdict(each.ranking),
                "scores": each.metrics,
                "missing": each.missing,
            }
            for each in judged
        ],
    }


def _draw(judged: "Sequence[ProxyBenchmark]", images: "DataSet", plot: Path, theme: str) -> None:
    from mvsearch.report.figures.palette import THEMES
    from mvsearch.report.figures.scatter import panel, scatter
    from mvsearch.report.figures.scatter_plot import plot_scatter

    panels = [panel(each.proxy, each.score, each.scores, each.maximise, each.ranking) for each in judged]
    plot_scatter(scatter([each for each in panels if each.dots], images.name), plot, THEMES[theme])
