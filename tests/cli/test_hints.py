"""What is suggested to who uses another tool's word, another way to write a number, or a misspelt name."""

from dataclasses import replace
from pathlib import Path

import pytest
from command import assert_one_sentence, assert_refused
from toy import arithmetic

from mvsearch.data import DataSettings
from mvsearch.metrics.constraints import Constraint, as_written
from mvsearch.metrics.registry import searchable
from mvsearch.study.plan import Plan
from mvsearch.study.study import Study
from mvsearch.utils import plugins
from mvsearch.utils.synonyms import _DIFFERENCES, _SYNONYMS


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (("run", "quick.yaml", "--objective", "accuracy"), "'top1'"),
        (("run", "quick.yaml", "--objective", "FLOPs"), "'macs'"),
        (("run", "quick.yaml", "--limit", "params <= 1,5M"), "'params <= 1.5M'"),
        (("run", "quick.yaml", "--limit", "latency <= 10"), "'latency_ms'"),
        (("scale", "mobilevitv3_xxs", "--to", "params=1,5M"), "'params=1.5M'"),
        (("scale", "mobilevitv3_xxs", "--to", "flops=1G"), "'macs'"),
        (("export", "mobilevitv3_xxs", "--to", "pytorch"), "'torch'"),
        (("profile", "mobilevitv3_xxs", "--backend", "onnx"), "'onnxruntime'"),
        (("proxies", "--proxy", "train", "--set", "train.epochs=3"), "'steps' (batches,"),
        (("proxies", "--proxy", "nwot"), "'naswot'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_another_word_gets_the_name_of_this_package(mvsearch, args, hint):
    assert f"did you mean {hint}" in assert_refused(mvsearch, *args)


def test_a_setting_of_a_file_is_suggested_with_its_line(mvsearch, tmp_path):
    text = (tmp_path / "quick.yaml").read_text("utf-8")
    (tmp_path / "epochs.yaml").write_text(text.replace("proxy: {", "proxy: {epochs: 3, ", 1), "utf-8")
    assert "did you mean 'steps'" in (err := assert_refused(mvsearch, "space", "epochs.yaml"))
    assert "epochs.yaml:" in err


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("params <= 1,5M", "params <= 1.5M"),
        ("params < 1.5 million", "params <= 1.5M"),
        ("params <= 1,500,000", "params <= 1500000"),
        ("params ≤ 2m", "params <= 2M"),
        ("latency_ms <= 10 ms", "latency_ms <= 10"),
        ("top1 > 70 %", "top1 >= 0.7"),
        ("macs=<1,2 G", "macs<=1.2G"),
    ],
)
def test_a_limit_is_suggested_as_it_is_written(text, meant):
    assert as_written(text) == meant
    Constraint.parse(meant)


def test_a_limit_that_cannot_be_guessed_gets_examples(mvsearch):
    assert "'params <= 6M'" in assert_refused(mvsearch, "run", "quick.yaml", "--limit", "small")


def test_every_synonym_stands_for_another_name():
    assert [word for word, names in _SYNONYMS.items() if word in names] == []
    assert {pair[1] in _SYNONYMS[pair[0]] for pair in _DIFFERENCES} == {True}
    assert plugins.suggest("Accuracy", searchable()) == "did you mean 'top1'?"


def test_a_misspelt_file_or_folder_gets_the_one_that_is_there(mvsearch):
    Path("mine.yaml").touch()
    Path("pictures").mkdir()
    assert "did you mean 'mine.yaml'?" in assert_refused(mvsearch, "run", "mien.yaml")
    assert "did you mean 'mixed'?" in assert_refused(mvsearch, "space", "mixd")
    assert "did you mean 'pictures'?" in assert_refused(mvsearch, "init", "--data", "picturs")
    assert "did you mean 'cutouts'?" in assert_refused(mvsearch, "init", "--data", "cutout")


def test_a_value_of_a_recipe_given_as_an_option_gets_the_option_that_takes_it(mvsearch):
    for args in (("train", "mobilevitv3_xxs", "-o", "x", "--epochs", "3"), ("validate", "x", "--head-lr=3")):
        done = mvsearch(*args)
        name = args[-1].partition("=")[0] if "=" in args[-1] else args[-2]
        assert done.code == 2
        assert f"'{name}'" in done.err
        assert f"--set {name[2:].replace('-', '_')}=VALUE" in done.err
    assert "--set" not in mvsearch("train", "mobilevitv3_xxs", "-o", "x", "--epoch", "3").err


def test_a_decimal_comma_in_a_list_of_limits_gets_the_point(mvsearch):
    text = Path("quick.yaml").read_text("utf-8")
    for limit, whole in (("params <= 1,5M", "params <= 1.5M"), ("latency_ms <= 1,5", "latency_ms <= 1.5")):
        Path("comma.yaml").write_text(text.replace("[params <= 1.4M]", f"[macs <= 1G, {limit}]"), "utf-8")
        err = assert_refused(mvsearch, "space", "comma.yaml")
        assert f"comma.yaml:37: search.limits.1: cannot read the limit {limit!r}; did you mean {whole!r}?" in err


def test_a_file_given_for_a_folder_of_images_is_called_a_file(mvsearch):
    Path("pets.zip").touch()
    Path("sub").mkdir()
    Path("sub/pets.zip").touch()
    for file in ("pets.zip", "sub/pets.zip"):
        for args in (("init", "--data", file), ("data", "check", "folder", "--path", file)):
            assert "this is a file; unpack it if it is an archive" in assert_refused(mvsearch, *args)
    assert "no such folder" in assert_refused(mvsearch, "init", "--data", "sub/nothing")


def test_a_folder_given_for_a_space_gets_the_command_that_writes_one(mvsearch):
    Path("my photos").mkdir()
    for command in ("run", "space"):
        err = assert_refused(mvsearch, command, "my photos")
        assert "my photos: is a folder" in err
        assert "`mvsearch init --data 'my photos' -o my.yaml`" in err


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("search:\n\ttrials: 3\n", "this is a tab; use blanks"),
        ("search:\n  seed: 3\n trials: 3\n", "the indentation of this line differs"),
        ("  seed: 3\ntrials: 3\n", "the indentation of this line differs"),
        ("blocks:\n  - {out: 8}\n    - {out: 8}\n", "the indentation of this line differs"),
        ("seed: 3\n  trials: 3\n", "the line is indented too far"),
    ],
)
def test_indentation_that_yaml_does_not_take_is_explained_with_its_line(mvsearch, text, hint):
    Path("mine.yaml").write_text(text, "utf-8")
    err = assert_refused(mvsearch, "space", "mine.yaml")
    assert hint in err
    assert f"mine.yaml:{text.count(chr(10))}: " in err


def test_images_after_the_network_are_refused_with_the_option_that_takes_them(mvsearch):
    done = mvsearch("predict", "mobilevitv3_xxs", "photo.jpg")
    assert done.code == 2
    assert "photo.jpg" in done.err
    assert "--data" in done.err


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (("profile", "mobilevitv3_xxs", "--precision", "fp16"), "--precision needs --latency"),
        (("profile", "mobilevitv3_xxs", "--threads", "4"), "--threads needs --latency"),
        (("profile", "mobilevitv3_xxs", "--format", "onnx"), "--format needs --latency"),
        (("profile", "mobilevitv3_xxs", "--train-batch", "8"), "--train-batch needs --memory"),
        (("profile", "mobilevitv3_xxs", "--batch", "8"), "--batch needs --latency or --memory"),
        (
            ("scale", "mobilevitv3_xxs", "--to", "params=1M", "--backend", "no"),
            "--backend needs a budget of latency_ms",
        ),
        (("paper-figures", "--device", "cuda"), "--device needs --x latency_ms"),
        (("cache", "--older-than", "30"), "--older-than needs --prune"),
        (("cache", "--keep", "1"), "--keep needs --prune"),
        (("predict", "mobilevitv3_xxs+deeplabv3", "--normalise", "imagenet"), "--normalise needs --weights"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_option_that_would_have_no_effect_is_refused(mvsearch, args, hint):
    done = mvsearch(*args)
    assert (done.code, done.out) == (2, "")
    assert hint in done.err


def test_weights_are_not_trained_further_by_predict(mvsearch):
    args = ("predict", "mobilevitv3_xxs+deeplabv3", "--weights", "net.pt", "--steps", "3")
    assert "net.pt: are not trained further" in assert_refused(mvsearch, *args)


def test_a_published_name_is_not_the_folder_of_a_training(mvsearch):
    Path("mobilevitv3_xxs").mkdir()
    Path("mobilevitv3_xxs/weights.safetensors").write_bytes(b"of a training of another network")
    done = mvsearch("export", "mobilevitv3_xxs", "--no-verify", "-o", "net.py")
    assert done.code == 0, done.err
    assert "weights: random" in done.out


def test_images_of_a_study_that_are_gone_get_the_options_that_would_do(mvsearch):
    plan = Plan.load("quick.yaml", objectives=("loss", "params"))
    gone = replace(plan, data=DataSettings("folder", str(Path("gone").absolute())))
    Study.join(gone).run(arithmetic, trials=1)
    others, unverified = "; name other images: --data FOLDER", ", or write the file without running it: --no-verify"
    export = ("export", "quick:0", "--weights", "random", "--to")
    for args, ways in (
        ((*export, "torch"), others + unverified),
        ((*export, "package"), others),  # describes itself by the images
        (("train", "quick:0", "-o", "trained"), others),
    ):
        done = mvsearch(*args)
        assert done.code == 1
        assert_one_sentence(done.err.removeprefix("reading images\n"))
        assert done.err.endswith(f"for each class{ways}.\n")
