"""`mvsearch models`: the published models of a task, computed and printed figures side by side."""

from typing import TYPE_CHECKING

import click

from mvsearch.cli._help import Command
from mvsearch.cli._output import console, json_option, print_json, table

if TYPE_CHECKING:
    from mvsearch.arch.published import Model

_SCORES = {"segmentation": ("miou", "mIoU %"), "detection": ("map", "mAP %")}


@click.command(cls=Command, examples=["mvsearch models", "mvsearch models --task detection"])
@click.option(
    "--task",
    type=click.Choice(["classification", *_SCORES]),
    default="classification",
    show_default=True,
    help="Task of the models.",
)
@json_option
def models(task: str, as_json: bool) -> None:
    """List the published models.

    The table has their exact costs beside the figures that the papers print.
    """
    from mvsearch.arch.published import model, model_names

    listed = [model(name) for name in model_names(task)]
    if as_json:
        print_json([_to_json(m) for m in listed])
    elif task == "classification":
        _print_classifiers(listed)
    else:
        _print_others(listed, *_SCORES[task])


def _print_classifiers(models: "list[Model]") -> None:
    from mvsearch.metrics.formatting import pretty

    rows = table("model", "px", "params", "printed", "MACs", "MACs (paper)", "printed", "top-1 %", "ms", "img/s")
    for m in models:
        cost, figures = m.architecture.cost(), m.figures
        top1 = figures.get("top1", figures.get("top1_100_epochs"))
        rows.add_row(
            m.name,
            str(m.architecture.image_size),
            f"{cost.params:,}",
            str(figures.get("params_m", "-")),
            pretty("macs", cost.macs),
            f"{cost.macs_paper / 1e6:.2f} M",
            str(figures.get("flops_m", "-")),
            f"{top1}{'' if 'top1' in figures else '*'}{'+' if figures.get('distilled') else ''}",
            str(figures.get("latency_ms", "-")),
            str(figures.get("throughput_images_s", "-")),
        )
    console().print(rows)
    console().print(
        "MACs are exact; MACs (paper) are counted as the authors count, to compare with printed FLOPs. Latency in ms "
        "(batch 1) and images/s (batch 100) are the paper's, on an RTX 2080 Ti; top-1 is on ImageNet-1k (*: after 100 "
        "epochs, +: with a teacher). Lower is better for costs and ms, higher for top-1 and images/s.",
        style="dim",
    )


def _print_others(models: "list[Model]", score: str, head: str) -> None:
    from mvsearch.metrics.formatting import pretty

    rows = table("model", "data", "px", "classes", "params", "printed", "for training", "MACs", head, numbers_from=2)
    for m in models:
        arch, cost = m.architecture, m.architecture.cost()
        extra = arch.training_cost().params
        rows.add_row(
            m.name,
            m.dataset,
            str(arch.image_size),
            str(arch.num_classes),
            f"{cost.params:,}",
            str(m.figures.get("params_m", "-")),
            f"+{extra:,}" if extra else "-",
            pretty("macs", cost.macs),
            str(m.figures.get(score, "-")),
        )
    console().print(rows)
    console().print(
        "Params and exact MACs are those of the whole network at inference, its head included; `for training` is an "
        f"auxiliary classifier that is used in training only. {head} is the paper's (higher is better).",
        style="dim",
    )


def _to_json(m: "Model") -> dict[str, object]:
    arch = m.architecture
    size = {"image_size": arch.image_size, "num_classes": arch.num_classes}
    about = {"name": m.name, "key": arch.key, "task": arch.task, "dataset": m.dataset, **size}
    return about | arch.metrics() | {"training_params": arch.training_cost().params, "printed": m.figures}
