"""`run --check-proxy`: compare the proxy of a study with ImageNet top-1 on the published models."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mvsearch.study.plan import Plan


def check_proxy(plan: "Plan") -> None:
    """Score the published models as candidates are scored; store the scores with the study for `front` and `report`.

    Models that the study evaluated itself are not scored again. Finished scores survive a KeyboardInterrupt.
    """
    from mvsearch.cli._progress import ProxyProgress
    from mvsearch.metrics.record import averaged
    from mvsearch.proxy_eval.benchmark import ProxyScores, architectures, found_device
    from mvsearch.proxy_eval.rank_correlation import network_of, published
    from mvsearch.study.evaluator import load_data
    from mvsearch.study.study import Study, store_proxy_check

    reader = Study.read(plan)
    own = {network_of(r.published): r.metrics for r in reader.records() if r.published and r.state == "complete"}
    names = [reference.name for reference in published() if reference.name not in own]
    size: dict[str, Any] = {key: plan.space.document.data.get(key) for key in ("image_size", "num_classes")}
    archs = {name: arch.at(**size) for name, arch in architectures(names).items()} if names else {}
    scorer = ProxyScores(reader.store, plan.proxy.name, plan.proxy_settings(), load_data(plan), found_device())
    seeds = range(plan.proxy.seeds)
    with ProxyProgress([scorer.proxy], archs, len(seeds)) as progress:
        scorer.fill(archs, seeds, progress.callback(scorer.proxy))
    results = scorer.read(archs, seeds)
    scored = {name: averaged(rows) for name, rows in results.metrics.items() if name not in results.missing}
    store_proxy_check(plan, own | scored)
    for reason, missing in results.reasons.items():
        click.echo(f"{scorer.proxy}: {reason}: {', '.join(missing)}", err=True)
