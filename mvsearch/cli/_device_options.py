"""The options of the latency backend `command`, which `bench` and `profile` share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from mvsearch.cli._completion import plugin_names
from mvsearch.errors import PlanError

_UNSET: tuple[Any, ...] = (None, (), "")
Function = Callable[..., Any]

_OPTIONS = (
    click.option(
        "--run",
        metavar="COMMAND",
        help="With --backend command: what measures a file on your device, e.g. './measure.sh {file}'. Its last line "
        "of output is the milliseconds, or JSON with latency_ms.",
    ),
    click.option(
        "--format",
        "file_format",
        metavar="FORMAT",
        shell_complete=plugin_names("export_format"),
        help="With --run: the format of the file.",
    ),
    click.option(
        "--device",
        "devices",
        metavar="NAME",
        multiple=True,
        help="With --run: a device, for {device} in the command. Repeatable; the slowest counts.",
    ),
    click.option("--timeout", "timeout_s", type=float, help="With --run: the most seconds of one run. Default: 300."),
    click.option(
        "--retries",
        type=click.IntRange(min=0),
        help="With --run: further runs after one that fails or differs by more than 10 %, and waits for a slow device. "
        "Default: 2.",
    ),
    click.option(
        "--exclusive",
        is_flag=True,
        default=None,
        help="With --run: nothing else uses this machine meanwhile; for a command that runs the network here.",
    ),
)


def device_options(function: Function) -> Function:
    """Add the options to a command, which receives them as keywords; see `device_settings`."""
    function = _name_options()(function)
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@contextmanager
def _name_options() -> Iterator[None]:
    """Name the option where an error names the setting `latency.x` of no file."""
    try:
        yield
    except PlanError as error:
        section, _, name = (error.key or "").partition(".")
        if error.file or section != "latency":
            raise
        flag = {"devices": "device", "timeout_s": "timeout"}.get(name, name)
        raise PlanError(error.reason, at=f"--{flag}") from None


def device_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as fields of TimingOptions."""
    names = {"file_format": "format"}
    return {names.get(name, name): value for name, value in given.items() if value not in _UNSET}
