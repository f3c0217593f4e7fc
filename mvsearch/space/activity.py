"""Choices without effect: the fields of a kind that a row is not, and those of a row that is left out.

A choice without effect has its first value: a network is one point, which is neither counted nor sampled twice.

layer2.mobilevit.dim    has an effect where    layer2.block == 'mobilevit' and layer2.repeat >= 1
"""

from collections.abc import Sequence

from mvsearch.space.expressions import Expression
from mvsearch.space.rows import SpaceRow
from mvsearch.space.variables import Choice, Variable, choices_of


def read_activity(variables: dict[str, Variable], rows: Sequence[SpaceRow]) -> dict[str, Expression]:
    """Where a choice has an effect, by its name; choices that always have one are left out."""
    uses = {"image_size": ""}
    for row in rows:
        uses |= guards_of(row)
    guards: dict[str, list[str]] = {}
    for variable, guard in uses.items():
        for choice in choices_of(variables, [variable]):
            guards.setdefault(choice.name, []).append(guard)
    alternatives = {name: dict.fromkeys(texts) for name, texts in guards.items() if "" not in texts}
    return {name: Expression.derived(" or ".join(texts)) for name, texts in alternatives.items()}


def guards_of(row: SpaceRow) -> dict[str, str]:
    """Where the kind and the written fields of a row have an effect, as an expression; empty for everywhere."""
    present = [f"{row.name}.repeat >= 1"] if row.optional else []
    guards = {row.block.variable: " and ".join(present)}
    for field in row.all_fields():
        kinds = [kind for kind, fields in row.fields.items() if field.variable in {f.variable for f in fields.values()}]
        chosen = " or ".join(f"{row.block.variable} == {kind!r}" for kind in kinds)
        chosen = f"({chosen})" if len(kinds) > 1 and present else chosen
        guards[field.variable] = " and ".join([chosen] * (len(kinds) < len(row.kinds)) + present)
    return guards | ({f"{row.name}.repeat": ""} if row.optional else {})


def first_where_inactive(choice: Choice, active: Expression) -> Expression:
    """The condition that a choice has its first value where it has no effect."""
    return Expression.derived(f"{active} or {choice.name} == {choice.values[0]!r}")
