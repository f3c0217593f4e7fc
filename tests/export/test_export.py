"""The exported file is the same network, and runs where mvsearch cannot be imported."""

import ast
import json
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import cache
from importlib import import_module

import pytest
import torch
from effort import WIDER, examples
from rows import row
from safetensors.torch import load_file, save_file
from small import MIXED

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.heads import head_class
from mvsearch.arch.published import model_names, published
from mvsearch.errors import ArchitectureError, CheckpointError, MvsearchError
from mvsearch.export.formats import torch as exporter
from mvsearch.export.formats._source import Sources
from mvsearch.export.model import ExportModel
from mvsearch.nn import build
from mvsearch.nn.weights_io import load_weights
from mvsearch.space.search_space import SearchSpace
from mvsearch.utils.yaml_document import parse

pytestmark = pytest.mark.usefixtures("one_thread")

ALONE = """
    import importlib.util, json, sys
    from pathlib import Path

    class Refuse:
        def find_spec(self, name, *_):
            if name.partition(".")[0] == "mvsearch":
                raise ImportError("mvsearch cannot be imported")

    sys.meta_path.insert(0, Refuse())
    import torch
    from safetensors.torch import load_file, save_file
    torch.set_num_threads(1)
    results = {}
    for path in sorted(Path(sys.argv[1]).glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem.replace(".", "_"), path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        cls = next(v for v in reversed(list(vars(module).values())) if isinstance(v, type))
        model = cls().eval()
        keys = list(model.state_dict())
        model.load_state_dict(load_file(path.with_suffix(".safetensors")))
        images = load_file(path.with_suffix(".images"))["x"]
        with torch.no_grad():
            outputs = model(images)
            if path.with_suffix(".trace").exists():
                program = torch.export.export(model, (images,))
                assert torch.equal(program.module()(images), outputs), path
        outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
        save_file({str(i): y.contiguous() for i, y in enumerate(outputs)}, path.with_suffix(".outputs"))
        results[path.stem] = {"class": cls.__name__, "keys": keys}
    print(json.dumps(results))
"""


@cache
def architectures() -> dict[str, Architecture]:
    space = SearchSpace.load("spaces/v3.yaml")
    drawn = [space.architecture(space.point(codes)) for codes in space.sample(examples(4, 10), seed=5)]
    drawn.append(Architecture.from_dict(ODD))
    return {name: published(name) for name in model_names()} | {f"drawn_{i}": arch for i, arch in enumerate(drawn)}


def some_architectures() -> dict[str, Architecture]:
    """In the fast set one of each family, depth and ablation; every odd one and every head; a small one to trace."""
    some = {name: arch for name, arch in architectures().items() if examples(0, 1) or not WIDER.fullmatch(name)}
    rows = tuple(row("conv", name=f"layer{i}", out=8, stride=2) for i in range(1, 6))
    heads = {
        kind: Architecture(rows, head_class(kind)(**fields), image_size=64, num_classes=5).deploy()
        for kind, fields in {"deeplabv3": {"out": 16, "aux": True}, "pspnet": {"out": 16}, "ssdlite": {}}.items()
    }
    return some | heads | {"mixed": Architecture.from_dict(MIXED)}


ODD = {
    "name": "odd",
    "image_size": 100,
    "num_classes": 7,
    "blocks": [
        {"name": "stem", "block": "conv", "out": 96, "stride": 2},
        {
            **{"name": "a_row_of_long_calls", "block": "mobilevit", "repeat": 2, "out": 96, "dim": 144, "depth": 1},
            **{"ffn": 300, "heads": 8, "patch": 4, "dropout": 0.05, "local": "dense", "fusion": 3},
            **{"concat": "input", "add_input": False},
        },
        {"name": "last", "block": "mv2", "out": 96, "repeat": 3},
    ],
    "head": {"pool": "max", "linear": False},
}
"""Every option away from its default, calls too long for a line, and features instead of logits."""


def test_exported_files_alone_have_the_same_keys_and_the_same_outputs_bit_for_bit(tmp_path):
    expected = {}
    for i, (name, arch) in enumerate(some_architectures().items()):
        model = build(arch, seed=i).eval()
        exporter.export(ExportModel(arch, model, f"random, seed {i}"), tmp_path / f"{name}.py")
        images = torch.randn(1, 3, *(((64, 64), (96, 96), (96, 64))[i % 3]))
        save_file({"x": images}, tmp_path / f"{name}.images")
        if name == "mixed":
            (tmp_path / f"{name}.trace").touch()
        with torch.no_grad():
            expected[name] = (list(model.state_dict()), model(images))

    code = textwrap.dedent(ALONE)
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stderr
    results = json.loads(run.stdout)
    assert results.keys() == expected.keys()
    for name, (keys, outputs) in expected.items():
        assert results[name]["keys"] == keys
        alone = load_file(tmp_path / f"{name}.outputs")
        for i, output in enumerate([outputs] if isinstance(outputs, torch.Tensor) else outputs):
            assert torch.equal(alone.pop(str(i)), output), name
        assert not alone


def test_exported_files_are_formatted_and_use_all_they_import(tmp_path):
    for name, arch in architectures().items():
        (tmp_path / f"{name}.py").write_text(exporter.source(arch))
        if arch.name != "odd":  # strides by 2 in all
            (tmp_path / f"{name}_features.py").write_text(exporter.source(arch, features=True))

    for command in (["format", "--check"], ["check", "--select", "E,F,I"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "120", tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout


def test_only_the_classes_that_the_network_needs_are_in_its_file():
    assert "class SeparableAttention" not in exporter.source(published("mobilevitv3_xxs"))
    assert "class SelfAttention" not in exporter.source(published("mobilevitv3_0.5"))
    assert "import mvsearch" not in exporter.source(published("mobilevitv3_xxs"))
    assert "from mvsearch" not in exporter.source(published("mobilevitv3_xxs"))


@pytest.mark.parametrize(
    ("name", "class_name"),
    [
        ("mobilevitv3_xxs_l2", "MobileViTv3_XXS_L2"),
        ("mobilevitv2_0.5", "MobileViTv2_0_5"),
        ("v3_17", "V3_17"),
        ("17", "Network_17"),
        ("mv2", "Mv2"),
        ("conv", "ConvNetwork"),
    ],
)
def test_the_class_is_named_after_the_architecture_and_hides_no_other(name, class_name):
    assert exporter.class_name(name, {"Conv", "MV2", "MobileViT"}) == class_name


def test_two_classes_of_one_name_are_refused(monkeypatch):
    from mvsearch.nn.conv import Conv
    from mvsearch.nn.mv2 import MV2

    class Other:
        pass

    Other.__name__, Other.__module__ = "Conv", MV2.__module__
    sources = Sources()
    sources.add(Conv)
    with pytest.raises(MvsearchError, match="Conv"):
        sources.add(Other)


BLOCK = """
from dataclasses import dataclass
from functools import cache

from torch import nn

from mvsearch.nn.helper import half

WIDTH = 8


@dataclass
class Sizes:
    n: int = half(WIDTH)


@cache
def size() -> int:
    return Sizes().n


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(size(), WIDTH)
"""


@pytest.fixture
def nn_folder(tmp_path, monkeypatch):
    """A folder whose files are modules of mvsearch.nn, until the test is over."""
    import mvsearch.nn

    monkeypatch.setattr(mvsearch.nn, "__path__", [*mvsearch.nn.__path__, str(tmp_path)])
    yield tmp_path
    for name in [path.stem for path in tmp_path.glob("*.py")]:
        sys.modules.pop(f"mvsearch.nn.{name}", None)


def test_constants_decorators_and_helpers_of_a_new_block_come_along(nn_folder):
    (nn_folder / "helper.py").write_text("def half(n: int) -> int:\n    return n // 2\n")
    (nn_folder / "block_a.py").write_text(BLOCK)
    sources = Sources()
    sources.add(import_module("mvsearch.nn.block_a").Block)

    names: dict = {"__name__": "alone"}
    exec("\n\n".join([sources.imports(), *sources.definitions()]), names)
    assert names["Block"]().linear.weight.shape == (8, 4)


@pytest.mark.parametrize(
    ("module", "line", "message"),
    [
        ("block_b", "from mvsearch.nn.conv import Conv as Brick", "Conv as Brick` cannot be exported"),
        ("block_c", "import mvsearch.nn.conv as Brick", "conv as Brick` cannot be exported"),
        ("block_d", "from mvsearch.nn.mv2 import Conv", "does not define Conv"),
    ],
)
def test_an_import_that_cannot_be_copied_is_refused(nn_folder, module, line, message):
    (nn_folder / f"{module}.py").write_text(f"{line}\n\n\nclass Block:\n    made = {line.split()[-1]}\n")
    with pytest.raises(MvsearchError, match=message):
        Sources().add(import_module(f"mvsearch.nn.{module}").Block)


def test_imports_from_elsewhere_keep_their_names_and_hide_no_definition(nn_folder):
    (nn_folder / "block_e.py").write_text(
        "from torch import nn as layers\n\n\nclass Block(layers.Identity):\n    pass\n"
    )
    (nn_folder / "block_f.py").write_text("import json as Conv\n\n\nclass Other:\n    made = Conv\n")
    sources = Sources()
    sources.add(import_module("mvsearch.nn.block_e").Block)
    assert sources.imports() == "from torch import nn as layers"

    sources.add(import_module("mvsearch.nn.block_f").Other)
    with pytest.raises(MvsearchError, match=r"Conv is defined in import json as Conv and mvsearch.nn.conv"):
        sources.add(import_module("mvsearch.nn.conv").Conv)


@pytest.mark.parametrize(
    "name", ['a"""b', "ends\\", "\\N", "two\nlines", "f", "tensor", "true", "日本", "\0", 17, None]
)
def test_a_name_is_only_text_whatever_it_holds(name):
    arch = replace(published("mobilevitv3_xxs"), name=name)
    text = exporter.source(arch)
    names: dict = {"__name__": "alone"}
    exec(text, names)

    model = names[ast.parse(text).body[-2].name]().eval()
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
    written = textwrap.dedent(names["__doc__"].split("As an architecture file:\n\n")[1])
    written = re.sub("^name: .*", "name: plain", written)  # a file may not have just any name
    assert Architecture.parse(parse(written)).key == arch.key


@pytest.mark.parametrize("row", ["class", "forward", "training", "__x", "ﬁrst"])
def test_a_row_whose_name_cannot_be_an_attribute_is_refused(row):
    arch = published("mobilevitv3_xxs")
    misnamed = replace(arch, blocks=(replace(arch.blocks[0], name=row), *arch.blocks[1:]))
    for take in (exporter.source, build):
        with pytest.raises(ArchitectureError, match="rename the row"):
            take(misnamed)


@pytest.mark.parametrize("content", [b"", b"\x80\x02\x8a\x0a", b"no tensors"])
def test_a_damaged_checkpoint_is_one_sentence_that_names_the_file(tmp_path, content):
    (tmp_path / "old.pt").write_bytes(content)
    with pytest.raises(CheckpointError) as raised:
        load_weights(build(published("mobilevitv3_xxs")), tmp_path / "old.pt", published("mobilevitv3_xxs"))
    assert raised.value.file == str(tmp_path / "old.pt")
    assert len(str(raised.value).splitlines()) == 1


def test_an_exported_yaml_is_the_same_network(tmp_path):
    from mvsearch.export.formats import yaml

    for name, arch in architectures().items():
        yaml.export(ExportModel(arch, torch.nn.Identity(), "none"), tmp_path / f"{name}.yaml")
        assert Architecture.load(tmp_path / f"{name}.yaml").key == arch.key


def test_the_command_writes_code_and_weights_and_refuses_what_it_cannot(tmp_path, mvsearch):
    assert mvsearch("export", "mobilevitv3_xxs", "-o", "net.py", "--seed", "3", "--no-verify").code == 0
    (tmp_path / "again").mkdir()
    assert (
        mvsearch("export", "mobilevitv3_xxs", "-o", "again/net.py", "--weights", "net.safetensors", "--no-verify").code
        == 0
    )
    assert (tmp_path / "net.py").read_bytes() == (tmp_path / "again" / "net.py").read_bytes()
    first, second = load_file(tmp_path / "net.safetensors"), load_file(tmp_path / "again" / "net.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)

    (tmp_path / "text.pt").write_text("no tensors")
    for args, message in {
        ("export", "mobilevitv3_xxs", "--to", "torhc"): "did you mean 'torch'?",
        ("export", "mobilevitv3_xsx"): "'mobilevitv3_xsx'",
        ("export", "mobilevitv3_xxs", "-o", "missing/net.py"): "cannot be written",
        ("export", "mobilevitv3_xxs", "-o", "x.py", "--weights", "x.bin"): "there is no such file",
        ("export", "mobilevitv3_xxs", "-o", "x.py", "--weights", "text.pt"): "text.pt",
        ("export", "mobilevitv3_xs", "-o", "x.py", "--weights", "net.safetensors"): "shape",
    }.items():
        done = mvsearch(*args)
        assert done.code == 1
        assert message in done.err
        assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "x.safetensors").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
