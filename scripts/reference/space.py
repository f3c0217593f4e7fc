"""docs/reference/space.md: the language of a space file."""

import ast
from collections.abc import Iterable
from typing import Any

from mvsearch.arch.architecture import KEYS
from mvsearch.arch.blocks import block_class
from mvsearch.arch.heads import DEFAULT_KIND, head_class
from mvsearch.arch.published import TASKS, model_names
from mvsearch.arch.schema import Schema
from mvsearch.space import expressions, variables
from mvsearch.space.expressions import Expression
from mvsearch.space.search_space import SearchSpace
from mvsearch.space.validation import SETTINGS
from mvsearch.utils import plugins, yaml_document
from reference.source import code, condition, field_doc, module_summary, table

_KEYS = {
    "name": "The name, which is also that of the study; by default that of the file.",
    "task": "The task of the head, where it should be checked.",
    "image_size": "The side of the images in pixels that costs are computed for; by default the head's. May be "
    "open where the head pools the last map.",
    "num_classes": "The number of classes; by default the head's.",
    "vars": "Values by name, for several rows.",
    "blocks": "The rows of the network, from the image to the head, and groups of rows. Required.",
    "head": "The part after the rows: `{kind: KIND, ...}`.",
    "where": "Conditions that every point of the space meets.",
    "contains": "Published models, architecture files and folders of trainings (paths relative to the space file), "
    "under the head, the image size and the number of classes of the space. Each is proven to be a point and evaluated "
    "first.",
    "published": "The printed figures of a published model; only in files that mvsearch includes.",
}
_OPEN = {
    "16": "a constant",
    "{choose: [16, 24, 32]}": "open: one of a list",
    "{range: [64, 128, 16]}": "open: from 64 to 128 in steps of 16, both ends included",
    "{range: [1, 3]}": "open: the step is 1 unless given",
    "width": "a name under `vars:`",
    "stem.out": "a field of another row",
    "in_channels": "the width of the row's input",
    "2*kernel": "arithmetic over names; a bare name is a field of the same row, or else one of `vars:`",
}
_EXAMPLES = (
    *("a + b", "a - b", "a * b", "a / b", "a // b", "a % b", "-a", "+a"),
    *("a == b", "a != b", "a < b", "a <= b", "a > b", "a >= b", "a < b < 9"),
    *("a < b and b < 9", "a > b or b > 9", "not a > b", "a if a > b else b"),
    *("min(a, b, 5)", "max(a, b)", "true", "false", "none"),
)
_VALUES = {"a": 7, "b": 2}


def page() -> str:
    """The page."""
    return "\n\n".join(
        [
            "# The language of a space file",
            "A space file is a network in which some values are open; a file with none is an architecture. "
            "[Search spaces](../spaces.md) explains how they are used, [settings](settings.md) lists the sections that "
            "`mvsearch run` reads.",
            *_keys(),
            *_values(),
            *_expressions(),
            "## Blocks",
            "A row is `{name: ..., block: BLOCK, ...}` with the fields of its block. Every field may be open, the kind "
            "too: see [spaces](../spaces.md#kinds-optional-rows-image-sizes-and-stages).",
            *(part for kind in plugins.names("block") for part in _block(kind)),
            "## Heads",
            f"`head: {{kind: KIND, ...}}`; the default is `{DEFAULT_KIND}`. The fields of a head are never open.",
            *(part for kind in plugins.names("head") for part in _head(kind)),
            "## Published models",
            "`contains:` takes these names, and paths of files.",
            table(["task", "models"], ((task, ", ".join(map(code, model_names(task)))) for task in TASKS)),
        ]
    )


def _keys() -> Iterable[str]:
    known = {*KEYS, "vars", "where", "contains"}
    if known != {*_KEYS}:
        raise SystemExit(f"scripts/reference/space.py: describe the keys {', '.join(known ^ {*_KEYS})}.")
    return (
        "## Keys of a file",
        table(["key", "meaning"], ((code(key), words) for key, words in _KEYS.items())),
        f"Besides these, `mvsearch run` reads {', '.join(f'[`{name}`](settings.md#{name})' for name in SETTINGS)}.",
    )


def _values() -> Iterable[str]:
    rows = ((code(f"out: {text}"), words, ", ".join(map(code, _possible(text)))) for text, words in _OPEN.items())
    return (
        "## Values",
        "In a file with `vars: {width: {choose: [8, 12]}}`, a row `stem` with `out: 16`, and `kernel: 5` in the row "
        "itself:",
        table(["written", "meaning", "values"], rows),
        f"Numbers are at most {expressions.MAX_NUMBER:,}, a range has at most {variables.MAX_VALUES:,} values, a value "
        f"depends on a chain of at most {variables.MAX_CHAIN} names.",
    )


def _possible(text: str) -> list[Any]:
    """The values that a field takes in a space."""
    space = SearchSpace.parse(
        yaml_document.parse(
            "vars: {width: {choose: [8, 12]}}\nblocks:\n  - {name: stem, block: conv, out: 16, stride: 2}\n"
            f"  - {{name: row, block: conv, kernel: 5, out: {text}}}\n  - {{name: last, block: conv, out: width}}\n"
        )
    )
    codes = space.enumerate_codes(range(len(space.choices)))
    return list(dict.fromkeys(space.architecture(space.point(code)).blocks[1].out for code in codes))


def _expressions() -> Iterable[str]:
    _check_complete()
    rows = ((code(text), code(Expression.parse(text).evaluate(_VALUES.__getitem__))) for text in _EXAMPLES)
    given = " and ".join(f"{name} = {value}" for name, value in _VALUES.items())
    return (
        "## Expressions and conditions",
        f"This is all that an expression can contain, with the values where {given}. A truth value counts as 0 or 1. A "
        "condition under `where:` is an expression that is true; words are compared with `==` and `!=`: "
        "`row.local == 'dense'`.",
        table(["expression", "value"], rows),
        f"An expression has at most {expressions.MAX_CHARACTERS} characters and is nested at most "
        f"{expressions.MAX_DEPTH} deep.",
    )


def _check_complete() -> None:
    """Exits with an error if an operator, a function or a constant is in no example."""
    nodes = [node for text in _EXAMPLES for node in ast.walk(ast.parse(text, mode="eval"))]
    shown = {type(node) for node in nodes} | {node.id for node in nodes if isinstance(node, ast.Name)}
    known = {*expressions.BINARY, *expressions.UNARY, *expressions.FUNCTIONS, *expressions.CONSTANTS}
    if missing := known - shown:
        raise SystemExit(f"scripts/reference/space.py: give an example of {', '.join(map(str, missing))}.")


def _block(kind: str) -> Iterable[str]:
    row = block_class(kind)
    yield f"### `{kind}`"
    yield f"{_after_name(module_summary('block', kind))} {_docstring(row)}"
    yield _fields(row)
    if row.rules:
        conditions = ", ".join(code(condition(rule.holds)) for rule in row.rules)
        yield f"Every row satisfies {conditions} (`width`: the channels of its input)."
    for field, (other, value) in row.inactive_when.items():
        yield f"`{field}` has no effect with `{other}: {row.domains()[other].write(value)}`."
    if row.variants:
        yield table(["version", "fields"], ((name, _spelled(row, values)) for name, values in row.variants.items()))


def _head(kind: str) -> Iterable[str]:
    head = head_class(kind)
    yield f"### `{kind}`"
    yield _after_name(module_summary("head", kind))
    yield f"For {head.task}; by default {head.image_size} px and {head.num_classes} classes."
    yield _fields(head) if head.domains() else "It has no fields."


def _fields(schema: type[Schema]) -> str:
    rows = (
        (code(name), domain.description.removeprefix("one of "), _default(schema, name), field_doc(schema, name))
        for name, domain in schema.domains().items()
    )
    return table(["field", "values", "default", "meaning"], rows)


def _default(schema: type[Schema], name: str) -> str:
    if name in schema.required():
        return "required"
    value = getattr(schema, name)
    return "computed" if value is None else code(schema.domains()[name].write(value))


def _spelled(row: type[Schema], values: dict[str, Any]) -> str:
    return ", ".join(f"`{name}: {code(row.domains()[name].write(value)).strip('`')}`" for name, value in values.items())


def _docstring(schema: type[Schema]) -> str:
    return " ".join((schema.__doc__ or "").split())


def _after_name(summary: str) -> str:
    """A summary without the name that it starts with, from a capital letter on."""
    words = summary.partition(": ")[2]
    return words[0].upper() + words[1:]
