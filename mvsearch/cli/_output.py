"""Words to the terminal: JSON on stdout, tables for people, progress on stderr."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Command = Callable[..., None]
"""A command's function, before click makes a command of it."""


class Amount(click.FloatRange):
    """A number from nothing to as much as there is: neither infinite nor no number."""

    def __init__(self, most: float | None = None) -> None:
        super().__init__(min=0, max=most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As FloatRange, which takes `nan` and `inf`."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is no number to reckon with.", param, ctx)
        return found


storage_option = click.option("--storage", help="The database, if it is not studies/STUDY/study.db.")
_plot = click.option("--plot", type=click.Path(path_type=Path), help="Draw it: a .png, .svg or .html file.")
theme_option = click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True)
force_option = click.option("--force", is_flag=True, help="Write over a file that is there.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def drawing_options(command: Command) -> Command:
    """The options `--plot FILE --theme light|dark --force`, as `plot`, `theme` and `force`."""
    return _plot(theme_option(force_option(command)))


def print_json(value: Any) -> None:
    """One document on stdout."""
    click.echo(json.dumps(value, indent=2, default=str))


def console(*, stderr: bool = False) -> "Console":
    """The terminal; as wide as a table needs when it is none."""
    from rich.console import Console

    plain: dict[str, Any] = {"stderr": stderr, "highlight": False, "markup": False}  # a path may hold [brackets]
    made = Console(**plain)
    return made if made.is_terminal else Console(**plain, width=140)


def table(*columns: str, title: str | None = None, numbers_from: int = 1) -> "Table":
    """An empty table; columns from `numbers_from` on are set flush right."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, title_justify="left")
    for i, column in enumerate(columns):
        made.add_column(column, justify="right" if i >= numbers_from else "left", no_wrap=True)
    return made
