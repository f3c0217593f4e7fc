"""At which point of a space an architecture lies: open fields are read off, computed ones tried until they fit."""

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.schema import Domain
from mvsearch.errors import SpaceError
from mvsearch.space.expressions import Expression
from mvsearch.space.variables import Choice, Scope, Term, choices_of
from mvsearch.utils.yaml_document import Document

Point = dict[str, Any]

_MOST_TRIED = 10_000


def locate(document: Document, terms: dict[str, Term], arch: Architecture) -> Point:
    """The point's values by choice; raises SpaceError, saying which field does not fit."""
    point: Point = {}
    computed: list[FieldTarget] = []
    for wanted in _wanted_fields(document, arch):
        term = _behind(terms, wanted.name)
        if isinstance(term, Choice):
            _assign(point, wanted, term)
        elif isinstance(term, Expression):
            computed.append(wanted)
        elif not wanted.is_met_by(term):
            raise SpaceError(f"{wanted.name} is {wanted.shown}, the space says {term}")
    point = _solve(terms, point, computed)
    undecided = {choice.name: choice.values[0] for choice in terms.values() if isinstance(choice, Choice)}
    return {**undecided, **point}


@dataclass(frozen=True)
class FieldTarget:
    """What a field of a row must come out as."""

    name: str
    value: Any
    domain: Domain

    def is_met_by(self, spelled: Any) -> bool:
        """Whether a file's spelling stands for the value."""
        try:
            return bool(self.domain.read(spelled) == self.value)
        except ValueError:
            return False

    @property
    def shown(self) -> Any:
        """The value as a file spells it."""
        return self.domain.write(self.value)


def _wanted_fields(document: Document, arch: Architecture) -> list[FieldTarget]:
    rows = document.data["blocks"]
    kinds = [row["block"] for row in rows]
    if kinds != [block.kind() for block in arch.blocks]:
        raise SpaceError(f"its rows are {', '.join(b.kind() for b in arch.blocks)}, the space's {', '.join(kinds)}")
    return [
        FieldTarget(f"{row['name']}.{field}", getattr(block, field), domain)
        for row, block in zip(rows, arch.blocks, strict=True)
        for field, domain in block.domains().items()
        if field in row
    ]


def _behind(terms: dict[str, Term], name: str) -> Term:
    """What a name stands for, other names that are no more than that looked through."""
    term = terms[name]
    while isinstance(term, Expression) and term.alias is not None:
        term = terms[term.alias]
    return term


def _assign(point: Point, wanted: FieldTarget, choice: Choice) -> None:
    name, shown = wanted.name, wanted.shown
    fitting = [value for value in choice.values if wanted.is_met_by(value)]
    if not fitting:
        raise SpaceError(f"{name} is {shown}, the space offers {', '.join(map(str, choice.values))}")
    if point.setdefault(choice.name, fitting[0]) != fitting[0]:
        raise SpaceError(f"{name} is {shown}, but the space ties it to {choice.name}, {point[choice.name]} elsewhere")


def _solve(terms: dict[str, Term], point: Point, computed: list[FieldTarget]) -> Point:
    """Values for the choices still undecided, such that every computed field comes out as wanted."""
    if not computed:
        return point
    undecided = {w.name: [c for c in choices_of(terms, [w.name]) if c.name not in point] for w in computed}
    wanted = min(computed, key=lambda w: math.prod(len(choice.values) for choice in undecided[w.name]))
    open_ = undecided[wanted.name]
    if math.prod(len(choice.values) for choice in open_) > _MOST_TRIED:
        names = ", ".join(choice.name for choice in open_)
        raise SpaceError(f"{wanted.name} follows from choices too many to try ({names})")
    rest = [other for other in computed if other is not wanted]
    problem = f"no values of its choices make {wanted.name} {wanted.shown}"
    for values in product(*(choice.values for choice in open_)):
        tried = {**point, **{c.name: v for c, v in zip(open_, values, strict=True)}}
        made = Scope(terms, tried).value(wanted.name)
        if wanted.is_met_by(made):
            try:
                return _solve(terms, tried, rest)
            except SpaceError as error:
                problem = str(error)
        elif not open_:
            problem = f"{wanted.name} is {wanted.shown}, the space makes it {made}"
    raise SpaceError(problem)
