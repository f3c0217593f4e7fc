"""The form of every help text: commands in groups, summaries in full, and examples at the end."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import click

COMMAND_GROUPS = {
    "Search": ("init", "space", "run", "worker", "validate"),
    "Look": ("front", "report", "compare", "show", "models", "baselines", "paper-figures"),
    "Use": ("export", "quantize", "predict"),
    "Measure": ("profile", "latency", "bench", "proxies"),
    "Train": ("train", "scale"),
    "Manage": ("studies", "data", "cache", "doctor"),
}
"""The commands under the headings of `mvsearch --help`, in its order."""

_OTHERS = "More"
"""The heading of commands that no group has."""


class _WithExamples(click.Command):
    """A command whose help ends with `examples`, a command line each."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the epilog, then the examples, whose lines are never wrapped: they are copied."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples" if len(self.examples) > 1 else "Example"):
                indent = " " * formatter.current_indent
                formatter.write("".join(f"{indent}{line}\n" for line in self.examples))


class Command(_WithExamples):
    """A command with examples."""


class RecipeCommand(Command):
    """A command with `--set`, which is suggested where a value of the recipe is given as an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from mvsearch.training.recipe import Recipe

            name = error.option_name.lstrip("-").replace("-", "_")
            if name not in {field.name for field in fields(Recipe)}:
                raise
            raise click.UsageError(
                f"{error.message} A value of the recipe is given as --set {name}=VALUE.", ctx
            ) from None


class CommandGroup(_WithExamples, click.Group):
    """A group with examples, whose help has the summaries of its commands in full, under the headings of `sections`."""

    command_class = Command

    def sections(self, ctx: click.Context) -> dict[str, Sequence[str]]:
        """The names of the commands by heading."""
        return {"Commands": self.list_commands(ctx)}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each heading, with the names in one column."""
        width = max(map(len, self.list_commands(ctx)))
        for heading, names in self.sections(ctx).items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name.ljust(width), _summary(command)) for name, command in commands if command is not None]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


def sections_of(names: Sequence[str]) -> dict[str, Sequence[str]]:
    """The commands under the headings of COMMAND_GROUPS; those that it lacks under one of their own."""
    grouped = {name for group in COMMAND_GROUPS.values() for name in group}
    known = {heading: [name for name in group if name in names] for heading, group in COMMAND_GROUPS.items()}
    return {**known, _OTHERS: [name for name in names if name not in grouped]}


def _summary(command: click.Command) -> str:
    """The first sentence of the help, never cut."""
    return command.get_short_help_str(limit=1000).removesuffix(".")
