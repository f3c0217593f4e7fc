"""How well a latency is predicted from few measurements, with and without devices that are known.

`own`: networks of `latency_networks.py`. Runtimes are each other's known devices; torch and fused torch are not. What
is known is the first measurement of all networks, what is predicted the second, if there are two.

`fbnet`: the latencies of 5,000 FBNets in HELP (github.com/HayeonLee/HELP, MIT; the folder data/fbnet). The known
devices are the other phones of the three and its CPUs and GPUs. The last columns are Spearman's correlation of the mean
of the three known devices that order the measured networks most alike, as measured; of a linear function of what the
models of the known devices predict, fitted on the measured networks; and of a linear model of the 5,000 networks on the
phone itself: about the most that there is to explain, as the milliseconds of phones are rounded and noisy.

    python benchmarks/latency_prediction.py own v3_latency.jsonl spaces/v3.yaml
    python benchmarks/latency_prediction.py fbnet HELP/data/fbnet
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mvsearch.profiling.latency_features import Array, NetworkFeatures, choice_features, cost_features
from mvsearch.profiling.prediction import KnownDevice, LatencyModel, LinearModel, rank_correlation
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.latency_prediction import WIDEST

PHONES = ("samsung_a50", "samsung_s7", "pixel2")
HELD_OUT = ("essential_ph_1", "pixel3", "raspi4", "eyeriss", "fpga")
"""Not read: kept for other comparisons, or sums of look-up tables."""

HEADS = ("device", "measured", "known", "within 10 %", "in interval", "known to 10 %", "of these within", "rho")


def judge(features: NetworkFeatures, times_ms: Array, measured: Array, known: Sequence[LinearModel]) -> list[float]:
    """Of the networks that were not measured: the shares of the table, and Spearman's correlation."""
    others = np.setdiff1d(np.arange(len(features)), measured)
    predicted = LatencyModel.fit(features[measured], times_ms[measured], known).predict(features[others])
    truth = times_ms[others]
    within = np.abs(predicted.ms / truth - 1) < 0.1
    inside = (predicted.low_ms <= truth) & (truth <= predicted.high_ms)
    sure = predicted.half_width <= WIDEST
    of_sure = float(within[sure].mean()) if sure.any() else np.nan
    return [within.mean(), inside.mean(), sure.mean(), of_sure, rank_correlation(predicted.ms, truth)]


def splits(networks: int, measured: int, repetitions: int) -> Iterator[Array]:
    """The networks that are measured, at random."""
    for seed in range(repetitions):
        yield np.random.default_rng(seed).permutation(networks)[:measured]


def row(device: str, measured: int, known: int, found: Sequence[Sequence[float]]) -> list[str]:
    """The means over repetitions; of the correlation with its deviation."""
    rho = np.array(found)[:, 4]
    means = [np.mean([v for v in column if np.isfinite(v)] or [np.nan]) for column in zip(*found, strict=True)]
    shares = [f"{100 * value:.0f} %" if np.isfinite(value) else "-" for value in means[:4]]
    return [device, str(measured), str(known), *shares, f"{rho.mean():.3f} ± {rho.std():.3f}"]


@click.group()
def main() -> None:
    """Judge predictions of latency."""


@main.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.argument("space_file", type=click.Path(path_type=Path, exists=True))
@click.option("--repetitions", default=20, show_default=True)
def own(file: Path, space_file: Path, repetitions: int) -> None:
    """Networks of a space on runtimes of this machine."""
    space = SearchSpace.load(space_file)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    by_pass = [{line["network"]: line for line in lines if line["pass"] == number} for number in (0, 1)]
    numbers = sorted(by_pass[0])
    points = [space.point(np.array(by_pass[0][i]["codes"])) for i in numbers]
    values = {choice.name: choice.values for choice in space.choices}
    rows = [*(each.name for each in space.rows), "head"]
    choices = choice_features([*map(space.effective, points)], values)
    features = cost_features([*map(space.architecture, points)], rows, choices)
    runtimes = [name for name in by_pass[0][numbers[0]]["ratios"] if name != "reference_ms"]
    first = {name: np.array([by_pass[0][i]["ratios"][name][0] for i in numbers]) for name in runtimes}
    second = {
        name: np.array([by_pass[1].get(i, by_pass[0][i])["ratios"][name][0] for i in numbers]) for name in runtimes
    }
    again = [i for i, number in enumerate(numbers) if number in by_pass[1]]
    table = Table(*HEADS, title=f"{len(numbers)} networks, {len(again)} measured twice")
    for name in runtimes:
        other = [each for each in runtimes if each.partition("_")[0] != name.partition("_")[0]]
        known = [LinearModel.fit(KnownDevice(features, first[each])) for each in other]
        for measured in (10, 15, 20, 30):
            for models in ((), known):
                found = [
                    judge(features, second[name], chosen, models)
                    for chosen in splits(len(numbers), measured, repetitions)
                ]
                table.add_row(*row(name, measured, len(models), found))
        if again:
            change = np.abs(second[name][again] / first[name][again] - 1)
            repeated = (
                f"two measurements differ by {np.median(change):.1%} (median), {np.quantile(change, 0.9):.1%} (p90)"
            )
            table.add_row(name, "", "", repeated)
    Console(width=150).print(table)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--repetitions", default=20, show_default=True)
@click.option("--networks", default=5000, show_default=True, help="Networks that the known devices were measured on.")
def fbnet(folder: Path, repetitions: int, networks: int) -> None:
    """FBNets on phones."""
    archs = np.array(torch.load(folder / "arch.pt", weights_only=True))
    features = NetworkFeatures.of_choices(np.concatenate([archs == value for value in range(9)], 1).astype(float))
    files = [path for path in sorted((folder / "latency").glob("*.pt")) if path.stem not in HELD_OUT]
    times = {path.stem: np.array(torch.load(path, weights_only=True), dtype=float) for path in files}
    some = np.random.default_rng(1).permutation(len(archs))[:networks]
    models = {name: LinearModel.fit(KnownDevice(features[some], ms[some])) for name, ms in times.items()}
    table = Table(*HEADS, "three alike", "linear of known", "own linear, all")
    for phone in PHONES:
        known = [name for name in times if name != phone]
        predicted = NetworkFeatures.of_choices(np.stack([models[name].predict(features) for name in known], 1))
        most = rank_correlation(models[phone].predict(features), times[phone])
        for measured in (10, 20, 50):
            chosen = [*splits(len(archs), measured, repetitions)]
            found = [judge(features, times[phone], each, [models[name] for name in known]) for each in chosen]
            alike = [three_alike(times, phone, known, each) for each in chosen]
            linear = [linear_of_known(predicted, times[phone], each) for each in chosen]
            means = [f"{np.mean(rho):.3f} ± {np.std(rho):.3f}" for rho in (alike, linear)]
            table.add_row(*row(phone, measured, len(known), found), *means, f"{most:.3f}")
    Console(width=150).print(table)


def three_alike(times: dict[str, Array], phone: str, known: Sequence[str], measured: Array) -> float:
    """Spearman's correlation of the mean of the three devices that order the measured networks most alike."""
    logs = {name: np.log(times[name]) for name in known}
    order = sorted(known, key=lambda name: -rank_correlation(logs[name][measured], times[phone][measured]))
    standard = [(logs[name] - logs[name].mean()) / logs[name].std() for name in order[:3]]
    others = np.setdiff1d(np.arange(len(times[phone])), measured)
    return rank_correlation(np.mean(standard, 0)[others], times[phone][others])


def linear_of_known(predicted: NetworkFeatures, times_ms: Array, measured: Array) -> float:
    """Spearman's correlation of a linear function of the predictions of known devices."""
    others = np.setdiff1d(np.arange(len(times_ms)), measured)
    fitted = LinearModel.fit(KnownDevice(predicted[measured], times_ms[measured]))
    return rank_correlation(fitted.predict(predicted[others]), times_ms[others])


if __name__ == "__main__":
    main()
