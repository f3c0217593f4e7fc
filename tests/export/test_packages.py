"""A network as a folder that needs no other file, and as a model of timm."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file, save_file
from small import DENSE, PLAIN, SEPARABLE, SOFTMAX, job, real_images, small_model

from mvsearch.arch.architecture import Architecture, Head
from mvsearch.arch.published import published
from mvsearch.errors import ArchitectureError, PlanError
from mvsearch.export.formats import timm as registered
from mvsearch.export.model import ExportModel
from mvsearch.export.verify import export_unverified, export_verified
from mvsearch.metrics.record import Record
from mvsearch.metrics.trial import Trial
from mvsearch.training.image_samples import ImageSample

pytestmark = pytest.mark.usefixtures("one_thread")

needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")

SHIM = """
import torch

library = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
"""timm needs torchvision to import, and torchvision two operators that the CPU build of torch does not declare."""

DEEP = {**SOFTMAX, "blocks": [*SOFTMAX["blocks"], {"name": "last", "block": "conv", "out": 24, "stride": 2}]}


@pytest.fixture(scope="module")
def sample() -> ImageSample:
    return real_images()[0]


@pytest.fixture
def timm_there(tmp_path_factory, monkeypatch):
    """Interpreters that are started can import timm."""
    folder = tmp_path_factory.mktemp("shim")
    (folder / "sitecustomize.py").write_text(SHIM)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def run_isolated(*command: str, cwd) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in a folder, which cannot import mvsearch; its pytest has no plug-ins, which load slowly."""
    refuse = "import sys; sys.modules['mvsearch'] = None; "
    return subprocess.run(
        [sys.executable, "-c", refuse + command[0], *command[1:]],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


# The package


@pytest.mark.parametrize("features", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["logits", "features"])
def test_a_package_is_verified_and_its_own_test_passes_in_a_fresh_interpreter(features, tmp_path, sample):
    export_model = replace(ExportModel.of(Architecture.from_dict(DEEP), features=features), sample=sample)
    export_job = job("package", tmp_path, export_model)
    assert export_verified(export_job, sample).verified
    files = {"model.py", "weights.safetensors", "example.safetensors", "test_model.py", "README.md"}
    assert {path.name for path in export_job.path.iterdir()} == files
    run = run_isolated("import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider']))", cwd=export_job.path)
    assert run.returncode == 0, run.stdout
    assert "2 passed" in run.stdout


def test_the_package_s_test_passes_for_a_network_of_one_class(tmp_path, sample):
    export_job = job("package", tmp_path, replace(small_model({**PLAIN, "num_classes": 1}), sample=sample))
    export_unverified(export_job)
    run = run_isolated("import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider']))", cwd=export_job.path)
    assert "2 passed" in run.stdout


@pytest.mark.parametrize(
    ("change", "outcome"),
    [("weights", "1 failed, 1 passed"), pytest.param("network", "2 failed", marks=pytest.mark.slow)],
)
def test_the_package_s_test_fails_for_other_weights_and_for_another_network(change, outcome, tmp_path, sample):
    export_job = job("package", tmp_path, replace(small_model(), sample=sample))
    export_unverified(export_job)
    if change == "weights":
        weights = load_file(export_job.path / "weights.safetensors")
        weights["head.linear.weight"][3] *= 1.1
        save_file(weights, export_job.path / "weights.safetensors")
    else:
        text, row = (export_job.path / "model.py").read_text(), "self.down = MV2(16, 16, expand="
        (export_job.path / "model.py").write_text(text.replace(f"{row}2", f"{row}1"))
    run = run_isolated("import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider']))", cwd=export_job.path)
    assert outcome in run.stdout


def test_the_package_s_image_is_real_and_its_readme_has_the_numbers(tmp_path, sample):
    export_model = replace(small_model(), sample=sample)
    export_job = job("package", tmp_path, export_model)
    export_unverified(export_job)
    stored = load_file(export_job.path / "example.safetensors")
    assert torch.equal(stored["image"], torch.from_numpy(sample.images[:1]))
    text = (export_job.path / "README.md").read_text()
    cost = export_model.arch.cost()
    for text_part in (
        f"{cost.params:,} parameters",
        f"{cost.macs:,} multiply",
        "Random, seed 0: not trained",
        export_model.arch.key,
    ):
        assert text_part in text
    assert f"less the mean ({', '.join([f'{sample.mean[0]:.6g}'] * 3)})" in text


def test_the_readme_of_a_trial_has_what_the_search_measured_of_it(tmp_path, sample):
    metrics = {"params": 5, "top1": 0.8571, "top1_sem": 0.0039, "loss": 0.451, "latency_ms": 12.34}
    metrics |= {"latency_backend": "onnxruntime", "latency_device": "cpu: toy, 1 thread", "latency_image_size": 32}
    record = Record(17, "key", "complete", None, metrics, {}, SOFTMAX, None, 1.0)
    settings = {"proxy": {"name": "train", "steps": 300}, "data": {"source": "photos"}}
    export_model = replace(small_model(), sample=sample, trial=Trial("mine", record, settings))
    export_job = job("package", tmp_path, export_model)
    export_unverified(export_job)
    assert export_model.facts()["trial"] == {"study": "mine", "number": 17, "metrics": metrics}

    text = (export_job.path / "README.md").read_text()
    assert "Trial 17 of the study mine." in text
    for name, value in {
        "proxy top-1 on held-out images": "85.7 ± 0.39 %",
        "proxy loss on held-out images": "0.451",
        "latency": "12.3 ms",
        "measured by": "onnxruntime on cpu: toy, 1 thread, 32 px",
        "proxy": "train on photos",
        "  steps": "300",
    }.items():
        assert f"{name:<32}{value}\n" in text
    metrics["latency_predicted"] = True
    export_unverified(export_job)
    text = (export_job.path / "README.md").read_text()
    assert f"{'latency':<32}~12.3 ms\n{'predicted for':<32}onnxruntime on cpu" in text
    assert "measured by" not in text
    export_unverified(replace(export_job, export_model=replace(export_model, trial=None)))
    assert "In the search" not in (export_job.path / "README.md").read_text()


def test_a_package_that_was_used_is_replaced_when_forced(tmp_path, sample):
    export_job = job("package", tmp_path, replace(small_model(), sample=sample))
    export_unverified(export_job)
    for cache in ("__pycache__", ".pytest_cache"):
        (export_job.path / cache).mkdir()
    export_unverified(export_job)
    assert not (export_job.path / "__pycache__").exists()


def test_a_package_needs_a_sample(tmp_path):
    with pytest.raises(PlanError, match=r"package: .*sample"):
        job("package", tmp_path).write(tmp_path / "net.py")


@needs_timm
def test_a_file_for_timm_is_refused_where_the_preparation_of_trained_weights_is_unknown(tmp_path):
    with pytest.raises(PlanError, match=r"timm: .*--normalise"):
        job("timm", tmp_path, replace(small_model(), trained=True)).write(tmp_path / "net.py")


# timm

CREATE = """
    import importlib, json, timm, torch
    from safetensors.torch import load_file
    torch.set_num_threads(1)
    images = load_file("images.safetensors")["images"]

    def describe(module):
        name, result = module.__all__[0], {}
        def make(**options):
            return timm.create_model(name, **options).eval()
        whole = make(pretrained=True)
        result["logits"] = whole(images).tolist()
        other = make(pretrained=True, num_classes=3)
        result["classes"] = list(other(images).shape)
        result["kept"] = all(torch.equal(value, whole.state_dict()[key])
                             for key, value in other.state_dict().items() if "head" not in key)
        result["features"] = list(make(num_classes=0)(images).shape)
        result["pooled"] = list(whole.forward_head(whole.forward_features(images), pre_logits=True).shape)
        whole.reset_classifier(5)
        result["reset"] = list(whole(images).shape)
        result["classifier"] = type(whole.get_classifier()).__name__
        grey = make(pretrained=True, in_chans=1)
        result["grey"] = list(grey(images[:, :1]).shape)
        backbone = make(pretrained=True, features_only=True)
        result["channels"], result["reduction"] = backbone.feature_info.channels(), backbone.feature_info.reduction()
        result["maps"] = [list(each.shape) for each in backbone(images)]
        result["last"] = backbone(images)[-1].tolist()
        result["one"] = [list(each.shape) for each in make(features_only=True, out_indices=(1,))(images)]
        result["dropped"] = make(drop_rate=0.25).head.dropout.p
        result["data"] = timm.data.resolve_data_config(model=make())
        return result

    with torch.no_grad():
        print(json.dumps([describe(importlib.import_module(f"net_{i}")) for i in range(3)]))
"""


@needs_timm
def test_timm_creates_the_network_where_mvsearch_is_not(tmp_path, sample, timm_there):
    documents = ({**DEEP, "name": "deep"}, SEPARABLE, DENSE)
    models = [replace(small_model(document, seed=4), sample=sample) for document in documents]
    for i, model in enumerate(models):
        export_unverified(replace(job("timm", tmp_path, model), path=tmp_path / f"net_{i}.py"))
    images = torch.from_numpy(sample.images[:2])
    save_file({"images": images}, tmp_path / "images.safetensors")
    run = run_isolated(textwrap.dedent(CREATE), cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    for model, result in zip(models, json.loads(run.stdout), strict=True):
        check_timm_model(model, result, images, sample)


def check_timm_model(model: ExportModel, result: dict, images: torch.Tensor, sample: ImageSample) -> None:
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(result["logits"]), model.model(images))
        maps = ExportModel.of(model.arch, seed=4, features=True).model(images)
    width = model.arch.features
    torch.testing.assert_close(torch.tensor(result["last"]), maps[-1])
    assert result["channels"][1:] == [feature_map.shape[1] for feature_map in maps]
    assert result["reduction"] == [2**i for i in range(1, len(maps) + 2)]
    assert result["maps"][1:] == [list(feature_map.shape) for feature_map in maps]
    assert result["one"] == result["maps"][1:2]
    assert (result["classes"], result["reset"], result["grey"]) == ([2, 3], [2, 5], [2, 10])
    assert (result["features"], result["pooled"], result["classifier"]) == ([2, width], [2, width], "Linear")
    assert (result["kept"], result["dropped"]) == (True, 0.25)
    assert result["data"]["input_size"] == [3, 32, 32]
    assert result["data"]["mean"] == pytest.approx(sample.mean, abs=1e-6)
    assert result["data"]["std"] == pytest.approx(sample.std, abs=1e-6)


@pytest.mark.slow
@needs_timm
def test_a_file_for_timm_is_verified_as_timm_makes_it(tmp_path, sample, timm_there):
    report = export_verified(job("timm", tmp_path, replace(small_model(), sample=sample)), sample)
    assert report.verified
    assert report.runtime.startswith("timm ")


@needs_timm
def test_where_timm_cannot_be_imported_the_file_is_written_and_the_reason_told(tmp_path, sample, monkeypatch):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    export_job = job("timm", tmp_path, replace(small_model(), sample=sample))
    report = export_verified(export_job, sample)
    assert report.verified is None
    assert "timm cannot be imported here (RuntimeError: operator torchvision::nms" in report.reason
    assert export_job.path.is_file()


def test_the_file_for_timm_is_formatted_and_uses_all_it_imports(tmp_path):
    odd = {**SOFTMAX, "name": "odd-1.5", "head": {"pool": "max", "linear": False}}
    for name, export_model in {
        "a": small_model(odd),
        "b": ExportModel.of(published("mobilevitv2_0.5")),
        "c": small_model(DENSE),
    }.items():
        text = registered.source(export_model, module=name)
        assert "mvsearch" not in text.split('"""', 2)[2]
        (tmp_path / f"{name}.py").write_text(text)
    for command in (["format", "--check"], ["check", "--select", "E,F,I"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "120", tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout


@needs_timm
def test_what_timm_could_not_use_is_refused(tmp_path, sample):
    export_model = replace(small_model(), sample=sample)
    export_job = job("timm", tmp_path, export_model)
    with pytest.raises(PlanError, match=r"v2_0\.5\.py: .* v2_0_5\.py"):
        export_job.write(tmp_path / "v2_0.5.py")
    with pytest.raises(PlanError, match="--features"):
        export_job.format.export(replace(export_model, features=True), tmp_path / "net.py")
    row = replace(export_model.arch.blocks[1], name="forward_head")
    hidden = replace(
        export_model,
        arch=replace(export_model.arch, blocks=(export_model.arch.blocks[0], row, export_model.arch.blocks[2])),
    )
    with pytest.raises(ArchitectureError, match="'forward_head'"):
        export_job.format.export(hidden, tmp_path / "net.py")
    assert not list(tmp_path.glob("*.py"))


@pytest.mark.parametrize(
    ("name", "stem"), [("mobilevitv2_0.5", "mobilevitv2_0_5"), ("17", "network_17"), ("class", "network_class")]
)
def test_timm_s_file_is_called_by_default_what_it_can_be_imported_as(name, stem, tmp_path, monkeypatch, capsys):
    from mvsearch.cli import main
    from mvsearch.utils import yaml_document

    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(yaml_document.dump({**SOFTMAX, "name": name}))
    monkeypatch.setattr(
        sys, "argv", ["mvsearch", "export", "small.yaml", "--to", "timm", "--no-verify", "--images", "4"]
    )
    monkeypatch.setattr(registered, "FORMAT", replace(registered.FORMAT, packages=()))
    main.main()
    assert f"wrote {stem}.py" in capsys.readouterr().out
    assert f"def {stem}(pretrained" in (tmp_path / f"{stem}.py").read_text()


def test_a_network_without_a_classifier_has_none_with_timm():
    arch = replace(Architecture.from_dict(SOFTMAX), head=Head(linear=False))
    export_model = ExportModel.of(arch)
    text = registered.source(export_model, module="net")
    assert "num_classes: int = 0" in text
    assert '"classifier"' not in text
