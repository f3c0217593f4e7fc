"""Any legal row of each block, for property tests."""

from typing import Any

from hypothesis import strategies as st

from mvsearch.arch.blocks import ACTIVATIONS, Block, block_class

WIDTHS = st.integers(1, 40)
KERNELS = st.sampled_from([1, 3, 5, 7])
REPEATS = st.integers(1, 3)
STRIDES = st.sampled_from([1, 2])


def row(kind: str, **values: Any) -> Block:
    return block_class(kind)(**values)


ACTS = st.sampled_from(ACTIVATIONS)
TOKEN_NORMS = st.fixed_dictionaries({"norm": st.sampled_from(["layer", "batch"]), "merged": st.booleans()})


@st.composite
def conv_rows(draw: st.DrawFn, name: str = "x", width: int = 8) -> Block:
    fields = {"act": draw(st.one_of(ACTS, st.just("none"))), "bias": draw(st.booleans()), "kernel": draw(KERNELS)}
    return row("conv", name=name, out=draw(WIDTHS), stride=draw(STRIDES), repeat=draw(REPEATS), **fields)


@st.composite
def mv2_rows(draw: st.DrawFn, name: str = "x", width: int = 8) -> Block:
    sizes = {"out": draw(st.one_of(WIDTHS, st.just(width))), "expand": draw(st.integers(1, 6)), "kernel": draw(KERNELS)}
    return row("mv2", name=name, stride=draw(STRIDES), repeat=draw(REPEATS), act=draw(ACTS), **sizes)


@st.composite
def uib_rows(draw: st.DrawFn, name: str = "x", width: int = 8) -> Block:
    start, middle = draw(st.sampled_from([0, 3, 5, 7])), draw(st.sampled_from([0, 3, 5, 7]))
    sizes = {"out": draw(st.one_of(WIDTHS, st.just(width))), "expand": draw(st.integers(1, 6))}
    stride = draw(STRIDES) if start or middle else 1
    return row(
        "uib", name=name, stride=stride, repeat=draw(REPEATS), start=start, middle=middle, act=draw(ACTS), **sizes
    )


@st.composite
def mobilevit_rows(draw: st.DrawFn, name: str = "x", width: int = 8) -> Block:
    heads = draw(st.integers(1, 5))
    sizes = {"heads": heads, "dim": heads * draw(st.integers(1, 12)), "depth": draw(st.integers(1, 3))}
    return row(
        "mobilevit",
        name=name,
        out=width,
        repeat=draw(st.integers(1, 2)),
        ffn=draw(st.one_of(st.none(), st.integers(1, 80))),
        patch=draw(st.integers(1, 4)),
        local=draw(st.sampled_from(["depthwise", "dense"])),
        fusion=draw(st.sampled_from([0, 1, 3])),
        concat=draw(st.sampled_from(["local", "input"])),
        add_input=draw(st.booleans()),
        act=draw(ACTS),
        **draw(TOKEN_NORMS),
        **sizes,
    )


@st.composite
def mobilevitv2_rows(draw: st.DrawFn, name: str = "x", width: int = 8) -> Block:
    return row(
        "mobilevitv2",
        name=name,
        out=width,
        repeat=draw(st.integers(1, 2)),
        dim=draw(st.integers(8, 48)),
        depth=draw(st.integers(1, 3)),
        ffn=draw(st.one_of(st.none(), st.integers(1, 80))),
        patch=draw(st.integers(1, 4)),
        fusion=draw(st.sampled_from([0, 1])),
        add_input=draw(st.booleans()),
        act=draw(ACTS),
        **draw(TOKEN_NORMS),
    )


@st.composite
def repvit_rows(draw: st.DrawFn, name: str = "x", width: int = 8) -> Block:
    return row(
        "repvit",
        name=name,
        out=draw(st.one_of(WIDTHS, st.just(width))),
        stride=draw(STRIDES),
        repeat=draw(st.integers(1, 4)),
        expand=draw(st.integers(1, 3)),
        se=draw(st.sampled_from([0, 1, 2])),
        act=draw(ACTS),
        merged=draw(st.booleans()),
    )


@st.composite
def shsa_rows(draw: st.DrawFn, name: str = "x", width: int = 8) -> Block:
    out = draw(st.one_of(WIDTHS, st.just(width)))
    return row(
        "shsa",
        name=name,
        out=out,
        stride=draw(STRIDES),
        repeat=draw(REPEATS),
        dim=draw(st.integers(0, out)),
        qk=draw(st.integers(1, 20)),
        expand=draw(st.integers(1, 3)),
        norm=draw(st.sampled_from(["layer", "batch"])),
        act=draw(ACTS),
    )


@st.composite
def star_rows(draw: st.DrawFn, name: str = "x", width: int = 8) -> Block:
    sizes = {"expand": draw(st.integers(1, 5)), "kernel": draw(KERNELS)}
    return row("star", name=name, out=width, repeat=draw(REPEATS), act=draw(ACTS), **sizes)


ROWS = {
    "conv": conv_rows,
    "mv2": mv2_rows,
    "mobilevit": mobilevit_rows,
    "mobilevitv2": mobilevitv2_rows,
    "uib": uib_rows,
    "repvit": repvit_rows,
    "shsa": shsa_rows,
    "star": star_rows,
}
