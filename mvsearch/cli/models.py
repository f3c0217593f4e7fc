"""`mvsearch models`: the published models of a task, built numbers beside printed ones."""

from typing import TYPE_CHECKING

import click

from mvsearch.cli._output import console, json_option, print_json, table

if TYPE_CHECKING:
    from mvsearch.arch.published import Model

_SCORES = {"segmentation": ("miou", "mIoU %"), "detection": ("map", "mAP %")}


@click.command()
@click.option(
    "--task",
    type=click.Choice(["classification", *_SCORES]),
    default="classification",
    show_default=True,
    help="What they are for.",
)
@json_option
def models(task: str, as_json: bool) -> None:
    """The published models: what is built beside what the paper prints."""
    from mvsearch.arch.published import model, model_names

    found = [model(name) for name in model_names(task)]
    if as_json:
        print_json([_facts(m) for m in found])
    elif task == "classification":
        _show_classifiers(found)
    else:
        _show_others(found, *_SCORES[task])


def _show_classifiers(found: "list[Model]") -> None:
    from mvsearch.metrics.formatting import pretty

    made = table("model", "px", "params", "printed", "MACs", "MACs (paper)", "printed", "top-1 %", "ms", "img/s")
    for m in found:
        cost, figures = m.architecture.cost(), m.figures
        top1 = figures.get("top1", figures.get("top1_100_epochs"))
        made.add_row(
            m.name,
            str(m.architecture.image_size),
            f"{cost.params:,}",
            str(figures.get("params_m", "-")),
            pretty("macs", cost.macs),
            f"{cost.macs_paper / 1e6:.2f} M",
            str(figures.get("flops_m", "-")),
            f"{top1}{'' if 'top1' in figures else ' (100 ep.)'}",
            str(figures.get("latency_ms", "-")),
            str(figures.get("throughput_images_s", "-")),
        )
    console().print(made)
    console().print(
        "MACs are exact; MACs (paper) are the authors' own count, which every printed FLOPs figure is. "
        "ms (batch 1) and images/s (batch 100) are the paper's, on an RTX 2080 Ti; top-1 on ImageNet-1k.",
        style="dim",
    )


def _show_others(found: "list[Model]", score: str, head: str) -> None:
    from mvsearch.metrics.formatting import pretty

    made = table("model", "data", "px", "classes", "params", "printed", "for training", "MACs", head, numbers_from=2)
    for m in found:
        arch, cost = m.architecture, m.architecture.cost()
        extra = arch.training_cost().params
        made.add_row(
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
    console().print(made)
    console().print(
        "Params and exact MACs are those of the whole network, its head included, as it runs; `for training` is an "
        f"auxiliary classifier that only training has. {head} is the paper's.",
        style="dim",
    )


def _facts(m: "Model") -> dict[str, object]:
    arch = m.architecture
    size = {"image_size": arch.image_size, "num_classes": arch.num_classes}
    about = {"name": m.name, "key": arch.key, "task": arch.task, "dataset": m.dataset, **size}
    return about | arch.metrics() | {"training_params": arch.training_cost().params, "printed": m.figures}
