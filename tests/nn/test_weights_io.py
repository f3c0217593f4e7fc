"""Checkpoints of training scripts: which of their weights are read, what is said about the rest, what is refused."""

import gzip
import io
import os
import re
import tarfile
import zipfile
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from small import SOFTMAX
from torch.optim.swa_utils import AveragedModel

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import published
from mvsearch.data import Preparation
from mvsearch.errors import CheckpointError, EnvironmentFault, MvsearchError
from mvsearch.export.model import ExportModel
from mvsearch.nn import build
from mvsearch.nn.weights_io import load_weights, read_checkpoint, write_weights
from mvsearch.study.resolve import find_architecture
from mvsearch.training.source import warm_start

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = Architecture.from_dict(SOFTMAX)
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
RAW, EMA = build(SMALL, seed=1).state_dict(), build(SMALL, seed=2).state_dict()
COUNT = len(RAW)
STATISTICS = sum(name.endswith(BUFFERS[:2]) for name in RAW)
COUNTERS = sum(name.endswith(BUFFERS[2]) for name in RAW)


def average_of_torch(seed: int = 2) -> dict[str, torch.Tensor]:
    averaged = AveragedModel(build(SMALL, seed=seed))
    averaged.update_parameters(build(SMALL, seed=seed))
    return averaged.state_dict()


def add_prefix(prefix: str, state: dict) -> dict:
    return {prefix + name: value for name, value in state.items()}


def without(state: dict, *endings: str) -> dict:
    return {name: value for name, value in state.items() if not name.endswith(endings)}


def convert_floats(state: dict, convert, *, ndim: int = 0) -> dict:
    """The tensors of a state with at least `ndim` dimensions converted, but for the counters of batches."""
    return {
        name: value if name.endswith(BUFFERS[2]) or value.ndim < ndim else convert(value)
        for name, value in state.items()
    }


def store(content: object, tmp_path: Path, name: str = "net.pt") -> Path:
    torch.save(content, tmp_path / name)
    return tmp_path / name


def load(content: object, tmp_path: Path) -> tuple[dict[str, torch.Tensor], object]:
    """What a network has after loading a file with this content, and what is said about the file."""
    model = build(SMALL, seed=3)
    loaded = load_weights(model, store(content, tmp_path), SMALL)
    return model.state_dict(), loaded.checkpoint


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Which weights


LATENT_DIFFUSION = {
    **add_prefix("model.", RAW),
    **{"model_ema." + name.replace(".", ""): value for name, value in without(EMA, *BUFFERS).items()},
    **{"model_ema.decay": torch.tensor(0.9), "model_ema.num_updates": torch.tensor(3)},
}
EMA_PYTORCH = {
    **add_prefix("online_model.", RAW),
    **add_prefix("ema_model.", EMA),
    **{"initted": torch.tensor(True), "step": torch.tensor(3)},
}
OPTIMISER = {"state": {0: {"exp_avg": torch.ones(3, 3)}}}
AVERAGES = {
    "timm": ({"state_dict": RAW, "state_dict_ema": EMA, "args": Namespace(lr=1)}, "state_dict_ema"),
    "cvnets": ({"model_state_dict": RAW, "ema_state_dict": EMA, "optim_state_dict": OPTIMISER}, "ema_state_dict"),
    "deit": ({"model": RAW, "model_ema": EMA}, "model_ema"),
    "torchvision": ({"model": RAW, "model_ema": average_of_torch(), "optimizer": OPTIMISER}, "model_ema"),
    "torch": (average_of_torch(), "the whole file, torch's AveragedModel"),
    "rt-detr": ({"model": RAW, "ema": {"module": EMA, "updates": 3}}, "ema/module"),
    "basicsr": ({"params": RAW, "params_ema": EMA}, "params_ema"),
    "mvsearch": ({"learner": {"model": RAW, "average": EMA, "optimiser": {}}}, "learner/average"),
    "swa": ({"model": RAW, "swa_model": average_of_torch()}, "swa_model"),
    "camel case": ({"model": RAW, "modelEMA": add_prefix("module.", EMA)}, "modelEMA"),
    "alone": ({"ema": EMA}, "ema"),
    "by hand": ({"model": RAW, "ema": {"decay": 0.9, "shadow": EMA, "backup": {}}}, "ema/shadow"),
    "a callback": (
        {"state_dict": add_prefix("model.", RAW), "callbacks": {"EMA": {"ema_weights": add_prefix("model.", EMA)}}},
        "callbacks/EMA/ema_weights",
    ),
    "timm in lightning": (
        {"state_dict": {**add_prefix("model.", RAW), **add_prefix("model_ema.module.", EMA)}},
        "model_ema.* in state_dict",
    ),
    "ema_pytorch": (EMA_PYTORCH, "ema_model.* in the whole file"),
    "latent diffusion": ({"state_dict": LATENT_DIFFUSION}, "model_ema.* in state_dict"),
    "parameters alone": ({"model": RAW, "ema": without(EMA, *BUFFERS)}, "ema"),
    "mmengine": (
        {"state_dict": EMA, "ema_state_dict": {**add_prefix("module.", RAW), "steps": torch.tensor(4)}},
        "state_dict",
    ),
    "lightning": (
        {"state_dict": add_prefix("model.", EMA), "current_model_state": add_prefix("model.", RAW)},
        "state_dict",
    ),
}


@pytest.mark.parametrize("script", AVERAGES)
def test_the_average_is_read_where_the_scripts_tool_reads_it_and_named(script, tmp_path):
    content, origin = AVERAGES[script]
    state, checkpoint = load(content, tmp_path)
    assert equal(state, EMA)
    assert checkpoint.origin.startswith(origin)
    assert "the moving average" in checkpoint.origin
    assert checkpoint.describe("net.pt") == f"net.pt ({checkpoint.origin})"
    others = re.findall(r"(\d+) tensors", " ".join(checkpoint.ignored))
    assert len(others) == (script not in ("torch", "alone"))


def test_an_average_without_running_statistics_takes_those_of_the_weights_and_says_so(tmp_path):
    trained = convert_floats(RAW, lambda tensor: tensor + 0.5)
    state, checkpoint = load({"model": trained, "ema": without(EMA, *BUFFERS)}, tmp_path)
    assert equal(without(state, *BUFFERS), without(EMA, *BUFFERS))
    assert torch.equal(state["stem.norm.running_mean"], trained["stem.norm.running_mean"])
    assert checkpoint.converted == (f"took {STATISTICS} running statistics from model, since the average has none",)


def test_averages_of_mmcv_lie_under_the_plain_names(tmp_path):
    copies = {f"ema_{name.replace('.', '_')}": value for name, value in RAW.items()}
    state, checkpoint = load({"state_dict": {**EMA, **copies}}, tmp_path)
    assert equal(state, EMA)
    assert checkpoint.ignored[0].startswith(f"{COUNT} copies of MMCV")


@pytest.mark.parametrize("nothing", [None, {}])
def test_an_average_that_is_empty_is_passed_over_and_named(nothing, tmp_path):
    state, checkpoint = load({"state_dict": RAW, "state_dict_ema": nothing}, tmp_path)
    assert equal(state, RAW)
    assert checkpoint.ignored == ("state_dict_ema (empty)",)


@pytest.mark.parametrize(
    "average", [{"average_loss": torch.tensor(1.0)}, {"ema_losses": [torch.tensor(1.0)]}, {"ema_optimizer": OPTIMISER}]
)
def test_averages_of_other_things_than_weights_are_no_reason_to_refuse(average, tmp_path):
    assert equal(load({"model": RAW, **average}, tmp_path)[0], RAW)


DAMAGED = {
    "a parameter missing": (without(EMA, "stem.conv.weight"), "stem.conv.weight"),
    "a statistic missing": (without(EMA, "stem.norm.running_var"), "stem.norm.running_var"),
    "NaN": ({**EMA, "head.linear.bias": EMA["head.linear.bias"] / 0}, "head.linear.bias"),
    "another shape": ({**EMA, "stem.conv.weight": torch.ones(3)}, r"\(3,\)"),
    "without names": ({"decay": 0.9, "shadow_params": list(EMA.values())}, "shadow_params"),
    "a list": (list(EMA.values()), "names of the parameters"),
    "other names": ({name.replace(".", ""): value for name, value in EMA.items()}, "names of the parameters"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_average_is_refused_instead_of_the_other_weights_being_read(damage, tmp_path):
    average, found = DAMAGED[damage]
    with pytest.raises(CheckpointError, match=rf"net\.pt: .*{found}"):
        load({"model": RAW, "ema": average}, tmp_path)


def test_an_average_whose_statistics_were_never_updated_is_refused(tmp_path):
    trained = convert_floats(RAW, lambda tensor: tensor + 0.5)
    with pytest.raises(CheckpointError, match="update_bn"):
        load({"model": trained, "swa_model": average_of_torch()}, tmp_path)


# Wrappers


@pytest.mark.parametrize(
    "key", ["net", "network", "weights", "params", "model_state", "module", "checkpoint/model/state_dict", "mine"]
)
@pytest.mark.parametrize("prefix", ["", "model.", "net._orig_mod.module.", "backbone.", "wrapped.inner."])
def test_keys_and_prefixes_of_scripts_are_removed(key, prefix, tmp_path):
    content: dict = add_prefix(prefix, RAW)
    for name in reversed(key.split("/")):
        content = {name: content, "epoch": 3}
    state, checkpoint = load(content, tmp_path)
    assert equal(state, RAW)
    assert (checkpoint.origin, checkpoint.ignored, checkpoint.plain) == (key, (), True)


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_what_torch_adds_to_the_names_of_a_wrapped_row_is_removed(wrapper, tmp_path):
    row = next(iter(RAW)).partition(".")[0]
    wrapped = {name.replace(f"{row}.", f"{row}.{wrapper}.", 1): tensor for name, tensor in RAW.items()}
    assert wrapped.keys() != RAW.keys()
    state, _ = load({"model": add_prefix("module.", wrapped)}, tmp_path)
    assert equal(state, RAW)


def test_a_prefix_that_only_some_names_have_is_kept_and_named(tmp_path):
    for content, stray in (
        ({**add_prefix("model.", RAW), "criterion.weight": torch.ones(3)}, "criterion.weight"),
        (
            {**add_prefix("module.", without(RAW, "head.linear.bias")), "head.linear.bias": torch.ones(10)},
            "head.linear",
        ),
    ):
        with pytest.raises(CheckpointError, match=rf"begin with '(model|module)\.'.*{stray}"):
            load(content, tmp_path)


def test_a_network_of_one_row_keeps_the_name_of_the_row(tmp_path):
    one = Architecture.from_dict({**SOFTMAX, "blocks": SOFTMAX["blocks"][:1], "head": {"linear": False}})
    model = build(one, seed=1)
    path = store(model.state_dict(), tmp_path)
    load_weights(other := build(one, seed=2), path, one)
    assert equal(other.state_dict(), model.state_dict())


def test_a_row_may_have_the_name_of_an_average(tmp_path):
    rows = [{**block, "name": name} for name, block in zip(("ema", "avg_down", "body"), SOFTMAX["blocks"], strict=True)]
    arch = Architecture.from_dict({**SOFTMAX, "blocks": rows})
    model = build(arch, seed=1)
    path = store(model.state_dict(), tmp_path)
    assert equal(ExportModel.of(arch, weights=path).model.state_dict(), model.state_dict())


def test_several_networks_are_refused_unless_one_has_the_usual_key(tmp_path):
    with pytest.raises(CheckpointError, match="student, teacher"):
        load({"student": RAW, "teacher": EMA}, tmp_path)
    with pytest.raises(CheckpointError, match="ema_a, ema_b"):
        load({"model": RAW, "ema_a": EMA, "ema_b": RAW}, tmp_path)
    state, checkpoint = load({"state_dict": RAW, "best": EMA}, tmp_path)
    assert equal(state, RAW)
    assert (checkpoint.origin, checkpoint.ignored) == ("state_dict", (f"best ({COUNT} tensors)",))
    assert not checkpoint.plain


# What a network does not need, and what can be converted


def test_missing_counters_of_batches_become_0(tmp_path):
    model = build(SMALL, seed=3)
    model[0].norm.num_batches_tracked += 5
    checkpoint = load_weights(model, store(without(RAW, "num_batches_tracked"), tmp_path), SMALL).checkpoint
    assert equal(model.state_dict(), RAW)
    assert checkpoint.converted == (f"set {COUNTERS} missing counters of batches (num_batches_tracked) to 0",)


def test_counters_of_thop_are_passed_over_and_counted(tmp_path):
    modules = [name.removesuffix(".weight") for name in RAW if name.endswith("conv.weight")]
    counters = {f"{name}.{counter}": torch.zeros(1) for name in modules for counter in ("total_ops", "total_params")}
    state, checkpoint = load({**RAW, **counters, "total_ops": torch.zeros(1), "total_params": torch.zeros(1)}, tmp_path)
    assert equal(state, RAW)
    assert checkpoint.ignored == (f"{2 * len(modules) + 2} counters of thop",)


def test_values_that_are_not_tensors_are_passed_over_and_counted(tmp_path):
    state, checkpoint = load({**RAW, "epoch": 3, "name": "x"}, tmp_path)
    assert equal(state, RAW)
    assert checkpoint.ignored == ("2 values that are not tensors, such as 'epoch'",)


CONVERTED = {
    "float16": (lambda tensor: tensor.half(), 0, "from float16 to float32"),
    "bfloat16": (lambda tensor: tensor.bfloat16(), 0, "from bfloat16 to float32"),
    "float64": (lambda tensor: tensor.double(), 0, "from float64 to float32"),
    "sparse": (lambda tensor: tensor.to_sparse(), 2, "from sparse_coo to dense"),
}


@pytest.mark.parametrize("kind", CONVERTED)
def test_other_kinds_of_numbers_are_converted_and_that_is_said(kind, tmp_path):
    convert, ndim, words = CONVERTED[kind]
    content = convert_floats(RAW, convert, ndim=ndim)
    state, checkpoint = load(content, tmp_path)
    assert equal(state, {name: value.to_dense().to(RAW[name].dtype) for name, value in content.items()})
    count = sum(value.ndim >= ndim for name, value in RAW.items() if not name.endswith(BUFFERS[2]))
    assert checkpoint.converted == (f"converted {count} tensors {words}",)


@pytest.mark.parametrize("convert", [lambda tensor: tensor.reshape(1), lambda tensor: tensor.float()])
def test_counters_of_another_shape_or_type_are_read(convert, tmp_path):
    trained = {name: value + 7 if value.ndim == 0 else value for name, value in RAW.items()}
    content = {name: convert(value) if value.ndim == 0 else value for name, value in trained.items()}
    assert equal(load(content, tmp_path)[0], trained)


REFUSED = {
    "NaN": ({**RAW, "stem.conv.weight": RAW["stem.conv.weight"] * float("nan")}, "'stem.conv.weight' contains NaN"),
    "inf": (
        {**RAW, "head.linear.bias": RAW["head.linear.bias"] + float("inf")},
        "'head.linear.bias' contains NaN or inf",
    ),
    "too large": ({**RAW, "head.linear.bias": torch.full((10,), 1e300, dtype=torch.float64)}, "head.linear.bias"),
    "integers": (convert_floats(RAW, lambda tensor: tensor.to(torch.int8)), "int8"),
    "complex": (convert_floats(RAW, lambda tensor: tensor.to(torch.complex64)), "complex64"),
    "meta": (convert_floats(RAW, lambda tensor: tensor.to("meta")), "meta device"),
    "other classes": (build(SMALL.at(num_classes=21)).state_dict(), "for 21 classes and the network for 10"),
    "no head": (without(RAW, "head.linear.weight", "head.linear.bias"), "no head"),
    "no weights": (
        {"epoch": 3, "best": 0.5, "names": [], "seed": 1},
        r"but 'epoch', 'best', 'names', \.\.\.; .*state_dict",
    ),
    "no network": ({"z": torch.zeros(3)}, "'stem.conv.weight', but 'z'"),
    "an empty file": ({}, "but nothing"),
    "one tensor": (torch.zeros(3), "but a value of type Tensor"),
    "a number of NumPy": (
        {"state_dict": RAW, "best": np.float64(77.1)},
        r"NumPy number .*scalar.* under 'best'.*torch\.save",
    ),
    "arrays of NumPy": ({"state_dict": {name: value.numpy() for name, value in RAW.items()}}, "NumPy array"),
    "a whole network": (build(SMALL), r"torch\.nn\.modules\.container\.Sequential"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_weights_of_the_network_is_refused_by_name(kind, tmp_path):
    content, found = REFUSED[kind]
    with pytest.raises(CheckpointError, match=rf"net\.pt: .*{found}") as raised:
        load(content, tmp_path)
    assert raised.value.file == str(tmp_path / "net.pt")
    assert len(str(raised.value).splitlines()) == 1


def test_another_head_is_named(tmp_path):
    arch = published("mobilevitv3_xxs").at(num_classes=3, image_size=64)
    path = store(build(arch, seed=1).state_dict(), tmp_path)
    for head in ("deeplabv3", "ssdlite"):
        with pytest.raises(CheckpointError, match=r"another head .*'head\.linear\.weight'"):
            ExportModel.of(find_architecture(f"mobilevitv3_xxs+{head}").at(num_classes=3), weights=path)


def test_a_head_is_kept_though_only_training_needs_its_auxiliary_classifier(tmp_path):
    arch = find_architecture("mobilevitv3_xxs+deeplabv3").at(num_classes=4)
    arch = replace(arch, head=replace(arch.head, aux=True))
    state = build(arch, seed=1).state_dict()
    assert any("auxiliary" in name for name in state)
    model = ExportModel.of(arch, weights=store(state, tmp_path), num_classes=4)
    assert model.weights == "net.pt"
    assert torch.equal(model.model.state_dict()["head.classifier.weight"], state["head.classifier.weight"])


@pytest.mark.parametrize("head", ["deeplabv3", "pspnet", "ssdlite"])
def test_a_head_for_other_classes_is_refused_with_both_numbers(head, tmp_path):
    arch = find_architecture(f"mobilevitv3_xxs+{head}")
    path = store(build(arch.at(num_classes=4), seed=1).state_dict(), tmp_path)
    with pytest.raises(CheckpointError, match=r"for 4 classes and the network for 3; use others\."):
        load_weights(build(arch.at(num_classes=3)), path, arch, other_classes="use others")


# Files


def pickle_raw(**options: bool) -> bytes:
    content = io.BytesIO()
    torch.save(RAW, content, **options)
    return content.getvalue()


def flip_bit(content: bytes) -> bytes:
    """The content with one bit of a weight changed."""
    position = content.index(RAW["stem.conv.weight"].numpy().tobytes()[:64]) + 3
    return content[:position] + bytes([content[position] ^ 0x40]) + content[position + 1 :]


def archive(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        written.writestr(name, content)
    return file.getvalue()


def tar(content: bytes) -> bytes:
    file, entry = io.BytesIO(), tarfile.TarInfo("net.pt")
    entry.size = len(content)
    with tarfile.open(fileobj=file, mode="w") as written:
        written.addfile(entry, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize(
    "name",
    ["last.pth.tar", "last.ckpt", "pytorch_model.bin", "net.pt", "net.safetensors", "net", os.fsdecode(b"n\xff.pt")],
    ids=repr,
)
@pytest.mark.parametrize("kind", ["torch", "torch before 1.6", "safetensors"])
def test_a_checkpoint_is_known_by_its_content_whatever_its_name(name, kind, tmp_path):
    old = {"_use_new_zipfile_serialization": False}
    content = {"torch": pickle_raw, "torch before 1.6": lambda: pickle_raw(**old), "safetensors": lambda: save(RAW)}[
        kind
    ]()
    (tmp_path / name).write_bytes(content)
    assert equal(read_checkpoint(tmp_path / name).weights, RAW)


OTHER_FILES = {
    "empty": (b"", "is empty"),
    "truncated safetensors": (save(RAW)[:-100], "damaged or incomplete"),
    "truncated torch": (pickle_raw()[:-100], "damaged or incomplete"),
    "truncated old torch": (pickle_raw(_use_new_zipfile_serialization=False)[:-100], "damaged"),
    "a changed bit": (flip_bit(pickle_raw()), "checksum"),
    "a page": (b"<!DOCTYPE html><html>", "web page"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "an index": (b'{\n  "metadata": {"total_size": 1}}', "JSON"),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x05" + b"0" * 99, "ONNX"),
    "a ZIP": (archive("notes.txt", b"x"), r"ZIP archive .*notes\.txt"),
    "a ZIP around it": (archive("net.pt", pickle_raw()), r"ZIP archive .*net\.pt"),
    "TorchScript": (archive("net/constants.pkl", b"x"), "TorchScript"),
    "a tar": (tar(pickle_raw()), "tar archive"),
    "gzip": (gzip.compress(pickle_raw()), "compressed"),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
def test_other_files_are_named_for_what_they_are(kind, name, tmp_path):
    content, found = OTHER_FILES[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=found) as raised:
        read_checkpoint(tmp_path / name)
    assert raised.value.file == str(tmp_path / name)
    assert len(str(raised.value).splitlines()) == 1


def test_a_checkpoint_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = store(RAW, tmp_path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert equal(read_checkpoint(path).weights, RAW)


def test_a_part_of_several_files_is_named(tmp_path):
    path = tmp_path / "model-00001-of-00002.safetensors"
    save_file(RAW, path)
    with pytest.raises(CheckpointError, match="one of 2 parts"):
        read_checkpoint(path)
    path = path.rename(tmp_path / "model-00001-of-00001.safetensors")
    assert equal(read_checkpoint(path).weights, RAW)


def test_a_dictionary_that_contains_itself_is_one_sentence(tmp_path):
    content: dict = {"state_dict": RAW}
    content["ema"] = content["again"] = content
    path = store(content, tmp_path)
    with pytest.raises(CheckpointError, match="ema"):
        read_checkpoint(path)
    content = {"average": []}
    content["average"].append(content)
    with pytest.raises(CheckpointError, match="state_dict"):
        read_checkpoint(store(content, tmp_path))


def test_a_folder_names_a_checkpoint_in_it(tmp_path):
    save_file(RAW, tmp_path / "model.safetensors")
    with pytest.raises(EnvironmentFault, match=r"is a folder.*model\.safetensors"):
        read_checkpoint(tmp_path)
    with pytest.raises(MvsearchError, match="no such file"):
        read_checkpoint(tmp_path / "none.pt")


# Networks of equal shapes


@pytest.mark.parametrize(
    ("row", "field", "value"), [(2, "heads", 2), (2, "patch", 4), (1, "stride", 1)], ids=["heads", "patch", "stride"]
)
def test_weights_of_a_training_are_refused_by_another_network_of_equal_shapes(row, field, value, tmp_path):
    SMALL.save(tmp_path / "architecture.yaml")
    path = tmp_path / "weights.safetensors"
    preparation = Preparation((0.0,), (1.0,), SMALL.image_size)
    write_weights(build(SMALL, seed=1), SMALL.key, path, preparation)
    rows = [{**block, field: value} if i == row else block for i, block in enumerate(SOFTMAX["blocks"])]
    other = Architecture.from_dict({**SOFTMAX, "blocks": rows})
    with pytest.raises(CheckpointError, match=rf"architecture\.yaml.*\.{field} is .* and not {value}"):
        ExportModel.of(other, weights=path)
    (tmp_path / "architecture.yaml").unlink()
    [note] = ExportModel.of(other, weights=path).facts()["weights_ignored"]
    assert SMALL.key in note


def test_weights_of_a_training_are_read_at_another_image_size_and_for_other_classes(tmp_path):
    SMALL.save(tmp_path / "architecture.yaml")
    path = tmp_path / "weights.safetensors"
    write_weights(build(SMALL, seed=1), SMALL.key, path, Preparation((0.0,), (1.0,), SMALL.image_size))
    for options in ({"image_size": 64}, {"num_classes": 3}, {"features": True}):
        assert ExportModel.of(SMALL, weights=path, **options).facts()["weights_ignored"] == []
    (tmp_path / "architecture.yaml").unlink()
    for options in ({"image_size": 64}, {"num_classes": 3}, {"features": True}):
        assert ExportModel.of(SMALL, weights=path, **options).facts()["weights_ignored"] == []


# A warm start reads the same


def test_a_warm_start_takes_the_average_and_says_so(tmp_path):
    path = store({"state_dict": RAW, "state_dict_ema": without(EMA, "num_batches_tracked")}, tmp_path)
    transfer = warm_start(path, model := build(SMALL, seed=3), SMALL)
    assert equal(model.state_dict(), EMA)
    assert transfer.source == f"small_softmax in {path} (state_dict_ema, the moving average)"
    assert transfer.to_dict()["weights_origin"] == "state_dict_ema, the moving average"
    assert transfer.to_dict()["weights_ignored"] == [f"state_dict ({COUNT} tensors)"]
    assert len(transfer.to_dict()["weights_converted"]) == 1


def test_a_warm_start_refuses_what_export_refuses(tmp_path):
    path = store({**RAW, "stem.conv.weight": RAW["stem.conv.weight"] * float("nan")}, tmp_path)
    model = build(SMALL, seed=3)
    with pytest.raises(CheckpointError, match="NaN"):
        warm_start(path, model, SMALL)
    assert equal(model.state_dict(), build(SMALL, seed=3).state_dict())
