"""The checks of a search space: keys, values, rules between fields, size, and the models it contains."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.architecture import KEYS
from mvsearch.arch.parsing import MIN_IMAGE_SIZE
from mvsearch.arch.schema import Rule
from mvsearch.errors import ArchitectureError, SpaceError
from mvsearch.space.activity import as_expression, guards_of
from mvsearch.space.bulk_rows import read_column
from mvsearch.space.condition_groups import MAX_ENUMERATED, SAMPLE_SIZE
from mvsearch.space.contained import contained
from mvsearch.space.expressions import Expression
from mvsearch.space.row_groups import repetition_of
from mvsearch.space.rows import RowField, SpaceRow
from mvsearch.space.variables import Choice, Scope, choices_of
from mvsearch.utils import plugins
from mvsearch.utils.yaml_document import Document

if TYPE_CHECKING:
    from mvsearch.space.search_space import SearchSpace

SETTINGS = ("search", "proxy", *plugins.names("measurement"), "data")
"""The keys of a file that `mvsearch run` reads."""

_SPACE_KEYS = (*KEYS, "vars", "where", "contains", *SETTINGS)
_PROBES = (1, 4096)
"""Numbers in place of that of a field: a condition that depends on the field has another value with one of them."""
_TRIED = 64
_MAX_COST = 2**53  # larger numbers are not exact where they are compared as floats


def check_document(document: Document) -> None:
    """Check the keys of a file, its rows and its head, before anything is read from it."""
    for key in document.data:
        if key not in _SPACE_KEYS:
            raise SpaceError(f"unknown key {key!r}; {plugins.suggest(key, _SPACE_KEYS)}", at=document.where(key))
    if not isinstance(document.data.get("blocks"), list) or not document.data["blocks"]:
        raise SpaceError("found no rows; `blocks:` is a list with one or more.", at=document.where("blocks"))
    if not isinstance(variables := document.data.get("vars", {}), dict):
        raise SpaceError(f"found {variables!r}; use a mapping of names to values.", at=document.where("vars"))
    head = document.data.get("head")
    for name, value in head.items() if isinstance(head, dict) else ():
        if isinstance(value, dict):
            where = document.where("head", name)
            raise SpaceError(f"{name} is open, but a head has no open values; write one value.", at=where)


def validate(space: "SearchSpace") -> None:
    """Check that every value of every field is legal, that costs are exact, and that the space contains its models."""
    _check_image_sizes(space)
    if not space.head.pools_last_map:
        _check_strides(space)
    space.architecture(space.point(_fullest(space)))
    for row in space.rows:
        _check_present(space, row)
        for kind in row.kinds:
            for name, field in row.written(kind).items():
                _check_domain(space, row, kind, name, field)
            for rule in row.kinds[kind].rules:
                _check_rule(space, row, kind, rule)
    _check_divisible(space)
    guards = {name: guard for row in space.rows for name, guard in guards_of(row).items() if guard}
    for condition in space.conditions:
        _check_effect(space, condition)
        for name in condition.names:
            if name in guards and not isinstance(space.variables[name], Choice):
                _check_field_effect(space, condition, name, as_expression([guards[name]]))
    _check_size(space)
    _check_contains(space)


def _fullest(space: "SearchSpace") -> NDArray[np.int64]:
    """A point that leaves out few rows: what those left out are needed for, `_check_rule` explains."""
    optional = [f"{row.name}.repeat" for row in space.rows if row.optional]
    codes = space.sample(_TRIED if optional else 1, 0)
    scope, present = space.scope(codes), np.zeros(len(codes), dtype=int)
    for name in optional:
        present += np.asarray(scope.value(name)) >= 1
    return np.asarray(codes[np.argmax(present)])


def _check_image_sizes(space: "SearchSpace") -> None:
    # Beside a fraction, whole numbers are read as 32.0: the fraction is what was meant wrong.
    for size in sorted(space.image_sizes, key=lambda size: str(size).endswith(".0")):
        if type(size) is not int or size < MIN_IMAGE_SIZE:
            where = space.document.where("image_size")
            raise SpaceError(f"found {size!r}; use whole numbers from {MIN_IMAGE_SIZE}.", at=where)


def _check_divisible(space: "SearchSpace") -> None:
    """The strides of some network must divide each open image size, or a contained model be published at it."""
    if len(space.image_sizes) == 1:
        return
    least = 1
    for row in space.rows:
        values = _possible_values(space, [f"{row.name}.stride", f"{row.name}.repeat"])
        stride, repeat = values.values()
        least *= int(np.min(np.where(np.asarray(repeat) > 0, stride, 1)))
    published = {arch.image_size for _, arch in contained(space.document)}
    for size in space.image_sizes:
        if size % least and size not in published:
            lower = size // least * least
            near = f"{lower} or {lower + least}" if lower >= MIN_IMAGE_SIZE else str(lower + least)
            raise SpaceError(
                f"found {size}, which the strides of the rows, {least} in all, do not divide; use {near}.",
                at=space.document.where("image_size"),
            )


def _check_strides(space: "SearchSpace") -> None:
    """A head that reads several maps, or limits the stride, needs the same strides at all points."""
    for row, stride in zip(space.rows, space.strides, strict=True):
        if isinstance(stride, Choice | Expression) or (row.optional and stride != 1):
            what = "row is optional" if row.optional else "stride is open"
            raise SpaceError(
                f"the {what}, but {space.head.kind()} reads maps at fixed strides; write a number.",
                at=space.document.where("blocks", row.index, "repeat" if row.optional else "stride"),
            )
    if len(space.image_sizes) > 1:
        raise SpaceError(
            f"the image size is open, but {space.head.kind()} needs one size; write a number.",
            at=space.document.where("image_size"),
        )


def _check_present(space: "SearchSpace", row: SpaceRow) -> None:
    """An optional row must be there at some points, and the network have rows at all."""
    repeats = [f"{other.name}.repeat" for other in space.rows]
    where = space.document.where("blocks", row.index, "repeat")
    if row.optional and not np.any(_possible_values(space, [repeats[row.index]])[repeats[row.index]]):
        if repetition := repetition_of(space.document.data["blocks"][row.index]):
            group, number = repetition
            where = space.document.where("vars", group)
            raise SpaceError(f"no point repeats the group {number} times; use fewer, or another condition.", at=where)
        raise SpaceError("the row is left out at all points; remove it.", at=where)
    if row.index == 0 and all(other.optional for other in space.rows):
        values = _possible_values(space, repeats)
        if not np.all(sum(values.values())):
            raise SpaceError("some points have no rows at all; let one row start from `repeat: 1`.", at=where)


def _check_domain(space: "SearchSpace", row: SpaceRow, kind: str, name: str, field: RowField) -> None:
    values = _values_of_kind(space, row, kind, [field.variable], optional=name != "repeat")[field.variable]
    for value in dict.fromkeys(values.tolist()):
        try:
            field.domain.read(value)
        except ValueError as error:
            where = space.document.where(*(field.place or ()))
            raise ArchitectureError(f"some points have the value {value!r}; {error}.", at=where) from None


def _check_rule(space: "SearchSpace", row: SpaceRow, kind: str, rule: Rule) -> None:
    fields = row.fields[kind]
    names = {f: f"{row.name}.in_channels" if f == "width" else fields[f].variable for f in rule.fields}
    left_out = [f"{other.name}.repeat" for other in space.rows[: row.index][-1:] if other.optional and "width" in names]
    possible = _values_of_kind(space, row, kind, [*names.values(), *left_out])
    columns = {
        f: read_column(fields[f].domain, possible[name]) if f in fields and fields[f].place else possible[name]
        for f, name in names.items()
    }
    violations = np.flatnonzero(~np.asarray(rule.holds(**columns), dtype=bool))
    if len(violations):
        example = {f: column[violations[0]].item() for f, column in columns.items()}
        without = [repeat.removesuffix(".repeat") for repeat in left_out if not possible[repeat][violations[0]]]
        points = f"points without the row {without[0]}," if without else "some points"
        message = f"for {points} {rule.message.format(**example, input='in_channels')} Or exclude them by `where:`."
        place = next(place for f in reversed(rule.fields) if f in fields and (place := fields[f].place))
        raise SpaceError(message, at=space.document.where(*place))


def _check_effect(space: "SearchSpace", condition: Expression) -> None:
    """A condition must not depend on the value of a choice that has no effect."""
    for choice in choices_of(space.variables, condition.names):
        if choice.name not in space.activity:
            continue
        active, column = space.activity[choice.name], space.choices.index(choice)
        codes = _without_effect(space, condition, active)
        others = codes.copy()
        others[:, column] = 0
        if (space.evaluate_conditions([condition], codes) != space.evaluate_conditions([condition], others)).any():
            raise _no_effect(choice.name, condition, active)


def _check_field_effect(space: "SearchSpace", condition: Expression, name: str, active: Expression) -> None:
    """Nor on the value of a field that the network does not have, even if that value is fixed."""
    codes = _without_effect(space, condition, active)
    if not len(codes):
        return
    value = np.ravel(space.scope(codes).value(name)).tolist()[0]
    results = []
    for other in (value, *(("",) if isinstance(value, str) else _PROBES)):
        scope = space.scope(codes)
        scope.values[name] = np.full(len(codes), other)
        results.append(np.broadcast_to(np.asarray(condition.evaluate(scope.value)) != 0, len(codes)))
    if any((result != results[0]).any() for result in results):
        raise _no_effect(name, condition, active)


def _without_effect(space: "SearchSpace", condition: Expression, active: Expression) -> NDArray[np.int64]:
    """The combinations of the choices of a condition where something is not active (of a sample, if too many)."""
    codes = space.legal_codes(space.columns([*condition.names, *active.names]), MAX_ENUMERATED, conditions=())
    codes = space.sample(SAMPLE_SIZE, 0) if codes is None else codes
    return codes[~space.evaluate_conditions([active], codes)]


def _no_effect(name: str, condition: Expression, active: Expression) -> SpaceError:
    return SpaceError(
        f"{name} has an effect only where {active}; write `not ({active}) or {condition}`.", at=condition.where
    )


def _values_of_kind(
    space: "SearchSpace", row: SpaceRow, kind: str, names: list[str], *, optional: bool = True
) -> dict[str, NDArray[Any]]:
    """All combinations of values of some names at the points where a row has a kind (and is not left out)."""
    block, repeat = f"{row.name}.block", f"{row.name}.repeat"
    possible = _possible_values(space, [*names, block, repeat])
    columns = dict(zip(possible, np.broadcast_arrays(*map(np.atleast_1d, possible.values())), strict=True))
    chosen = (columns[block] == kind) & ((columns[repeat] != 0) | (not optional))
    return {name: columns[name][chosen] for name in names}


def _possible_values(space: "SearchSpace", names: list[str]) -> dict[str, Any]:
    """All combinations of values of some names where the conditions hold (of a sample, if there are too many)."""
    used = set(space.columns(names))
    columns = sorted(used.union(*(group.columns for group in space.groups if used & set(group.columns))))
    codes = space.legal_codes(columns, MAX_ENUMERATED)
    scope = space.scope(space.sample(SAMPLE_SIZE, 0) if codes is None else codes)
    return {name: scope.value(name) for name in names}


def _check_size(space: "SearchSpace") -> None:
    """Columns hold 64 bits: networks with the largest value of every choice and one kind of rows stay far below."""
    macs = 0
    for number in range(max(len(row.kinds) for row in space.rows)):
        largest = {c.name: _largest(c, number) for c in space.choices}
        cost = space.cost_of(Scope(space.variables, largest), 1)
        macs += max(cost.params, cost.macs, cost.macs_paper)
    if macs > _MAX_COST:
        raise SpaceError(
            f"the largest networks need {cost.macs:,} MACs, more than can be computed exactly; use smaller values.",
            at=space.document.where("blocks"),
        )


def _largest(choice: Choice, number: int) -> Any:
    """The largest value of a choice; of words the one with some number."""
    return max(choice.values) if choice.ordered else choice.values[min(number, len(choice.values) - 1)]


def _check_contains(space: "SearchSpace") -> None:
    for i, (name, arch) in enumerate(contained(space.document)):
        where = space.document.where("contains", i)
        try:
            space.find_point(space.adapt(arch))
        except SpaceError as error:
            todo = "change the space or the network, or remove it from `contains`"
            raise SpaceError(f"the space does not contain {name}: {error}; {todo}.", at=where) from None
        except ArchitectureError as error:
            raise SpaceError(f"the space does not contain {error}", at=where) from None
