"""What the source says of itself: docstrings of files and of fields, and the conditions of rules."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from html import escape
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from mvsearch.arch.schema import field_text
from mvsearch.utils import plugins
from mvsearch.utils.plugins import Kind


def field_docs(cls: type[Any]) -> dict[str, str]:
    """The docstring under each field of a class, those of its bases included."""
    docs: dict[str, str] = {}
    for each in reversed(cls.__mro__[:-1]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in pairwise(definition.body):
            if isinstance(field, ast.AnnAssign) and (words := _string(text)):
                docs[ast.unparse(field.target)] = words
    return docs


def field_doc(cls: type[Any], name: str) -> str:
    """The docstring under a field; exits with an error if there is none, so that no field stays without."""
    docs = field_docs(cls)
    if name not in docs:
        raise SystemExit(f"{cls.__module__}.{cls.__qualname__}.{name} has no docstring; write one under the field.")
    return docs[name]


def _string(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return None


def module_summary(kind: Kind, name: str) -> str:
    """The first paragraph of the docstring of a plug-in's file, which is not imported."""
    spec = find_spec(f"{plugins.KINDS[kind]}.{name}")
    docstring = ast.get_docstring(ast.parse(Path(str(spec and spec.origin)).read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def condition(holds: Callable[..., Any]) -> str:
    """The body of a lambda as it is written."""
    tree = ast.parse(Path(inspect.getfile(holds)).read_text(encoding="utf-8"))
    (body,) = (
        node.body
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda) and node.lineno == holds.__code__.co_firstlineno
    )
    return ast.unparse(body)


def code(value: Any) -> str:
    """A value as code, as a file spells it; a list without quotes."""
    text = f"[{', '.join(map(field_text, value))}]" if isinstance(value, tuple | list) else field_text(value)
    return f"`{text}`"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    heads = list(heads)
    lines = [[*map(_cell, line)] for line in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """A cell in which no bar ends it; in code, where GitHub and Python-Markdown disagree about `\\|`, as an entity."""
    text = re.sub(r"`([^`|]*\|[^`]*)`", lambda code: f"<code>{escape(code[1]).replace('|', '&#124;')}</code>", text)
    return text.replace("|", r"\|")
