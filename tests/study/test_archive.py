"""Studies as wholes: listed, copied, renamed, deleted, sent as one file and taken in again; and what is cached."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from toy import arithmetic, toy_plan

from mvsearch.cli import doctor
from mvsearch.data import fashion_mnist
from mvsearch.errors import StudyError
from mvsearch.metrics.pareto import front
from mvsearch.study import archive
from mvsearch.study.archive import lines, remove, rename, restore
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader, open_study
from mvsearch.study.storage.store import Store
from mvsearch.study.storage.trials import OptunaTrialStore
from mvsearch.study.study import Study


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mvsearch(mvsearch):
    """The command: what it prints, on both streams."""

    def run(*args: str, code: int = 0, input: str | None = None) -> str:
        done = mvsearch(*args, input=input)
        assert done.code == code, done.err
        return done.out + done.err

    return run


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    """A folder of studies with one of 20 trials."""
    folder = tmp_path_factory.mktemp("whole") / "studies"

    def evaluate(arch):
        if arch.blocks[-1].depth == 2:
            raise ValueError("no luck")
        return arithmetic(arch)

    Study.join(toy_plan(folder, sampler="nsga2")).run(evaluate, trials=20)
    return folder


@pytest.fixture
def study(studies) -> Reader:
    shutil.copytree(studies, "studies")
    return open_study("toy")


def whole(reader: Reader) -> list[dict]:
    return [json.loads(line) for line in list(lines(reader))[1:]]


def test_a_study_survives_the_way_to_another_kind_of_database_and_back(study, postgres):
    away = restore(list(lines(study)), postgres.database(), source="toy")
    back = restore(list(lines(away)), "sqlite:///back.db", source="toy")
    assert whole(back) == whole(away) == whole(study)
    assert back.records() == study.records()
    assert back.facts == study.facts


def test_a_study_that_was_sent_goes_on_as_it_would_have_at_home(study, mvsearch):
    mvsearch("studies", "copy", "toy", "other")
    for name in ("toy", "other"):
        plan = Plan.of_study(open_study(name), workers=1)
        Study.join(plan).run(arithmetic, trials=26)
    one, other = (open_study(name).records() for name in ("toy", "other"))
    assert len(one) == 26
    assert [record.choices for record in one] == [record.choices for record in other]


def test_a_study_that_was_sent_keeps_its_times_and_one_from_before_they_were_sent_is_taken(study):
    times = [(trial["trial"]["start"], trial["trial"]["complete"]) for trial in whole(study) if "trial" in trial]
    assert times == sorted(times)
    assert len(set(times)) == 20
    old = [json.loads(line) for line in lines(study)]
    for line in old:
        if "trial" in line:
            del line["trial"]["start"], line["trial"]["complete"]
    assert restore(map(json.dumps, old), "sqlite:///old.db", source="old").count() == 20


def test_a_file_that_was_exported_is_imported_whole(study, mvsearch):
    assert mvsearch("studies", "export", "toy").strip() == "toy.jsonl"
    before = whole(study)
    mvsearch("studies", "delete", "toy", "--yes")
    assert not Path("studies/toy").exists()
    mvsearch("studies", "import", "toy.jsonl")
    assert whole(open_study("toy")) == before
    assert "there is a study 'toy' already" in mvsearch("studies", "import", "toy.jsonl", code=1)
    mvsearch("studies", "import", "toy.jsonl", "--name", "two")
    assert open_study("two").count() == 20
    assert "name one of its trials: two:NUMBER" in mvsearch("show", "two", code=1)


def test_a_study_with_choices_that_have_no_effect_in_some_trials_is_imported_whole():
    text = """
blocks:
  - {name: stem, block: conv, out: 8, stride: 2}
  - name: body
    block: {choose: [mv2, mobilevit]}
    out: 8
    mv2: {expand: {choose: [2, 4]}}
    mobilevit: {dim: {choose: [8, 16]}, depth: 1}
search: {objectives: [params, macs], trials: 4, sampler: random}
"""
    Path("kinds.yaml").write_text(text, encoding="utf-8")
    plan = Plan.load("kinds.yaml")
    Study.join(plan).run(lambda arch: arch.metrics(), trials=4)
    kept = open_study("kinds")
    again = restore(list(lines(kept)), "sqlite:///again.db", name="again")

    choices = [record.choices for record in again.records()]
    assert choices == [record.choices for record in kept.records()]
    assert {tuple(each) for each in choices} == {
        ("body.block", "body.mv2.expand"),
        ("body.block", "body.mobilevit.dim"),
    }


def test_tables_of_trials_hold_every_trial_and_choice(study, mvsearch):
    import pyarrow.parquet

    for suffix in ("csv", "parquet"):
        mvsearch("studies", "export", "toy", "-o", f"toy.{suffix}")
    table = pyarrow.parquet.read_table("toy.parquet").to_pydict()
    rows = Path("toy.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0].split(",") == list(table)
    assert len(rows) == 21
    assert table["params"] == [record.metrics["params"] for record in study.records()]
    assert {f"choice.{name}" for name in study.records()[0].choices} <= table.keys()
    assert "--force" in mvsearch("studies", "export", "toy", "-o", "toy.csv", code=1)


def test_a_study_is_renamed_and_listed(study, mvsearch):
    mvsearch("studies", "rename", "toy", "new")
    (row,) = json.loads(mvsearch("studies", "--json"))
    assert (row["study"], row["trials"], row["database"]) == ("new", 20, "studies/new/study.db")
    assert "cannot name a study" in mvsearch("studies", "rename", "new", "../out", code=1)
    assert not Path("../out").exists()


def beside(study: Reader) -> Reader:
    """Another study in the same database."""
    storage = f"sqlite:///{study.store.url.database}"
    plan = replace(toy_plan(Path("studies")), name="neighbour", storage=storage)
    Study.join(plan).run(arithmetic, trials=3)
    return Reader("neighbour", study.store)


def test_a_neighbour_in_the_same_database_outlives_a_study_that_is_renamed_or_deleted(study, mvsearch):
    neighbour = beside(study)
    before = whole(neighbour), whole(study)
    assert "toy to new, in studies/toy/study.db" in mvsearch("studies", "rename", "toy", "new")
    assert (whole(neighbour), whole(Reader("new", study.store))) == before
    mvsearch("studies", "delete", "new", "--yes", "--storage", f"sqlite:///{study.store.url.database}")
    assert whole(neighbour) == before[0]
    assert study.store.names() == ["neighbour"]


def test_a_study_that_is_deleted_twice_takes_no_neighbour_with_it(study, mvsearch):
    neighbour = beside(study)
    mvsearch("studies", "delete", "toy", "--yes")
    assert "there is no study 'toy'; studies/toy has neighbour" in mvsearch("studies", "delete", "toy", "--yes", code=1)
    assert neighbour.count() == open_study("studies/toy").count() == 3


def test_every_study_of_a_database_is_listed(study, mvsearch):
    beside(study)
    rows = {row["study"]: row["trials"] for row in json.loads(mvsearch("studies", "--json"))}
    assert rows == {"neighbour": 3, "toy": 20}


def test_somebodys_own_files_move_with_a_study_and_outlive_it(study, mvsearch):
    Path("studies/toy/net.safetensors").write_text("weights", encoding="utf-8")
    before = whole(study)
    mvsearch("studies", "rename", "toy", "new")
    assert not Path("studies/toy").exists()
    assert whole(open_study("new")) == before
    assert "studies/new contains files of your own" in mvsearch("studies", "delete", "new", "--yes")
    assert [str(path) for path in Path("studies").rglob("*")] == ["studies/new", "studies/new/net.safetensors"]


def test_a_folder_that_is_there_is_not_written_over_by_a_new_name(study, mvsearch):
    Path("studies/new").mkdir()
    assert "studies/new: exists already" in mvsearch("studies", "rename", "toy", "new", code=1)
    assert study.count() == 20


def test_a_study_whose_own_database_was_named_moves_with_its_folder(study, mvsearch):
    mvsearch("studies", "rename", "toy", "new", "--storage", "sqlite:///studies/toy/study.db")
    (row,) = json.loads(mvsearch("studies", "--json"))
    assert (row["study"], row["database"]) == ("new", "studies/new/study.db")


def test_a_study_is_renamed_where_a_database_was_named(study, storage, mvsearch):
    away = restore(list(lines(study)), storage, source="toy")
    before = whole(away)
    mvsearch("studies", "rename", "toy", "new", "--storage", storage)
    assert whole(Reader("new", away.store)) == before
    assert "there is no study 'toy'" in mvsearch("studies", "export", "toy", "--storage", storage, code=1)


def test_a_study_is_deleted_by_whatever_path(study, mvsearch):
    mvsearch("studies", "delete", str(Path("studies/toy").resolve()), "--yes")
    assert not Path("studies/toy").exists()


def test_nothing_is_deleted_that_was_not_said_yes_to_or_is_at_work(study, mvsearch):
    assert "toy is not deleted" in mvsearch("studies", "delete", "toy", input="n\n")
    assert "--yes deletes without asking" in mvsearch("studies", "delete", "toy", code=1, input="")
    worker = Study.join(Plan.of_study(study, workers=1)).worker
    with worker.running():
        assert "a worker is running" in mvsearch("studies", "delete", "toy", "--yes", code=1)
    assert study.count() == 20


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no study"),
        ("{", "toy.jsonl:1: no JSON"),
        ("[]", "toy.jsonl:1: found list"),
        ('{"study": "toy"}', "found format none"),
        ('{"format": 1, "study": "../toy", "facts": {}}', "cannot name a study"),
        ('{"format": 1, "study": "toy", "facts": {}}', "may be truncated"),
        ('{"format": 1, "study": "toy", "facts": {}}\n{"table": "sqlite_master", "row": {"a": 1}}', "do not fit"),
    ],
)
def test_a_file_that_is_no_study_is_refused_and_nothing_is_left_of_it(text, words, mvsearch):
    Path("toy.jsonl").write_text(text, encoding="utf-8")
    assert words in mvsearch("studies", "import", "toy.jsonl", code=1)
    assert [
        name for path in Path("studies").glob("*/study.db") for name in Store(f"sqlite:///{path}", create=False).names()
    ] == []


def test_half_a_file_is_refused(study):
    text = list(lines(study))
    with pytest.raises(StudyError, match=r"half\.jsonl:41: no JSON"):
        restore([*text[:40], text[40][:-5]], "sqlite:///half.db", source="half.jsonl")


ONE_DATABASE = pytest.mark.parametrize(
    "storage", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)
KILLED = """
import os, signal
from mvsearch.study.storage.trials import OptunaTrialStore
from mvsearch.cli.main import main

add = OptunaTrialStore.add

def dying(self, trial):
    if len(self.all()) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    add(self, trial)

OptunaTrialStore.add = dying
main()
"""


@ONE_DATABASE
def test_an_import_that_is_killed_leaves_no_study_and_the_next_one_is_whole(study, storage, mvsearch):
    text = list(lines(study))
    Path("toy.jsonl").write_text("\n".join(text), encoding="utf-8")
    command = [sys.executable, "-c", KILLED, "studies", "import", "toy.jsonl", "--storage", storage]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert Store(storage, create=False).names() == []
    mvsearch("studies", "import", "toy.jsonl", "--storage", storage)
    assert list(lines(Reader("toy", Store(storage, create=False)))) == text


@ONE_DATABASE
@pytest.mark.parametrize("action", ["delete", "rename"])
def test_a_delete_or_rename_that_is_killed_loses_nothing_and_leaves_no_trials_to_another_study_of_the_name(
    study, storage, monkeypatch, action
):
    away = restore(list(lines(study)), storage, source="toy")
    before = whole(away)
    monkeypatch.setattr(archive, "delete_trials", lambda plan: sys.exit("killed"))
    with pytest.raises(SystemExit):
        remove(away) if action == "delete" else rename(away, "new")
    assert away.store.names() == ([] if action == "delete" else ["new"])
    if action == "rename":
        assert whole(Reader("new", away.store)) == before
    plan = replace(Plan.of_study(study, workers=0), storage=storage)
    assert len(OptunaTrialStore.open(plan).all()) == 20
    assert Study.join(plan).trials.all() == []


@ONE_DATABASE
def test_a_rename_that_is_killed_while_trials_are_copied_leaves_the_study_as_it_was(study, storage, monkeypatch):
    away = restore(list(lines(study)), storage, source="toy")
    before = whole(away)
    with monkeypatch.context() as patch:
        patch.setattr(away.store, "rename_study", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit):
            rename(away, "new")
    assert whole(away) == before
    assert away.store.names() == ["toy"]
    assert whole(rename(away, "new")) == before


def test_trials_of_optuna_that_are_not_of_mvsearch_are_never_deleted(study, storage):
    optuna.create_study(study_name="toy", storage=storage).optimize(lambda trial: 1.0, n_trials=1)
    with pytest.raises(StudyError, match="toy"):
        restore(list(lines(study)), storage, source="toy")
    with pytest.raises(StudyError, match="toy"):
        Study.join(replace(toy_plan(Path("studies")), storage=storage))
    assert len(optuna.load_study(study_name="toy", storage=storage).trials) == 1


def changed(text: list[str], part: str, **news: object) -> list[str]:
    """The lines with something else in the first line that has this part: a table's row, a trial, the facts."""
    found = [json.loads(line) for line in text]
    line = next(line for line in found if part in (line.get("table"), *line))
    line["row" if "table" in line else part].update(news)
    return [json.dumps(line) for line in found]


def without_count(text: list[str]) -> list[str]:
    """As files were before their first line counted all."""
    head = json.loads(text[0])
    del head["lines"]
    return [json.dumps(head), *text[1:]]


def finished(line: str) -> bool:
    return '"table":"records"' in line and '"state":"complete"' in line


DAMAGED = [
    (lambda text: text[:-4], "it ends after"),
    (lambda text: without_count(text)[:-4], "it ends after"),
    (lambda text: [line for line in text if '"evaluations"' not in line], "it ends after"),
    (lambda text: without_count([line for line in text if '"number":7,' not in line]), "trials are missing"),
    (lambda text: changed(text, "records", number=10**30), "has no trial"),
    (lambda text: changed(text, "records", number=19), "two records have one number"),
    (lambda text: without_count([line for line in text if not finished(line)]), "has no record"),
    (lambda text: changed(text, "records", key="0123456789ab"), "has no architecture"),
    (lambda text: changed(text, "records", machine=10**30), "do not fit"),
    (lambda text: changed(text, "records", machine="elsewhere"), "no machine"),
    (lambda text: changed(text, "records", metrics=None), "do not fit"),
    (lambda text: changed(text, "records", state="complete", metrics={}), "number for each objective"),
    (lambda text: changed(text, "records", metrics={"loss": 1, "params": "1"}), "text instead of numbers"),
    (lambda text: changed(text, "records", state="bogus"), "is 'bogus'"),
    (lambda text: changed(text, "records", choices={"x": "y"}), "has not the choices"),
    (lambda text: changed(text, "machines", description={"versions": "one"}), "text instead of versions"),
    (lambda text: changed(text, "trial", start="yesterday"), "may be truncated"),
    (lambda text: changed(text, "trial", values=[1.0]), "may be truncated"),
    (lambda text: changed(text, "trial", params={}), "may be truncated"),
    (lambda text: changed(text, "facts", objectives=["top1"]), "contradict"),
    (lambda text: changed(text, "facts", published=None), "published"),
    (lambda text: changed(text, "facts", search={}), "contradict"),
    (lambda text: [text[0], '{"table":"records","row":[1]}', *text[1:]], "do not fit"),
    (lambda text: [text[0], '{"table":[],"row":{}}', *text[1:]], "may be truncated"),
    (lambda text: [text[0], '{"table":"records"}', *text[1:]], "may be truncated"),
    (lambda text: [text[0], "[" * 200_000, *text[1:]], "toy.jsonl:2: no JSON"),
]


def test_a_study_that_is_not_whole_is_refused(study):
    text = list(lines(study))
    for damage, words in DAMAGED:
        with pytest.raises(StudyError, match=words):
            restore(damage(text), "sqlite:///damaged.db", source="toy.jsonl")
    assert not Path("damaged.db").exists()


def test_signs_that_no_database_takes_are_spelled_out_on_import_as_they_are_by_a_search(study):
    text = changed(list(lines(study)), "records", reason="\ud800\0")
    assert restore(text, "sqlite:///spelled.db", source="toy.jsonl").records()[0].reason == "\\ud800\\x00"


def test_a_refused_import_leaves_no_folder(mvsearch):
    Path("toy.jsonl").write_text('{"format": 1, "study": "toy", "facts": {}}', encoding="utf-8")
    mvsearch("studies", "import", "toy.jsonl", code=1)
    assert not Path("studies/toy").exists()


def test_a_file_from_before_lines_were_counted_is_imported(study):
    before = whole(study)
    assert whole(restore(without_count(list(lines(study))), "sqlite:///old.db", source="old")) == before


def test_a_training_whose_number_is_taken_is_told_and_its_measurement_kept(study):
    taken, other = study.records()[:2]
    late = replace(other, number=taken.number, metrics=other.metrics | {"loss": 0.5})
    with pytest.raises(StudyError, match="a record 0 of another network"):
        study.store.save_record("toy", late, settings="elsewhere", machine={})
    study.store.save_record(
        "toy", taken, settings="elsewhere", machine={}
    )  # said twice, as after an answer that was lost
    assert study.records()[:2] == [taken, other]
    assert study.store.evaluation(late.key, "elsewhere") == late.metrics


def test_measurements_are_listed_and_pruned_and_the_trials_stay(study, mvsearch):
    (row,) = json.loads(mvsearch("cache", "toy", "--json"))
    assert (row["studies"], row["measurements"]) == ("toy", sum(r.state == "complete" for r in study.records()))
    assert "nothing is cached" in mvsearch("cache", "toy", "--prune")
    assert study.count() == 20


def test_studies_are_listed_beside_what_cannot_be_read(study, mvsearch):
    for name, content in {"empty": b"", "garbage": b"\x00garbage" * 1000}.items():
        Path("studies", name).mkdir()
        Path("studies", name, "study.db").write_bytes(content)
    Path("studies/emptied").mkdir()
    Store("sqlite:///studies/emptied/study.db", create=True)
    said = mvsearch("studies")
    assert "loss, params" in said
    assert all(f"{name} cannot be read: " in said for name in ("empty", "garbage", "emptied"))
    rows = {row["study"]: row for row in json.loads(mvsearch("studies", "--json"))}
    assert rows["toy"]["trials"] == 20
    assert [name for name, row in rows.items() if "error" in row] == ["emptied", "empty", "garbage"]


def test_a_study_that_cannot_be_read_is_a_study(mvsearch):
    Path("studies/garbage").mkdir(parents=True)
    Path("studies/garbage/study.db").write_bytes(b"\x00garbage" * 1000)
    assert "There are no studies here" not in mvsearch("studies")


def test_a_database_of_a_newer_schema_is_listed_as_unreadable_and_hides_no_other(study, mvsearch):
    plan = replace(toy_plan(Path("studies")), name="newer")
    store = Study.join(plan).store
    with store.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO mvsearch_schema VALUES (99, '9.9.9', 0)"))
    newer, toy = json.loads(mvsearch("studies", "--json"))
    assert "9.9.9 (schema 99)" in newer["error"]
    assert toy["trials"] == 20
    assert "9.9.9 (schema 99)" in mvsearch("front", "newer", code=1)
    assert "toy" in mvsearch("cache", "toy")


def test_an_export_to_a_link_writes_where_it_leads(study, mvsearch):
    Path("elsewhere").mkdir()
    Path("link.jsonl").symlink_to("elsewhere/toy.jsonl")
    mvsearch("studies", "export", "toy", "-o", "link.jsonl")
    assert Path("link.jsonl").is_symlink()
    assert Path("elsewhere/toy.jsonl").read_text(encoding="utf-8").splitlines() == list(lines(study))


def test_images_are_pruned_by_use_and_by_size(tmp_path, monkeypatch):
    from mvsearch.data import _cache

    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path))
    for i, name in enumerate(("old", "middle", "new")):
        folder = tmp_path / "decoded" / f"{name}-0123"
        folder.mkdir(parents=True)
        (folder / "about.json").write_text("x" * 1000)
        _cache.os.utime(folder, (1e9 + i, 1e9 + i))
    assert [each.name for each in _cache.list_cached()] == ["new", "middle", "old"]
    assert [each.name for each in _cache.forget(_cache.list_cached(), keep_bytes=2000)] == ["old"]
    assert _cache.forget(_cache.list_cached(), older_than_s=1e10) == []
    assert [each.name for each in _cache.forget(_cache.list_cached(), older_than_s=60)] == ["new", "middle"]


def test_a_deletion_that_is_killed_leaves_no_set_that_looks_whole_and_the_next_one_ends_it(
    tmp_path, monkeypatch, mvsearch
):
    from mvsearch.data import _cache

    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path))
    folder = tmp_path / "decoded" / "toy-0123"
    folder.mkdir(parents=True)
    (folder / "about.json").write_text("{}")

    def killed(path, ignore_errors=False):
        if not ignore_errors:
            raise SystemExit

    with monkeypatch.context() as killing:
        killing.setattr(_cache.shutil, "rmtree", killed)
        with pytest.raises(SystemExit):
            _cache.forget(_cache.list_cached())

    assert not folder.exists()
    (row,) = json.loads(mvsearch("cache", "--json"))
    assert (row["images"], row["state"]) == ("toy", "broken")
    assert "nothing is cached" in mvsearch("cache", "--prune")
    assert not [path for path in (tmp_path / "decoded").iterdir() if path.is_dir()]


def test_a_set_that_lost_its_description_is_listed_as_broken_and_can_be_pruned(tmp_path, monkeypatch, mvsearch):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path))
    folder = tmp_path / "decoded" / "toy-0123"
    folder.mkdir(parents=True)
    (folder / "train.pixels").write_bytes(b"x")

    assert "broken" in mvsearch("cache")
    mvsearch("cache", "--prune")
    assert not folder.exists()


def test_what_a_killed_decoding_left_is_listed_and_pruned_and_one_at_work_is_left_alone(
    tmp_path, monkeypatch, mvsearch
):
    from mvsearch.data import _cache

    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path))
    folder = tmp_path / "decoded" / "toy-0123.partial"
    folder.mkdir(parents=True)
    (folder / "train.pixels").write_bytes(b"x")

    with _cache.folder_lock(folder.with_name("toy-0123")):
        assert "nothing is cached" in mvsearch("cache", "--prune")
    assert folder.exists()
    (row,) = json.loads(mvsearch("cache", "--json"))
    assert (row["images"], row["state"]) == ("toy", "broken")
    mvsearch("cache", "--prune")
    assert not folder.exists()


def test_keep_is_refused_for_measurements(study, mvsearch):
    assert "--keep is for images" in mvsearch("cache", "toy", "--prune", "--keep", "5", code=1)
    assert json.loads(mvsearch("cache", "toy", "--json"))


def test_a_limit_on_decoded_images_drops_what_was_longest_unused(tmp_path, monkeypatch):
    from mvsearch.data import DecodedImage, _cache, _decoded

    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path))
    monkeypatch.setenv("MVSEARCH_CACHE_GIB", str(5000 / 2**30))
    images = np.zeros((10, 4, 4, 3), np.uint8)

    def decoding():
        stream = [DecodedImage(image, i % 2) for i, image in enumerate(images)]
        return _decoded.Decoding(("a", "b"), stream, stream)

    for name in ("one", "two", "three", "four"):
        _decoded.load_or_decode(name, name, decoding, source="here", licence="none")
        time.sleep(0.02)
    kept = [each.name for each in _cache.list_cached()]
    assert kept == ["four", "three", "two"][: len(kept)]
    assert 1 <= len(kept) < 4


def test_the_doctor_finds_this_machine_fit_and_says_what_is_not(tmp_path, mvsearch, monkeypatch):
    """Of the extras it imports one: all of them take ten seconds, and test_doctor.py checks that there are modules of
    their names."""
    monkeypatch.setattr(doctor, "_extra_names", lambda: ["postgres"])
    monkeypatch.setattr(doctor, "_import_failures", cache(doctor._import_failures.__wrapped__))
    found = {row["what"]: row for row in json.loads(mvsearch("doctor", "--json"))}
    assert found["torch"]["state"] == found["studies"]["state"] == found["[postgres]"]["state"] == "ok"
    said = json.loads(mvsearch("doctor", "--json", "--storage", "sqlite:///nowhere.db", code=1))
    assert said[-1] == {
        "what": "storage",
        "state": "broken",
        "said": "nowhere.db: there is no such study; `mvsearch run SPACE` makes one.",
    }


def test_the_doctor_tells_of_a_torch_that_cannot_be_loaded(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.13: cannot open')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    code = "from mvsearch.cli import doctor, main; doctor._extra_names = list; main.main()"  # no extras, as above
    done = subprocess.run([sys.executable, "-c", code, "doctor", "--json"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    found = [row for row in json.loads(done.stdout) if row["what"] == "torch" and row["state"] == "broken"]
    assert "(ImportError: libcudart.so.13: cannot open)" in found[0]["said"]


@pytest.mark.parametrize("words", [("--older-than", "nan"), ("--keep", "inf")])
def test_nothing_is_pruned_by_what_is_no_number(words, tmp_path, monkeypatch, mvsearch):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path))
    (tmp_path / "decoded" / "toy-0123").mkdir(parents=True)
    assert "must be a finite number" in mvsearch("cache", "--prune", *words, code=2)
    assert (tmp_path / "decoded" / "toy-0123").exists()


def test_a_worker_whose_name_leads_out_of_its_folder_is_not_imported(study, mvsearch):
    mvsearch("studies", "export", "toy", "-o", "toy.jsonl")
    lines = [json.loads(line) for line in Path("toy.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if "trial" in line:
            line["trial"]["user_attrs"]["worker"] = "/tmp/uv"
    Path("bad.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert "names no worker" in mvsearch("studies", "import", "bad.jsonl", "--name", "bad", code=1)


def test_the_doctor_finds_a_cache_that_is_no_folder_broken(tmp_path, monkeypatch, mvsearch):
    monkeypatch.setenv("MVSEARCH_CACHE", "/dev/null")
    monkeypatch.setattr(doctor, "_import_failures", dict)  # importing every package takes ten seconds
    found = {row["what"]: row["state"] for row in json.loads(mvsearch("doctor", "--json", code=1))}
    assert found["cache"] == "broken"


def test_the_doctor_finds_images_broken_that_no_way_leads_to(tmp_path, monkeypatch):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "PACKAGED", tmp_path / "nowhere")
    assert shutil.which("apt-get") is None or fashion_mnist.out_of_reach() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "ADDRESS", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1" in str(fashion_mnist.out_of_reach())
    (finding,) = doctor._images()
    assert finding.state == "broken"


def test_the_committed_study_is_whole(mvsearch):
    kept = Path(__file__).parents[2] / "studies/reference/v3"
    mvsearch("studies", "import", str(kept / "study.jsonl"))
    reader = open_study("v3")
    assert reader.count() == 40
    rows = (kept / "front.csv").read_text().splitlines()
    best = {record.number for record in front(reader.records(), reader.objectives)}
    assert {int(row.split(",")[0]) for row in rows[1:]} == best
