"""Combinations of two scores, compared with the published models: the gain, and whether it holds in another series.

Reads the JSON output of `mvsearch proxies` and trains nothing itself:

    mvsearch proxies --proxy train --proxy naswot --proxy synflow --proxy channel_weights --seeds 1 --json > scores.json
    python benchmarks/combined.py scores.json

A rule may have a coefficient (the value of a grid that ranks best) or a line over MACs, which are fitted to models: for
the last two columns to all models but one series, evaluated on the pairs with a model of this series, the mean over the
five series; for the ablation to all fifteen.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata

from mvsearch.proxy_eval.rank_correlation import ablation, published, tau, within

Array = np.ndarray
Scores = dict[str, Array]
Rule = Callable[[Scores], Array]
"""Scores by name, over the same networks → one score a network, of which more is better."""

Fit = Callable[[Scores, Array, Sequence[str]], tuple[Rule, str]]
"""Scores, Top-1 and size groups of the networks to fit to → the rule, and its coefficient in words."""

GRID = np.round(np.arange(0, 1.51, 0.05), 2)


def unfitted(rule: Rule) -> Fit:
    """A rule that fits nothing."""
    return lambda scores, top1, sizes: (rule, "-")


def best(rule: Callable[[Scores, float], Array]) -> Fit:
    """The coefficient that ranks the networks best, over all pairs and within sizes; of equal ones the middle."""

    def fit(scores: Scores, top1: Array, sizes: Sequence[str]) -> tuple[Rule, str]:
        worth = [tau(v := rule(scores, p), top1) + within(v, top1, sizes) for p in GRID]
        equals = GRID[np.isclose(worth, np.max(worth))]
        chosen = float(equals[len(equals) // 2])
        return lambda scores: rule(scores, chosen), f"{chosen:g}"

    return fit


def beyond_macs(scores: Scores, top1: Array, sizes: Sequence[str]) -> tuple[Rule, str]:
    """The training loss minus its prediction by a straight line over the logarithm of MACs; lower is better."""
    line = np.polyfit(np.log(scores["macs"]), scores["train_loss"], 1)
    return lambda s: np.polyval(line, np.log(s["macs"])) - s["train_loss"], "-"


def beyond_macs_and(scores: Scores, top1: Array, sizes: Sequence[str]) -> tuple[Rule, str]:
    """The same plus a multiple of the logarithm of MACs."""
    residual, _ = beyond_macs(scores, top1, sizes)
    return best(lambda s, c: residual(s) + c * np.log(s["macs"]))(scores, top1, sizes)


FITS: dict[str, Fit] = {
    "training loss": unfitted(lambda s: -s["train_loss"]),
    "training loss / channel weights^0.5": unfitted(lambda s: -s["train_loss"] / s["channel_weights"] ** 0.5),
    "training loss / channel weights^p, p fitted": best(lambda s, p: -s["train_loss"] / s["channel_weights"] ** p),
    "training loss / MACs^p, p fitted": best(lambda s, p: -s["train_loss"] / s["macs"] ** p),
    "ranks: training loss + channel weights": unfitted(
        lambda s: rankdata(-s["train_loss"]) + rankdata(s["channel_weights"])
    ),
    "ranks: training loss + NASWOT": unfitted(lambda s: rankdata(-s["train_loss"]) + rankdata(s["naswot"])),
    "ranks: NASWOT + channel weights": unfitted(lambda s: rankdata(s["naswot"]) + rankdata(s["channel_weights"])),
    "ranks: NASWOT + SynFlow": unfitted(lambda s: rankdata(s["naswot"]) + rankdata(s["synflow"])),
    "training loss beyond what MACs predict": beyond_macs,
    "the same + c log MACs, c fitted": beyond_macs_and,
}


def table(results: dict[str, Any], names: Sequence[str]) -> Scores:
    """The scores of these networks, means over seeds."""
    costs = {model["name"]: model for model in results["models"]}
    columns = {"macs": [costs[name]["macs"] for name in names]}
    rows = {proxy["proxy"]: proxy["scores"] for proxy in results["proxies"]}
    for proxy, score in {"train": "train_loss", **{n: n for n in ("naswot", "synflow", "channel_weights")}}.items():
        columns[score] = [np.mean([row[score] for row in rows[proxy][name]]) for name in names]
    return {name: np.asarray(values, dtype=float) for name, values in columns.items()}


def select(scores: Scores, chosen: Array) -> Scores:
    """Those of the chosen networks."""
    return {name: values[chosen] for name, values in scores.items()}


def touching(values: Array, top1: Array, sizes: Sequence[str], out: Array) -> tuple[float, float]:
    """τ-b over the pairs with a model of a series; agreement over those of about equal cost, as `within` counts."""
    first, second = np.triu_indices(len(top1), 1)
    pairs = out[first] | out[second]
    across, up = (np.sign(v[first] - v[second])[pairs] for v in (values, top1))
    alike = (np.array(sizes)[first] == np.array(sizes)[second])[pairs]
    whole = np.sqrt(np.abs(across).sum() * np.abs(up).sum())
    return float((across * up).sum() / whole), float((across * up)[alike].sum() / np.abs(up)[alike].sum())


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(file: Path) -> None:
    """Evaluate every rule on the scores of FILE."""
    results = json.loads(file.read_text(encoding="utf-8"))
    models, rows = published(), ablation()
    scores, ablation_scores = (table(results, [model.name for model in group]) for group in (models, rows))
    top1, ablation_top1 = (np.array([model.top1 for model in group]) for group in (models, rows))
    sizes, series = [model.size for model in models], np.array([model.series for model in models])
    heads = ("rule", "coefficient", "tau all", "within size", "ablation", "left out: all", "within size")
    shown = Table(*heads, title=f"{len(models)} models, {results['seeds']} seed(s), {results['data']['name']}")
    for name, fit in FITS.items():
        rule, coefficient = fit(scores, top1, sizes)
        by_series = []
        for each in dict.fromkeys(series):
            out = series == each
            groups = [size for size, left_out in zip(sizes, out, strict=True) if not left_out]
            other, _ = fit(select(scores, ~out), top1[~out], groups)
            by_series.append(touching(other(scores), top1, sizes, out))
        values = rule(scores)
        on_ablation = tau(rule(ablation_scores), ablation_top1)
        figures = (tau(values, top1), within(values, top1, sizes), on_ablation, *np.mean(by_series, axis=0))
        shown.add_row(name, coefficient, *(f"{float(figure):.2f}" for figure in figures))
    Console(width=140).print(shown)


if __name__ == "__main__":
    main()
