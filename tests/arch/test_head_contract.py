"""The contract of every head: what `Head` declares for builders, exporters and reports is true of the built network."""

from dataclasses import fields

import pytest
import torch
from rows import row

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.heads import BaseHead, head_class
from mvsearch.nn import build
from mvsearch.utils import plugins

KINDS = plugins.names("head")


def network_with(kind: str) -> Architecture:
    rows = tuple(row("mv2", name=f"layer{i}", out=16, stride=2, expand=1) for i in range(5))
    return Architecture(blocks=rows, head=head_class(kind)(), image_size=64, num_classes=5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_defines_one_frozen_head_with_a_domain_for_every_field(kind):
    cls = head_class(kind)

    assert issubclass(cls, BaseHead)
    assert cls.kind() == kind
    assert {field.name for field in fields(cls)} == set(cls.domains())
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert cls.task in ("classification", "segmentation", "detection")
    assert cls.image_size >= 32
    assert cls.num_classes > 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_declared_outputs_and_class_axis_are_those_of_the_network(kind):
    arch = network_with(kind).deploy()
    with torch.device("meta"), torch.no_grad():
        result = build(arch).eval()(torch.zeros(2, 3, 64, 64))
    outputs = [result] if isinstance(result, torch.Tensor) else list(result)

    assert len(outputs) == len(arch.head.outputs)
    assert outputs[0].shape[arch.head.class_axis] == 5
    assert arch.head.output_shapes(arch.features, 5).count("(B") == len(outputs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_pools_the_last_map_reads_no_other(kind):
    arch = network_with(kind)

    if arch.head.pools_last_map:
        assert arch.head_inputs() == (len(arch.blocks) - 1,)
        assert arch.head.max_stride is None
        assert type(build(arch, seed=0)) is torch.nn.Sequential


@pytest.mark.parametrize("kind", KINDS)
def test_a_deployed_head_costs_nothing_more_in_training(kind):
    arch = network_with(kind)

    assert arch.deploy().training_cost().params == 0
    assert arch.deploy().cost() == arch.cost()
    assert arch.deploy().deploy() == arch.deploy()


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_is_described_in_words(kind):
    arch = network_with(kind)
    maps = [stage.out for stage in arch.stages()[: len(arch.blocks)]]

    assert "5" in arch.head.output_summary(arch.head_parts(maps), 5)
    assert len(arch.head.summary().splitlines()) <= 1
