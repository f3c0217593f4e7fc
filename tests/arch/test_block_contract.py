"""The contract of every block: what `Row` declares for scaling, weight transfer, figures and reports is true of it."""

from dataclasses import fields, replace
from typing import Any

import pytest
from effort import examples
from hypothesis import given, settings
from rows import ROWS

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.blocks import Block, block_class
from mvsearch.arch.cost import Shape
from mvsearch.utils import plugins

X = Shape(8, 16, 16)
drawn = settings(max_examples=examples(15, 60), deadline=None, derandomize=True)


def test_every_block_has_rows_for_property_tests():
    assert set(ROWS) == set(plugins.names("block"))


@pytest.mark.parametrize("kind", ROWS)
def test_a_file_defines_one_frozen_row_with_a_domain_for_every_field(kind):
    cls = block_class(kind)

    assert issubclass(cls, Block)
    assert cls.kind() == kind
    assert {field.name for field in fields(cls) if field.name != "name"} == set(cls.domains())
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ROWS)
def test_declared_fields_exist(kind):
    cls = block_class(kind)
    known = set(cls.domains())
    declared = {*cls.width_fields, cls.depth_field, *cls.proportional_fields, *cls.summary_fields, *cls.inactive_when}
    variants: list[dict[str, Any]] = list(cls.variants.values())

    declared |= {*cls.proportional_fields.values(), *(other for other, _ in cls.inactive_when.values())}

    assert declared <= known
    assert cls.attention_field is None or cls.attention_field in known
    assert set().union(*variants) <= known
    assert {field for rule in cls.rules for field in rule.fields} <= known | {"width"}


@pytest.mark.parametrize("kind", ROWS)
def test_more_width_or_depth_costs_more_and_an_inactive_field_nothing(kind):
    @drawn
    @given(ROWS[kind]())
    def holds(row: Block) -> None:
        params = row.cost(X)[0].params
        fields = (*(name for name in row.width_fields if getattr(row, name)), row.depth_field)  # 0 stays 0
        for field in fields:
            assert replace(row, **{field: 2 * getattr(row, field)}).cost(X)[0].params > params
        for field in row.inactive_when:
            if field not in row.settings():
                others = ("local", "input") if isinstance(getattr(row, field), str) else (1, 3)
                costs = {replace(row, **{field: value}).cost(X)[0] for value in others}
                assert costs == {row.cost(X)[0]}
        assert row.layer_count == getattr(row, row.depth_field)
        assert (row.attention_width is None) is (row.attention_field is None)

    holds()


@pytest.mark.parametrize("kind", ROWS)
def test_a_variant_is_a_legal_row(kind):
    @drawn
    @given(ROWS[kind]())
    def holds(row: Block) -> None:
        stem = block_class("conv")(name="stem", out=8, stride=2)
        for values in row.variants.values():
            arch = Architecture(blocks=(stem, replace(row, **values)), image_size=64)
            assert Architecture.from_dict(arch.to_dict()) == arch

    holds()


@pytest.mark.parametrize("kind", ROWS)
def test_a_summary_names_what_differs_from_the_defaults(kind):
    @drawn
    @given(ROWS[kind]())
    def holds(row: Block) -> None:
        summary = row.summary()
        for name in row.required():
            assert name == "out" or f"{name} {getattr(row, name)}" in summary
        for name in row.summary_fields:
            assert f"{name} {getattr(row, name)}" in summary
        assert ("stride 2" in summary) is (row.stride == 2)
        assert ("repeat" in summary) is (row.repeat > 1)

    holds()
