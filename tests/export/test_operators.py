"""The cost `operators` is the number of nodes of the ONNX file that is exported."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from effort import examples
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rows import ROWS, conv_rows
from small import require_format

from mvsearch.arch.architecture import Architecture, Head
from mvsearch.arch.published import model_names, published
from mvsearch.errors import PlanError
from mvsearch.export.formats import load_format
from mvsearch.export.model import ExportModel
from mvsearch.space.exact_front import exact_front
from mvsearch.space.search_space import SearchSpace


def exported(arch: Architecture) -> int:
    """The number of operators that the export reports."""
    require_format("onnx")
    export_format = load_format("onnx")
    with TemporaryDirectory() as folder:
        path = Path(folder, "network.onnx")
        export_format.export(ExportModel.of(arch), path)
        return int(export_format.runtime.facts(path)["operators"])


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """A stem, rows of four kinds, and any head."""
    blocks = [draw(conv_rows("stem"))]
    for i, kind in enumerate(draw(st.permutations(sorted(ROWS)))[:4]):
        blocks.append(draw(ROWS[kind](f"row{i}", blocks[-1].out)))
    norm = draw(st.sampled_from(["none", "map", "pooled"]))
    head = Head(
        pool=draw(st.sampled_from(["mean"] if norm == "map" else ["mean", "max"])),
        linear=draw(st.booleans()),
        norm=norm,
        hidden=draw(st.sampled_from([0, 16])),
        act=draw(st.sampled_from(["silu", "relu"])),
    )
    return Architecture(tuple(blocks), head, image_size=draw(st.integers(32, 70)), num_classes=3)


@pytest.mark.timeout(1200)  # fifty exports of --all
@settings(
    max_examples=examples(1, 50),
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(architectures())
def test_any_network_has_as_many_operators_as_its_file_has_nodes(arch):
    assert arch.cost().operators == exported(arch)


@pytest.mark.slow
@pytest.mark.parametrize("name", model_names())
def test_every_published_model_has_as_many_operators_as_its_file_has_nodes(name):
    assert published(name).cost().operators == exported(published(name))


def test_operators_are_an_objective_of_the_exact_front_and_unknown_for_other_tasks(tmp_path):
    text = """
blocks:
  - {name: stem, block: conv, out: 8, stride: 2}
  - name: body
    block: uib
    out: 8
    start: {choose: [none, 3]}
    middle: {choose: [none, 3]}
    act: {choose: [silu, relu]}
"""
    (tmp_path / "space.yaml").write_text(text)
    front = exact_front(SearchSpace.load(tmp_path / "space.yaml"), ["operators"])
    best = front[0].cost.operators
    assert best == 3 + (1 + 1 + 1 + 1) + 2  # stem with SiLU; 1x1, ReLU, 1x1, sum; pooling and classifier

    (tmp_path / "space.yaml").write_text(text + "head: {kind: deeplabv3, output_stride: 8}\n")
    with pytest.raises(PlanError, match="operators is known for classification only"):
        exact_front(SearchSpace.load(tmp_path / "space.yaml"), ["operators"])


def test_a_scale_of_one_is_no_operator():
    def arch(qk: int) -> Architecture:
        rows = [
            {"name": "stem", "block": "conv", "out": 16, "stride": 2},
            {"name": "body", "block": "shsa", "out": 16, "dim": 8, "qk": qk, "expand": 1},
        ]
        return Architecture.from_dict({"image_size": 32, "num_classes": 3, "blocks": rows})

    assert arch(1).cost().operators == exported(arch(1)) == arch(2).cost().operators - 1
