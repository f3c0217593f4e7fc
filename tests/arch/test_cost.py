"""The closed form is what is built: any legal row costs, to the integer, what is counted on its module."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import ROWS, WIDTHS, conv_rows, mv2_rows, row
from torch.utils.flop_counter import FlopCounterMode

from mvsearch.arch.architecture import Architecture, Head
from mvsearch.arch.blocks import Block
from mvsearch.arch.blocks.mv2 import make_divisible
from mvsearch.arch.cost import Cost, Shape
from mvsearch.nn.network import instantiate
from mvsearch.utils import plugins

drawn = settings(max_examples=examples(15, 60), deadline=None, derandomize=True)


@st.composite
def architectures(draw: st.DrawFn, kind: str) -> Architecture:
    """A stem, a row of the kind, and one of any kind behind it."""
    stem = draw(conv_rows("stem"))
    first = draw(ROWS[kind]("first", stem.out))
    second = draw(ROWS[draw(st.sampled_from(sorted(ROWS)))]("second", first.out))
    head = Head(pool=draw(st.sampled_from(["mean", "max"])), linear=draw(st.booleans()))
    size, classes = draw(st.integers(32, 200)), draw(st.integers(1, 50))
    return Architecture(blocks=(stem, first, second), head=head, image_size=size, num_classes=classes)


def calculated(arch: Architecture) -> list[tuple[str, tuple[int, ...], int, int]]:
    def shape(out: Shape, block: str) -> tuple[int, ...]:
        return (out.channels,) if block == "head" else (out.channels, out.height, out.width)

    return [(s.name, shape(s.out, s.block), s.cost.params, s.cost.macs) for s in arch.stages()]


def counted(arch: Architecture) -> list[tuple[str, tuple[int, ...], int, int]]:
    """Shape, parameters and MACs of every stage of the built network, where fused attention is counted: on meta."""
    stages = []
    with torch.device("meta"), torch.no_grad():
        x = torch.zeros(1, 3, arch.image_size, arch.image_size)
        for name, module in instantiate(arch.deploy()).eval().named_children():
            with FlopCounterMode(display=False) as counter:
                x = module(x)
            params = sum(parameter.numel() for parameter in module.parameters())
            stages.append((name, tuple(x.shape[1:]), params, counter.get_total_flops() // 2))
    return stages


def test_every_kind_of_block_is_drawn():
    assert set(ROWS) == set(plugins.names("block"))


@pytest.mark.parametrize("kind", ROWS)
def test_shape_parameters_and_macs_of_any_legal_row_are_those_of_the_built_one(kind):
    @drawn
    @given(architectures(kind))
    def holds(arch: Architecture) -> None:
        assert Architecture.from_dict(arch.to_dict()) == arch, "only legal rows are drawn"
        assert calculated(arch) == calculated(arch.deploy()) == counted(arch)
        with torch.device("meta"):
            params = sum(parameter.numel() for parameter in instantiate(arch).parameters())
        assert params == arch.cost().params + arch.training_cost().params

    holds()


@pytest.mark.parametrize("kind", ROWS)
def test_many_rows_at_once_cost_what_each_costs_alone(kind):
    @drawn
    @given(st.lists(st.tuples(WIDTHS, st.integers(1, 200), st.integers(1, 200)), min_size=2, max_size=8), st.data())
    def holds(inputs: list[tuple[int, int, int]], data: st.DataObject) -> None:
        rows = [data.draw(ROWS[kind](width=channels)) for channels, _, _ in inputs]
        cost, out = stacked(rows).cost(Shape(*np.array(inputs).T))
        for i, (one, size) in enumerate(zip(rows, inputs, strict=True)):
            assert (at(cost, i), at(out, i)) == one.cost(Shape(*size))

    holds()


def stacked(rows: list[Block]) -> Block:
    """One row, whose fields are arrays."""
    columns = {name: np.array([getattr(one, name) for one in rows]) for name in rows[0].domains()}
    return replace(rows[0], **columns)


def at(value: Any, i: int) -> Any:
    """The i-th of a Cost or a Shape of arrays; a part that is the same for all may be a plain number."""
    return type(value)(*(int(part if np.ndim(part) == 0 else part[i]) for part in vars(value).values()))


@drawn
@given(st.lists(st.tuples(mv2_rows(width=16), st.integers(32, 200)), min_size=2, max_size=6))
def test_whole_networks_at_once_cost_what_each_costs_alone(rows):
    stem = row("conv", name="stem", out=16, stride=2)
    final = row("conv", name="final", out=24, kernel=1)
    alone = [Architecture(blocks=(stem, one, final), image_size=size, num_classes=10) for one, size in rows]
    middle = stacked([one for one, _ in rows])
    together = Architecture(
        blocks=(stem, middle, final), image_size=np.array([size for _, size in rows]), num_classes=10
    )
    assert [at(together.cost(), i) for i in range(len(rows))] == [arch.cost() for arch in alone]


@pytest.mark.parametrize("kind", ROWS)
def test_a_repeat_costs_the_sum_of_its_layers(kind):
    @drawn
    @given(ROWS[kind](), st.integers(1, 200))
    def holds(one: Block, size: int) -> None:
        x, total = Shape(8, size, size), Cost()
        for i in range(one.repeat):
            cost, x = one.layer(i, 8).cost(x)
            total += cost
        assert one.cost(Shape(8, size, size)) == (total, x)

    holds()


def test_macs_paper_of_softmax_attention_counts_channels_for_tokens_and_biases_as_well():
    tokens, places, dim = 64, 4, 16  # 16 x 16 pixels in patches of 2 x 2
    one = row("mobilevit", name="x", out=8, dim=dim, depth=3, ffn=32)
    cost, _ = one.cost(Shape(8, 16, 16))
    attention = 2 * tokens * places * dim * (dim - tokens)
    biases = tokens * places * (3 * dim + dim + 32 + dim)
    assert cost.macs_paper - cost.macs == 3 * (attention + biases)


def test_macs_paper_of_separable_attention_counts_biases_as_well():
    one = row("mobilevitv2", name="x", out=8, dim=16, depth=3, ffn=32)
    cost, _ = one.cost(Shape(8, 15, 15))
    assert cost.macs_paper - cost.macs == 3 * 16 * 16 * ((1 + 2 * 16) + 16 + 32 + 16)


def mobilenet_rounding(value: int, divisor: int) -> int:
    """As the code of MobileNetV2 has it."""
    near = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * value else near


@pytest.mark.parametrize("divisor", [4, 8, 16])
def test_widths_are_rounded_as_in_mobilenet_v2(divisor):
    values = range(1, 1000)
    expected = [mobilenet_rounding(value, divisor) for value in values]
    assert [make_divisible(value, divisor) for value in values] == expected
    assert make_divisible(np.array(values), divisor).tolist() == expected
