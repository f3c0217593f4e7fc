"""`mvsearch`: finds a command by its file, and turns what the user can mend into one sentence and exit code 1."""

import sys
from importlib import import_module
from pathlib import Path

import click

from mvsearch._version import __version__
from mvsearch.errors import MvsearchError
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.utils import plugins

_NOT_COMMANDS = ("main",)
_HALF = 800  # characters


class _Commands(click.Group):
    """A command is a file of this folder, loaded when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name.replace("_", "-") for name in plugins.names("command") if name not in _NOT_COMMANDS]

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
            raise click.UsageError(f"There is no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mvsearch")
def cli() -> None:
    """Neural architecture scaling and search over the MobileViT family."""


def main() -> None:
    """The entry point of the command."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("interrupted: everything finished so far is kept.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (MvsearchError, EvaluationFailed) as error:
        click.echo(f"mvsearch: {_readable(str(error))}", err=True)
        sys.exit(1)
    except OSError as error:
        place = f"{Path(error.filename)}: " if error.filename else ""
        click.echo(f"mvsearch: {place}{error.strerror or error}.", err=True)
        sys.exit(1)


def _readable(said: str) -> str:
    """What was found may be as long as a file: then its beginning and the end of the sentence."""
    return said if len(said) <= 2 * _HALF else f"{said[:_HALF]} ... {said[-_HALF:]}"
