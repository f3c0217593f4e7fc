"""optuna-dashboard over a real database of ours, asked as a browser asks it."""

import json
import threading
from pathlib import Path
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

import optuna
import pytest
from optuna.storages import RDBStorage
from toy import arithmetic, toy_plan

from mvsearch.study.plan import Plan
from mvsearch.study.reader import open_study
from mvsearch.study.study import Study

dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed; the test extra has it")


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def studied(tmp_path, monkeypatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    plan = toy_plan(Path("studies"), trials=8)
    Study.join(plan).run(arithmetic, trials=8)
    return plan


@pytest.fixture
def ask(studied):
    """Asks the dashboard for a path; gives what it answers in JSON."""
    storage = RDBStorage(studied.url)
    with make_server("127.0.0.1", 0, dashboard.wsgi(storage), handler_class=_Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield lambda path: json.load(urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=20))
        server.shutdown()


def test_the_dashboard_shows_our_study_in_names_that_a_person_can_read(studied, ask):
    (summary,) = ask("/api/studies")["study_summaries"]
    assert summary["study_name"] == "toy"
    assert summary["directions"] == ["minimize", "minimize"]

    study = ask(f"/api/studies/{summary['study_id']}")
    records = open_study("toy").records()
    assert study["objective_names"] == ["loss", "params"]
    assert [trial["number"] for trial in study["trials"]] == [record.number for record in records]
    for trial, record in zip(study["trials"], records, strict=True):
        assert trial["state"] == "Complete"
        assert trial["values"] == [record.metrics["loss"], record.metrics["params"]]
        assert {param["name"] for param in trial["params"]} == set(record.choices)
        attributes = {attribute["key"]: attribute["value"] for attribute in trial["user_attrs"]}
        assert attributes["architecture"] == record.key


def test_a_study_without_names_of_its_values_gets_them_when_it_is_resumed(studied):
    storage = RDBStorage(studied.url)
    storage.set_study_system_attr(storage.get_study_id_from_name("toy"), "study:metric_names", None)
    assert len(open_study("toy").records()) == 8  # reading needs no names

    Study.join(studied).run(arithmetic, trials=10)
    assert optuna.load_study(study_name="toy", storage=studied.url).metric_names == ["loss", "params"]
