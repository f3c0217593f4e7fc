"""Plain arithmetic over names, evaluated on the syntax tree, never by `eval`. Values are numbers or NumPy arrays.

>>> Expression.parse("2 * dim").evaluate({"dim": 64}.__getitem__)
128
"""

import ast
import operator
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from mvsearch.errors import Location, SpaceError
from mvsearch.utils import plugins

Lookup = Callable[[str], Any]
Guard = frozenset[tuple[str, bool]]
"""Tests, each with the result that it must have."""

MAX_NUMBER = 2**31
"""The largest number in arithmetic: a product of two fits the 64 bits of a NumPy integer, so columns never overflow."""
MAX_CHARACTERS, MAX_DEPTH = 400, 40
_KINDS = plugins.names("block")
CONSTANTS = {"true": True, "false": False, "none": "none"}


def _number(value: Any) -> Any:
    """A truth value counts as 0 or 1, alone and in a column; a string raises TypeError."""
    if _is_text(value):
        raise TypeError("found a word in place of a number")
    value = value + 0 if np.asarray(value).dtype == bool else value
    if not np.all(abs(value) <= MAX_NUMBER):
        raise OverflowError(f"a number exceeds {MAX_NUMBER:,}")
    return value


def _is_text(value: Any) -> bool:
    return value.dtype.kind in "OU" if isinstance(value, np.ndarray) else not isinstance(value, int | float)


def _truth(value: Any) -> Any:
    return _number(value) != 0


def _on_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: function(*map(_number, values))


def _on_truths(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: function(*map(_truth, values))


def _smallest(*values: Any) -> Any:
    return np.minimum.reduce(np.broadcast_arrays(*values)) if _any_column(values) else min(values)


def _largest(*values: Any) -> Any:
    return np.maximum.reduce(np.broadcast_arrays(*values)) if _any_column(values) else max(values)


def _any_column(values: tuple[Any, ...]) -> bool:
    return any(isinstance(value, np.ndarray) for value in values)


BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: _on_numbers(operator.add),
    ast.Sub: _on_numbers(operator.sub),
    ast.Mult: _on_numbers(operator.mul),
    ast.Div: _on_numbers(operator.truediv),
    ast.FloorDiv: _on_numbers(operator.floordiv),
    ast.Mod: _on_numbers(operator.mod),
    ast.And: _on_truths(operator.and_),
    ast.Or: _on_truths(operator.or_),
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: _on_numbers(operator.lt),
    ast.LtE: _on_numbers(operator.le),
    ast.Gt: _on_numbers(operator.gt),
    ast.GtE: _on_numbers(operator.ge),
}
UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.USub: _on_numbers(operator.neg),
    ast.UAdd: _on_numbers(operator.pos),
    ast.Not: _on_truths(lambda value: value ^ True),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {"min": _on_numbers(_smallest), "max": _on_numbers(_largest)}


@dataclass(frozen=True)
class Expression:
    """Arithmetic (+ - * / // %), comparisons, and / or / not, `a if c else b`, min, max.

    Names may be dotted: ROW.FIELD, and ROW.KIND.FIELD for a field of one kind.
    """

    source: str
    tree: ast.expr
    names: tuple[str, ...]
    meanings: dict[str, str] = field(default_factory=dict)
    where: Location | None = None

    @classmethod
    def parse(cls, source: str, max_characters: int = MAX_CHARACTERS) -> "Expression":
        """Raises ValueError for anything but arithmetic, with the part that is not."""
        if len(source) > max_characters:
            raise ValueError(f"the expression has {len(source)} characters (limit {max_characters})")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # SyntaxWarning, such as for `1 is 1`
                tree = ast.parse(source.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ValueError(f"{source!r} is not an expression; use plain arithmetic such as 2*dim") from None
        names: list[str] = []
        _check(tree, names, source.strip())
        return cls(source, tree, tuple(dict.fromkeys(names)))

    @property
    def alias(self) -> str | None:
        """The name that the expression consists of, or None if it is more than a name."""
        return self.names[0] if _name(self.tree) and self.names else None

    @property
    def words(self) -> tuple[str, ...]:
        """The words in quotes."""
        constants = (node.value for node in ast.walk(self.tree) if isinstance(node, ast.Constant))
        return tuple(dict.fromkeys(value for value in constants if isinstance(value, str)))

    @classmethod
    def derived(cls, source: str) -> "Expression":
        """An expression that follows from the file rather than being written in it; its names are variables."""
        return cls.parse(source, max_characters=10**6)

    def bind(self, where: Location, meanings: dict[str, str]) -> "Expression":
        """The same expression at a place of a file, with each name replaced by its meaning."""
        return replace(self, names=tuple(meanings[name] for name in self.names), meanings=meanings, where=where)

    @property
    def conjuncts(self) -> tuple["Expression", ...]:
        """The expressions whose conjunction this one is, each with as few names as possible.

        >>> [conjunct.names for conjunct in Expression.parse("a <= b <= c and d").conjuncts]
        [('a', 'b'), ('b', 'c'), ('d',)]
        """
        return tuple(self._part(tree) for tree in _conjuncts(self.tree))

    def _part(self, tree: ast.expr) -> "Expression":
        names: list[str] = []
        _check(tree, names, self.source)
        return replace(self, tree=tree, names=tuple(dict.fromkeys(self.meanings.get(name, name) for name in names)))

    def reads(self) -> Iterator[tuple[str, Guard]]:
        """Each name wherever it is read, with the tests under which it is.

        >>> dict(Expression.parse("a if b == 2 else 3").reads())["a"]
        frozenset({('b == 2', True)})
        """
        return _reads(_Bind(self.meanings).visit(deepcopy(self.tree)), frozenset())

    def evaluate(self, lookup: Lookup) -> Any:
        """The value, with `lookup` for the names; raises SpaceError where it is undefined, in a column as well."""
        try:
            with np.errstate(divide="raise", invalid="raise"):
                return _evaluate(self.tree, lambda name: lookup(self.meanings.get(name, name)))
        except (ZeroDivisionError, FloatingPointError):
            raise SpaceError(
                f"{self.source!r} divides by zero; keep the divisor at 1 or more.", at=self.where
            ) from None
        except (TypeError, OverflowError) as error:
            raise SpaceError(f"{self.source!r} cannot be evaluated: {error}.", at=self.where) from None
        except RecursionError:
            raise SpaceError(f"{self.source!r} depends on too many other names; use fewer.", at=self.where) from None

    def __str__(self) -> str:
        return self.source


def _conjuncts(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BoolOp(op=ast.And()):
            return [part for value in node.values for part in _conjuncts(value)]
        case ast.Compare(ops=[_, _, *_]):
            pairs = zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
            return [ast.Compare(left, [op], [right]) for left, op, right in pairs]
    return [node]


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _name(node.value)) is not None:
        _, _, kind = owner.partition(".")
        return f"{owner}.{node.attr}" if not kind or kind in _KINDS else None
    return None


def _check(node: ast.expr, names: list[str], source: str, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"{source!r} is nested too deeply; name a part of it under `vars:`")
    if (name := _name(node)) is not None:
        if name not in CONSTANTS:
            names.append(name)
        return
    parts = _parts(node)
    if parts is None:
        segment = ast.get_source_segment(source, node) or source
        raise ValueError(f"{segment!r} is not plain arithmetic; use + - * / // %, comparisons, min and max")
    for part in parts:
        _check(part, names, source, depth + 1)


class _Bind(ast.NodeTransformer):
    """Replaces each name by its meaning."""

    def __init__(self, meanings: dict[str, str]) -> None:
        self.meanings = meanings

    def visit(self, node: ast.AST) -> Any:
        name = _name(node)
        return self.generic_visit(node) if name is None else ast.Name(self.meanings.get(name, name))


def _reads(node: ast.expr, guard: Guard) -> Iterator[tuple[str, Guard]]:
    if (name := _name(node)) is not None:
        return iter([(name, guard)] if name not in CONSTANTS else [])
    if not isinstance(node, ast.IfExp):
        return chain.from_iterable(_reads(part, guard) for part in _parts(node) or ())
    test = ast.unparse(node.test)
    branches = [(node.test, guard), (node.body, guard | {(test, True)}), (node.orelse, guard | {(test, False)})]
    return chain.from_iterable(_reads(part, guard) for part, guard in branches)


def _parts(node: ast.expr) -> list[ast.expr] | None:
    """The parts of a node; None if it is not allowed in an expression."""
    match node:
        case ast.Constant(value=int() | float() | str()):
            return []
        case ast.BinOp(op=op) if type(op) in BINARY:
            return [node.left, node.right]
        case ast.UnaryOp(op=op) if type(op) in UNARY:
            return [node.operand]
        case ast.BoolOp():
            return node.values
        case ast.Compare(ops=ops) if all(type(op) in BINARY for op in ops):
            return [node.left, *node.comparators]
        case ast.IfExp():
            return [node.test, node.body, node.orelse]
        case ast.Call(func=ast.Name(id=function), keywords=[]) if function in FUNCTIONS and node.args:
            return node.args
    return None


def _evaluate(node: ast.expr, lookup: Lookup) -> Any:
    if (name := _name(node)) is not None:
        return CONSTANTS[name] if name in CONSTANTS else lookup(name)
    match node:
        case ast.Constant():
            return node.value
        case ast.Compare():
            return _compare(node, lookup)
        case ast.IfExp():
            return _choose(*(_evaluate(part, lookup) for part in (node.test, node.body, node.orelse)))
    values = [_evaluate(part, lookup) for part in _parts(node) or ()]
    match node:
        case ast.UnaryOp():
            return UNARY[type(node.op)](values[0])
        case ast.Call(func=ast.Name(id=function)):
            return FUNCTIONS[function](*values)
        case ast.BinOp() | ast.BoolOp():
            result = values[0]
            for value in values[1:]:
                result = BINARY[type(node.op)](result, value)
            return result
    raise AssertionError(f"unchecked node {node!r}")


def _compare(node: ast.Compare, lookup: Lookup) -> Any:
    values = [_evaluate(part, lookup) for part in (node.left, *node.comparators)]
    result: Any = True
    for op, left, right in zip(node.ops, values, values[1:], strict=False):
        result = result & BINARY[type(op)](left, right)
    return result


def _choose(test: Any, then: Any, other: Any) -> Any:
    if not isinstance(test, np.ndarray):
        return then if _truth(test) else other
    if _is_text(then) != _is_text(other):  # NumPy would convert the numbers to strings
        then, other = (np.asarray(value, dtype=object) for value in (then, other))
    return np.where(_truth(test), then, other)
