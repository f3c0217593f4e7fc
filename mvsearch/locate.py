"""At which point of a space an architecture lies: open fields are read off, computed ones tried until they fit."""

from itertools import product
from typing import Any

from mvsearch.architecture import Architecture
from mvsearch.errors import SpaceError
from mvsearch.expression import Expression
from mvsearch.terms import Choice, Scope, Term, choices_of
from mvsearch.yamlfile import Document

Point = dict[str, Any]


def locate(document: Document, terms: dict[str, Term], arch: Architecture) -> Point:
    """The point's values by choice; raises SpaceError, saying which field does not fit."""
    wanted = _wanted_fields(document, arch)
    point: Point = {}
    computed: list[tuple[str, Any]] = []
    for name, value in wanted.items():
        term = _behind(terms, name)
        if isinstance(term, Choice):
            _assign(point, name, term, value)
        elif isinstance(term, Expression):
            computed.append((name, value))
        elif type(term) is not type(value) or term != value:
            raise SpaceError(f"{name} is {value}, the space says {term}")
    point = _solve(terms, point, computed)
    undecided = {choice.name: choice.values[0] for choice in terms.values() if isinstance(choice, Choice)}
    return {**undecided, **point}


def _wanted_fields(document: Document, arch: Architecture) -> Point:
    rows = document.data["blocks"]
    kinds = [row["block"] for row in rows]
    if kinds != [block.kind() for block in arch.blocks]:
        raise SpaceError(f"its rows are {', '.join(b.kind() for b in arch.blocks)}, the space's {', '.join(kinds)}")
    return {
        f"{row['name']}.{field}": domain.write(getattr(block, field))
        for row, block in zip(rows, arch.blocks, strict=True)
        for field, domain in block.domains().items()
        if field in row
    }


def _behind(terms: dict[str, Term], name: str) -> Term:
    """What a name stands for, other names that are no more than that looked through."""
    term = terms[name]
    while isinstance(term, Expression) and term.alias is not None:
        term = terms[term.alias]
    return term


def _assign(point: Point, name: str, choice: Choice, value: Any) -> None:
    if not any(type(v) is type(value) and v == value for v in choice.values):
        raise SpaceError(f"{name} is {value}, the space offers {', '.join(map(str, choice.values))}")
    if point.setdefault(choice.name, value) != value:
        raise SpaceError(f"{name} is {value}, but the space ties it to {choice.name}, {point[choice.name]} elsewhere")


def _solve(terms: dict[str, Term], point: Point, computed: list[tuple[str, Any]]) -> Point:
    """Values for the choices still undecided, such that every computed field comes out as wanted."""
    if not computed:
        return point
    undecided = {name: [c for c in choices_of(terms, [name]) if c.name not in point] for name, _ in computed}
    name, value = min(computed, key=lambda item: len(undecided[item[0]]))
    rest = [item for item in computed if item[0] != name]
    problem = f"no values of its choices make {name} {value}"
    for values in product(*(choice.values for choice in undecided[name])):
        tried = {**point, **{c.name: v for c, v in zip(undecided[name], values, strict=True)}}
        made = Scope(terms, tried).value(name)
        if made == value:
            try:
                return _solve(terms, tried, rest)
            except SpaceError as error:
                problem = str(error)
        elif not undecided[name]:
            problem = f"{name} is {value}, the space makes it {made}"
    raise SpaceError(problem)
