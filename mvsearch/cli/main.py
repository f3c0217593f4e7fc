"""The `mvsearch` command: loads a subcommand from its file, and prints user errors as one sentence with exit code 1."""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

from mvsearch._version import __version__
from mvsearch.cli._help import CommandGroup, sections_of
from mvsearch.cli._wait import tell_of_wait
from mvsearch.errors import MvsearchError
from mvsearch.utils import machine_lock, plugins

_NOT_COMMANDS = ("main",)
_COMPLETION = "_MVSEARCH_COMPLETE"
"""Set by the shell when it asks click what can be completed."""

_HALF_LENGTH = 800
"""Characters kept at each end of an overlong error message."""


class _Commands(CommandGroup):
    """Every file of this folder is a command; it is imported when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name.replace("_", "-") for name in plugins.names("command") if name not in _NOT_COMMANDS]

    def sections(self, ctx: click.Context) -> dict[str, Sequence[str]]:
        return sections_of(self.list_commands(ctx))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        module = name.replace("-", "_")
        command: click.Command = getattr(import_module(f"mvsearch.cli.{module}"), module)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            hint = plugins.suggest(args[0], self.list_commands(ctx))
            raise click.UsageError(f"unknown command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mvsearch")
def cli() -> None:
    """Neural architecture search and scaling for MobileViT and other small vision networks.

    `mvsearch COMMAND --help` ends with examples. Completion in bash (zsh and fish: docs/install.md):

    \b
      eval "$(_MVSEARCH_COMPLETE=bash_source mvsearch)"
    """


def _reported_errors() -> tuple[type[Exception], ...]:
    """Errors whose message is for the user. Their import loads numpy, which `--help` does without."""
    from mvsearch.metrics.record import EvaluationFailed

    return MvsearchError, EvaluationFailed


def main() -> None:
    """Run the command and exit."""
    _escape_unprintable()
    if _COMPLETION in os.environ:
        from mvsearch.cli._completion import register_bash

        register_bash()
    try:
        with machine_lock.on_wait(tell_of_wait):
            cli.main(standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("interrupted; finished results are kept.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except _reported_errors() as error:  # evaluated only if something was raised
        click.echo(f"mvsearch: {_shorten(str(error))}", err=True)
        sys.exit(1)
    except UnicodeEncodeError as error:  # a name on disk or in a file, which this locale has no bytes for
        text = error.object[max(0, error.start - 20) : error.end + 20]
        click.echo(
            f"mvsearch: {text!a} cannot be written as {error.encoding}; rename it, or set PYTHONUTF8=1.", err=True
        )
        sys.exit(1)
    except OSError as error:
        file = f"{Path(error.filename)}: " if error.filename else ""
        click.echo(f"mvsearch: {file}{error.strerror or error}.", err=True)
        sys.exit(1)


def _escape_unprintable() -> None:
    """Print a character that the terminal's encoding lacks as its escape, as stderr does by itself, and never fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _shorten(message: str) -> str:
    """Cut the middle out of a message that quotes a whole file."""
    if len(message) <= 2 * _HALF_LENGTH:
        return message
    return f"{message[:_HALF_LENGTH]} ... {message[-_HALF_LENGTH:]}"
