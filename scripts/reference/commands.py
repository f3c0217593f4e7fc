"""docs/reference/commands.md: every command with its arguments and options, as click has them."""

from collections.abc import Iterator

import click

from mvsearch.cli.main import cli
from reference.source import table

_CONTEXT = click.Context(cli, info_name="mvsearch")
_PAGES = {
    "init": ("spaces", "tutorial"),
    "run": ("spaces", "distributed"),
    "worker": ("distributed",),
    "space": ("spaces",),
    "front": ("proxies", "baselines"),
    "report": ("dashboard",),
    "models": ("tasks",),
    "profile": ("metrics",),
    "scale": ("scaling",),
    "show": ("scaling",),
    "quantize": ("export",),
    "studies": ("distributed",),
    "latency": ("latency",),
    "bench": ("latency",),
    "validate": ("validation",),
    "export": ("export",),
    "train": ("training",),
    "predict": ("training", "tasks"),
    "proxies": ("proxies",),
    "baselines": ("baselines",),
    "paper-figures": ("baselines",),
    "data": ("data",),
    "cache": ("data",),
    "doctor": ("install",),
}
"""The pages that explain a command."""
_PROLOGUE = """# Commands

`mvsearch COMMAND --help` prints what is below. ARCH is a published name (`mobilevitv3_xxs`), a YAML file with no open
values, a trial of a study (`v3:17`), or the folder of a finished training. `v3:17+ssdlite` is that network with another
head (`deeplabv3`, `pspnet`, `ssdlite`): exact costs, and the authors' weights can be loaded. STUDY is a name, a folder
or a `study.db`.

Every command that reports has `--json`: one JSON document on stdout, progress on stderr
([keys](../library.md#the-json-of-commands)). Tables fit the terminal; in a pipe `COLUMNS` is their width. Exit codes: 0
done, 1 an error that you can correct (one sentence on stderr), 2 usage, 130 interrupted."""


def page() -> str:
    """The page."""
    groups = {heading: names for heading, names in cli.sections(_CONTEXT).items() if names}
    names = [name for group in groups.values() for name in group]
    if strange := {*_PAGES} - {*names}:
        raise SystemExit(f"scripts/reference/commands.py: there is no command {', '.join(strange)}.")
    rows = (
        (f"**{heading}**" if name == group[0] else "", *_row(name))
        for heading, group in groups.items()
        for name in group
    )
    sections = (part for name in names for part in _section(_command(cli, _CONTEXT, name), ("mvsearch", name)))
    return "\n\n".join([_PROLOGUE, table(["", "command", "what it does", "more"], rows), *sections])


def _row(name: str) -> tuple[str, str, str]:
    links = ", ".join(f"[{page}](../{page}.md)" for page in _PAGES.get(name, ()))
    return f"[`mvsearch {name}`](#mvsearch-{name})", _first_sentence(_command(cli, _CONTEXT, name)), links


def _command(group: click.Group, context: click.Context, name: str) -> click.Command:
    command = group.get_command(context, name)
    assert command is not None
    return command


def _first_sentence(command: click.Command) -> str:
    return _paragraphs(command.help)[0].partition(". ")[0].removesuffix(".")


def _paragraphs(text: str | None) -> list[str]:
    return [part for part in (text or "").strip().split("\n\n") if part.strip()]


def _section(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path))
    yield f"{'#' * len(path)} `{' '.join(path)}`"
    yield f"```\n{' '.join([*path, *command.collect_usage_pieces(context)])}\n```"
    yield from map(_text, [*_paragraphs(command.help), *_paragraphs(command.epilog)])
    if examples := getattr(command, "examples", ()):
        yield "\n".join(["```sh", *examples, "```"])
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    if options:
        yield table(["option", "values", "default", "meaning"], (_option(option, context) for option in options))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _section(_command(command, context, name), (*path, name))


def _text(paragraph: str) -> str:
    """A paragraph of a help text; one that starts with \\b has lines that are kept."""
    lines = paragraph.splitlines()
    if lines[0].strip() == "\b":
        return "\n".join(["```", *lines[1:], "```"])
    return " ".join(line.strip() for line in lines)


def _option(option: click.Option, context: click.Context) -> tuple[str, str, str, str]:
    extra = option.get_help_extra(context)
    flags = [*option.opts, *option.secondary_opts]
    values = "" if option.is_flag or option.count else _values(option, context)
    values += f", `{extra['range']}`" if "range" in extra else ""
    words = (option.help or "") + (
        " Repeatable." if option.multiple and "Repeatable" not in (option.help or "") else ""
    )
    required = "required" if option.required else ""
    return ", ".join(f"`{flag}`" for flag in flags), values, required or _code(extra.get("default", "")), words


def _values(option: click.Option, context: click.Context) -> str:
    """The values of an option in words, or the name that its help gives them."""
    if option.metavar:
        return f"`{option.metavar}`"
    match option.type:
        case click.Choice():
            return ", ".join(f"`{choice}`" for choice in option.type.choices)
        case click.IntRange() | click.types.IntParamType():
            return "a whole number"
        case click.FloatRange() | click.types.FloatParamType():
            return "a number"
        case click.Path():
            return "a path"
    return "text" if option.type is click.STRING else f"`{option.make_metavar(context)}`"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
