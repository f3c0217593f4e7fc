"""`run --check-proxy`: compare the proxy of a study with ImageNet top-1 on the published models."""

from typing import TYPE_CHECKING

import click

from mvsearch.utils.text import join_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mvsearch.study.plan import Plan


def check_proxy(plan: "Plan") -> None:
    """Score published models as candidates are scored; store the scores with the study for `front` and `report`.

    They are the fifteen of MobileViT, and those of other families whose blocks the space has.
    Models that the study evaluated itself are not scored again. Finished scores survive a KeyboardInterrupt.
    """
    from mvsearch.cli._progress import ProxyProgress
    from mvsearch.metrics.record import mean_metrics
    from mvsearch.proxy_eval.benchmark import ProxyBenchmark, architectures, detect_device
    from mvsearch.proxy_eval.families import models_to_check
    from mvsearch.proxy_eval.rank_correlation import network_of
    from mvsearch.study.evaluator import load_data
    from mvsearch.study.settings import in_proportion
    from mvsearch.study.study import Study, store_proxy_check

    reader = Study.read(plan)
    own = {network_of(r.published): r.metrics for r in reader.records() if r.published and r.state == "complete"}
    space = plan.space
    wanted = models_to_check({kind for row in space.rows for kind in row.kinds})
    names = [name for name in wanted if name not in own]
    models = architectures(names) if names else {}
    click.echo(f"the proxy is compared on {len(wanted)} published models, of {_families(wanted)}.", err=True)
    archs = {
        name: arch.at(image_size=space.size_for(arch), num_classes=space.num_classes) for name, arch in models.items()
    }
    proxy, settings, data, seeds = plan.proxy.name, plan.proxy_settings(), load_data(plan), range(plan.proxy.seeds)
    results = []
    with ProxyProgress([proxy], archs, len(seeds)) as progress:
        callback = progress.callback(proxy)
        for size in sorted({arch.image_size for arch in archs.values()}):
            group = {name: arch for name, arch in archs.items() if arch.image_size == size}
            benchmark = ProxyBenchmark(reader.store, proxy, in_proportion(space, size, settings), data, detect_device())
            benchmark.run(group, seeds, callback)
            results.append(benchmark.results(group, seeds))
    for found in results:
        own |= {name: mean_metrics(rows) for name, rows in found.metrics.items() if name not in found.missing}
    store_proxy_check(plan, own)
    for found in results:
        for reason, missing in found.reasons.items():
            click.echo(f"{proxy}: {reason}: {', '.join(missing)}", err=True)


def _families(names: "Iterable[str]") -> str:
    from mvsearch.arch.published import family

    return join_words(sorted({str(family(name)) for name in names}))
