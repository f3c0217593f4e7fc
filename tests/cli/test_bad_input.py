"""What a user can get wrong, through the command itself: one sentence, exit code 1, nothing half written."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from command import Finished, assert_one_sentence, everything, refused

from mvsearch.study.plan import Plan
from mvsearch.study.reader import open_study
from mvsearch.study.study import Study

QUICK = (Path(__file__).parents[2] / "spaces" / "quick.yaml").read_text()
CHEAP = ("--objective", "params", "--objective", "macs")


def cases(table: dict[str, tuple]) -> list:
    """A table's lines as parameters, known by their names."""
    return [pytest.param(*line, id=name) for name, line in table.items()]


# ---- files

FILES = {
    "an empty file": ("", "bad.yaml: the file is empty; it needs at least `blocks:`."),
    "a file of comments": ("# nothing\n", "bad.yaml: the file is empty"),
    "a word": ("MobileViT\n", "bad.yaml:1: found a str; a file is a mapping with at least `blocks:`."),
    "no blocks": ("name: x\n", "blocks: found no rows; `blocks:` is a list with one or more."),
    "no rows": ("blocks: []\n", "bad.yaml:1: blocks: found no rows"),
    "no YAML": ("blocks: [}\n", "bad.yaml:1: not valid YAML ("),
    "code to be run": ("blocks: !!python/object/apply:os.system ['touch owned']\n", "bad.yaml:1: the tag "),
    "an object": ("blocks: !!python/object:pathlib.Path {}\n", "asks for more than a value; take it out."),
    "a bomb": (
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)),
        "more than 100000 values; a space is smaller than that.",
    ),
    "a book": ("a: [" + "a, " * 40_000 + "a]", "bad.yaml: 120,006 characters; a file has at most 100,000."),
    "a knot": ("a: &a [*a]\n", "bad.yaml:1: this value contains itself; write it out."),
    "an abyss": ("blocks: " + "[" * 5000, "bad.yaml: nested too deeply"),
    "a number without end": ("image_size: 0x" + "f" * 20_000, "bad.yaml:1: '0xffffff"),
    "a name without end": ("name: 0b" + "1" * 20_000, "...' is a number beyond 2**63; use a smaller one."),
    "digits without end": ("name: " + "9" * 20_000, "...' cannot be read as int; write it in quotes"),
    "a choice without end": ("blocks: [{choose: [0x" + "f" * 20_000 + "]}]", "...' is a number beyond 2**63;"),
    "a key twice": ("name: a\nname: b\n", "bad.yaml:2: 'name' stands here twice; keep one."),
}


@pytest.mark.parametrize(("text", "says"), cases(FILES))
@pytest.mark.parametrize("command", [("space",), ("run", *CHEAP), ("profile",), ("export",)], ids=lambda c: c[0])
def test_a_file_that_is_no_space_is_refused_by_every_command(mvsearch, command, text, says):
    Path("bad.yaml").write_text(text)

    assert says in refused(mvsearch, command[0], "bad.yaml", *command[1:])


SLIPS = {
    "an unknown block": ("block: mobilevit,", "block: mobilevitt,", "there is no block 'mobilevitt'; did you mean"),
    "heads do not divide dim": ("dim: out, depth: 2", "dim: out + 2, depth: 2", "does not split over heads=4; use a"),
    "a step of nought": ("[48, 80, 16]", "[48, 80, 0]", "quick.yaml:20: blocks.layer3.out: a step of 0 leads nowhere"),
    "a condition nothing meets": (
        "- layer3.out <= layer4.out",
        "- layer5.out < layer4.out - 99 and layer3.out",
        "meets",
    ),
    "contains what it does not": ("- mobilevitv3_xxs_l2", "- mobilevitv3_xs", "does not contain mobilevitv3_xs: layer"),
    "contains what is no model": ("- mobilevitv3_xxs_l2", "- mobilevitv3_xxl", "there is no published model"),
    "a misspelt key": ("search:", "serach:", "serach: no such key; did you mean 'search'?"),
    "a misspelt field": (
        "ffn: ratio*dim, dropout: drop}   #",
        "fnn: ratio*dim}   #",
        "no such field; did you mean 'ffn'?",
    ),
    "a misspelt setting": ("trials: 12", "trails: 12", "search.trails: no such setting; did you mean 'trials'?"),
    "a misspelt proxy setting": ("steps: 60", "setps: 60", "proxy.setps: no such setting; did you mean 'steps'?"),
    "an unknown proxy": ("name: train,", "name: trian,", "did you mean 'train'?"),
    "a proxy that is a number": ("name: train,", "name: 5,", "unknown proxy 5; choose one of: "),
    "a proxy that is a word": (
        "proxy: {name: train, steps: 60, seeds: 1, image_size: 32, held_out: 1000}",
        "proxy: train",
        "proxy:",
    ),
    "an unknown source": ("source: fashion_mnist", "source: fashion_minst", "did you mean 'fashion_mnist'?"),
    "an unknown sampler": ("sampler: surrogate", "sampler: tpo", "did you mean 'tpe'?"),
    "an unknown objective": ("[scaled_loss, params, macs]", "[top_1, params, macs]", "did you mean 'top1'?"),
    "an objective twice": ("[scaled_loss, params, macs]", "[params, params]", "name one or more, each once."),
    "no objectives": ("[scaled_loss, params, macs]", "[]", "name one or more, each once."),
    "objectives that are a word": ("[scaled_loss, params, macs]", "top1", "use a list of words."),
    "a time that is no number": (
        "trials: 12",
        "timeout_s: .nan",
        "search.timeout_s: found nan; use a number, 0 or more",
    ),
    "no trials": ("trials: 12", "trials: 0", "use 1 or more"),
    "half a trial": ("trials: 12", "trials: 1.5", "search.trials: found 1.5; use a value like 40."),
    "a seed of words": ("seed: 0", "seed: lucky", "search.seed: found 'lucky'; use a value like 0."),
    "limits nothing meets": (
        "[params <= 1.4M]",
        "[params <= 1k]",
        "no point keeps to all conditions and params <= 1k; params of the whole space run from",
    ),
    "limits that exclude each other": (
        "[params <= 1.4M]",
        "[params <= 1M, params >= 2M]",
        "params <= 1M and params >= 2M, which contradict",
    ),
    "a limit that is none": ("[params <= 1.4M]", "[params < 1.4M]", "'params < 1.4M' is no limit; write e.g."),
    "a limit of two points": ("[params <= 1.4M]", "[params <= 1.4.2M]", "is no limit; write e.g."),
    "a limit on what is unknown": ("[params <= 1.4M]", "[parms <= 1.4M]", "did you mean 'params'?"),
    "a name with a path": ("name: quick ", "name: ../quick ", "'../quick' cannot name a study"),
}


@pytest.mark.parametrize(("old", "new", "says"), cases(SLIPS))
@pytest.mark.parametrize("command", [("space",), ("run", "--workers", "1")], ids=lambda c: c[0])
def test_a_slip_in_a_space_is_told_by_check_and_by_run(mvsearch, command, old, new, says):
    assert QUICK.count(old) >= 1
    Path("quick.yaml").write_text(QUICK.replace(old, new, 1))

    assert says in refused(mvsearch, command[0], "quick.yaml", *command[1:])


def test_code_in_a_file_is_never_run(mvsearch):
    for code in ("!!python/object/apply:os.system ['touch owned']", "\"__import__('os').system('touch owned')\""):
        Path("quick.yaml").write_text(QUICK.replace("3*out//4", code))
        refused(mvsearch, "space", "quick.yaml")

    assert not Path("owned").exists()


def test_an_architecture_may_not_name_itself_out_of_the_folder(mvsearch):
    Path("evil.yaml").write_text("name: ../../evil\nblocks: [{name: a, block: conv, out: 8}]\n")

    assert "name: found '../../evil'; use letters, digits" in refused(mvsearch, "export", "evil.yaml")


# ---- arguments

ARGUMENTS = {
    "a name with a path": (("run", "quick.yaml", "--name", "../x"), "'../x' cannot name a study; use up to 64 letters"),
    "an absolute name": (("run", "quick.yaml", "--name", "/tmp/x"), "'/tmp/x' cannot name a study"),
    "a hidden name": (("run", "quick.yaml", "--name", ".x"), "'.x' cannot name a study"),
    "a missing file": (
        ("run", "nowhere.yaml"),
        "nowhere.yaml: cannot be read (No such file or directory); give the path",
    ),
    "a folder": (("space", "."), ".: cannot be read (Is a directory); give the path of a YAML file."),
    "an unknown objective": (
        ("run", "quick.yaml", "--objective", "parms"),
        "'parms' is no objective; did you mean 'params'?",
    ),
    "an address without Ray": (
        ("run", "quick.yaml", "--address", "auto"),
        "--address needs --executor ray",
    ),
    "a GPU without Ray": (("run", "quick.yaml", "--gpus-per-trial", "1"), "--gpus-per-trial needs --executor ray"),
    "a driver that is not taken": (
        ("run", "quick.yaml", "--storage", "postgresql+psycopg2://a/b"),
        "did you mean 'postgresql+psycopg'?",
    ),
    "an objective twice": (
        ("run", "quick.yaml", "--objective", "params", "--objective", "params"),
        "name one or more, each once.",
    ),
    "an unknown sampler": (("run", "quick.yaml", "--sampler", "ngsa2"), "did you mean 'nsga2'?"),
    "a limit that is none": (("run", "quick.yaml", "--limit", "small"), "'small' is no limit; write e.g."),
    "a limit of two points": (("run", "quick.yaml", "--limit", "params <= 1.2.3"), "is no limit; write e.g."),
    "a limit of a point": (("run", "quick.yaml", "--limit", "params <= ."), "is no limit; write e.g."),
    "a limit nothing meets": (
        ("run", "quick.yaml", "--limit", "macs <= 1k"),
        "keeps to all conditions and macs <= 1k; macs of the whole space run from",
    ),
    "memory without end": (("run", "quick.yaml", "--memory", "inf"), "memory_gib=inf: use 0 for no limit, or a finite"),
    "memory that is no number": (("run", "quick.yaml", "--memory", "nan"), "memory_gib=nan: use 0 for no limit"),
    "memory for nothing": (("run", "quick.yaml", "--memory", "0.001"), "or a finite number from 0.25 up."),
    "a time that is no number": (("run", "quick.yaml", "--timeout", "nan"), "timeout_s=nan: use 0 for no limit"),
    "no study": (("front", "nowhere"), "there is no study 'nowhere' here; `mvsearch run SPACE` makes one."),
    "a study outside": (("front", "../x"), "there is no study '../x' here"),
    "a trial of no study": (("profile", "nowhere:3"), "there is no study 'nowhere' here"),
    "no architecture": (("profile", "mobilevitv3_xxss"), "'mobilevitv3_xxss' names no architecture"),
    "no format": (("export", "mobilevitv3_xxs", "--to", "tensorflow"), "unknown export format 'tensorflow'"),
    "no source": (("data", "get", "imagenette"), "imagenette"),
}


@pytest.mark.parametrize(("args", "says"), cases(ARGUMENTS))
def test_an_argument_that_will_not_do_is_told_what_would(mvsearch, args, says):
    assert says in refused(mvsearch, *args)


@pytest.mark.parametrize(
    "args", [("run", "quick.yaml", "--trials", "0"), ("run",), ("rnu", "quick.yaml"), ("space", "quick.yaml", "--jsn")]
)
def test_a_slip_in_usage_is_clicks_and_exit_code_2(mvsearch, args):
    before = everything()
    said = mvsearch(*args)

    assert said.code == 2
    assert "Traceback" not in said.err
    assert everything() == before


STORAGES = {
    "no URL": ("not a url", "this is no database URL; write e.g. sqlite:///studies/v3/study.db or "),
    "no file": ("sqlite://", "name a file for it, e.g. sqlite:///studies/v3/study.db."),
    "memory": ("sqlite:///:memory:", "name a file for it, e.g. sqlite:///studies/v3/study.db."),
    "an unknown kind": ("sqlight:///x.db", "no such kind of database; did you mean 'sqlite'?"),
    "a kind without its driver": ("mssql+nodriver://localhost/x", "mssql+nodriver"),
    "a folder that is not there": ("sqlite:////proc/nowhere/x.db", "/proc/nowhere: there is no such folder"),
    "a folder": ("sqlite:////", "cannot be"),
    "what is no database": ("sqlite:///quick.yaml", "this is no database that can be read ("),
}


@pytest.mark.parametrize(("url", "says"), cases(STORAGES))
def test_a_storage_that_cannot_be_opened_is_told_and_leaves_no_study(mvsearch, url, says):
    assert says in refused(mvsearch, "run", "quick.yaml", *CHEAP, "--storage", url)


@pytest.mark.parametrize(("url", "says"), cases(STORAGES))
def test_a_storage_that_cannot_be_opened_cannot_be_read_either(mvsearch, url, says):
    refused(mvsearch, "front", "quick", "--storage", url)


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
def test_a_storage_that_cannot_be_opened_does_not_tell_its_password(mvsearch, url):
    assert "s3cret" not in refused(mvsearch, "run", "quick.yaml", *CHEAP, "--storage", url)


def test_a_path_in_a_table_is_text_whatever_its_brackets(mvsearch, tmp_path):
    said = mvsearch("doctor", "--storage", f"sqlite:///{tmp_path}/q[/b].db")

    assert "q[/b].db: there is no such study" in said.out.replace("\n", "")
    assert "[ray]" in said.out


# ---- studies made otherwise


@pytest.fixture
def studied(mvsearch) -> Callable[..., Finished]:
    """The command, where the study `quick` has three candidates."""
    Study.join(Plan.load("quick.yaml", objectives=("params", "macs"))).run(lambda arch: arch.metrics(), trials=3)
    return mvsearch


def test_a_study_written_by_another_version_is_neither_read_nor_joined(studied):
    connection = sqlite3.connect("studies/quick/study.db")
    connection.execute("UPDATE mvsearch_studies SET schema = 99, version = '9.9'")
    connection.commit()
    connection.close()

    for args in (("run", "quick.yaml", *CHEAP), ("front", "quick"), ("profile", "quick:1"), ("export", "quick:1")):
        said = studied(*args)
        assert said.code == 1
        assert_one_sentence(said.err)
        assert "study 'quick' was written by mvsearch 9.9 (format 99)" in said.err
        assert "install that version, or start anew with --name." in said.err


@pytest.mark.parametrize(
    ("old", "new", "objectives", "says"),
    [
        ("[48, 80, 16]", "[64, 80, 16]", CHEAP, "from a space with other choices; choose another name"),
        (
            "image_size: 256",
            "image_size: 256",
            ("--objective", "params"),
            "for params, macs, not params; choose another name",
        ),
    ],
)
def test_a_study_made_for_something_else_is_not_joined(studied, old, new, objectives, says):
    Path("quick.yaml").write_text(QUICK.replace(old, new))
    said = studied("run", "quick.yaml", *objectives)

    assert said.code == 1
    assert_one_sentence(said.err)
    assert says in said.err


def test_a_study_made_under_other_settings_is_not_joined_and_the_setting_is_named(mvsearch):
    timed = ("--objective", "latency_ms", "--objective", "params")
    study = Study.join(Plan.load("quick.yaml", objectives=("latency_ms", "params")))
    study.run(lambda arch: {**arch.metrics(), "latency_ms": 5.0}, trials=1)
    Path("quick.yaml").write_text(QUICK + "latency: {repeats: 51}\n")
    said = mvsearch("run", "quick.yaml", *timed)

    assert said.code == 1
    assert_one_sentence(said.err)
    assert "under other settings (latency.repeats: 50 in the study, 51 in the plan)" in said.err


def test_a_trial_that_is_not_there_is_told(studied):
    assert "study 'quick' has no finished trial 77" in studied("profile", "quick:77").err


def test_a_damaged_database_is_told_in_a_sentence(studied):
    for path in Path("studies/quick").glob("study.db*[!s]"):
        path.unlink()
    Path("studies/quick/study.db").write_bytes(b"SQLite format 3\x00" + b"rubbish" * 1000)

    for args in (("front", "quick"), ("run", "quick.yaml", *CHEAP)):
        said = studied(*args)
        assert said.code == 1
        assert_one_sentence(said.err)
        assert "database" in said.err


def test_a_database_of_something_else_is_no_study(mvsearch):
    Path("studies/quick").mkdir(parents=True)
    connection = sqlite3.connect("studies/quick/study.db")
    connection.execute("CREATE TABLE cats (name TEXT)")
    connection.commit()
    connection.close()

    said = mvsearch("front", "quick")
    assert said.code == 1
    assert_one_sentence(said.err)
    assert "holds no studies of mvsearch" in said.err


def test_a_place_that_may_not_be_written_is_told(mvsearch):
    Path("studies").write_text("a file where a folder should be")

    assert "studies/quick: the folder cannot be made (Not a directory)" in refused(
        mvsearch, "run", "quick.yaml", *CHEAP
    )


# ---- no space left


def limited(folder: Path, limit: int, *args: str) -> subprocess.CompletedProcess:
    """The command in a process whose files may not grow beyond a limit, as on a disk that fills up."""
    code = "from mvsearch.cli.main import main; main()"

    def starve() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, cwd=folder, preexec_fn=starve, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("limit", [0, 30_000, 100_000, 250_000, 300_000, 400_000])
def test_a_disk_that_fills_up_ends_the_study_in_a_sentence_and_space_lets_it_go_on(tmp_path, monkeypatch, limit):
    (tmp_path / "quick.yaml").write_text(QUICK)
    done = limited(tmp_path, limit, "run", "quick.yaml", *CHEAP, "--workers", "1", "--trials", "40")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert_one_sentence(done.stderr.splitlines()[-1])

    monkeypatch.chdir(tmp_path)
    plan = Plan.load("quick.yaml", objectives=("params", "macs"))
    Study.join(plan).run(lambda arch: arch.metrics(), trials=3)
    assert Study.read(plan).count() >= 3


def test_a_tiny_disk_is_told_to_be_full(tmp_path, monkeypatch, mvsearch):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if (
        os.geteuid() != 0
        or not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("no file system may be mounted here")
    try:
        monkeypatch.chdir(disk)
        Path("quick.yaml").write_text(QUICK)
        said = mvsearch("run", "quick.yaml", *CHEAP, "--workers", "1", "--trials", "3")
    finally:
        monkeypatch.chdir(tmp_path)
        subprocess.run(["umount", "-l", str(disk)], check=False)

    assert said.code == 1
    assert_one_sentence(said.err)
    assert "full" in said.err


def test_a_study_is_found_by_a_path_that_goes_up(mvsearch, tmp_path, monkeypatch):
    plan = replace(Plan.load("quick.yaml", objectives=("params", "macs")), studies=tmp_path / "studies")
    Study.join(plan).run(lambda arch: arch.metrics(), trials=3)
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    assert open_study("../studies/quick").name == "quick"
