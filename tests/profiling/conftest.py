"""Lock files of our own, and torch on one thread: beside other work on few cores, its threads wait for each other."""

import tempfile

import pytest


@pytest.fixture(autouse=True, scope="module")
def single_thread(one_thread):
    """Every test of this folder."""


@pytest.fixture(autouse=True)
def own_lock_files(tmp_path, monkeypatch):
    """A training elsewhere on the machine does not delay these tests."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
