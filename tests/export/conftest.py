"""Lock files of our own: a training elsewhere on the machine does not delay these tests."""

import tempfile

import pytest


@pytest.fixture(autouse=True)
def own_lock_files(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("locks")))
