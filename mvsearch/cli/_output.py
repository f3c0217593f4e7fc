"""Output and options that several commands share: tables or JSON on stdout."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from rich.console import Console

    from mvsearch.data import DataSet
    from mvsearch.training.job import TrainingData
    from mvsearch.utils.fitted_table import FittedTable

Callback = Callable[..., None]
"""The function of a command before click wraps it."""


class Amount(click.FloatRange):
    """A finite number, 0 or more."""

    def __init__(self, maximum: float | None = None) -> None:
        super().__init__(min=0, max=maximum)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert as FloatRange does, but refuse `nan` and `inf`."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"must be a finite number, got {value}.", param, ctx)
        return number


storage_option = click.option("--storage", help="URL of the database; default: studies/STUDY/study.db.")
_normalise = click.option(
    "--normalise",
    metavar="imagenet|none|MEAN/DEVIATION",
    help="Normalisation of pixels from 0 to 1 that the weights were trained with; default: as stored with the weights.",
)
_channel_order = click.option(
    "--channel-order",
    type=click.Choice(["rgb", "bgr"]),
    help="Order of the channels that the weights were trained with; default: as stored with the weights.",
)
image_size_option = click.option(
    "--image-size", type=click.IntRange(min=32), help="Side of the images in pixels; default: that of the architecture."
)
path_option = click.option(
    "--path", type=click.Path(path_type=Path), help="Folder of the images of a source, if you have them already."
)
_plot = click.option("--plot", type=click.Path(path_type=Path), help="Draw a figure to this file: .png, .svg or .html.")
theme_option = click.option(
    "--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True, help="Colours of the figure."
)
force_option = click.option("--force", is_flag=True, help="Overwrite existing files.")
device_option = click.option(
    "--device",
    metavar="DEVICE[:PRECISION[:RUNTIME]]",
    help="Show published latencies of a phone or a board, e.g. galaxy_s25:float; a wrong name lists all.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")


_float = click.option(
    "--float", "float_stages", multiple=True, metavar="STAGE", help="Leave this stage in float32. Repeatable."
)


def _schemes() -> tuple[str, ...]:
    from mvsearch.export.int8 import SCHEMES

    return tuple(SCHEMES)


def int8_options(default: str) -> Callable[[Callback], Callback]:
    """Add the options `--scheme NAME --float STAGE`: arguments `scheme` and `float_stages`; the help has `default`."""
    scheme = click.option(
        "--scheme",
        shell_complete=lambda _context, _parameter, typed: [name for name in _schemes() if name.startswith(typed)],
        help="What is computed in int8, and from which ranges: fast (what is faster; onnx alone), channel, tensor, "
        f"percentile, entropy; default: {default}.",
    )
    return lambda command: scheme(_float(command))


def preparation_options(command: Callback) -> Callback:
    """Add the options `--normalise` and `--channel-order`: arguments `normalise` and `channel_order`."""
    return _normalise(_channel_order(command))


def drawing_options(command: Callback) -> Callback:
    """Add the options `--plot FILE --theme light|dark --force`: arguments `plot`, `theme` and `force`."""
    return _plot(theme_option(force_option(command)))


def refuse_without(needed: str, *names: str) -> None:
    """Raise UsageError if one of these options was given: each has an effect with another alone, which is missing."""
    context = click.get_current_context()
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option.opts[0]} needs {needed}; add it, or leave {option.opts[0]} out.")


def print_json(value: Any) -> None:
    """Print a JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_data_notes(data: "DataSet | TrainingData") -> None:
    """Print one line on stderr with what was left out of a data set and what was assumed, if there is anything."""
    from mvsearch.data import describe_parts

    for note in describe_parts(data.name, data.skipped, data.assumptions):
        click.echo(note, err=True)


def print_weights_notes(facts: Mapping[str, Any], *, stderr: bool = False) -> None:
    """Print what a checkpoint has beside the weights that were taken, and what was converted, if there is anything."""
    for label, name in (("passed over", "weights_ignored"), ("in the weights", "weights_converted")):
        if facts.get(name):
            console(stderr=stderr).print(f"{label}: {'; '.join(facts[name])}")


def console(*, stderr: bool = False) -> "Console":
    """The terminal, or where the output is not a terminal, COLUMNS or 140 columns."""
    from rich.console import Console

    # As they are: a path may hold [brackets], a study and a trial `name:100:`.
    plain: dict[str, Any] = {"stderr": stderr, "highlight": False, "markup": False, "emoji": False}
    terminal = Console(**plain)
    return terminal if terminal.is_terminal or "COLUMNS" in os.environ else Console(**plain, width=140)


def table(*columns: str, title: str | None = None, numbers_from: int = 1) -> "FittedTable":
    """An empty table that fits the terminal; columns from `numbers_from` on are aligned to the right."""
    from mvsearch.utils.fitted_table import plain_table

    return plain_table(*columns, title=title, numbers_from=numbers_from)
