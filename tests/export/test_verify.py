"""An exported file stands where it was asked for only if it computes what the network computes."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small import SOFTMAX, job, real_images, silent, subject
from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.cli import main
from mvsearch.errors import CheckpointError, DataError, EnvironmentFault, PlanError, VerificationError
from mvsearch.export import formats, verify
from mvsearch.export.model import ExportModel
from mvsearch.nn.weights_io import write_weights
from mvsearch.training.sample import Sample
from mvsearch.utils import yaml_document

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def sample() -> Sample:
    return real_images()[0]


# A file that computes something else


class Broken:
    """A runtime that gets a stage wrong: it adds to what the stage named `wrong` gives."""

    EXTRA, RUNTIME, SUFFIX, BATCHES = "toy", "torch", ".toy", (1, 2)

    def __init__(self, wrong: str) -> None:
        self.wrong = wrong

    def export(self, subject: ExportModel, path: Path) -> None:
        torch.save(subject.model, path)

    def load_runtime(self, path: Path, *, threads: int = 1):
        model = torch.load(path, weights_only=False)
        if self.wrong in dict(model.named_children()):
            model.get_submodule(self.wrong).register_forward_hook(lambda *args: args[2] * 1.1)
        return lambda images: verify.eager(model, images)


@pytest.mark.parametrize("wrong", ["stem", "down", "body", "head"])
def test_the_first_stage_that_differs_is_named_and_only_the_report_is_kept(wrong, tmp_path, sample):
    done = verify.Job("toy", Broken(wrong), subject(), tmp_path / "net.toy")
    with pytest.raises(VerificationError, match=f"differ .* first at stage {wrong}; the file is not kept"):
        verify.export_verified(done, sample, say=silent)

    assert [path.name for path in tmp_path.iterdir()] == ["net.toy.report.json"]
    stored = json.loads(done.report_path.read_text())
    assert (stored["verified"], stored["first_differing_stage"]) == (False, wrong)


class Choosy(Broken):
    """A converter that cannot take a stage, or a runtime that cannot run it."""

    def __init__(self, wrong: str, *, runs: bool) -> None:
        super().__init__(wrong)
        self.runs = runs

    def export(self, subject: ExportModel, path: Path) -> None:
        if self.runs or self.wrong not in dict(subject.model.named_children()):
            super().export(subject, path)
        else:
            raise KeyError("aten::odd\nand twenty lines more")

    def load_runtime(self, path: Path, *, threads: int = 1):
        if self.runs and self.wrong in dict(torch.load(path, weights_only=False).named_children()):
            raise RuntimeError("no kernel for aten::odd")
        return super().load_runtime(path)


@pytest.mark.parametrize(
    ("runs", "words"),
    [(False, r"toy cannot take this network \(KeyError"), (True, r"torch .* cannot run the file \(Run")],
)
@pytest.mark.parametrize("wrong", ["stem", "body", "head"])
def test_the_stage_that_a_converter_or_a_runtime_cannot_take_is_named_too(wrong, runs, words, tmp_path, sample):
    done = verify.Job("toy", Choosy(wrong, runs=runs), subject(), tmp_path / "net.toy")
    with pytest.raises(VerificationError, match=rf"net\.toy: {words}.*aten::odd.*, first at stage {wrong}; the file"):
        verify.export_verified(done, sample, say=silent)

    assert [path.name for path in tmp_path.iterdir()] == ["net.toy.report.json"]
    assert json.loads(done.report_path.read_text())["first_differing_stage"] == wrong


@pytest.mark.parametrize("kind", ["onnx", "openvino", "executorch"])
def test_the_stages_of_a_backbone_can_be_told_apart_in_every_format(kind, tmp_path, sample):
    done = job(kind, tmp_path, ExportModel.of(Architecture.from_dict(SOFTMAX), features=True))
    stages = list(done.subject.model.named_children())
    assert not any(verify._differs(done, stages[: i + 1], sample.images[:2]) for i in range(len(stages)))


def test_the_earlier_file_stays_where_its_successor_fails_and_is_said_to_be_earlier(tmp_path, sample):
    done = verify.Job("toy", Broken("down"), subject(), tmp_path / "net.toy")
    done.path.write_text("earlier")
    with pytest.raises(VerificationError, match=r"not kept \(what stands there is an earlier one\)"):
        verify.export_verified(done, sample, say=silent)
    assert done.path.read_text() == "earlier"


def test_weights_that_give_no_numbers_are_not_the_file_s_fault(tmp_path, sample):
    made = subject()
    with torch.no_grad():
        made.model.stem.conv.weight[0, 0, 0, 0] = math.nan
    done = verify.Job("toy", Broken("none"), made, tmp_path / "net.toy")
    with pytest.raises(CheckpointError, match="the network itself gives no numbers"):
        verify.export_verified(done, sample, say=silent)
    assert not list(tmp_path.iterdir())


def test_a_file_without_numbers_or_of_another_shape_is_infinitely_far():
    ours = [np.ones((2, 3), dtype=np.float32)]
    assert verify.compare(ours, [np.full((2, 3), np.nan)], 1, classes=1).ratio == math.inf
    assert verify.compare(ours, [np.ones((2, 4))], 1, classes=1).ratio == math.inf
    assert verify.compare(ours, [*ours, *ours], 1, classes=1).ratio == math.inf


def test_force_replaces_an_earlier_export_but_never_a_folder_of_yours(tmp_path):
    def folder(_subject, path: Path) -> None:
        path.mkdir()
        (path / "model.py").write_text("new")

    done = verify.Job("toy", SimpleNamespace(export=folder), subject(), tmp_path / "net")
    verify.export(done)
    (done.path / "model.py").write_text("old")
    verify.export(done)
    assert (done.path / "model.py").read_text() == "new"

    (done.path / "photo.jpg").touch()
    with pytest.raises(EnvironmentFault, match=r"net: is a folder with photo\.jpg, which no export wrote"):
        verify.export(done)
    assert (done.path / "photo.jpg").exists()


def test_whatever_a_converter_raises_becomes_a_sentence(tmp_path):
    def fail(*_args):
        raise KeyError("aten::odd\nand twenty lines more")

    done = verify.Job("toy", SimpleNamespace(export=fail), subject(), tmp_path / "net.toy")
    words = r"net\.toy: toy cannot take this network \(KeyError: .*odd.*\); try another format\."
    with pytest.raises(VerificationError, match=words):
        verify.export(done)
    assert not list(tmp_path.iterdir())


def test_a_network_that_leaves_its_module_out_of_order_fails_in_a_fresh_interpreter(tmp_path):
    done = job("torch", tmp_path)
    done.write(done.path)
    done.path.write_text("import mvsearch\n" + done.path.read_text())
    with pytest.raises(EnvironmentFault, match=r"net\.py: does not run alone: .*mvsearch"):
        done.module.load_runtime(done.path)(np.zeros((1, 3, 32, 32), dtype=np.float32))


def test_an_interpreter_that_is_killed_is_a_sentence_too(tmp_path):
    done = job("torch", tmp_path)
    done.write(done.path)
    done.path.write_text("import os\nos._exit(9)\n")
    with pytest.raises(EnvironmentFault, match="does not run alone: it ended without a word"):
        done.module.load_runtime(done.path)(np.zeros((1, 3, 32, 32), dtype=np.float32))


# int8


def test_int8_is_judged_by_the_accuracy_it_costs_where_the_network_knows_the_classes():
    base = report(comparisons=(verify.Comparison(1, 0.2, 0.5, 0.97),), precision="int8")
    knows = replace(base, top1=verify.Accuracy(0.8, 0.76, -0.04, 0.01))
    assert verify.judge(knows, 0.05) == (True, "int8 changes top-1 by -4.0 ± 1.0 points (5 points may be lost)")
    assert verify.judge(knows, 0.03)[0] is False
    guesses = replace(base, top1=verify.Accuracy(0.1, 0.1, 0.0, 0.01))
    assert verify.judge(guesses, 0.05) == (True, "int8 keeps eager's answer on 97.0% (5 points may be lost)")
    assert verify.judge(guesses, 0.02)[0] is False


def report(**changed) -> verify.Report:
    plain = {"file": "net", "format": "toy", "runtime": "toy 1", "precision": "float32", "subject": {"num_classes": 10}}
    plain["takes"] = "any number of images"
    rest = {"images": 8, "tolerance": verify.TOLERANCE, "facts": {}, "data": "toy", "verified": None, "reason": ""}
    return verify.Report(**{**plain, **rest, **changed})


def test_the_change_of_accuracy_has_its_standard_error():
    labels = np.arange(4)
    sample = Sample(np.empty(0), labels, ("a", "b", "c", "d"), "toy")
    right, half = np.eye(4), np.eye(4)[[0, 1, 3, 2]]
    made = ExportModel(Architecture.from_dict(SOFTMAX).at(num_classes=4), nn.Identity(), "fresh")
    found = verify.accuracy(right, half, sample, made)
    assert (found.eager, found.file, found.change, found.change_sem) == (1, 0.5, -0.5, 0.25)
    assert verify.accuracy(np.eye(5), np.eye(5), sample, made) is None


# The command


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """The command in a folder that holds small.yaml."""
    (tmp_path / "small.yaml").write_text(yaml_document.dump(Architecture.from_dict(SOFTMAX).to_dict()))
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["mvsearch", "export", "small.yaml", *args])
        code = 0
        try:
            main.main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capfd.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return run


def test_the_command_verifies_reports_and_keeps_what_is_there(tmp_path, run):
    first = run("--to", "torch", "-o", "net.py", "--images", "8", "--json")
    assert first.code == 0, first.err
    assert json.loads(first.out)["verified"] is True
    assert "comparing 8 images, 3 at a time" in first.err

    again = run("--to", "torch", "-o", "net.py")
    assert (again.code, again.err) == (1, "mvsearch: net.py: is there already; --force writes over it.\n")

    forced = run("--to", "torch", "-o", "net.py", "--force", "--no-verify")
    assert forced.code == 0
    assert forced.out == (
        "wrote net.py\nweights: fresh, seed 0\ntakes: any number of images\nnot verified: --no-verify\n"
    )
    assert not (tmp_path / "net.py.report.json").exists()


def test_what_cannot_be_is_told_in_one_sentence_and_nothing_is_written(tmp_path, run):
    for args, words in {
        ("--to", "onxn"): "did you mean 'onnx'?",
        ("--to", "subject"): "unknown export format",
        ("--to", "torch", "--int8"): "use --to onnx or --to executorch",
        ("--to", "torch", "-o", "no/net.py"): "there is no folder no",
        ("--to", "torch", "-o", "net.onnx"): "name the file *.py",
        ("--to", "torch", "--data", "fashion"): "did you mean 'fashion_mnist'?",
        ("--to", "torch", "--weights", "none.pt"): "there is no such file",
    }.items():
        done = run(*args)
        assert done.code == 1
        assert words in done.err
        assert len(done.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_the_images_are_those_chosen_else_the_study_s_own(tmp_path):
    (tmp_path / "mine").mkdir()
    assert verify.images_for(str(tmp_path / "mine")).source == "folder"
    assert verify.images_for("cifar10").source == "cifar10"
    with pytest.raises(DataError, match="unknown data source"):
        verify.images_for("nothing")
    with pytest.raises(DataError, match="--data folder: which one"):
        verify.images_for("folder")
    with pytest.raises(DataError, match="/no/images: there is no such folder"):
        verify.images_for("/no/images")

    data = {"source": "photos", "path": None, "size": None, "test_fraction": 0.2, "seed": 1}
    found = verify.images_for(None, SimpleNamespace(settings={"data": data}))
    assert (found.source, found.test_fraction) == ("photos", 0.2)


def test_a_format_that_does_not_exist_is_refused_with_those_that_do():
    assert "subject" not in formats.formats()
    with pytest.raises(PlanError, match="did you mean 'executorch'"):
        formats.load_format("executorh")


def test_who_does_not_wait_for_the_timing_has_the_file_and_its_report(tmp_path, sample):
    def interrupted(*args):
        raise KeyboardInterrupt

    done = verify.Job("toy", Broken("none"), subject(), tmp_path / "net.toy")
    with pytest.raises(KeyboardInterrupt):
        verify.export_verified(done, sample, say=silent, timer=interrupted)

    assert done.path.exists()
    stored = json.loads(done.report_path.read_text())
    assert stored["verified"]
    assert "latency" not in stored


def test_the_same_weights_are_the_same_bytes(tmp_path):
    made = subject()
    for n in range(8):  # safetensors would keep several entries beside the tensors in any order
        write_weights(made.model, made.arch.key, tmp_path / str(n))
    assert len({(tmp_path / str(n)).read_bytes() for n in range(8)}) == 1
