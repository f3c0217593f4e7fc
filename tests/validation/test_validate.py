"""`mvsearch validate` on a study of three tiny networks and 32 images of 32 px, whose scores are made up."""

import csv
import json
import shutil
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import all_files, assert_one_sentence
from filelock import FileLock
from PIL import Image
from scipy.stats import ttest_rel

from mvsearch.errors import StudyError
from mvsearch.study.plan import Plan
from mvsearch.study.reader import open_study
from mvsearch.study.study import Study
from mvsearch.validation.conditions import choose_recipe, prepare, study_images
from mvsearch.validation.document import read_validations, validated_weights, write_validation
from mvsearch.validation.executor import run, train
from mvsearch.validation.job import ValidationJob
from mvsearch.validation.networks import select_networks
from mvsearch.validation.outcome import Validation

pytestmark = pytest.mark.usefixtures("one_thread")

SPACE = """
name: toy
image_size: 64
num_classes: 10
vars: {width: {choose: [16, 24, 32]}}
blocks:
  - {name: stem, block: conv, out: 8, stride: 2}
  - {name: down, block: mv2, out: width, stride: 2, expand: 2}
search: {objectives: [OBJECTIVES], sampler: random, trials: 3}
proxy: {image_size: 32}
data: {source: folder, path: images}
"""
BASE = """
image_size: 64
num_classes: 5
blocks:
  - {name: stem, block: conv, out: 8, stride: 2}
  - {name: down, block: mv2, out: 40, stride: 2, expand: 2}
"""
QUICK = ("--epochs", "2", "--set", "batch=8", "--workers", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Images, a baseline, a study whose best candidate is the widest, and one of costs alone."""
    with chdir(tmp_path_factory.mktemp("validate")):
        make_images()
        Path("base.yaml").write_text(BASE, encoding="utf-8")
        make_study("toy", "top1, params")
        make_study("costs", "params, macs")
        return Path.cwd()


@pytest.fixture
def study(folder, mvsearch):
    """The command, in a copy of the folder."""
    shutil.copytree(folder, ".", dirs_exist_ok=True)
    return mvsearch


def make_images() -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for place, name in enumerate(("cat", "dog")):
            folder = Path("images", part, name)
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(rng.normal(90 + 60 * place, 40, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")


def make_study(name: str, objectives: str, trials: int = 3, space: str = SPACE) -> None:
    Path(f"{name}.yaml").write_text(space.replace("OBJECTIVES", objectives), encoding="utf-8")
    plan = Plan.load(f"{name}.yaml", name=name)
    Study.join(plan).run(
        lambda arch: {**arch.metrics(), "top1": arch.blocks[1].out / 100, "latency_ms": 2.0}, trials=trials
    )


def assert_refused(mvsearch, *args: str) -> str:
    """One sentence, and no file besides those of the open database; returns the sentence."""
    before = {file for file in all_files() if "study.db" not in file}
    done = mvsearch("validate", *args)

    assert (done.code, done.out) == (1, ""), done
    assert_one_sentence(done.err)
    assert {file for file in all_files() if "study.db" not in file} == before
    return done.err


def best() -> int:
    return max(open_study("toy").records(), key=lambda record: record.metrics["params"]).number


def validation_job(seeds: int = 2) -> ValidationJob:
    reader = open_study("toy")
    networks = select_networks(reader, top=1, against=["base.yaml"]).networks
    name, recipe, _ = choose_recipe(reader.facts, "classification", None, ["epochs=2", "batch=8"])
    images = study_images(reader.facts, "classification")
    conditions = prepare([networks[0].arch], name, recipe, images, init=None, device="cpu").conditions
    return ValidationJob("toy", networks, conditions, seeds, Path("studies/toy/validation"))


def test_a_candidate_and_a_baseline_are_trained_and_compared(study):
    done = study("validate", "toy", "--top", "1", "--against", "base.yaml", "--seeds", "2", *QUICK, "--json")
    assert done.code == 0, done.err
    assert done.err.count("6 steps may be too few to learn from random weights") == 1
    found, number = done.json, best()
    folder = Path(found["folder"])
    candidate, baseline = found["networks"]
    trained = {
        network["name"]: [
            json.loads((folder / network["key"] / f"seed_{seed}" / "result.json").read_text()) for seed in (0, 1)
        ]
        for network in (candidate, baseline)
    }
    scores = {name: [result["top1"] for result in results] for name, results in trained.items()}
    (comparison,) = found["comparisons"]
    interval = ttest_rel(scores[f"toy:{number}"], scores["base.yaml"]).confidence_interval(0.95)

    assert candidate["name"] == f"toy:{number}"
    assert [network["scores"] for network in (candidate, baseline)] == [scores[f"toy:{number}"], scores["base.yaml"]]
    assert comparison["difference"] == pytest.approx(np.mean(scores[f"toy:{number}"]) - np.mean(scores["base.yaml"]))
    if np.isfinite(interval.low):
        assert (comparison["low"], comparison["high"]) == pytest.approx((interval.low, interval.high))
    assert {result["settings"]["seed"] for result in trained["base.yaml"]} == {0, 1}
    assert {(result["image_size"], result["images"], result["part"]) for result in trained["base.yaml"]} == {
        (32, 8, "test")
    }
    assert baseline["params"] > candidate["params"]
    assert candidate["latency_ms"] == 2.0
    assert "latency_ms" not in baseline
    assert found["conditions"]["classes"] == 2
    assert (found["open"], found["rounds"], found["part"]) == (0, 2, "test")
    assert f"toy:{number}" in found["verdict"]
    stored = json.loads((folder / "validation.json").read_text())
    assert stored == {name: value for name, value in found.items() if name != "folder"}
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    assert [(row["network"], row["seed"]) for row in rows] == [(n["name"], s) for n in found["networks"] for s in "01"]
    assert (folder / "validation.png").read_bytes().startswith(b"\x89PNG")

    # The same again trains nothing, fewer seeds lose nothing, and other baselines reuse what is there.
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}
    again = study("validate", "toy", "--top", "1", "--against", "base.yaml", "--seeds", "1", *QUICK, "--json")
    assert again.json == found
    assert "2 seeds are finished" in again.err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")} == times

    # An export takes the weights of seed 0, with their classes and image size.
    exported = study("export", f"toy:{number}", "--to", "torch", "-o", "net.py", "--no-verify", "--json")
    assert exported.code == 0, exported.err
    assert f"toy:{number}" in exported.err
    assert (exported.json["num_classes"], exported.json["image_size"]) == (2, 32)
    weights = folder / candidate["key"] / "seed_0" / "weights.safetensors"
    other = study(
        *("export", f"toy:{number}", "--to", "torch", "-o", "same.py", "--no-verify", "--image-size", "32"),
        *("--num-classes", "2", "--weights", str(weights)),
    )
    assert other.code == 0, other.err
    assert Path("net.safetensors").read_bytes() == Path("same.safetensors").read_bytes()
    fresh = study(
        "export", f"toy:{number}", "--to", "torch", "-o", "fresh.py", "--no-verify", "--weights", "random", "--json"
    )
    assert (fresh.json["num_classes"], fresh.json["weights"]) == (10, "random, seed 0")

    # The report page shows it.
    page = study("report", "toy", "-o", "report.html", "--json")
    assert page.json["validations"][0]["verdict"] == found["verdict"]
    assert '<section id="validation">' in Path("report.html").read_text(encoding="utf-8")


def test_one_seed_has_no_interval_and_the_sentence_says_so(study):
    done = study("validate", "toy", "--top", "1", "--against", "base.yaml", "--seeds", "1", *QUICK, "--json")
    (comparison,) = done.json["comparisons"]

    assert (comparison["low"], comparison["verdict"]) == (None, "one seed")
    assert "1 seed" in done.json["verdict"]
    table = study("validate", "toy", "--top", "1", "--against", "base.yaml", "--seeds", "1", *QUICK)
    assert "base.yaml" in table.out
    assert done.json["verdict"].split()[0] in table.out


def test_a_stopped_training_resumes_with_the_same_result(study):
    job, steps = validation_job(), iter(range(100))
    with pytest.raises(KeyboardInterrupt):
        list(train(job, ("base.yaml", 0), lambda: next(steps) >= 2))
    assert job.result(("base.yaml", 0)) is None
    first = [at.step for at in train(job, ("base.yaml", 0), lambda: False)]
    resumed = job.result(("base.yaml", 0))
    for path in job.training_folder(("base.yaml", 0)).iterdir():
        path.unlink() if path.is_file() else None
    list(train(job, ("base.yaml", 0), lambda: False))
    whole = job.result(("base.yaml", 0))

    assert first[0] > 1
    assert (resumed["top1"], resumed["loss"]) == (whole["top1"], whole["loss"])


def test_a_training_of_another_command_is_left_alone(study):
    job = validation_job()
    folder = job.training_folder(("base.yaml", 0))
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"):
        assert list(train(job, ("base.yaml", 0), lambda: False)) == []
    assert job.result(("base.yaml", 0)) is None


def test_a_training_that_diverges_is_reported_and_not_repeated(study):
    job = validation_job(1)
    job.folder.mkdir(parents=True)
    job.training_folder(("base.yaml", 0)).mkdir(parents=True)
    job.record_failure(("base.yaml", 0), "the training loss became nan at step 3")
    err = study("validate", "toy", "--top", "1", "--against", "base.yaml", "--seeds", "1", *QUICK).err

    assert "the training loss became nan at step 3" in err.splitlines()[-1]


def test_baselines_are_chosen_by_cost(study):
    reader = open_study("toy")
    by_default = select_networks(reader, top=2)
    (first, second, *baselines) = by_default.networks

    assert [network.number for network in (first, second)] == sorted(
        range(3), key=lambda number: -reader.records()[number].metrics["params"]
    )[:2]
    assert [baseline.name for baseline in baselines] == ["mobilevitv3_xxs_l2"]
    assert first.against == second.against == ("mobilevitv3_xxs_l2",)
    assert baselines[0].arch.image_size == 64
    assert baselines[0].arch.num_classes == 10
    chosen = select_networks(reader, top=3, trials=[1], against=["base.yaml", "mobilevitv3_xxs"]).networks
    assert [network.name for network in chosen] == ["toy:1", "base.yaml", "mobilevitv3_xxs"]
    assert chosen[0].against == ("base.yaml", "mobilevitv3_xxs")


def test_a_renamed_study_keeps_its_validation_and_another_of_its_name_does_not(study, tmp_path):
    job = validation_job(1)
    list(train(job, ("base.yaml", 0), lambda: False))
    list(train(job, (f"toy:{best()}", 0), lambda: False))
    write_validation(Validation.of(job), job)
    number = best()
    assert study("studies", "rename", "toy", "other").code == 0
    (found,) = read_validations(open_study("other"))

    assert found.networks[0].name == f"other:{number}"
    weights = validated_weights(open_study("other"), found.networks[0].key)
    assert weights is not None
    assert (weights.images.source, weights.images.path) == ("folder", "images")
    elsewhere = shutil.copytree("studies/other/validation", tmp_path / "copy") / job.conditions.name
    document = json.loads((elsewhere / "validation.json").read_text())
    document["conditions"] |= {"name": "elsewhere", "images": {"source": "folder", "path": "elsewhere"}}
    (elsewhere / "validation.json").write_text(json.dumps(document))
    elsewhere.rename("studies/other/validation/elsewhere")
    assert [v.conditions["name"] for v in read_validations(open_study("other"))] == [job.conditions.name, "elsewhere"]
    Path("studies/toy/validation").mkdir(parents=True)
    Path("studies/other/validation").rename("studies/toy/validation")
    make_study("toy", "top1, params", space=SPACE.replace("out: 8", "out: 16"))
    assert read_validations(open_study("toy")) == []


def test_a_study_that_is_to_beat_a_network_is_compared_with_it(study):
    Path("mid.yaml").write_text(BASE.replace("out: 40", "out: 32"), encoding="utf-8")
    text = SPACE.replace("OBJECTIVES", "top1").replace("search: {", "search: {beat: mid.yaml, ")
    Path("beat.yaml").write_text(text, encoding="utf-8")
    plan = Plan.load("beat.yaml", name="beat")
    Study.join(plan).run(
        lambda arch, *, repeat=0: {**arch.metrics(), "top1": arch.blocks[1].out / 100 + repeat / 1e3}, trials=2
    )
    found = select_networks(open_study("beat"), top=2)

    assert [network.name for network in found.networks if not network.is_candidate] == ["mid"]
    assert found.networks[0].against == ("mid",)
    assert found.networks[-1].metrics["params"] == plan.target.arch.cost().params
    widths = [network.arch.blocks[1].out for network in found.networks if network.is_candidate]
    assert widths == sorted(widths, reverse=True)
    assert max(widths) < 32


def test_other_conditions_are_kept_apart(study):
    list(train(validation_job(1), ("base.yaml", 0), lambda: False))
    other = study(
        *("validate", "toy", "--top", "1", "--against", "base.yaml", "--seeds", "1", *QUICK, "--set", "lr=0.001")
    )

    assert other.code == 0, other.err
    assert "kept apart" in other.err
    assert len(list(Path("studies/toy/validation").iterdir())) == 2
    teacher = next(Path("studies/toy/validation").glob("*/*/seed_0"))
    distilled = study(
        *("validate", "toy", "--top", "1", "--against", "base.yaml", "--seeds", "1", *QUICK),
        *("--teacher", str(teacher), "--json"),
    )
    assert distilled.code == 0, distilled.err
    assert distilled.json["conditions"]["teacher"] == str(teacher)
    assert len(list(Path("studies/toy/validation").iterdir())) == 3


def test_networks_start_from_the_weights_that_the_study_used(study):
    list(train(validation_job(), ("base.yaml", 0), lambda: False))
    source = next(Path("studies/toy/validation").glob("*/*/seed_0"))
    text = SPACE.replace("OBJECTIVES", "top1, params").replace("proxy: {", f"proxy: {{init: {source}, ")
    make_study("toy2", "", space=text)
    done = study("validate", "toy2", "--top", "1", "--against", "base.yaml", "--seeds", "1", *QUICK, "--json")
    assert done.code == 0, done.err
    results = [json.loads(path.read_text()) for path in Path(done.json["folder"]).glob("*/seed_0/result.json")]

    assert done.json["conditions"]["init"] == str(source)
    assert done.json["conditions"]["recipe"] == "finetune"
    assert "recipe finetune" in done.err
    assert [result["init"]["share"] for result in results] == [1.0, 1.0]
    assert all(str(source) in result["init"]["source"] for result in results)
    assert all(sum(row["inherited"] for row in result["init"]["rows"]) == result["params"] for result in results)
    assert all(result["init"]["checksum"] == result["settings"]["init"] for result in results)


@pytest.mark.parametrize(
    ("init", "given", "recipe", "lr"),
    [(None, None, "short", 3e-3), ("a.pt", None, "finetune", 1e-3), ("a.pt", "short", "short", 3e-3)],
)
def test_a_recipe_for_trained_weights_is_the_default_where_networks_have_them(study, init, given, recipe, lr):
    facts = open_study("toy").facts
    name, values, notes = choose_recipe(facts, "classification", given, [], init=init)
    assert (name, values.lr, values.image_size) == (recipe, lr, 32)
    assert any("recipe finetune" in note for note in notes) is (name == "finetune")


def test_a_task_without_a_recipe_for_trained_weights_says_so(study):
    name, _, notes = choose_recipe(open_study("toy").facts, "detection", None, [], init="a.pt")
    assert name == "short_detection"
    assert "detection" in notes[0]


def test_a_source_that_changes_during_a_validation_is_noticed(study):
    list(train(validation_job(), ("base.yaml", 0), lambda: False))
    source = str(next(Path("studies/toy/validation").glob("*/*/seed_0")))
    job = validation_job()
    conditions = replace(job.conditions, init=source, init_checksum="0" * 12)
    with pytest.raises(StudyError) as error:
        list(train(replace(job, conditions=conditions), ("base.yaml", 0), lambda: False))
    assert error.value.file == source


@pytest.mark.parametrize(
    ("args", "value"),
    [
        (("toy", "--against", "mobilevitv3_xs+deeplabv3"), "segmentation"),
        (("toy", "--against", "mobilevitv3_xxss"), "mobilevitv3_xxs"),
        (("toy", "--trial", "99"), "99"),
        (("toy", "--trial", "0", "--against", "toy:0"), "toy:0"),
        (("costs",), "--trial"),
        (("costs", "--trial", "0", "--data", "nowhere/at/all"), "nowhere/at/all"),
        (("toy", "--recipe", "shrot"), "shrot"),
        (("toy", "--set", "batch=64"), "batch"),
        (("nowhere",), "nowhere"),
    ],
    ids=["task", "unknown", "trial", "same", "no score", "folder", "recipe", "batch", "study"],
)
def test_bad_input_is_one_sentence(study, args, value):
    assert value in assert_refused(study, *args)


def test_a_study_whose_images_are_gone_is_refused(study):
    Path("images").rename("moved")

    assert "--data" in assert_refused(study, "toy")


def test_a_study_without_trials_is_refused(study):
    plan = Plan.load("toy.yaml", name="empty")
    Study.join(plan)

    assert "empty" in assert_refused(study, "empty")


@pytest.mark.slow
def test_processes_train_at_once(study):
    job, calls = validation_job(), []
    run(job, calls.append, devices=["cpu", "cpu"])

    assert {name: list(by_seed) for name, by_seed in job.results().items()} == {
        f"toy:{best()}": [0, 1],
        "base.yaml": [0, 1],
    }
    assert sorted(training for call in calls for training in call.finished) == [
        (name, seed) for name in sorted(job.by_name) for seed in (0, 1)
    ]
