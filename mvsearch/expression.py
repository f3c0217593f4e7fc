"""Plain arithmetic over names, evaluated by walking the tree: never `eval`. Takes numbers or NumPy arrays of them.

>>> Expression.parse("2 * dim").evaluate({"dim": 64}.__getitem__)
128
"""

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Lookup = Callable[[str], Any]

_WORDS = {"true": True, "false": False, "none": "none"}
_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.And: operator.and_,
    ast.Or: operator.or_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: lambda value: value ^ True,
}
_LONGEST = 400


def _smallest(*values: Any) -> Any:
    return np.minimum.reduce(np.broadcast_arrays(*values)) if _bulk(values) else min(values)


def _largest(*values: Any) -> Any:
    return np.maximum.reduce(np.broadcast_arrays(*values)) if _bulk(values) else max(values)


def _bulk(values: tuple[Any, ...]) -> bool:
    return any(isinstance(value, np.ndarray) for value in values)


_CALLS: dict[str, Callable[..., Any]] = {"min": _smallest, "max": _largest}


@dataclass(frozen=True)
class Expression:
    """Arithmetic (+ - * / // %), comparisons, and / or / not, `a if c else b`, min, max; names may be dotted."""

    source: str
    tree: ast.expr
    names: tuple[str, ...]
    meanings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, source: str) -> "Expression":
        """Raises ValueError, saying what was found and what would do."""
        if len(source) > _LONGEST:
            raise ValueError(f"an expression of {len(source)} characters is too long; use at most {_LONGEST}")
        try:
            tree = ast.parse(source.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ValueError(f"{source!r} is no expression; use plain arithmetic such as 2*dim") from None
        names: list[str] = []
        _check(tree, names)
        return cls(source, tree, tuple(dict.fromkeys(names)))

    @property
    def alias(self) -> str | None:
        """The name that the whole expression is, if it is no more than a name."""
        return self.names[0] if _name(self.tree) and self.names else None

    def renamed(self, meanings: dict[str, str]) -> "Expression":
        """The same arithmetic over other names."""
        return replace(self, names=tuple(meanings[name] for name in self.names), meanings=meanings)

    def evaluate(self, lookup: Lookup) -> Any:
        """The value, names looked up."""
        return _evaluate(self.tree, lambda name: lookup(self.meanings.get(name, name)))

    def __str__(self) -> str:
        return self.source


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return None


def _check(node: ast.expr, names: list[str]) -> None:
    if (name := _name(node)) is not None:
        if name not in _WORDS:
            names.append(name)
        return
    for part in _parts(node):
        _check(part, names)


def _parts(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.Constant(value=int() | float() | str()):
            return []
        case ast.BinOp(op=op) if type(op) in _BINARY:
            return [node.left, node.right]
        case ast.UnaryOp(op=op) if type(op) in _UNARY:
            return [node.operand]
        case ast.BoolOp():
            return node.values
        case ast.Compare(ops=ops) if all(type(op) in _BINARY for op in ops):
            return [node.left, *node.comparators]
        case ast.IfExp():
            return [node.test, node.body, node.orelse]
        case ast.Call(func=ast.Name(id=function), keywords=[]) if function in _CALLS and node.args:
            return node.args
    raise ValueError(f"{ast.unparse(node)!r} is more than arithmetic; use + - * / // %, comparisons, min and max")


def _evaluate(node: ast.expr, lookup: Lookup) -> Any:
    if (name := _name(node)) is not None:
        return _WORDS[name] if name in _WORDS else lookup(name)
    match node:
        case ast.Constant():
            return node.value
        case ast.Compare():
            return _compare(node, lookup)
        case ast.IfExp():
            return _choose(*(_evaluate(part, lookup) for part in (node.test, node.body, node.orelse)))
    values = [_evaluate(part, lookup) for part in _parts(node)]
    match node:
        case ast.UnaryOp():
            return _UNARY[type(node.op)](values[0])
        case ast.Call(func=ast.Name(id=function)):
            return _CALLS[function](*values)
        case ast.BinOp() | ast.BoolOp():
            result = values[0]
            for value in values[1:]:
                result = _BINARY[type(node.op)](result, value)
            return result
    raise AssertionError(f"unchecked node {node!r}")


def _compare(node: ast.Compare, lookup: Lookup) -> Any:
    values = [_evaluate(part, lookup) for part in (node.left, *node.comparators)]
    result: Any = True
    for op, left, right in zip(node.ops, values, values[1:], strict=False):
        result = result & _BINARY[type(op)](left, right)
    return result


def _choose(test: Any, then: Any, other: Any) -> Any:
    return np.where(test, then, other) if isinstance(test, np.ndarray) else (then if test else other)
