"""What the choices of `spaces/int8.yaml` are worth, by the trials of one or several studies of it.

Least squares over all trials, with the logarithm of parameters and the study beside the choices: points of top-1 of the
int8 file, points from float32 to int8, and the milliseconds in int8 as a share.

    python benchmarks/int8_choices.py int8
"""

import click
import numpy as np
from inheritance import regress
from rich.console import Console
from rich.table import Table

from mvsearch.study.reader import open_study

CHOICES = {
    "ReLU instead of SiLU": ("act", "relu"),
    "hard-swish instead of SiLU": ("act", "hard_swish"),
    "batch norm instead of layer norm": ("norm", "batch"),
    "no fusion": ("fusion", "none"),
}


@click.command(help=__doc__)
@click.argument("studies", nargs=-1, required=True)
def main(studies: tuple[str, ...]) -> None:
    trials = [(study, r) for study in studies for r in open_study(study).records() if r.state == "complete"]
    columns = {name: [float(r.choices[key] == value) for _, r in trials] for name, (key, value) in CHOICES.items()}
    columns["size"] = [float(np.log(r.metrics["params"])) for _, r in trials]
    columns |= {name: [float(study == name) for study, _ in trials] for name in studies[1:]}
    top1_int8, top1_float32, latency_ms = (
        np.array([r.metrics[name] for _, r in trials]) for name in ("top1_int8", "top1_float32", "latency_int8_ms")
    )
    effects = [regress(columns, y) for y in (top1_int8, top1_int8 - top1_float32, np.log(latency_ms))]
    table = Table("choice", "top-1 in int8, points", "change by int8, points", "latency in int8")
    for name in CHOICES:
        points = (f"{100 * effect[name][0]:+.1f} ± {100 * effect[name][1]:.1f}" for effect in effects[:2])
        change, error = effects[2][name]
        table.add_row(name, *points, f"{100 * np.expm1(change):+.0f} % ± {100 * error * np.exp(change):.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
