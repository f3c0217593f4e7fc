"""Help texts: every command is in a group, no summary is cut, and every command ends with examples that parse."""

import shlex

import click
import pytest

from mvsearch.cli._help import COMMAND_GROUPS
from mvsearch.cli.main import cli

_CONTEXT = click.Context(cli, info_name="mvsearch")


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        inner = _commands(command, (*path, name)) if isinstance(command, click.Group) else []
        found += inner or [((*path, name), command)]
    return found


COMMANDS = _commands(cli)


def test_every_command_is_in_one_group():
    grouped = [name for group in COMMAND_GROUPS.values() for name in group]
    assert sorted(set(grouped)) == sorted(grouped)
    assert set(cli.list_commands(_CONTEXT)) <= set(grouped)


def test_headings_and_whole_summaries_are_in_the_help(mvsearch):
    text = mvsearch("--help").out
    assert [heading for heading in COMMAND_GROUPS if f"\n{heading}:\n" not in text] == []
    assert "..." not in text.partition("\nOptions:")[2]
    assert "..." not in mvsearch("studies", "--help").out.partition("\nCommands:")[2]


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_a_command_ends_with_examples_that_parse(path, command):
    examples = command.examples
    assert examples
    context = click.Context(command, info_name=" ".join(path))
    assert command.get_help(context).endswith("\n".join(f"  {line}" for line in examples))
    for line in examples:
        words = shlex.split(line)
        assert tuple(words[: len(path) + 1]) == ("mvsearch", *path)
        assert len(line) <= 78
        command.make_context(path[-1], words[len(path) + 1 :])


def test_quantize_names_its_own_default_scheme_and_the_figures_that_it_draws():
    command = cli.get_command(_CONTEXT, "quantize")
    texts = {option.name: option.help for option in command.params if isinstance(option, click.Option)}
    assert texts["scheme"].endswith("default: channel.")
    assert texts["plot"].endswith("file: .png or .svg.")
