"""The checks of a search space: keys, values, rules between fields, size, and the models it contains."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mvsearch.arch import published as models
from mvsearch.arch.architecture import KEYS
from mvsearch.arch.cost import IMAGE_CHANNELS
from mvsearch.arch.parsing import row_class
from mvsearch.arch.schema import Domain, Rule
from mvsearch.errors import ArchitectureError, SpaceError
from mvsearch.space.condition_groups import MAX_ENUMERATED, SAMPLE_SIZE
from mvsearch.space.expressions import Expression
from mvsearch.space.variables import Choice, Scope, choices_of
from mvsearch.utils import plugins
from mvsearch.utils.yaml_document import Document

if TYPE_CHECKING:
    from mvsearch.space.search_space import SearchSpace

SETTINGS = ("search", "proxy", *plugins.names("measurement"), "data")
"""The keys of a file that `mvsearch run` reads."""

_SPACE_KEYS = (*KEYS, "vars", "where", "contains", *SETTINGS)
_MAX_COST = 2**53  # larger numbers are not exact where they are compared as floats


def check_document(document: Document) -> None:
    """Check the keys of a file, its rows and its head, before anything is read from it."""
    for key in document.data:
        if key not in _SPACE_KEYS:
            raise SpaceError(f"unknown key {key!r}; {plugins.suggest(key, _SPACE_KEYS)}", at=document.where(key))
    if not isinstance(document.data.get("blocks"), list) or not document.data["blocks"]:
        raise SpaceError("found no rows; `blocks:` is a list with one or more.", at=document.where("blocks"))
    head = document.data.get("head")
    for name, value in head.items() if isinstance(head, dict) else ():
        if isinstance(value, dict):
            where = document.where("head", name)
            raise SpaceError(f"{name} is open, but a head has no open values; write one value.", at=where)


def validate(space: "SearchSpace") -> None:
    """Check that every value of every field is legal, that costs are exact, and that the space contains its models."""
    if not space.head.pools_last_map:
        _check_strides(space)
    space.architecture(space.point(space.sample(1, 0)[0]))
    for i, raw in enumerate(space.document.data["blocks"]):
        cls = row_class(space.document, i)
        for name, domain in cls.domains().items():
            if name in raw:
                _check_domain(space, i, name, domain)
        for rule in cls.rules:
            _check_rule(space, i, rule)
    _check_size(space)
    _check_contains(space)


def _check_strides(space: "SearchSpace") -> None:
    """A head that reads several maps, or limits the stride, needs the same strides at all points."""
    for i, stride in enumerate(space.strides):
        if isinstance(stride, Choice | Expression):
            raise SpaceError(
                f"the stride is open, but {space.head.kind()} reads maps at fixed strides; write a number.",
                at=space.document.where("blocks", i, "stride"),
            )


def _check_domain(space: "SearchSpace", i: int, name: str, domain: Domain) -> None:
    variable = f"{space.document.data['blocks'][i]['name']}.{name}"
    for value in dict.fromkeys(np.atleast_1d(_possible_values(space, [variable])[variable]).tolist()):
        try:
            domain.read(value)
        except ValueError as error:
            where = space.document.where("blocks", i, name)
            raise ArchitectureError(f"some points have the value {value!r}; {error}.", at=where) from None


def _check_rule(space: "SearchSpace", i: int, rule: Rule) -> None:
    rows = space.document.data["blocks"]
    names = {f: f"{rows[i - 1]['name']}.out" if f == "width" else f"{rows[i]['name']}.{f}" for f in rule.fields}
    possible = _possible_values(space, list(names.values()))
    values = [IMAGE_CHANNELS if (i, f) == (0, "width") else possible[name] for f, name in names.items()]
    columns = dict(zip(names, np.broadcast_arrays(*map(np.atleast_1d, values)), strict=True))
    violations = np.flatnonzero(~np.asarray(rule.holds(**columns), dtype=bool))
    if len(violations):
        example = {f: column[violations[0]].item() for f, column in columns.items()}
        message = f"for some points {rule.message.format(**example)} Or exclude them by `where:`."
        key = next(f for f in reversed(rule.fields) if f in rows[i])
        raise SpaceError(message, at=space.document.where("blocks", i, key))


def _possible_values(space: "SearchSpace", names: list[str]) -> dict[str, Any]:
    """All combinations of values of some names where the conditions hold (of a sample, if there are too many)."""
    used = {space.choices.index(choice) for choice in choices_of(space.variables, names)}
    groups = [group for group in space.groups if used & set(group.columns)]
    columns = sorted(used.union(*(group.columns for group in groups)))
    if math.prod(len(space.choices[i].values) for i in columns) > MAX_ENUMERATED:
        codes = space.sample(SAMPLE_SIZE, 0)
    else:
        codes = space.enumerate_codes(columns)
        codes = codes[space.evaluate_conditions([c for group in groups for c in group.conditions], codes)]
    scope = space.scope(codes)
    return {name: scope.value(name) for name in names}


def _check_size(space: "SearchSpace") -> None:
    """Columns hold 64 bits: the cost of the network with the largest value of every choice must stay far below."""
    largest = {c.name: max(c.values, key=lambda v: 0 if isinstance(v, str) else v) for c in space.choices}
    cost = space.bulk_architecture(Scope(space.variables, largest)).cost()
    if max(cost.params, cost.macs, cost.macs_paper) > _MAX_COST:
        raise SpaceError(
            f"the largest networks need {cost.macs:,} MACs, more than can be computed exactly; use smaller values.",
            at=space.document.where("blocks"),
        )


def _check_contains(space: "SearchSpace") -> None:
    names = space.document.data.get("contains", [])
    if not isinstance(names, list):
        raise SpaceError(f"found {names!r}; use a list of published models.", at=space.document.where("contains"))
    for i, name in enumerate(names):
        where = space.document.where("contains", i)
        if not models.is_published(name):
            hint = plugins.suggest(str(name), models.model_names(space.head.task))
            raise SpaceError(f"unknown model {name!r}; {hint}", at=where)
        try:
            space.find_point(space.adapt(models.published(name)))
        except SpaceError as error:
            raise SpaceError(f"the space does not contain {name}: {error}.", at=where) from None
        except ArchitectureError as error:
            raise SpaceError(f"the space does not contain {error}", at=where) from None
