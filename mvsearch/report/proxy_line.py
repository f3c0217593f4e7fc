"""Which proxy scored a study, and how far it is to be trusted, in one line."""

from collections.abc import Mapping
from typing import Any

from mvsearch.report.proxy_reliability import FEWEST, Trust


def proxy_line(settings: Mapping[str, Any], trust: Trust) -> str | None:
    """`settings` are those that the study was made under; None where it seeks no score.

    >>> proxy_line({"proxy": {"name": "train", "steps": 300, "image_size": 32}, "data": {"source": "photos"}}, trust)
    "proxy: train (loss), 300 steps at 32 px on photos; Kendall's tau with ImageNet top-1 of 13 published models 0.72
    [0.40, 0.90], within size 0.60; parameters alone 0.80"
    """
    if trust.score is None or "proxy" not in settings:
        return None
    return f"proxy: {_which(settings['proxy'], settings['data'], trust.score)}; {_how_far(trust)}"


def _which(proxy: Mapping[str, Any], data: Mapping[str, Any], score: str) -> str:
    name = proxy["name"] if score == proxy["name"] else f"{proxy['name']} ({score})"
    parts = [f"{proxy['steps']} steps" if "steps" in proxy else ""]
    parts += [f"at {proxy['image_size']} px" if "image_size" in proxy else ""]
    parts += [f"on {data['source']}"]
    seeds = f", {proxy['seeds']} seeds" if proxy.get("seeds", 1) > 1 else ""
    return f"{name}, {' '.join(part for part in parts if part)}{seeds}"


def _how_far(trust: Trust) -> str:
    n = len(trust.models)
    known = f"{n} published model{'' if n == 1 else 's'}"
    if trust.tau is None or trust.low is None or trust.high is None:
        why = "have equal scores" if n >= FEWEST else f"scored, {FEWEST} are needed (`mvsearch run --check-proxy`)"
        return f"not held against ImageNet: {known} {why}"
    doubt = _interval(trust.low, trust.high)
    within = "" if trust.within is None else f", within size {trust.within:.2f}"
    within += _interval(trust.within_low, trust.within_high)
    size = "" if trust.baseline is None else f"; parameters alone {trust.baseline:.2f}"
    return f"Kendall's tau with ImageNet top-1 of {known} {trust.tau:.2f}{doubt}{within}{size}"


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f" [{low:.2f}, {high:.2f}]" if low < high else " (no resample differs)"
