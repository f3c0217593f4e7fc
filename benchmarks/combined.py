"""Scores made of two, held against the published models: what joining gains, and whether it holds in another family.

Reads what `mvsearch proxies` says, and trains nothing itself:

    mvsearch proxies --proxy train --proxy naswot --proxy synflow --proxy channel_weights --seeds 1 --json > scores.json
    python benchmarks/combined.py scores.json

`fitted` rules have one coefficient, taken from a grid: the one that ranks best. In the last two columns it is fitted
without a family, and judged on the pairs that this family has part in; the mean over the five.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from mvsearch.ranking import ablation, published, tau, within

Scores = dict[str, np.ndarray]
Rule = Callable[[Scores, float], np.ndarray]
"""Scores by name, over the same networks, and a coefficient → one score a network, of which more is better."""

GRID = np.round(np.arange(0, 1.51, 0.05), 2)
FIXED, BEST = 0.5, np.nan


def ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values)).astype(float)


def beyond_size(values: np.ndarray, size: np.ndarray) -> np.ndarray:
    """What is left of values where a straight line over the logarithm of size has been taken off."""
    x = np.log(size)
    return values - np.polyval(np.polyfit(x, values, 1), x)


RULES: dict[str, tuple[float, Rule]] = {
    "training loss": (0.0, lambda s, _: -s["train_loss"]),
    "training loss / channel weights^0.5": (FIXED, lambda s, p: -s["train_loss"] / s["channel_weights"] ** p),
    "training loss / channel weights^p, p fitted": (BEST, lambda s, p: -s["train_loss"] / s["channel_weights"] ** p),
    "training loss / MACs^p, p fitted": (BEST, lambda s, p: -s["train_loss"] / s["macs"] ** p),
    "ranks: training loss + channel weights": (0.0, lambda s, _: ranks(-s["train_loss"]) + ranks(s["channel_weights"])),
    "ranks: training loss + NASWOT": (0.0, lambda s, _: ranks(-s["train_loss"]) + ranks(s["naswot"])),
    "ranks: NASWOT + channel weights": (0.0, lambda s, _: ranks(s["naswot"]) + ranks(s["channel_weights"])),
    "ranks: NASWOT + SynFlow": (0.0, lambda s, _: ranks(s["naswot"]) + ranks(s["synflow"])),
    "training loss beyond what MACs predict": (0.0, lambda s, _: -beyond_size(s["train_loss"], s["macs"])),
    "the same + c log MACs, c fitted": (
        BEST,
        lambda s, c: c * np.log(s["macs"]) - beyond_size(s["train_loss"], s["macs"]),
    ),
}


def table(found: dict[str, Any], names: list[str]) -> Scores:
    """The scores of these networks, means over seeds."""
    costs = {model["name"]: model for model in found["models"]}
    made = {name: [costs[each][name] for each in names] for name in ("params", "macs")}
    for proxy in found["proxies"]:
        for score in ("train_loss", "naswot", "synflow", "channel_weights"):
            if score == proxy["proxy"] or (score, proxy["proxy"]) == ("train_loss", "train"):
                key = score if score == "train_loss" else proxy["score"]
                made[score] = [np.mean([row[key] for row in proxy["scores"][each]]) for each in names]
    return {name: np.asarray(values, dtype=float) for name, values in made.items()}


def fitted(rule: Rule, scores: Scores, top1: np.ndarray, sizes: list[str], chosen: np.ndarray) -> float:
    """The coefficient that ranks the chosen networks best, over all pairs and within sizes; of equals the middle."""
    some = {name: values[chosen] for name, values in scores.items()}
    groups = [size for size, taken in zip(sizes, chosen, strict=True) if taken]
    worth = [tau(v := rule(some, p), top1[chosen]) + within(v, top1[chosen], groups) for p in GRID]
    best = GRID[np.isclose(worth, np.max(worth))]
    return float(best[len(best) // 2])


def touching(values: np.ndarray, top1: np.ndarray, sizes: list[str], out: np.ndarray) -> tuple[float, float]:
    """τ over the pairs that a family has part in, and over those of about equal cost."""
    first, second = np.triu_indices(len(top1), 1)
    mine = out[first] | out[second]
    agree = np.sign(values[first] - values[second]) * np.sign(top1[first] - top1[second])
    alike = np.array(sizes)[first] == np.array(sizes)[second]
    return float(agree[mine].mean()), float(agree[mine & alike].mean())


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
    for name, (coefficient, rule) in RULES.items():
        everyone = np.ones(len(models), dtype=bool)
        fits = np.isnan(coefficient)
        at = fitted(rule, scores, top1, sizes, everyone) if fits else coefficient
        values, apart = rule(scores, at), []
        for family in dict.fromkeys(families):
            out = families == family
            again = fitted(rule, scores, top1, sizes, ~out) if fits else coefficient
            apart.append(touching(rule(scores, again), top1, sizes, out))
        figures = (
            tau(values, top1),
            within(values, top1, sizes),
            tau(rule(held, at), held_top1),
            *np.mean(apart, axis=0),
        )
        shown.add_row(name, f"{at:g}" if fits or at else "-", *(f"{float(each):.2f}" for each in figures))
    Console(width=140).print(shown)


if __name__ == "__main__":
    main()
