"""Mistakes of a user: the command prints one sentence with the decisive value, exits with 1 and writes nothing."""

import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from command import Finished, all_files, assert_one_sentence, assert_refused, run_process

from mvsearch.cli import doctor
from mvsearch.study.plan import Plan
from mvsearch.study.reader import open_study
from mvsearch.study.study import Study

QUICK = (Path(__file__).parents[2] / "spaces" / "quick.yaml").read_text()
CHEAP = ("--objective", "params", "--objective", "macs")


def cases(table: dict[str, tuple]) -> list:
    """The rows of a table as parameters, with their names."""
    return [pytest.param(*line, id=name) for name, line in table.items()]


# ---- files

FILES = {
    "an empty file": ("", "bad.yaml: "),
    "a file of comments": ("# nothing\n", "bad.yaml: "),
    "a word": ("MobileViT\n", "bad.yaml:1: "),
    "no blocks": ("name: x\n", "blocks"),
    "no rows": ("blocks: []\n", "bad.yaml:1: blocks: "),
    "no YAML": ("blocks: [}\n", "bad.yaml:1: "),
    "code": ("blocks: !!python/object/apply:os.system ['touch owned']\n", "bad.yaml:1: "),
    "an object": ("blocks: !!python/object:pathlib.Path {}\n", "bad.yaml:1: "),
    "aliases that multiply": (
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)),
        "100000",
    ),
    "a huge file": ("a: [" + "a, " * 40_000 + "a]", "120,006"),
    "a value that contains itself": ("a: &a [*a]\n", "bad.yaml:1: "),
    "deep nesting": ("blocks: " + "[" * 5000, "bad.yaml: "),
    "a huge hexadecimal number": ("image_size: 0x" + "f" * 20_000, "bad.yaml:1: "),
    "a huge binary number": ("name: 0b" + "1" * 20_000, "2**63"),
    "a huge decimal number": ("name: " + "9" * 20_000, "bad.yaml:1: "),
    "a huge number in a choice": ("blocks: [{choose: [0x" + "f" * 20_000 + "]}]", "2**63"),
    "a key twice": ("name: a\nname: b\n", "bad.yaml:2: 'name'"),
}


@pytest.mark.parametrize(("text", "value"), cases(FILES))
@pytest.mark.parametrize("command", [("space",), ("run", *CHEAP), ("profile",), ("export",)], ids=lambda c: c[0])
def test_an_invalid_file_is_an_error_of_every_command(mvsearch, command, text, value):
    Path("bad.yaml").write_text(text, encoding="utf-8")

    assert value in assert_refused(mvsearch, command[0], "bad.yaml", *command[1:])


MISTAKES = {
    "an unknown block": ("block: mobilevit,", "block: mobilevitt,", "'mobilevit'"),
    "heads that do not divide dim": ("dim: out, depth: 2", "dim: out + 2, depth: 2", "heads=4"),
    "a step of 0": ("[48, 80, 16]", "[48, 80, 0]", "quick.yaml:20: blocks.layer3.out: "),
    "a condition that no point meets": (
        "- layer3.out <= layer4.out",
        "- layer5.out < layer4.out - 99 and layer3.out",
        "layer5.out < layer4.out - 99",
    ),
    "contains a model outside the space": ("- mobilevitv3_xxs_l2", "- mobilevitv3_xs", "mobilevitv3_xs"),
    "contains an unknown model": ("- mobilevitv3_xxs_l2", "- mobilevitv3_xxl", "'mobilevitv3_xxl'"),
    "a misspelt key": ("search:", "serach:", "'search'"),
    "a misspelt field": ("ffn: ratio*dim, dropout: drop}   #", "fnn: ratio*dim}   #", "'ffn'"),
    "a misspelt setting": ("trials: 12", "trails: 12", "'trials'"),
    "a misspelt proxy setting": ("steps: 60", "setps: 60", "'steps'"),
    "an unknown proxy": (
        "name: train,",
        "name: trian,",
        "quick.yaml:44: proxy.name: unknown proxy 'trian'; did you mean 'train'?",
    ),
    "a number for a proxy": ("name: train,", "name: 5,", "unknown proxy 5"),
    "a word for the proxy section": (
        "proxy: {name: train, steps: 60, seeds: 1, image_size: 32, held_out: 1000}",
        "proxy: train",
        "proxy: ",
    ),
    "an unknown source": (
        "source: fashion_mnist",
        "source: fashion_minst",
        "quick.yaml:45: data.source: unknown data source 'fashion_minst'; did you mean 'fashion_mnist'?",
    ),
    "an unknown sampler": (
        "sampler: surrogate",
        "sampler: tpo",
        "quick.yaml:38: search.sampler: unknown sampler 'tpo'; did you mean 'tpe'?",
    ),
    "an unknown objective": ("[scaled_loss, params, macs]", "[top_1, params, macs]", "'top1'"),
    "an objective twice": (
        "[scaled_loss, params, macs]",
        "[params, params]",
        "quick.yaml:36: search.objectives: found params, params",
    ),
    "no objectives": ("[scaled_loss, params, macs]", "[]", "objectives"),
    "a word for the objectives": ("[scaled_loss, params, macs]", "top1", "search.objectives: "),
    "a network outside the space": (
        "- mobilevitv3_xxs_l2",
        "- mobilevitv3_xs",
        "layer1.out is 32, the space requires 16; change the space or the network, or remove it from `contains`.",
    ),
    "a value outside the space": ("[48, 80, 16]", "[48, 56, 8]", "the space offers 48, 56 (the nearest is 56); change"),
    "a network in place of its name": (
        "- mobilevitv3_xxs_l2",
        "- {name: x, blocks: [{name: a, block: conv, out: 8}]}",
        "found a mapping; save the network as a file of its own, and use its path.",
    ),
    "a score of another proxy": (
        "[scaled_loss, params, macs]",
        "[naswot, params]",
        "search.objectives: naswot is no score",
    ),
    "a limit on the score of another proxy": ("[params <= 1.4M]", "[naswot >= 1]", "search.limits: naswot is no score"),
    "a source for another task": ("source: fashion_mnist", "source: coco", "data.source: coco is for detection"),
    "a proxy setting that is too small": ("steps: 60", "steps: 0", "quick.yaml:44: proxy: steps=0 is too small"),
    "a network to beat that is too large": ("trials: 12", "beat: mobilevitv3_s", "search.beat: costs more"),
    "a timeout of nan": ("trials: 12", "timeout_s: .nan", "search.timeout_s: found nan"),
    "no trials": ("trials: 12", "trials: 0", "quick.yaml:39: search.trials: found 0"),
    "half a trial": ("trials: 12", "trials: 1.5", "search.trials: found 1.5"),
    "a word for the seed": ("seed: 0", "seed: lucky", "search.seed: found 'lucky'"),
    "a limit that no point meets": ("[params <= 1.4M]", "[params <= 1k]", "params <= 1k"),
    "the place of such a limit": ("[params <= 1.4M]", "[params <= 1k]", ": search.limits: "),
    "limits that contradict each other": (
        "[params <= 1.4M]",
        "[params <= 1M, params >= 2M]",
        "params <= 1M and params >= 2M",
    ),
    "a malformed limit": ("[params <= 1.4M]", "[params < 1.4M]", "'params < 1.4M'"),
    "a malformed number in a limit": ("[params <= 1.4M]", "[params <= 1.4.2M]", "'params <= 1.4.2M'"),
    "a limit on an unknown metric": ("[params <= 1.4M]", "[parms <= 1.4M]", "'params'"),
    "a path for a name": ("name: quick ", "name: ../quick ", "'../quick'"),
}


@pytest.mark.parametrize(("old", "new", "value"), cases(MISTAKES))
@pytest.mark.parametrize("command", [("space",), ("run", "--workers", "1")], ids=lambda c: c[0])
def test_a_mistake_in_a_space_is_an_error_of_space_and_of_run(mvsearch, command, old, new, value):
    assert QUICK.count(old) >= 1
    Path("quick.yaml").write_text(QUICK.replace(old, new, 1), encoding="utf-8")

    assert value in assert_refused(mvsearch, command[0], "quick.yaml", *command[1:])


def test_code_in_a_file_is_never_run(mvsearch):
    for code in ("!!python/object/apply:os.system ['touch owned']", "\"__import__('os').system('touch owned')\""):
        Path("quick.yaml").write_text(QUICK.replace("3*out//4", code), encoding="utf-8")
        assert_refused(mvsearch, "space", "quick.yaml")

    assert not Path("owned").exists()


def test_an_architecture_may_not_name_itself_out_of_the_folder(mvsearch):
    Path("evil.yaml").write_text("name: ../../evil\nblocks: [{name: a, block: conv, out: 8}]\n", encoding="utf-8")

    assert "'../../evil'" in assert_refused(mvsearch, "export", "evil.yaml")


# ---- arguments

ARGUMENTS = {
    "a path for a name": (("run", "quick.yaml", "--name", "../x"), "'../x'"),
    "an absolute path for a name": (("run", "quick.yaml", "--name", "/tmp/x"), "'/tmp/x'"),
    "a hidden name": (("run", "quick.yaml", "--name", ".x"), "'.x'"),
    "a missing file": (("run", "nowhere.yaml"), "nowhere.yaml: "),
    "a folder": (("space", "."), ".: "),
    "an unknown objective": (("run", "quick.yaml", "--objective", "parms"), "'params'"),
    "an address without Ray": (("run", "quick.yaml", "--address", "auto"), "--executor ray"),
    "a GPU without Ray": (("run", "quick.yaml", "--gpus-per-trial", "1"), "--executor ray"),
    "an unsupported driver": (("run", "quick.yaml", "--storage", "postgresql+psycopg2://a/b"), "'postgresql+psycopg'"),
    "an objective twice": (("run", "quick.yaml", "--objective", "params", "--objective", "params"), "params"),
    "an unknown sampler": (("run", "quick.yaml", "--sampler", "ngsa2"), "mvsearch: --sampler: unknown sampler 'ngsa2'"),
    "a malformed limit": (("run", "quick.yaml", "--limit", "small"), "'small'"),
    "a malformed number in a limit": (("run", "quick.yaml", "--limit", "params <= 1.2.3"), "'params <= 1.2.3'"),
    "a limit without digits": (("run", "quick.yaml", "--limit", "params <= ."), "'params <= .'"),
    "a limit that no point meets": (("run", "quick.yaml", "--limit", "macs <= 1k"), "macs <= 1k"),
    "the place of such a limit": (("run", "quick.yaml", "--limit", "macs <= 1k"), "mvsearch: --limit: "),
    "infinite memory": (("run", "quick.yaml", "--memory", "inf"), "mvsearch: --memory: found inf"),
    "a memory limit of nan": (("run", "quick.yaml", "--memory", "nan"), "mvsearch: --memory: found nan"),
    "too little memory": (("run", "quick.yaml", "--memory", "0.001"), "0.25"),
    "a timeout of nan": (("run", "quick.yaml", "--timeout", "nan"), "mvsearch: --timeout: found nan"),
    "no study": (("front", "nowhere"), "'nowhere'"),
    "no study in another folder": (("front", "../x"), "'../x'"),
    "a trial of no study": (("profile", "nowhere:3"), "'nowhere'"),
    "an unknown architecture": (("profile", "mobilevitv3_xxss"), "'mobilevitv3_xxss'"),
    "an unknown format": (("export", "mobilevitv3_xxs", "--to", "tensorflow"), "'tensorflow'"),
    "an unknown source": (("data", "get", "imagenette"), "imagenette"),
    "a command without a format": (
        ("profile", "mobilevitv3_xxs", "--run", "./m.sh {file}"),
        "mvsearch: --format: is missing; use e.g. executorch.",
    ),
    "a device twice": (
        ("profile", "mobilevitv3_xxs", "--run", "m {file}", "--format", "onnx", "--device", "a", "--device", "a"),
        "mvsearch: --device: found a, a",
    ),
    "a command without a file": (
        ("bench", "mobilevitv3_xxs", "--backend", "command", "--run", "./m.sh"),
        "mvsearch: --run: found './m.sh'",
    ),
}


@pytest.mark.parametrize(("args", "value"), cases(ARGUMENTS))
def test_an_invalid_argument_is_an_error_that_names_it(mvsearch, args, value):
    assert value in assert_refused(mvsearch, *args)


@pytest.mark.parametrize(
    "args", [("run", "quick.yaml", "--trials", "0"), ("run",), ("rnu", "quick.yaml"), ("space", "quick.yaml", "--jsn")]
)
def test_a_mistake_in_usage_has_exit_code_2(mvsearch, args):
    before = all_files()
    done = mvsearch(*args)

    assert done.code == 2
    assert "Traceback" not in done.err
    assert all_files() == before


STORAGES = {
    "no URL": ("not a url", "sqlite:///"),
    "no file": ("sqlite://", "sqlite:///"),
    "memory": ("sqlite:///:memory:", "sqlite:///"),
    "an unknown kind": ("sqlight:///x.db", "'sqlite'"),
    "a kind without its driver": ("mssql+nodriver://localhost/x", "mssql+nodriver"),
    "a folder that does not exist": ("sqlite:////proc/nowhere/x.db", "/proc/nowhere: "),
    "a folder": ("sqlite:////", "/"),
    "a file that is no database": ("sqlite:///quick.yaml", "quick.yaml"),
}


@pytest.mark.parametrize(("url", "value"), cases(STORAGES))
def test_a_storage_that_cannot_be_opened_is_an_error_and_creates_no_study(mvsearch, url, value):
    assert value in assert_refused(mvsearch, "run", "quick.yaml", *CHEAP, "--storage", url)


@pytest.mark.parametrize(("url", "value"), cases(STORAGES))
def test_a_storage_that_cannot_be_opened_cannot_be_read_either(mvsearch, url, value):
    assert_refused(mvsearch, "front", "quick", "--storage", url)


@pytest.mark.parametrize(
    "url",
    [
        "me:s3cret@host/x",
        "postgresql+psycopg:/me:s3cret@h/x",
        "postgresql+psycopg://me:p@ss:s3cret-part/x@host/db",
        "postgresql+psycopg://me:p@s3cret@127.0.0.1:1/x",
        "postgresql+psycopg://me:s3cret@127.0.0.1:1/x",
        "postgresql+psycopg://me@127.0.0.1:1/x?password=s3cret",
        "postgresql+psycopg://me@127.0.0.1:1/x?sslpassword=s3cret",
        "mysql://me:s3cret@host/x",
    ],
)
def test_an_error_about_a_storage_does_not_contain_its_password(mvsearch, url):
    assert "s3cret" not in assert_refused(mvsearch, "run", "quick.yaml", *CHEAP, "--storage", url)


def test_brackets_in_a_path_are_printed_in_a_table(mvsearch, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_import_failures", dict)  # importing every package takes ten seconds
    done = mvsearch("doctor", "--storage", f"sqlite:///{tmp_path}/q[/b].db")

    assert "q[/b].db" in done.out.replace("\n", "")
    assert "[ray]" in done.out


# ---- studies of other versions and settings


@pytest.fixture
def mvsearch_with_study(mvsearch) -> Callable[..., Finished]:
    """The command, in a folder where the study `quick` has three trials."""
    Study.join(Plan.load("quick.yaml", objectives=("params", "macs"))).run(lambda arch: arch.metrics(), trials=3)
    return mvsearch


def test_a_study_written_by_another_version_is_neither_read_nor_joined(mvsearch_with_study):
    connection = sqlite3.connect("studies/quick/study.db")
    connection.execute("INSERT INTO mvsearch_schema VALUES (99, '9.9', 0)")
    connection.commit()
    connection.close()

    for args in (("run", "quick.yaml", *CHEAP), ("front", "quick"), ("profile", "quick:1"), ("export", "quick:1")):
        done = mvsearch_with_study(*args)
        assert done.code == 1
        assert_one_sentence(done.err)
        assert "mvsearch 9.9" in done.err


@pytest.mark.parametrize(
    ("old", "new", "objectives", "value"),
    [
        ("[48, 80, 16]", "[64, 80, 16]", CHEAP, "choices"),
        ("image_size: 256", "image_size: 256", ("--objective", "params"), "params, macs"),
    ],
)
def test_a_study_made_for_something_else_is_not_joined(mvsearch_with_study, old, new, objectives, value):
    Path("quick.yaml").write_text(QUICK.replace(old, new), encoding="utf-8")
    done = mvsearch_with_study("run", "quick.yaml", *objectives)

    assert done.code == 1
    assert_one_sentence(done.err)
    assert value in done.err


def test_a_study_made_under_other_settings_is_not_joined_and_the_setting_is_named(mvsearch):
    timed = ("--objective", "latency_ms", "--objective", "params")
    study = Study.join(Plan.load("quick.yaml", objectives=("latency_ms", "params")))
    study.run(lambda arch: {**arch.metrics(), "latency_ms": 5.0}, trials=1)
    Path("quick.yaml").write_text(QUICK + "latency: {repeats: 51}\n", encoding="utf-8")
    done = mvsearch("run", "quick.yaml", *timed)

    assert done.code == 1
    assert_one_sentence(done.err)
    assert "latency.repeats: 50" in done.err


def test_a_missing_trial_is_an_error_that_names_it(mvsearch_with_study):
    assert "77" in mvsearch_with_study("profile", "quick:77").err


def test_a_damaged_database_is_an_error(mvsearch_with_study):
    for path in Path("studies/quick").glob("study.db*[!s]"):
        path.unlink()
    Path("studies/quick/study.db").write_bytes(b"SQLite format 3\x00" + b"rubbish" * 1000)

    for args in (("front", "quick"), ("run", "quick.yaml", *CHEAP)):
        done = mvsearch_with_study(*args)
        assert done.code == 1
        assert_one_sentence(done.err)
        assert "database" in done.err


def test_a_database_of_another_program_is_no_study(mvsearch):
    Path("studies/quick").mkdir(parents=True)
    connection = sqlite3.connect("studies/quick/study.db")
    connection.execute("CREATE TABLE cats (name TEXT)")
    connection.commit()
    connection.close()

    done = mvsearch("front", "quick")
    assert done.code == 1
    assert_one_sentence(done.err)
    assert "studies/quick/study.db" in done.err


def test_a_folder_that_cannot_be_created_is_an_error(mvsearch):
    Path("studies").write_text("a file where a folder should be", encoding="utf-8")

    assert "studies/quick: " in assert_refused(mvsearch, "run", "quick.yaml", *CHEAP)


# ---- full disks


@pytest.mark.parametrize(
    "limit", [0, 400_000, *(pytest.param(n, marks=pytest.mark.slow) for n in (30_000, 100_000, 250_000, 300_000))]
)
def test_a_disk_that_fills_up_ends_the_run_with_one_sentence_and_the_study_resumes_with_space(
    tmp_path, monkeypatch, limit
):
    (tmp_path / "quick.yaml").write_text(QUICK)

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    args = ("run", "quick.yaml", *CHEAP, "--workers", "1", "--trials", "40")
    done = run_process(*args, cwd=tmp_path, preexec_fn=limit_file_size)

    assert done.code == 1
    assert "Traceback" not in done.err
    assert_one_sentence(done.err.splitlines()[-1])

    monkeypatch.chdir(tmp_path)
    plan = Plan.load("quick.yaml", objectives=("params", "macs"))
    Study.join(plan).run(lambda arch: arch.metrics(), trials=3)
    assert Study.read(plan).count() >= 3


def test_a_full_disk_is_an_error_that_says_so(tmp_path, monkeypatch, mvsearch):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if (
        os.geteuid() != 0
        or not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("needs permission to mount a file system")
    try:
        monkeypatch.chdir(disk)
        Path("quick.yaml").write_text(QUICK, encoding="utf-8")
        done = mvsearch("run", "quick.yaml", *CHEAP, "--workers", "1", "--trials", "3")
    finally:
        monkeypatch.chdir(tmp_path)
        subprocess.run(["umount", "-l", str(disk)], check=False)

    assert done.code == 1
    assert_one_sentence(done.err)
    assert "full" in done.err


def test_a_study_is_found_by_a_relative_path(mvsearch, tmp_path, monkeypatch):
    plan = replace(Plan.load("quick.yaml", objectives=("params", "macs")), studies=tmp_path / "studies")
    Study.join(plan).run(lambda arch: arch.metrics(), trials=3)
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    assert open_study("../studies/quick").name == "quick"
