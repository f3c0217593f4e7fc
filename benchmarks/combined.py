"""Scores made of two, held against the published models: what joining gains, and whether it holds in another family.

Reads what `mvsearch proxies` says, and trains nothing itself:

    mvsearch proxies --proxy train --proxy naswot --proxy synflow --proxy channel_weights --seeds 1 --json > scores.json
    python benchmarks/combined.py scores.json

What a rule fits (a coefficient from a grid, the one that ranks best; the line over MACs) it fits to the models that it
is given: for the last two columns those without a family, evaluated on the pairs that this family has part in, the
mean over the five; for the ablation all fifteen.
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


def fixed(rule: Rule) -> Fit:
    """A rule that fits nothing."""
    return lambda scores, top1, sizes: (rule, "-")


def best(rule: Callable[[Scores, float], Array]) -> Fit:
    """The coefficient that ranks the networks best, over all pairs and within sizes; of equals the middle."""

    def fit(scores: Scores, top1: Array, sizes: Sequence[str]) -> tuple[Rule, str]:
        worth = [tau(v := rule(scores, p), top1) + within(v, top1, sizes) for p in GRID]
        equals = GRID[np.isclose(worth, np.max(worth))]
        chosen = float(equals[len(equals) // 2])
        return lambda scores: rule(scores, chosen), f"{chosen:g}"

    return fit


def beyond_macs(scores: Scores, top1: Array, sizes: Sequence[str]) -> tuple[Rule, str]:
    """The training loss less what a straight line over the logarithm of MACs says of it, less being better."""
    line = np.polyfit(np.log(scores["macs"]), scores["train_loss"], 1)
    return lambda s: np.polyval(line, np.log(s["macs"])) - s["train_loss"], "-"


def beyond_macs_and(scores: Scores, top1: Array, sizes: Sequence[str]) -> tuple[Rule, str]:
    """The same and a share of the logarithm of MACs."""
    residual, _ = beyond_macs(scores, top1, sizes)
    return best(lambda s, c: residual(s) + c * np.log(s["macs"]))(scores, top1, sizes)


FITS: dict[str, Fit] = {
    "training loss": fixed(lambda s: -s["train_loss"]),
    "training loss / channel weights^0.5": fixed(lambda s: -s["train_loss"] / s["channel_weights"] ** 0.5),
    "training loss / channel weights^p, p fitted": best(lambda s, p: -s["train_loss"] / s["channel_weights"] ** p),
    "training loss / MACs^p, p fitted": best(lambda s, p: -s["train_loss"] / s["macs"] ** p),
    "ranks: training loss + channel weights": fixed(
        lambda s: rankdata(-s["train_loss"]) + rankdata(s["channel_weights"])
    ),
    "ranks: training loss + NASWOT": fixed(lambda s: rankdata(-s["train_loss"]) + rankdata(s["naswot"])),
    "ranks: NASWOT + channel weights": fixed(lambda s: rankdata(s["naswot"]) + rankdata(s["channel_weights"])),
    "ranks: NASWOT + SynFlow": fixed(lambda s: rankdata(s["naswot"]) + rankdata(s["synflow"])),
    "training loss beyond what MACs predict": beyond_macs,
    "the same + c log MACs, c fitted": beyond_macs_and,
}


def table(found: dict[str, Any], names: Sequence[str]) -> Scores:
    """The scores of these networks, means over seeds."""
    costs = {model["name"]: model for model in found["models"]}
    made = {"macs": [costs[each]["macs"] for each in names]}
    rows = {each["proxy"]: each["scores"] for each in found["proxies"]}
    for proxy, score in {"train": "train_loss", **{n: n for n in ("naswot", "synflow", "channel_weights")}}.items():
        made[score] = [np.mean([row[score] for row in rows[proxy][each]]) for each in names]
    return {name: np.asarray(values, dtype=float) for name, values in made.items()}


def some(scores: Scores, chosen: Array) -> Scores:
    """Those of the chosen networks."""
    return {name: values[chosen] for name, values in scores.items()}


def touching(values: Array, top1: Array, sizes: Sequence[str], out: Array) -> tuple[float, float]:
    """τ-b over the pairs that a family has part in; agreement over those of about equal cost, as `within` counts."""
    first, second = np.triu_indices(len(top1), 1)
    mine = out[first] | out[second]
    across, up = (np.sign(v[first] - v[second])[mine] for v in (values, top1))
    alike = (np.array(sizes)[first] == np.array(sizes)[second])[mine]
    whole = np.sqrt(np.abs(across).sum() * np.abs(up).sum())
    return float((across * up).sum() / whole), float((across * up)[alike].sum() / np.abs(up)[alike].sum())


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(file: Path) -> None:
    """Judge every rule on the scores of FILE."""
    found = json.loads(file.read_text())
    models, rows = published(), ablation()
    scores, held = (table(found, [each.name for each in group]) for group in (models, rows))
    top1, held_top1 = (np.array([each.top1 for each in group]) for group in (models, rows))
    sizes, families = [each.size for each in models], np.array([each.family for each in models])
    heads = ("rule", "coefficient", "tau all", "within size", "ablation", "left out: all", "within size")
    shown = Table(*heads, title=f"{len(models)} models, {found['seeds']} seed(s), {found['data']['name']}")
    for name, fit in FITS.items():
        rule, coefficient = fit(scores, top1, sizes)
        apart = []
        for family in dict.fromkeys(families):
            out = families == family
            groups = [size for size, gone in zip(sizes, out, strict=True) if not gone]
            other, _ = fit(some(scores, ~out), top1[~out], groups)
            apart.append(touching(other(scores), top1, sizes, out))
        values = rule(scores)
        figures = (tau(values, top1), within(values, top1, sizes), tau(rule(held), held_top1), *np.mean(apart, axis=0))
        shown.add_row(name, coefficient, *(f"{float(each):.2f}" for each in figures))
    Console(width=140).print(shown)


if __name__ == "__main__":
    main()
