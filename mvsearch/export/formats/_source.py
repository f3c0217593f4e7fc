"""The source of classes and functions of mvsearch with all that they use, so that it runs without mvsearch."""

import ast
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from mvsearch.errors import MvsearchError

_OURS = "mvsearch."


@dataclass(frozen=True)
class _Module:
    """The top level of a module: what it defines, and where its other names come from."""

    lines: tuple[str, ...]
    defined: dict[str, ast.stmt]
    ours: dict[str, str]
    others: dict[str, tuple[str, str]]


@cache
def _parse(module: str) -> _Module:
    text = inspect.getsource(import_module(module))
    parsed = _Module(tuple(text.splitlines()), {}, {}, {})
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            parsed.defined[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parsed.defined.update({target.id: node for target in targets if isinstance(target, ast.Name)})
        elif isinstance(node, ast.Import):
            for alias in node.names:
                statement = f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
                parsed.others[alias.asname or alias.name.partition(".")[0]] = (statement, "")
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if node.module.startswith(_OURS) and not alias.asname:
                    parsed.ours[alias.name] = node.module
                else:
                    member = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
                    parsed.others[alias.asname or alias.name] = (f"from {node.module} import", member)
    return parsed


class Sources:
    """Definitions in an order in which Python can run them, and the imports that they need."""

    def __init__(self) -> None:
        self._definitions: dict[str, str] = {}
        self._origins: dict[str, str] = {}
        self._plain: set[str] = set()
        self._from: dict[str, set[str]] = {}

    @property
    def names(self) -> set[str]:
        """The names that definitions and imports bind so far."""
        return set(self._origins)

    def add(self, item: type | Callable[..., object]) -> None:
        """Add a class or function and all that it uses; raises MvsearchError if two definitions share a name."""
        self._add(item.__name__, item.__module__)

    def add_import(self, statement: str) -> None:
        """Add an import that no definition needs."""
        head, _, names = statement.partition(" import ")
        if head.startswith(f"from {_OURS}") or statement.startswith(f"import {_OURS}"):
            raise MvsearchError(f"`{statement}` cannot be exported; use `from ... import NAME`, without `as`.")
        for name in names.split(", "):
            bound = (name or statement).rpartition(" as ")[2].removeprefix("import ").partition(".")[0]
            self._is_new(bound, f"{head} import {name}" if name else statement)
        if names:
            self._from.setdefault(f"{head} import", set()).update(names.split(", "))
        else:
            self._plain.add(statement)

    def _is_new(self, name: str, origin: str) -> bool:
        first = self._origins.get(name)
        if first not in (None, origin):
            raise MvsearchError(f"{name} is defined in {first} and {origin}; rename one of the two.")
        self._origins[name] = origin
        return first is None

    def _add(self, name: str, module: str) -> None:
        if not self._is_new(name, module):
            return
        source = _parse(module)
        if name not in source.defined:
            raise MvsearchError(
                f"{module} does not define {name}, so it cannot be exported; import it from its own file."
            )
        node = source.defined[name]
        used = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)} - {name}
        for other in sorted(used):
            if other in source.defined:
                self._add(other, module)
            elif other in source.ours:
                self._add(other, source.ours[other])
            elif other in source.others:
                statement, member = source.others[other]
                self.add_import(f"{statement} {member}".strip())
        first = min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))
        self._definitions[name] = "\n".join(source.lines[first - 1 : node.end_lineno])

    def imports(self) -> str:
        """The import lines that something uses, sorted."""
        grouped = [f"{statement} {', '.join(sorted(names, key=_as_isort))}" for statement, names in self._from.items()]
        standard = [line for line in (*sorted(self._plain), *sorted(grouped)) if _top(line) in sys.stdlib_module_names]
        others = [line for line in (*sorted(self._plain), *sorted(grouped)) if line not in standard]
        return "\n\n".join("\n".join(group) for group in (standard, others) if group)

    def definitions(self) -> list[str]:
        """The source of each definition; a definition follows those that it uses."""
        return list(self._definitions.values())


def _top(line: str) -> str:
    return line.split()[1].partition(".")[0]


def _as_isort(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2, name)
