"""`run --check-proxy`: compare the proxy of a study with ImageNet top-1 on the published models."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mvsearch.study.plan import Plan


def check_proxy(plan: "Plan") -> None:
    """Score the published models as candidates are scored; store the scores with the study for `front` and `report`.

    Models that the study evaluated itself are not scored again. Finished scores survive a KeyboardInterrupt.
    """
    from mvsearch.cli._progress import ProxyProgress
    from mvsearch.metrics.record import mean_metrics
    from mvsearch.proxy_eval.benchmark import ProxyBenchmark, architectures, detect_device
    from mvsearch.proxy_eval.rank_correlation import network_of, published
    from mvsearch.study.evaluator import load_data
    from mvsearch.study.study import Study, store_proxy_check

    reader = Study.read(plan)
    own = {network_of(r.published): r.metrics for r in reader.records() if r.published and r.state == "complete"}
    names = [reference.name for reference in published() if reference.name not in own]
    space, found = plan.space, architectures(names) if names else {}
    archs = {
        name: arch.at(image_size=space.size_for(arch), num_classes=space.num_classes) for name, arch in found.items()
    }
    benchmark = ProxyBenchmark(reader.store, plan.proxy.name, plan.proxy_settings(), load_data(plan), detect_device())
    seeds = range(plan.proxy.seeds)
    with ProxyProgress([benchmark.proxy], archs, len(seeds)) as progress:
        benchmark.run(archs, seeds, progress.callback(benchmark.proxy))
    results = benchmark.results(archs, seeds)
    scored = {name: mean_metrics(rows) for name, rows in results.metrics.items() if name not in results.missing}
    store_proxy_check(plan, own | scored)
    for reason, missing in results.reasons.items():
        click.echo(f"{benchmark.proxy}: {reason}: {', '.join(missing)}", err=True)
