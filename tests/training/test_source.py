"""Networks that start from a trained one: what is read, what is taken, what is said, and what a study records."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import DENSE, SEPARABLE, SOFTMAX
from timm_fixture import FILE

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet, Images, Preparation
from mvsearch.errors import CheckpointError, EnvironmentFault, MvsearchError
from mvsearch.nn import build
from mvsearch.nn.weight_transfer import transfer_weights
from mvsearch.nn.weights_io import write_weights
from mvsearch.proxies import load_proxy, settings_used
from mvsearch.proxies.train import Settings, _source
from mvsearch.training.in_memory import InMemorySet
from mvsearch.training.source import Source, warm_start

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = ("cat", "dog", "cow", "hen")
ARCH = Architecture.from_dict({**SOFTMAX, "num_classes": 4})
SETTINGS = Settings(steps=2, batch=6, held_out=4)


@pytest.fixture(autouse=True)
def nothing_cached():
    _source.cache_clear()


def dataset() -> DataSet:
    draw = np.random.default_rng(0)
    part = Images(draw.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8), np.arange(40) % 4, CLASSES)
    return DataSet("few", part, part.subset(np.arange(4)), "1234", (), "here", "none")


def trained(folder: Path, classes: tuple[str, ...] = CLASSES, count: int = 4, document=SOFTMAX, seed: int = 1) -> str:
    """The folder of a training."""
    folder.mkdir(exist_ok=True)
    arch = Architecture.from_dict({**document, "num_classes": count})
    model = build(arch, seed=seed)
    preparation = Preparation((0.4, 0.5, 0.6), (0.2,), 32, classes=classes)
    write_weights(model, arch.key, folder / "weights.safetensors", preparation)
    arch.save(folder / "architecture.yaml")
    return str(folder)


def outputs(model):
    with torch.no_grad():
        return model.eval()(torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)))


def test_an_equal_network_starts_with_the_outputs_of_the_source(tmp_path):
    place = trained(tmp_path / "t")
    source, model = Source.load(place, CLASSES), build(ARCH, seed=5)
    transfer = source.transfer(model)

    assert torch.allclose(outputs(model), outputs(build(ARCH, seed=1)), atol=1e-5)
    assert transfer.transferred == transfer.params
    assert source.notes == ()
    assert source.checksum in source.facts


@pytest.mark.parametrize(
    ("classes", "outputs_taken"),
    [
        (("dog", "hen", "cat", "cow"), [2, 0, 3, 1]),
        (("owl", "dog", "hen", "cat", "cow"), [3, 1, 4, 2]),
    ],
)
def test_classes_are_matched_by_name_and_this_is_said(tmp_path, classes, outputs_taken):
    source = Source.load(trained(tmp_path / "t", classes, len(classes)), CLASSES)
    theirs = build(Architecture.from_dict({**SOFTMAX, "num_classes": len(classes)}), seed=1)
    model = build(ARCH, seed=5)
    source.transfer(model)

    assert torch.allclose(outputs(model), outputs(theirs)[:, outputs_taken], atol=1e-5)
    assert len(source.notes) == 1


@pytest.mark.parametrize(("classes", "count"), [(("cat", "dog", "cow", "owl"), 4), ((), 7), (tuple("abcdefg"), 7)])
def test_a_classifier_of_other_classes_is_not_taken_and_this_is_said(tmp_path, classes, count):
    source, model = Source.load(trained(tmp_path / "t", classes, count), CLASSES), build(ARCH, seed=5)
    before = model.head.linear.weight.clone()
    transfer = source.transfer(model)

    assert torch.equal(model.head.linear.weight, before)
    assert transfer.rows[-1].transferred == 0
    assert len(source.notes) == 1


def test_classes_without_names_are_taken_in_order_and_this_is_said(tmp_path):
    source = Source.load(trained(tmp_path / "t", ()), CLASSES)
    assert source.transfer(build(ARCH, seed=5)).rows[-1].transferred > 0
    assert len(source.notes) == 1


WIDE = {**SOFTMAX, "blocks": [*SOFTMAX["blocks"][:2], {**SOFTMAX["blocks"][2], "out": 16, "dim": 32}]}


def test_a_training_takes_the_channels_that_the_proxy_takes(tmp_path):
    place = trained(tmp_path / "t", document=WIDE)
    first, proxy, training = (build(ARCH, seed=5) for _ in range(3))
    transfer_weights(first, build(Architecture.from_dict({**WIDE, "num_classes": 4}), seed=1), name="first")
    wanted, taken = Source.load(place, CLASSES).transfer(proxy), warm_start(place, training, ARCH, CLASSES)

    assert all(torch.equal(one, other) for one, other in zip(proxy.parameters(), training.parameters(), strict=True))
    assert not torch.equal(training.body.reduce.weight, first.body.reduce.weight)
    assert taken.to_dict() == wanted.to_dict()
    assert (taken.channels, taken.share) == ("most important first", 1.0)
    assert warm_start(place, build(Architecture.from_dict({**WIDE, "num_classes": 4})), ARCH, CLASSES).channels == "all"


def test_a_training_matches_classes_by_name_too(tmp_path):
    place, model = trained(tmp_path / "t", ("dog", "hen", "cat", "cow")), build(ARCH, seed=5)
    transfer = warm_start(place, model, ARCH, CLASSES)
    assert torch.allclose(outputs(model), outputs(build(ARCH, seed=1))[:, [2, 0, 3, 1]], atol=1e-5)
    assert len(transfer.notes) == 1


def test_what_is_no_single_trained_network_is_refused(tmp_path):
    trained(tmp_path / "a")
    trained(tmp_path / "b")
    (tmp_path / "noise.pt").write_bytes(b"no weights")
    for place in (tmp_path, tmp_path / "none", tmp_path / "noise.pt", "mobilevitv3_xxs", "studies/v3:17"):
        with pytest.raises(CheckpointError) as error:
            Source.load(str(place), CLASSES)
        assert str(place) == error.value.file


def test_weights_that_fit_no_architecture_are_refused(tmp_path):
    place = Path(trained(tmp_path / "t"))
    (place / "architecture.yaml").unlink()
    with pytest.raises(CheckpointError):
        Source.load(str(place), CLASSES)


def test_a_source_of_another_family_is_refused(tmp_path):
    data, settings = dataset(), replace(SETTINGS, init=trained(tmp_path / "t", document=SEPARABLE))
    with pytest.raises(CheckpointError) as error:
        load_proxy("train").check([ARCH], settings, data)
    assert {"mobilevit", "mobilevitv2"} <= set(str(error.value).replace(",", "").split())
    with pytest.raises(CheckpointError, match="same family"):
        warm_start(settings.init, build(ARCH, seed=0), ARCH, CLASSES)
    other = Architecture.from_dict(SEPARABLE)
    [note] = load_proxy("train").check([ARCH, other], settings, data)  # a space of both families
    assert "1 of 2" in note
    assert "in block:" in note


@pytest.mark.parametrize("field", ["add_input", "concat"])
def test_networks_whose_blocks_work_in_another_way_are_counted(tmp_path, field):
    [row] = [row for row in ARCH.blocks if field in vars(row)]
    value = {True: False, False: True, "local": "input", "input": "local"}[vars(row)[field]]
    other = replace(ARCH, blocks=tuple(replace(r, **{field: value}) if r is row else r for r in ARCH.blocks))
    settings = replace(SETTINGS, init=trained(tmp_path / "t"))
    assert load_proxy("train").check([ARCH, ARCH], settings, dataset()) == ()
    [note] = load_proxy("train").check([ARCH, other], settings, dataset())
    assert "1 of 2" in note
    assert field in note


def test_a_name_that_timm_does_not_have_or_cannot_download_is_refused(tmp_path, monkeypatch):
    class Timm:
        @staticmethod
        def list_pretrained():
            return ["known"]

        @staticmethod
        def create_model(name, pretrained):
            raise OSError("no route to the hub\nmore lines")

    monkeypatch.setitem(__import__("sys").modules, "timm", Timm)
    with pytest.raises(CheckpointError) as unknown:
        Source.load("timm:unknown", CLASSES)
    with pytest.raises(EnvironmentFault) as away:
        Source.load("timm:known", CLASSES)
    assert (unknown.value.file, away.value.file) == ("timm:unknown", "timm:known")
    assert "no route to the hub" in str(away.value)
    assert "\n" not in str(away.value)
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(EnvironmentFault):
        Source.load("timm:known", CLASSES)


def test_pretrained_weights_of_timm_are_identified_by_their_names(monkeypatch):
    from mvsearch.arch.published import published

    class Timm:
        @staticmethod
        def list_pretrained():
            return ["mine"]

        @staticmethod
        def create_model(name, pretrained):
            return build(published("mobilevitv3_xxs").at(num_classes=4), seed=3)

    monkeypatch.setitem(__import__("sys").modules, "timm", Timm)
    source = Source.load("timm:mine", CLASSES)
    assert source.name == "mobilevitv3_xxs"
    assert source.preparation is None
    assert len(source.notes) == 2


def test_a_network_of_another_family_of_timm_is_prepared_as_its_configuration_says(monkeypatch):
    class Model:
        pretrained_cfg = {  # noqa: RUF012
            "mean": (0.1, 0.2, 0.3),
            "std": (0.4, 0.5, 0.6),
            "crop_pct": 0.95,
            "input_size": (3, 224, 224),
        }

        def state_dict(self):
            shapes = json.loads(gzip.decompress(FILE.read_bytes()))["networks"]["mobilenetv4_conv_s"]["shapes"]
            return {name: torch.ones(shape) for name, shape in shapes.items()}

    class Timm:
        list_pretrained = staticmethod(lambda: ["mobilenetv4_conv_small"])
        create_model = staticmethod(lambda _name, pretrained: Model())

    monkeypatch.setitem(__import__("sys").modules, "timm", Timm)
    source = Source.load("timm:mobilenetv4_conv_small", CLASSES)
    preparation = source.preparation
    assert source.name == "mobilenetv4_conv_s"
    assert (preparation.mean, preparation.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (preparation.crop, preparation.image_size) == (0.95, 224)


def test_the_proxy_starts_from_the_source_and_records_the_share(tmp_path, monkeypatch):
    proxy, data = load_proxy("train"), dataset()
    settings = replace(SETTINGS, init=trained(tmp_path / "t"))
    seen = []
    monkeypatch.setattr(InMemorySet, "prepared", lambda self, preparation: seen.append(preparation) or self)
    plain, first, again = (proxy.score(ARCH, each, data) for each in (SETTINGS, settings, settings))
    wider = proxy.score(replace(ARCH, blocks=(*ARCH.blocks[:2], replace(ARCH.blocks[2], dim=32))), settings, data)

    assert first == again != plain
    assert (first["inherited"], "inherited" in plain) == (1.0, False)
    assert 0 < wider["inherited"] < 1
    assert seen[0].mean == (0.4, 0.5, 0.6)  # the candidates see images as the source did


def test_scores_depend_on_the_content_of_the_source(tmp_path):
    proxy, data = load_proxy("train"), dataset()
    settings = replace(SETTINGS, init=trained(tmp_path / "t"))
    before = proxy.weights("classification", settings, data)
    _source.cache_clear()
    trained(tmp_path / "t", seed=2)

    assert proxy.weights("classification", settings, data) != before
    assert proxy.weights("classification", SETTINGS, data) == ""
    assert "init" in settings_used(settings)
    assert "init" not in settings_used(SETTINGS)
    with pytest.raises(MvsearchError):
        proxy.weights("classification", replace(settings, init=str(tmp_path / "none")), data)


def test_another_preparation_beside_equal_weights_is_another_source(tmp_path):
    first = Source.load(trained(tmp_path / "t"), CLASSES)
    weights = tmp_path / "t" / "weights.safetensors"
    write_weights(build(ARCH, seed=1), ARCH.key, weights, Preparation((0.1,), (0.2,), 32, classes=CLASSES))
    assert Source.load(str(tmp_path / "t"), CLASSES).checksum != first.checksum


@pytest.mark.parametrize(
    ("result", "notes"),
    [
        ({"settings": {"data": "1234"}}, 1),
        ({"settings": {"data": "5678"}}, 0),
        ({"settings": {"data": "5678"}, "classes": CLASSES, "images_of_class": [10] * 4}, 1),  # decoded at another size
        ({"settings": {"data": "5678"}, "classes": CLASSES, "images_of_class": [10, 10, 10, 9]}, 0),
        ({"settings": {"data": "5678"}, "classes": CLASSES, "images_of_class": None}, 0),
        ({}, 0),
    ],
)
def test_a_source_that_was_trained_on_the_same_images_is_noted(tmp_path, result, notes):
    place = Path(trained(tmp_path / "t"))
    (place / "result.json").write_text(json.dumps(result))
    for each in (place, place / "weights.safetensors"):
        _source.cache_clear()
        found = load_proxy("train").check([ARCH], replace(SETTINGS, init=str(each)), dataset())
        assert len(found) == notes


@pytest.mark.parametrize(("document", "notes"), [(SOFTMAX, 0), (DENSE, 1)])
def test_networks_that_differ_in_what_is_added_are_noted(tmp_path, document, notes):
    settings = replace(SETTINGS, init=trained(tmp_path / "t", document=document))
    found = load_proxy("train").check([ARCH, ARCH], settings, dataset())
    assert len(found) == notes
    assert all("drawn from the space" in note and "in the space." in note for note in found)
    chosen = Source.load(settings.init, CLASSES).check_networks([ARCH, ARCH])
    assert [note.endswith("compare them only with each other.") for note in chosen] == [True] * notes
