"""Databases that earlier versions wrote: opened, plotted and resumed by the commands that a user types."""

import gzip
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from command import Finished
from servers import Postgres
from toy import TOY

from mvsearch.errors import StudyError
from mvsearch.study.reader import Reader
from mvsearch.study.storage import migrations
from mvsearch.study.storage.schema import SCHEMA
from mvsearch.study.storage.store import Store

GOLDEN = Path(__file__).parents[1] / "fixtures/databases"
DATABASES = {path.parent.name + "/" + path.stem: path for path in sorted(GOLDEN.glob("schema_*/*.gz"))}
RUN = ("run", "toy.yaml", "--objective", "params", "--objective", "macs", "--sampler", "random", "--workers", "1")

Command = Callable[..., Finished]


def restore_golden(path: Path, folder: Path, postgres: Callable[[], Postgres]) -> str:
    """A fresh copy of a golden database; returns its URL. A file is where the command looks for the study `toy`."""
    content = gzip.decompress(path.read_bytes())
    if path.stem == "study.db":
        database = folder / "studies/toy/study.db"
        database.parent.mkdir(parents=True)
        database.write_bytes(content)
        return f"sqlite:///{database}"
    url = postgres().database()
    with sa.create_engine(url).begin() as connection:
        connection.connection.cursor().execute(content)
    return url


@pytest.fixture(params=DATABASES)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a copy of each golden database in turn, and a folder with the space of its study."""
    (tmp_path / "toy.yaml").write_text(TOY)
    url = restore_golden(DATABASES[request.param], tmp_path, lambda: request.getfixturevalue("postgres"))
    if not url.startswith("sqlite"):  # the workers of these studies were killed; do not wait for 60 s of silence
        with sa.create_engine(url).begin() as connection:
            connection.execute(sa.text("DELETE FROM mvsearch_workers"))
    return url


def tables(url: str) -> dict[str, list[tuple[str, str, bool, bool]]]:
    """Our tables as the database describes them."""
    inspector = sa.inspect(sa.create_engine(url))
    names = [name for name in inspector.get_table_names() if name.startswith("mvsearch_")]
    keys = {name: inspector.get_pk_constraint(name)["constrained_columns"] for name in names}
    return {
        name: [
            (column["name"], str(column["type"]), column["nullable"], column["name"] in keys[name])
            for column in inspector.get_columns(name)
        ]
        for name in names
    }


def test_every_earlier_schema_has_a_golden_database():
    assert {path.parent.name for path in DATABASES.values()} == {f"schema_{n}" for n in range(1, SCHEMA)}
    assert set(migrations.STEPS) == set(range(2, SCHEMA + 1))


def test_a_study_of_an_earlier_schema_is_read_without_a_write(golden: str, mvsearch: Command, tmp_path: Path):
    before = Store(golden, create=False).records("toy")
    found = mvsearch("front", "toy", "--json", "--storage", golden)
    assert found.code == 0, found.err
    best = json.loads(found.out)["trials"]
    assert {trial["number"] for trial in best} <= {record.number for record in before if record.state == "complete"}
    assert mvsearch("front", "toy", "--plot", "front.png", "--storage", golden).code == 0
    assert (tmp_path / "front.png").stat().st_size > 0
    assert not sa.inspect(sa.create_engine(golden)).has_table("mvsearch_schema")


def test_a_study_of_an_earlier_schema_is_resumed_and_reported(golden: str, mvsearch: Command):
    before = {record.number: record for record in Store(golden, create=False).records("toy")}
    resumed = mvsearch(*RUN, "--trials", "14", "--storage", golden)
    assert resumed.code == 0, resumed.err

    reader = Reader("toy", Store(golden, create=False))
    records = {record.number: record for record in reader.records()}
    assert before.items() <= records.items()
    assert len(records) == 14
    assert len({record.key for record in records.values()}) == 14  # nothing is tried twice
    assert {record.state for number, record in records.items() if number not in before} == {"complete"}
    assert mvsearch("report", "toy", "--storage", golden).code == 0
    with reader.store.engine.connect() as connection:
        assert migrations.version_of(connection).number == SCHEMA


def test_a_migrated_database_has_the_tables_of_a_new_one(golden: str, tmp_path: Path, request: pytest.FixtureRequest):
    Store(golden, create=True)
    file = golden.startswith("sqlite")
    new = f"sqlite:///{tmp_path / 'new.db'}" if file else request.getfixturevalue("postgres").database()
    Store(new, create=True)
    assert tables(golden) == tables(new)


def test_a_migration_is_recorded_once_and_repeated_after_a_kill(golden: str, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "stamp", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Store(golden, create=True)
    for _ in range(2):
        store = Store(golden, create=True)
    with store.engine.connect() as connection:
        versions = connection.execute(sa.text("SELECT version FROM mvsearch_schema")).scalars().all()
    assert versions == [SCHEMA]


def test_a_write_to_a_database_opened_for_reading_migrates_it_first(golden: str):
    store = Store(golden, create=False)
    store.update_study("toy", store.study("toy") | {"device": "cpu"})
    with store.engine.connect() as connection:
        assert migrations.version_of(connection).number == SCHEMA
    assert store.study("toy")["device"] == "cpu"


@pytest.mark.parametrize("create", [False, True])
def test_a_database_of_a_newer_schema_is_refused_with_the_version_that_wrote_it(storage: str, create: bool):
    with Store(storage, create=True).engine.begin() as connection:
        connection.execute(sa.text(f"INSERT INTO mvsearch_schema VALUES ({SCHEMA + 1}, '9.8.7', 0)"))
    with pytest.raises(StudyError, match=rf"9\.8\.7 \(schema {SCHEMA + 1}\)"):
        Store(storage, create=create)


def test_rungs_replicates_and_cached_trials_of_schema_2_are_read_as_they_were_written(
    tmp_path: Path, request: pytest.FixtureRequest
):
    def postgres() -> Postgres:
        return request.getfixturevalue("postgres")

    urls = [
        restore_golden(path, tmp_path / path.stem, postgres) for name, path in DATABASES.items() if "schema_2" in name
    ]
    for url in urls:
        store = Store(url, create=False)
        assert store.names() == ["cached", "rungs", "toy"]
        assert set(store.states("toy").values()) == {"complete", "pruned", "failed"}
        assert sum(record.cached for record in store.records("cached")) == 4
        scored = {steps: store.rung_scores("rungs", steps) for steps in (30, 100, 300)}
        assert set(scored[30]) == set(range(16)) > set(scored[100]) > set(scored[300]) == set()
        record = store.record("rungs", 0)
        assert scored[30][0]["loss"] == record.metrics["rungs"]["30"]["loss"] != record.metrics["loss"]
        assert len(record.metrics["repeats"]) > 1
        assert store.replicate_claims("rungs") == {0: "killed"}
        assert store.record("rungs", 99) is store.record("rungs", 10**30) is None


def test_an_earlier_version_refuses_a_migrated_study(tmp_path: Path):
    """It looked at the schema of each study, which a migration therefore raises too."""
    url = restore_golden(DATABASES["schema_2/study.db"], tmp_path, Postgres)
    Store(url, create=True)
    with sqlite3.connect(tmp_path / "studies/toy/study.db") as connection:
        assert set(connection.execute("SELECT schema FROM mvsearch_studies")) == {(SCHEMA,)}
