"""`mvsearch models`: the published models, built numbers beside printed ones."""

from typing import TYPE_CHECKING

import click

from mvsearch.cli._print import console, json_option, print_json, table

if TYPE_CHECKING:
    from mvsearch.models import Model


@click.command()
@json_option
def models(as_json: bool) -> None:
    """The published models: what is built beside what the paper prints."""
    from mvsearch.models import model, model_names
    from mvsearch.report.units import pretty

    found = [model(name) for name in model_names()]
    if as_json:
        print_json([_facts(m) for m in found])
        return
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


def _facts(m: "Model") -> dict[str, object]:
    arch = m.architecture
    return {"name": m.name, "key": arch.key, "image_size": arch.image_size, **arch.metrics(), "printed": m.figures}
