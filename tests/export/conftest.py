"""Lock files of our own: a training elsewhere on the machine does not delay these tests. Timings are brief."""

import tempfile

import pytest


@pytest.fixture(autouse=True)
def own_lock_files(tmp_path_factory, monkeypatch, brief_timing):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("locks")))
