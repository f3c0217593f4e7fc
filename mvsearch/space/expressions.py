"""Plain arithmetic over names, evaluated by walking the tree: never `eval`. Takes numbers or NumPy arrays of them.

>>> Expression.parse("2 * dim").evaluate({"dim": 64}.__getitem__)
128
"""

import ast
import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mvsearch.errors import Location, SpaceError

Lookup = Callable[[str], Any]

LARGEST = 2**31
"""Of numbers in arithmetic: a product of two still fits the 64 bits of a NumPy integer, so columns never wrap."""
_LONGEST, _DEEPEST = 400, 40
_WORDS = {"true": True, "false": False, "none": "none"}


def _number(value: Any) -> Any:
    """A truth counts as 0 or 1, alone and in a column, and a word does not count."""
    if _is_words(value):
        raise TypeError("a word stands where a number should")
    value = value + 0 if np.asarray(value).dtype == bool else value
    if not np.all(abs(value) <= LARGEST):
        raise OverflowError(f"a number grows beyond {LARGEST:,}")
    return value


def _is_words(value: Any) -> bool:
    return value.dtype.kind in "OU" if isinstance(value, np.ndarray) else not isinstance(value, int | float)


def _truth(value: Any) -> Any:
    return _number(value) != 0


def _numbers(work: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: work(*map(_number, values))


def _truths(work: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: work(*map(_truth, values))


def _smallest(*values: Any) -> Any:
    return np.minimum.reduce(np.broadcast_arrays(*values)) if _bulk(values) else min(values)


def _largest(*values: Any) -> Any:
    return np.maximum.reduce(np.broadcast_arrays(*values)) if _bulk(values) else max(values)


def _bulk(values: tuple[Any, ...]) -> bool:
    return any(isinstance(value, np.ndarray) for value in values)


_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: _numbers(operator.add),
    ast.Sub: _numbers(operator.sub),
    ast.Mult: _numbers(operator.mul),
    ast.Div: _numbers(operator.truediv),
    ast.FloorDiv: _numbers(operator.floordiv),
    ast.Mod: _numbers(operator.mod),
    ast.And: _truths(operator.and_),
    ast.Or: _truths(operator.or_),
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: _numbers(operator.lt),
    ast.LtE: _numbers(operator.le),
    ast.Gt: _numbers(operator.gt),
    ast.GtE: _numbers(operator.ge),
}
_UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.USub: _numbers(operator.neg),
    ast.UAdd: _numbers(operator.pos),
    ast.Not: _truths(lambda value: value ^ True),
}
_CALLS: dict[str, Callable[..., Any]] = {"min": _numbers(_smallest), "max": _numbers(_largest)}


@dataclass(frozen=True)
class Expression:
    """Arithmetic (+ - * / // %), comparisons, and / or / not, `a if c else b`, min, max; names may be dotted."""

    source: str
    tree: ast.expr
    names: tuple[str, ...]
    meanings: dict[str, str] = field(default_factory=dict)
    where: Location | None = None

    @classmethod
    def parse(cls, source: str) -> "Expression":
        """Raises ValueError, saying what was found and what would do."""
        if len(source) > _LONGEST:
            raise ValueError(f"an expression of {len(source)} characters is too long; use at most {_LONGEST}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's advice on its own syntax
                tree = ast.parse(source.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ValueError(f"{source!r} is no expression; use plain arithmetic such as 2*dim") from None
        names: list[str] = []
        _check(tree, names, source.strip())
        return cls(source, tree, tuple(dict.fromkeys(names)))

    @property
    def alias(self) -> str | None:
        """The name that the whole expression is, if it is no more than a name."""
        return self.names[0] if _name(self.tree) and self.names else None

    def placed(self, where: Location, meanings: dict[str, str]) -> "Expression":
        """The same arithmetic over other names, found at a line of a file."""
        return replace(self, names=tuple(meanings[name] for name in self.names), meanings=meanings, where=where)

    @property
    def conjuncts(self) -> tuple["Expression", ...]:
        """Expressions that are all true where this one is, and not else; each names as little as it can.

        >>> [conjunct.names for conjunct in Expression.parse("a <= b <= c and d").conjuncts]
        [('a', 'b'), ('b', 'c'), ('d',)]
        """
        return tuple(self._part(tree) for tree in _conjuncts(self.tree))

    def _part(self, tree: ast.expr) -> "Expression":
        names: list[str] = []
        _check(tree, names, self.source)
        return replace(self, tree=tree, names=tuple(dict.fromkeys(self.meanings.get(name, name) for name in names)))

    def evaluate(self, lookup: Lookup) -> Any:
        """The value, names looked up; raises SpaceError, for a column as for a single value, if there is none."""
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
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return None


def _check(node: ast.expr, names: list[str], source: str, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"{source!r} is nested too deeply; give a part of it a name under `vars:`")
    if (name := _name(node)) is not None:
        if name not in _WORDS:
            names.append(name)
        return
    parts = _parts(node)
    if parts is None:
        found = ast.get_source_segment(source, node) or source
        raise ValueError(f"{found!r} is more than arithmetic; use + - * / // %, comparisons, min and max")
    for part in parts:
        _check(part, names, source, depth + 1)


def _parts(node: ast.expr) -> list[ast.expr] | None:
    """What a node is made of; None if it has no place in an expression."""
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
    return None


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
    values = [_evaluate(part, lookup) for part in _parts(node) or ()]
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
    if not isinstance(test, np.ndarray):
        return then if _truth(test) else other
    if _is_words(then) != _is_words(other):  # NumPy would turn the numbers into words
        then, other = (np.asarray(value, dtype=object) for value in (then, other))
    return np.where(_truth(test), then, other)
