"""`mvsearch train`: whole trainings of a small network on real images."""

import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click import Abort
from PIL import Image
from safetensors.torch import load_file, save_file
from small import PLAIN, SOFTMAX
from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import TASKS
from mvsearch.cli._progress import TrainingProgress
from mvsearch.cli.main import cli
from mvsearch.data import DataSettings, load
from mvsearch.errors import ArchitectureError, CheckpointError, EnvironmentFault, MvsearchError, PlanError
from mvsearch.report.figures.training_curve import TrainingCurve
from mvsearch.study.resolve import find_architecture
from mvsearch.training import metrics_log, recipes
from mvsearch.training.distributed import ProcessGroup, process_group
from mvsearch.training.job import TrainingJob
from mvsearch.training.loop import Learner
from mvsearch.training.recipe import Recipe
from mvsearch.training.sampler import Sampler, shorten_warmup
from mvsearch.training.tasks import load_task
from mvsearch.utils import machine_lock

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = ["epochs=3", "batch=20", "image_size=32", "warmup_steps=5", "randaugment=1", "mixup=0.2", "cutmix=1"]
LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
STEPS = 3 * 9  # 180 images in batches of 20

KILLED = """
import os, signal, sys
from mvsearch.cli import _progress
from mvsearch.cli.main import main

def step(self, done, before=_progress.TrainingProgress.step):
    before(self, done)
    if done.step == 14:  # in the middle of the second epoch, two steps after a checkpoint
        os.kill(os.getpid(), signal.SIGKILL)

_progress.TrainingProgress.step = step
main()
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A folder of real images: 18 of each class to train on, 6 to judge by."""
    folder, data = tmp_path_factory.mktemp("clothes"), load("fashion_mnist")
    for part, count, name in ((data.train, 18, "train"), (data.test, 6, "test")):
        for label, word in enumerate(part.classes):
            place = folder / name / str(word).replace("/", "-")
            place.mkdir(parents=True)
            for i in np.flatnonzero(part.labels == label)[:count]:
                Image.fromarray(part.pixels[i, :, :, 0]).save(place / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def arch(tmp_path_factory) -> Path:
    document = {
        **SOFTMAX,
        "blocks": [{**row, "dropout": 0.1} if row["name"] == "body" else row for row in SOFTMAX["blocks"]],
    }
    return save_architecture(tmp_path_factory.mktemp("arch") / "small.yaml", document)


def save_architecture(path: Path, document) -> Path:
    Architecture.from_dict(document).save(path)
    return path


def words(arch: Path, images: Path, folder: Path, *more: str) -> list[str]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    options = ["--data", str(images), "-o", str(folder), "--every", "4", "--device", "cpu"]
    return ["train", str(arch), *settings, *options, *more]


def run_train(*all_: str | Path) -> None:
    cli.main(words(*all_), standalone_mode=False)


def run_process(code: list[str], arguments: list[str]) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *code, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in metrics_log.read(folder / "metrics.jsonl") if "loss" in line]


@pytest.fixture(scope="module")
def unbroken(arch, images, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    run_train(arch, images, folder)
    return folder


def test_a_killed_training_resumes_with_the_same_losses(arch, images, unbroken, tmp_path):
    ended = run_process(["-c", KILLED], words(arch, images, tmp_path))
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert_resumes(arch, images, tmp_path, unbroken, step=12)


def test_an_interrupted_training_resumes_with_the_same_losses(arch, images, unbroken, tmp_path, mvsearch, monkeypatch):
    def step(self, done, before=TrainingProgress.step):
        before(self, done)
        if done.step == 14:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "step", step)
        ended = mvsearch(*words(arch, images, tmp_path / "t"))
    assert ended.code == 130, ended.err
    assert "stopped after step 15" in ended.err
    assert_resumes(arch, images, tmp_path / "t", unbroken, step=15)


def assert_resumes(arch: Path, images: Path, folder: Path, unbroken: Path, *, step: int) -> None:
    """The training in the folder ended after that step, and resumes to the result of the unbroken one."""
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["place"]["step"] == step
    assert not (folder / "result.json").exists()

    run_train(arch, images, folder)

    assert losses(folder) == losses(unbroken)
    assert len(losses(unbroken)) == -(-STEPS // 10)  # the last line tells of what is left
    one, other = (load_file(each / "weights.safetensors") for each in (unbroken, folder))
    assert all(torch.equal(one[name], other[name]) for name in {*one, *other})


def test_the_folder_of_a_training_has_its_result_and_can_be_exported(unbroken, tmp_path, capsys):
    result = json.loads((unbroken / "result.json").read_text())
    assert result["steps"] == STEPS
    assert 0 <= result["top1"] <= 1
    assert result["top1"] == metrics_log.read(unbroken / "metrics.jsonl")[-1]["top1"]
    assert result["settings"]["mixup"] == 0.2
    assert "test part" in result["judged_on"]
    assert result["images"] == 60
    assert (unbroken / "curve.png").read_bytes().startswith(b"\x89PNG")

    model = ["export", str(unbroken / "architecture.yaml"), "--weights", str(unbroken / "weights.safetensors")]
    cli.main([*model, "-o", str(tmp_path / "net.py"), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["verified"]


def test_tensorboard_reads_the_curves(unbroken):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(unbroken / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("top1")] == [9, 18, 27]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(losses(unbroken))


def test_evaluations_after_the_last_checkpoint_are_logged_once(tmp_path):
    lines = [
        {"step": 4, "epoch": 1, "loss": 2.0},
        {"step": 4, "epoch": 1, "top1": 0.5, "judged_loss": 1.0},
        {"step": 6, "epoch": 2, "loss": 1.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    metrics_log.MetricsLog(tmp_path, step=4, epochs=0).close()
    assert metrics_log.read(tmp_path / "metrics.jsonl") == lines[:1]


@pytest.mark.parametrize(
    ("set_to", "device", "words"),
    [
        (
            {"WORLD_SIZE": "2"},
            "cpu",
            "RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT",
        ),
        ({"WORLD_SIZE": "2", **dict.fromkeys(LAUNCHER_VARIABLES, "3")}, "cuda:1", "--device cuda:1"),
        ({"WORLD_SIZE": "2", **dict.fromkeys(LAUNCHER_VARIABLES, "3")}, "cuda", "2 GPUs"),
    ],
)
def test_an_incomplete_launcher_environment_is_refused(set_to, device, words, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentFault, match=words), process_group(device):
        pass


def test_the_first_process_on_a_machine_holds_its_lock_for_all():
    first = ProcessGroup(rank=0, count=2)
    with pytest.raises(RuntimeError, match="time before or after"), first.machine_lock, machine_lock.exclusive():
        pass
    with ProcessGroup(rank=1, count=2, local_rank=1).machine_lock, machine_lock.exclusive():
        pass


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.slow
def test_two_processes_train_as_one_with_two_parts_and_resume_after_a_kill(images, tmp_path):
    still = {
        **SOFTMAX,
        "blocks": [{**row, "dropout": 0.0} if row["name"] == "body" else row for row in SOFTMAX["blocks"]],
    }
    arch = save_architecture(tmp_path / "still.yaml", {**still, "head": {"dropout": 0.0}})
    (tmp_path / "killed.py").write_text(KILLED)
    for folder, code in (("two", ["-m", "mvsearch"]), ("broken", [str(tmp_path / "killed.py")])):
        launched = run_process([*TORCHRUN, *code], words(arch, images, tmp_path / folder, "--set", "lr=1e-4"))
        assert (launched.returncode == 0) == (folder == "two"), launched.stderr
    launched = run_process([*TORCHRUN, "-m", "mvsearch"], words(arch, images, tmp_path / "broken", "--set", "lr=1e-4"))
    assert launched.returncode == 0, launched.stderr
    assert "resumes after step 12" in launched.stderr
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("two", "broken"))
    assert all(torch.equal(one[name], other[name]) for name in {*one, *other})
    one, other = (metrics_log.read(tmp_path / name / "metrics.jsonl") for name in ("two", "broken"))
    assert one == other

    run_train(arch, images, tmp_path / "one", "--accumulate", "2", "--set", "lr=1e-4")

    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    found = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("one", "two")]
    assert [each["images"] for each in found] == [60, 60]
    assert [each["settings"]["processes"] for each in found] == [1, 2]


def test_with_held_out_images_the_test_part_is_not_used(arch, images, tmp_path):
    run_train(
        arch,
        images,
        tmp_path,
        "--held-out",
        "40",
        "--set",
        "warmup_steps=2",
        "--set",
        "epochs=1",
        "--set",
        "image_sizes=[24, 32]",
    )
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["images"] == 40
    assert "held-out" in result["judged_on"]


UNCHANGED_OPTIONS = [
    word
    for setting in ("epochs=1", "lr=0", "lr_start=0", "ema=0.999999", "ema_rises=false")
    for word in ("--set", setting)
]


def test_a_training_starts_from_other_weights(arch, images, unbroken, tmp_path):
    bare = tmp_path / "bare.safetensors"  # without the architecture beside it
    bare.write_bytes((unbroken / "weights.safetensors").read_bytes())
    for i, place in enumerate((unbroken, unbroken / "weights.safetensors", bare)):
        folder = tmp_path / str(i)
        run_train(arch, images, folder, *UNCHANGED_OPTIONS, "--init", str(place))

        one, other = (load_file(each / "weights.safetensors") for each in (unbroken, folder))
        assert all(torch.allclose(one[name].float(), other[name].float(), atol=1e-4) for name, _ in parameters(one))
        began = json.loads((folder / "result.json").read_text())["init"]
        assert began["share"] == 1
        assert str(place) in began["source"]


def test_the_most_similar_of_several_trainings_is_used(arch, images, unbroken, tmp_path):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "same").symlink_to(unbroken)
    run_train(save_architecture(tmp_path / "other.yaml", PLAIN), images, shelf / "other", *UNCHANGED_OPTIONS)
    (shelf / "broken").mkdir()
    save_file({"a": torch.zeros(2)}, shelf / "broken" / "weights.safetensors")

    run_train(arch, images, tmp_path / "target", *UNCHANGED_OPTIONS, "--init", str(shelf))

    began = json.loads((tmp_path / "target" / "result.json").read_text())["init"]
    assert str(shelf / "same") in began["source"]
    assert began["share"] == 1


def test_missing_or_unsuitable_initial_weights_are_refused(arch, images, tmp_path):
    for place in ("mobilevitv3_xxs", tmp_path / "gone", tmp_path):
        with pytest.raises(CheckpointError) as refused:
            run_train(arch, images, tmp_path / "target", "--init", str(place))
        assert refused.value.file == str(place)
    save_file({"a": torch.zeros(2)}, tmp_path / "odd.safetensors")
    with pytest.raises(CheckpointError, match=r"odd\.safetensors"):
        run_train(arch, images, tmp_path / "target", "--init", str(tmp_path / "odd.safetensors"))


def test_a_training_on_streamed_images_resumes_with_another_number_of_decoders(arch, images, tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run_train(arch, images, whole, "--stream", "--decoders", "0")

    def stop(self, *parts, where, step=Learner.step, **options):
        if where.startswith("step 15 "):  # in the middle of the second epoch, two steps after a checkpoint
            raise KeyboardInterrupt
        return step(self, *parts, where=where, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", stop)
        with pytest.raises(Abort):
            run_train(arch, images, broken, "--stream", "--decoders", "2")
    assert torch.load(broken / "checkpoint.pt", weights_only=True)["place"]["step"] == 12
    run_train(arch, images, broken, "--stream", "--decoders", "1")

    assert losses(broken) == losses(whole)
    found = [json.loads((folder / "result.json").read_text()) for folder in (whole, broken)]
    assert found[0]["top1"] == found[1]["top1"]


@pytest.mark.parametrize("how", [(), ("--stream", "--decoders", "0")])
def test_broken_images_are_reported_and_not_evaluated(arch, images, tmp_path, capsys, how):
    shutil.copytree(images, tmp_path / "set")
    for part in ("train", "test"):
        next((tmp_path / "set" / part).rglob("*.png")).write_bytes(b"no image")
    run_train(arch, tmp_path / "set", tmp_path / "out", "--set", "epochs=1", *how)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    whole = len([*(images / "test").rglob("*.png")])
    assert (result["images"], result["broken"]) == (whole - 1, 2)
    assert sum(entry["count"] for entry in result["skipped"]) == 2
    assert "2 broken images" in " ".join(capsys.readouterr().err.split())


def test_shards_are_streamed(arch, images, tmp_path):
    shards = tmp_path / "shards"
    shards.mkdir()
    for part in ("train", "test"):
        with tarfile.open(shards / f"{part}-0.tar", "w") as tar:
            for label, place in enumerate(sorted((images / part).iterdir())):
                for file in sorted(place.glob("*.png")):
                    for suffix, content in (("png", file.read_bytes()), ("cls", str(label).encode())):
                        member = tarfile.TarInfo(f"{label}-{file.stem}.{suffix}")
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
    run_train(arch, shards, tmp_path / "out", "--set", "epochs=2", "--held-out", "20")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (result["images"], result["num_classes"]) == (20, 10)


def test_only_a_folder_can_be_streamed(arch, tmp_path):
    with pytest.raises(PlanError, match=r"--stream.*fashion_mnist"):
        cli.main(["train", str(arch), "-o", str(tmp_path / "a"), "--stream"], standalone_mode=False)


def parameters(state):
    return [(name, tensor) for name, tensor in state.items() if "running" not in name and "batches" not in name]


def test_force_keeps_the_old_training_if_the_new_one_is_refused(arch, images, unbroken, tmp_path):
    (tmp_path / "a").mkdir()
    for file in (each for each in unbroken.iterdir() if each.is_file()):
        (tmp_path / "a" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(CheckpointError):
        run_train(arch, images, tmp_path / "a", "--force", "--init", str(tmp_path / "nowhere"))
    assert (tmp_path / "a" / "result.json").exists()

    with pytest.raises(CheckpointError):
        run_train(arch, images, tmp_path / "b", "--init", str(tmp_path / "nowhere"))
    assert not (tmp_path / "b").exists()

    run_train(arch, images, tmp_path / "a", "--force", "--seed", "1")
    assert losses(tmp_path / "a") != losses(unbroken)


def test_overwriting_or_mixing_trainings_is_refused(arch, images, unbroken, tmp_path):
    with pytest.raises(EnvironmentFault, match="--force"):
        run_train(arch, images, unbroken)
    with pytest.raises(ArchitectureError, match="mobilenet"):
        cli.main(["train", "mobilenet", "-o", str(tmp_path / "a")], standalone_mode=False)

    with pytest.raises(EnvironmentFault, match="--device cuda:99"):
        run_train(arch, images, tmp_path / "b", "--device", "cuda:99")

    for name in ("checkpoint.pt", "metrics.jsonl"):
        (tmp_path / name).write_bytes((unbroken / name).read_bytes())
    with pytest.raises(CheckpointError, match=r"lr=0\.003, not 0\.1"):
        run_train(arch, images, tmp_path, "--set", "lr=0.1")
    (tmp_path / "checkpoint.pt").write_bytes(b"\x80no pickle")
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt"):
        run_train(arch, images, tmp_path)
    (tmp_path / "metrics.jsonl").unlink()
    with pytest.raises(EnvironmentFault, match=r"checkpoint\.pt"):
        run_train(arch, images, tmp_path)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("v3", [], "'v3'; choose one of: detection, finetune, finetune384, .*, v1, v2"),
        ("v1", ["epoch=3"], "--set epoch: unknown setting 'epoch'; did you mean 'epochs'"),
        ("v1", ["epochs"], "has no value"),
        ("v1", ["lr=fast"], "--set lr: found 'fast'"),
        ("v1", ["image_sizes=[a]"], "use a list of whole numbers"),
        ("v1", ["optimizer=lion"], "use adamw or sgd"),
        ("v1", ["ema=1"], "ema=1"),
        ("v1", ["erase=2"], "erase=2"),
    ],
)
def test_an_invalid_recipe_is_refused(name, settings, said):
    with pytest.raises(MvsearchError, match=said.replace("(", r"\(")):
        recipes.load(name, settings)


def test_every_recipe_has_a_source_and_matches_its_paper():
    assert all(recipes.load(name).source for name in recipes.names())
    assert {recipes.default_recipe(task) for task in TASKS} < set(recipes.names())
    v1, v2, fine = (recipes.load(name) for name in ("v1", "v2", "finetune384"))

    assert (v1.decay_all, v1.clip, v1.mixup, v1.randaugment) == (True, 0.0, 0.0, 0)
    assert (v2.decay_all, v2.clip, v2.mixup, v2.cutmix, v2.erase) == (False, 10.0, 0.2, 1.0, 0.25)
    assert not fine.nesterov
    assert (v1.ema, v2.ema) == (0.9995, 0.9995)
    assert (fine.optimizer, fine.image_size, fine.epochs, fine.weight_decay, fine.ema) == (
        "sgd",
        384,
        10,
        4e-5,
        0.99995,
    )
    dense, boxes = (recipes.load(name) for name in ("segmentation", "detection"))
    assert (dense.epochs, dense.image_size, dense.lr, dense.head_lr, dense.decay_all) == (50, 512, 9e-4, 10.0, True)
    assert (boxes.epochs, boxes.image_size, boxes.lr, boxes.head_lr, boxes.decay_all) == (200, 320, 9e-4, 1.0, True)
    assert {size: v1.batch_at(size) for size in v1.sizes} == {160: 983, 192: 682, 256: 384, 288: 384, 320: 384}


def test_the_head_can_have_a_higher_learning_rate():
    model = nn.ModuleDict({"body": nn.Linear(1, 1, bias=False), "head": nn.Linear(1, 1, bias=False)})
    for part in model.values():
        nn.init.ones_(part.weight)
    recipe = Recipe(optimizer="sgd", lr=0.1, weight_decay=0.0, momentum=0.0, head_lr=10.0)
    learner = Learner.create(model, recipe, "cpu", forward=lambda x: model.body(x) + model.head(x))
    learner.step([(torch.ones(1, 1), torch.ones(1))], lambda y, _: y.sum(), lr=0.01, decay=0.5, where="step 1")
    assert [part.weight.item() for part in model.values()] == pytest.approx([0.99, 0.9])


def test_the_rate_rises_step_by_step_and_falls_epoch_by_epoch():
    v1 = recipes.load("v1")
    rates = [v1.lr_at(step, step // 1000, epoch_steps=1000) for step in range(0, 300_000, 500)]

    assert v1.lr_at(0, 0, epoch_steps=1000) == 2e-4
    assert v1.lr_at(1500, 1, epoch_steps=1000) == pytest.approx(1.1e-3)
    assert (
        max(rates) == rates[6] == rates[7] == pytest.approx(v1.lr_end + 1.8e-3 * math.cos(math.pi / 200) ** 2)
    )  # epoch 3
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert rates[-1] == pytest.approx(2e-4, abs=1e-6)


def test_an_epoch_has_each_image_once_and_larger_batches_of_small_images():
    recipe = replace(recipes.load("v1"), batch=32, image_size=64, image_sizes=(32, 64, 96), epochs=2, warmup_steps=1)
    sampler = Sampler(3001, recipe, seed=1, shares=4)
    first, second = sampler.epoch(0), sampler.epoch(1)

    seen = np.concatenate([batch.images for batch in first])
    assert len(np.unique(seen)) == len(seen) > 3001 - 128
    assert {batch.size: len(batch.images) for batch in first} == {32: 128, 64: 32, 96: 32}
    assert sampler.steps == len(first) + len(second)
    assert not np.array_equal(first[0].images, second[0].images)
    assert all(np.array_equal(a.images, b.images) for a, b in zip(first, sampler.epoch(0), strict=True))
    with pytest.raises(PlanError, match="batch=30"):
        Sampler(3001, recipe, shares=3)
    with pytest.raises(PlanError, match=r"100 .* 128"):
        Sampler(100, recipe)
    with pytest.raises(PlanError, match="warmup_steps=10000"):
        Sampler(3001, replace(recipe, warmup_steps=10_000))


def test_the_folder_of_a_training_is_an_architecture_with_weights(unbroken, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arch = Architecture.load(unbroken / "architecture.yaml")

    def printed(*args: str) -> dict:
        cli.main([*args, "--json"], standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    assert printed("show", str(unbroken))["key"] == printed("profile", str(unbroken))["key"] == arch.key
    exported = printed("export", str(unbroken), "-o", "own.py", "--to", "torch", "--no-verify")
    given = ["--weights", str(unbroken / "weights.safetensors"), "-o", "given.py", "--to", "torch"]
    assert exported["weights"] == printed("export", str(unbroken), *given, "--no-verify")["weights"]
    fresh = printed("export", str(unbroken), "--weights", "random", "-o", "r.py", "--to", "torch", "--no-verify")
    assert fresh["weights"] == "random, seed 0"


@pytest.fixture
def predicted(unbroken, tmp_path, capsys):
    """What `predict` says of the finished training, as JSON; its figure is predicted.png."""

    def run(*args: str) -> dict:
        output = ["-o", str(tmp_path / "predicted.png"), "--force", "--json"]
        cli.main(["predict", str(unbroken), *output, *args], standalone_mode=False)
        assert (tmp_path / "predicted.png").read_bytes().startswith(b"\x89PNG")
        return json.loads(capsys.readouterr().out)

    return run


def test_a_classifier_predicts_the_test_part_as_the_training_evaluated_it(predicted, unbroken, images):
    report = predicted("--data", str(images))
    counts = np.array(report["confusion"])
    assert report["top1"] == pytest.approx(json.loads((unbroken / "result.json").read_text())["top1"])
    assert counts.sum(axis=1).tolist() == [6] * 10
    assert counts.trace() == round(60 * report["top1"])
    first, other = report["predictions"][0], report["predictions"][-1]
    assert (first["label"], first["image"][:5]) == (report["classes"][0], "test/")
    assert (images / other["image"]).is_file()
    assert 0.1 <= first["predicted"][0]["probability"] <= 1


def test_images_without_labels_are_classified_and_what_cannot_be_read_is_left_out(predicted, images, tmp_path):
    (tmp_path / "loose").mkdir()
    for i, file in enumerate(sorted((images / "test").glob("*/*.png"))[:3]):
        shutil.copy(file, tmp_path / "loose" / f"{i}.png")
    (tmp_path / "loose" / "broken.png").write_text("no image")
    report = predicted("--data", str(tmp_path / "loose"))
    assert [(each["image"], each["label"]) for each in report["predictions"]] == [(f"{i}.png", None) for i in range(3)]
    assert "top1" not in report
    assert len(predicted("--data", str(tmp_path / "loose" / "1.png"))["predictions"]) == 1


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (("--data", "photos", "--weights", "random"), "needs weights"),
        ((), "--data"),
        (("--steps", "3"), "mvsearch train"),
    ],
)
def test_predict_of_a_classifier_says_what_is_missing(predicted, args, found):
    with pytest.raises(PlanError, match=found):
        predicted(*args)


@pytest.mark.parametrize(
    ("file", "found"), [("study.db", "STUDY:NUMBER"), ("checkpoint.pt", "not finished"), ("x", "architecture.yaml")]
)
def test_another_folder_is_no_architecture(tmp_path, file, found):
    (tmp_path / file).touch()
    with pytest.raises(ArchitectureError, match=found):
        find_architecture(str(tmp_path))


@pytest.mark.parametrize(("images", "steps"), [(2400, 36), (60_000, 900), (128, 2)])
def test_a_warm_up_takes_at_most_an_eighth_of_the_steps(images, steps):
    recipe = recipes.load("short")
    shortened, notes = shorten_warmup(recipe, images)
    assert shortened == replace(recipe, warmup_steps=steps)
    assert [str(steps) in note and "900" in note for note in notes] == [True] * (steps < 900)
    Sampler(images, shortened)


def test_the_default_recipe_trains_on_few_images_and_says_how_its_warm_up_differs(arch, images, tmp_path, capsys):
    few = [word for setting in ("epochs=1", "batch=20", "image_size=32", "lr=1e-9") for word in ("--set", setting)]
    options = ["--data", str(images), "--device", "cpu"]
    cli.main(["train", str(arch), *few, *options, "-o", str(tmp_path / "short")], standalone_mode=False)
    assert json.loads((tmp_path / "short" / "result.json").read_text())["settings"]["warmup_steps"] == 1
    err = capsys.readouterr().err
    assert "the warm-up takes 1 of 9 steps; the recipe has 900" in err
    assert "what guessing gives (the largest of 10 classes has 10.0 % of the images)" in err.splitlines()[-1]

    with pytest.raises(PlanError, match="warmup_steps=900"):
        cli.main(
            ["train", str(arch), *few, "--set", "warmup_steps=900", *options, "-o", str(tmp_path / "given")],
            standalone_mode=False,
        )


@pytest.mark.parametrize(
    ("counts", "score", "guessed"), [((24, 24), 0.6, True), ((24, 24), 0.7, False), ((72, 24), 0.8, True)]
)
def test_an_accuracy_within_the_noise_of_guessing_is_said_with_settings_of_more_steps(arch, counts, score, guessed):
    images, evaluation = (
        SimpleNamespace(labels=np.repeat([0, 1], counts)),
        SimpleNamespace(images=sum(counts), score=score),
    )
    data = SimpleNamespace(
        task=load_task("classification"), metric="top1", train=images, held_out=images, steps=12, classes=2
    )
    job = TrainingJob(Architecture.load(arch), Recipe(batch=8, epochs=1), DataSettings(), Path())
    notes = job.chance_note(SimpleNamespace(data=data, run=SimpleNamespace(evaluation=evaluation)))
    assert [f"{max(counts) / sum(counts):.1%}".replace("%", " %") in note for note in notes] == [True] * guessed
    assert ["--set epochs=" in note for note in notes] == [True] * guessed


def learner(model: nn.Module, **options) -> Learner:
    return Learner.create(model, Recipe(lr=0.1, weight_decay=0.1, clip=1.0, **options), "cpu")


def step(made: Learner, parts) -> float:
    return made.step(parts, lambda y, labels: ((y - labels) ** 2).mean(), lr=0.1, decay=0.75, where="a step")


def test_a_batch_in_parts_gives_the_step_of_the_whole_batch():
    x, y = torch.randn(8, 3), torch.randn(8, 2)
    torch.manual_seed(0)
    whole = learner(nn.Linear(3, 2))
    torch.manual_seed(0)
    parts = learner(nn.Linear(3, 2))

    one, other = step(whole, [(x, y)]), step(parts, list(zip(x.split(2), y.split(2), strict=True)))
    assert one == pytest.approx(other)
    assert torch.allclose(whole.model.weight, parts.model.weight, atol=1e-6)


def test_statistics_are_averaged_and_weight_decay_skips_norms_unless_it_is_for_all():
    made = learner(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
    before = made.average.state_dict()["1.running_var"].clone()
    step(made, [(5 * torch.randn(8, 3), torch.randn(8, 2))])

    ours, theirs = made.average.state_dict(), made.model.state_dict()
    assert torch.allclose(ours["1.running_var"], 0.75 * before + 0.25 * theirs["1.running_var"])
    assert ours["1.num_batches_tracked"] == 1
    assert [len(group["params"]) for group in made.optimiser.param_groups] == [1, 3]
    everything = learner(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), decay_all=True)
    assert [len(group["params"]) for group in everything.optimiser.param_groups] == [4]


def test_a_single_loss_is_drawn_as_a_point():
    from mvsearch.report.figures.training_curve import _draw

    curve = TrainingCurve("a", "b", ((10, 1.2),), ((10, 0.5),))
    assert _draw(curve).axes[0].lines[0].get_marker() == "o"


def test_scores_that_fall_at_the_end_are_within_the_axes():
    from mvsearch.report.figures.training_curve import _draw

    scores = [*np.linspace(0.2, 0.7, 15), 0.1]
    curve = TrainingCurve("a", "b", ((10, 1.2),), tuple(enumerate(scores)))
    assert _draw(curve).axes[1].get_ylim()[0] < 10


def test_the_curve_averages_neighbouring_losses():
    lines = [{"step": i, "loss": float(i % 2)} for i in range(1, 1201)] + [{"step": 1200, "top1": 0.5}]
    curve = TrainingCurve.of(lines, "a", "b")
    assert len(curve.loss) == 300
    assert {loss for _, loss in curve.loss} == {0.5}
    assert curve.scores == ((1200, 0.5),)


def test_a_checkpoint_that_wrote_ema_as_the_step_towards_the_network_resumes(arch, images, unbroken, tmp_path):
    state = torch.load(unbroken / "checkpoint.pt", weights_only=True)
    settings = json.loads(state["settings"])
    former = {name: value for name, value in settings.items() if name != "ema_is_decay"} | {"ema": 0.002}
    torch.save(state | {"settings": json.dumps(former)}, tmp_path / "checkpoint.pt")
    (tmp_path / "metrics.jsonl").write_bytes((unbroken / "metrics.jsonl").read_bytes())

    run_train(arch, images, tmp_path)

    assert settings["ema"] == 0.998
    one, other = (load_file(folder / "weights.safetensors") for folder in (unbroken, tmp_path))
    assert all(torch.equal(one[name], other[name]) for name in {*one, *other})


def test_a_recipe_that_wrote_ema_as_the_step_towards_the_network_is_converted(caplog):
    assert recipes.load("v1", ["ema=5e-4"]).ema == recipes.load("v1").ema == 0.9995
    assert "0.9995" in caplog.text
