"""`mvsearch show ARCH`: an architecture as a table, a diagram and a figure; with `--diff` compared with another."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_architecture
from mvsearch.cli._help import Command
from mvsearch.cli._output import console, force_option, json_option, print_json, storage_option, theme_option

if TYPE_CHECKING:
    from mvsearch.arch.architecture import Architecture


@click.command(
    cls=Command,
    examples=["mvsearch show mobilevitv3_xxs", "mvsearch show mobilevitv1_xxs --diff mobilevitv3_xxs --plot diff.png"],
)
@click.argument("arch", shell_complete=complete_architecture)
@click.option(
    "--diff",
    "other",
    metavar="ARCH2",
    shell_complete=complete_architecture,
    help="Compare with ARCH2: which rows and fields differ, and what that costs.",
)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw a figure to this file: .png or .svg.")
@theme_option
@force_option
@storage_option
@json_option
def show(
    arch: str, other: str | None, plot: Path | None, theme: str, force: bool, storage: str | None, as_json: bool
) -> None:
    """Show an architecture, or compare two.

    ARCH is a published name, a YAML file, STUDY:NUMBER or the folder of a training. Prints stages, shapes and costs as
    a table and a diagram.
    """
    from dataclasses import replace

    from mvsearch.study.resolve import find_architecture

    if plot is not None:
        _refuse_to_draw(plot, force)
    named = [(name, find_architecture(name, storage=storage)) for name in (arch, other) if name]
    archs = [replace(architecture, name=architecture.name or name) for name, architecture in named]
    if plot is not None:
        _draw(plot, archs, theme)
    if as_json:
        print_json(_to_json(*archs) if len(archs) == 1 else _difference_to_json(*archs))
    elif len(archs) == 1:
        _print(*archs)
    else:
        _print_difference(*archs)
    if plot is not None:
        click.echo(f"drew {plot}", err=True)


def _refuse_to_draw(plot: Path, force: bool) -> None:
    from mvsearch.report.figures.plot import PICTURES, refuse_to_draw

    refuse_to_draw(plot, force=force, kinds=PICTURES)


def _draw(plot: Path, archs: "list[Architecture]", theme: str) -> None:
    from mvsearch.report.figures.architecture_diff_plot import draw_architectures
    from mvsearch.report.figures.palette import THEMES
    from mvsearch.report.figures.plot import kind_of
    from mvsearch.utils.atomic_write import write_whole

    write_whole(
        plot, draw_architectures(archs, " → ".join(str(arch.name) for arch in archs), kind_of(plot), THEMES[theme])
    )


def _to_json(arch: "Architecture") -> dict[str, Any]:
    from mvsearch.report.figures.architecture_diff import parts

    stages = [
        {
            "name": part.name,
            "block": part.block,
            "out": [part.out.channels, part.out.height, part.out.width],
            "params": part.cost.params,
            "macs": part.cost.macs,
            "macs_paper": part.cost.macs_paper,
            "fields": {name: value for name, value in part.fields.items() if name not in ("name", "block")},
        }
        for part in parts(arch)[1:]
    ]
    return {
        "name": arch.name,
        "key": arch.key,
        "image_size": arch.image_size,
        "task": arch.task,
        **arch.metrics(),
        "training_params": arch.training_cost().params,
        "stages": stages,
    }


def _difference_to_json(first: "Architecture", second: "Architecture") -> dict[str, Any]:
    from mvsearch.report.figures.architecture_diff import difference

    return {
        "first": {"name": first.name, "key": first.key, **first.metrics()},
        "second": {"name": second.name, "key": second.key, **second.metrics()},
        "parts": [change.facts() for change in difference(first, second)],
    }


def _print(arch: "Architecture") -> None:
    from rich.text import Text

    from mvsearch.report.diagram import Diagram, stage_table

    screen = console()
    screen.print(Text.assemble((str(arch.name), "bold"), f" at {arch.image_size} px, key {arch.key}"))
    screen.print(stage_table(arch))
    screen.print(Diagram(arch))


def _print_difference(first: "Architecture", second: "Architecture") -> None:
    from rich.text import Text

    from mvsearch.report.diagram import difference_table

    screen = console()
    names = (str(first.name), "bold"), (str(second.name), "bold")
    if first.key == second.key:
        screen.print(Text.assemble(names[0], " and ", names[1], f" are the same network, key {first.key}"))
        return
    screen.print(Text.assemble(names[0], ", and the change to ", names[1], ":"))
    screen.print(difference_table(first, second, arrow="->" if screen.options.ascii_only else "→"))
