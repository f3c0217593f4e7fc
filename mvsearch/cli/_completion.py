"""What the shell completes behind `mvsearch`: models, studies and their trials, spaces, formats, recipes and plug-ins.

A completer is given to an argument or option as click's `shell_complete`. Where something cannot be read, it has no
values: completion never fails.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from mvsearch.utils import plugins

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_COLON = ":"


def _completer(values: Callable[[str], Iterable[str]], *, paths: str = "") -> Completer:
    """Complete the values for a word that start with it; `paths`, file or dir, where none does."""

    def complete(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        items = [CompletionItem(incomplete, type=paths)] if paths else []
        return items + [CompletionItem(value) for value in values(incomplete) if value.startswith(incomplete)]

    return complete


def plugin_names(kind: plugins.Kind) -> Completer:
    """Complete the names of every file of a kind."""
    return _completer(lambda _word: plugins.names(kind))


def joined_names(kind: plugins.Kind) -> Completer:
    """Complete names of a kind that are separated by commas."""

    def values(word: str) -> Iterable[str]:
        done, comma, _ = word.rpartition(",")
        return (f"{done}{comma}{name}" for name in plugins.names(kind))

    return _completer(values)


def _study_names(_word: str = "") -> list[str]:
    """The studies of the current folder."""
    return sorted(path.parent.name for path in Path("studies").glob("*/study.db"))


def _architectures(word: str) -> list[str]:
    """Published models and studies; behind a colon the study's trials, behind a plus the heads."""
    from mvsearch.arch.published import all_names

    backbone, plus, _ = word.rpartition("+")
    if plus:
        return [f"{backbone}+{head}" for head in plugins.names("head") if head != "classification"]
    study, colon, _ = word.rpartition(_COLON)
    if colon:
        return _trials(study)
    models = [name for name in all_names() if name.startswith(word)]
    studies = [name for name in _study_names() if name.startswith(word)]
    return _trials(studies[0]) if len(studies) == 1 and not models else [*models, *(f"{s}{_COLON}" for s in studies)]


def _trials(study: str) -> list[str]:
    """The complete trials of a study."""
    from mvsearch.errors import MvsearchError
    from mvsearch.study.reader import open_study

    try:
        records = open_study(study).records()
    except (MvsearchError, OSError):
        return []
    return [f"{study}{_COLON}{record.number}" for record in records if record.state == "complete"]


def _spaces(_word: str) -> Iterable[str]:
    from mvsearch.space.shipped import shipped_spaces

    return shipped_spaces()


def _templates(_word: str) -> Iterable[str]:
    from mvsearch.arch.published import model_names
    from mvsearch.study.template import template_names

    return (*template_names(), *model_names())


def _recipes(_word: str) -> Iterable[str]:
    from mvsearch.training.recipes import names

    return names()


complete_architecture = _completer(_architectures, paths="file")
complete_study = _completer(_study_names, paths="file")
complete_space = _completer(_spaces, paths="file")
complete_template = _completer(_templates)
complete_recipe = _completer(_recipes, paths="file")
complete_data = _completer(lambda _word: plugins.names("data_source"), paths="dir")


def register_bash() -> None:
    """Complete trials in bash too, which splits a word at its colons (COMP_WORDBREAKS of readline)."""
    add_completion_class(_Bash, "bash")


class _Bash(BashComplete):
    """Joins what bash has split at a colon, and completes the part behind the last colon, which bash replaces."""

    _replaced_from = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and the one that is completed."""
        args, last = super().get_completion_args()
        *args, word = _join_at_colons([*args, last])
        self._replaced_from = word.rfind(_COLON) + 1 if word != last else 0
        return args, word

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """The completions, without the part that bash does not replace."""
        items = super().get_completions(args, incomplete)
        return [item if item.type != "plain" else CompletionItem(item.value[self._replaced_from :]) for item in items]


def _join_at_colons(words: Sequence[str]) -> list[str]:
    """`v3`, `:` and `1` as `v3:1`."""
    joined: list[str] = []
    for word in words:
        if joined and (word == _COLON or joined[-1].endswith(_COLON)):
            joined[-1] += word
        else:
            joined.append(word)
    return joined
