"""Whether scores order published models of seven families as ImageNet does: records scores, and writes the tables.

    python benchmarks/ground_truth/families.py --steps 200 --data folder --path /my/cifar10 --as cifar10
    python benchmarks/ground_truth/families.py --untrained                     scores of untrained networks
    python benchmarks/ground_truth/families.py --write                         the tables of docs/evidence/families.md

Scores go into mvsearch/proxy_eval/families.csv, which `front` cites for spaces with several kinds of blocks. They are
stored as they are computed, for `mvsearch proxies` too; the same command resumes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from _networks import FOLDER
from _sections import markdown_table, write_section
from _tables import read_table, write_table

from mvsearch.data import DataSet, load
from mvsearch.proxies import channel_weights, load_proxy
from mvsearch.proxies.train import Settings
from mvsearch.proxy_eval.benchmark import ProxyBenchmark, detect_device
from mvsearch.proxy_eval.families import FILE, Training, family_models, rank_families, recorded, trainings
from mvsearch.proxy_eval.families import recorded_scores as scores_of
from mvsearch.proxy_eval.rank_correlation import between_seeds
from mvsearch.study.storage.store import Store

DATABASE = Path("studies/proxies/scores.db")
PAGE = FOLDER.parent.parent / "docs" / "evidence" / "families.md"
UNTRAINED = ("naswot", "synflow", "snip", "grad_norm", "zico", "jacob_cov")
TRAINED = ("train_loss", "loss", "top1")
COLUMNS = ("data", "steps", "seed", "network", "channel_weights", *UNTRAINED, *TRAINED)
POWERS = (0.15, 0.2, 0.5)
KINDS = ("all", "within_size", "within_family", "across_families", "across_plain")


def record(data: DataSet, name: str, steps: int | None, seeds: int, database: Path) -> None:
    """Compute the scores that the store lacks; write each one as soon as it is there."""
    archs = {model.name: model.architecture for model in family_models()}
    settings: dict[str, Any] = (
        {"train": Settings(steps=steps)} if steps else {proxy: load_proxy(proxy).settings() for proxy in UNTRAINED}
    )
    database.parent.mkdir(parents=True, exist_ok=True)
    store = Store(f"sqlite:///{database}", create=True)
    for seed in range(seeds):
        for network, arch in sorted(archs.items(), key=lambda item: item[1].cost().macs):
            row: dict[str, Any] = {"data": name, "steps": steps or "", "seed": seed, "network": network}
            row["channel_weights"] = channel_weights.count(arch)
            for proxy, values in settings.items():
                benchmark = ProxyBenchmark(store, proxy, values, data, detect_device())
                benchmark.run({network: arch}, [seed], lambda name, seed, share: None)
                for metrics in benchmark.results({network: arch}, range(seed, seed + 1)).metrics.get(network, []):
                    row |= {key: f"{metrics[key]:.6g}" for key in (*UNTRAINED, *TRAINED) if key in metrics}
                for reason in benchmark.failed.values():
                    print(f"{network}: {proxy}: {reason}")
            _add(row)
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def _add(row: Mapping[str, Any]) -> None:
    """Put a row into the table, in place of one of the same network, data, steps and seed."""
    facts = ("data", "steps", "seed", "network")

    def key(each: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(each[fact]) for fact in facts)

    rows = [each for each in read_table(FILE) if key(each) != key(row)]
    write_table(FILE, COLUMNS, sorted([*rows, row], key=key))


# ---- the tables


def every_score() -> Iterator[tuple[str, Mapping[str, float]]]:
    """Words and scores, higher is better, of costs, of short trainings and of untrained networks."""
    costs = {model.name: model.cost for model in family_models()}
    yield "`params`", {name: cost.params for name, cost in costs.items()}
    yield "`macs`", {name: cost.macs for name, cost in costs.items()}
    yield "`params` times `macs`", {name: float(cost.params * cost.macs) for name, cost in costs.items()}
    yield "`channel_weights`", {row.network: row.metrics["channel_weights"] for row in recorded()}
    for training in trainings():
        where = f"{training.data}, {training.steps} steps, {training.seeds} seed{'s' * (training.seeds > 1)}"
        yield f"`top1`: {where}", scores_of(training, "top1")
        yield f"`loss`: {where}", scores_of(training, "loss")
        for power in POWERS:
            yield f"`loss` / channel weights^{power:g}: {where}", scores_of(training, "loss", power)
        yield f"mean training loss: {where}", scores_of(training, "train_loss")
        for power in POWERS:
            usual = " (`scaled_loss`)" * (power == Settings().power)
            yield (
                f"mean training loss / channel weights^{power:g}{usual}: {where}",
                scores_of(training, "train_loss", power),
            )
    for data in dict.fromkeys(row.data for row in recorded()):
        for proxy in UNTRAINED:
            rows = [row for row in recorded() if row.data == data and row.seed == 0 and proxy in row.metrics]
            if rows:
                yield f"`{proxy}`: {data}", {row.network: row.metrics[proxy] for row in rows}


def report() -> str:
    """A line for each score."""
    rankings = [(words, rank_families(scores)) for words, scores in every_score()]
    pairs = next(ranking.pairs for _, ranking in rankings if ranking.models == len(family_models()))
    heads = ["score", *(f"{kind.replace('_', ' ')} ({pairs[kind]} pairs)" for kind in KINDS)]
    rows = [
        [
            words + (f" ({ranking.models} models)" if ranking.models < len(family_models()) else ""),
            *(getattr(ranking, kind).words for kind in KINDS),
        ]
        for words, ranking in rankings
    ]
    return "\n\n".join((markdown_table(heads, rows), *filter(None, map(_noise, trainings()))))


def _noise(training: Training) -> str:
    if training.seeds < 2:
        return ""
    taus = []
    for metric in TRAINED:
        seeds = [
            [row.metrics[metric] for row in recorded() if (row.data, row.steps, row.seed) == (*_key(training), seed)]
            for seed in range(training.seeds)
        ]
        taus.append(f"`{metric}` {float(between_seeds(seeds)):.2f}")
    return f"τ between single seeds, {training.data}, {training.steps} steps: {', '.join(taus)}."


def _key(training: Training) -> tuple[str, int]:
    return training.data, training.steps


@click.command()
@click.option("--data", default="fashion_mnist", show_default=True, help="Source of images.")
@click.option("--path", type=click.Path(exists=True, path_type=Path), help="Where they are.")
@click.option("--as", "name", help="The name of the images in the table; default: that of the source.")
@click.option("--steps", type=int, help="Train for so many steps.")
@click.option("--untrained", is_flag=True, help="Score untrained networks.")
@click.option("--seeds", default=1, show_default=True)
@click.option("--database", type=click.Path(dir_okay=False, path_type=Path), default=DATABASE, show_default=True)
@click.option("--write", is_flag=True, help="Write the tables into docs/evidence/families.md.")
def main(
    data: str,
    path: Path | None,
    name: str | None,
    steps: int | None,
    untrained: bool,
    seeds: int,
    database: Path,
    write: bool,
) -> None:
    """Record scores, or print the tables."""
    if steps or untrained:
        record(load(data, path=path, task="classification"), name or data, steps, seeds, database)
        return
    text = report()
    print(text)
    if write:
        write_section(PAGE, "families", text)


if __name__ == "__main__":
    main()
