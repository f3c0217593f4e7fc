"""Torch on one thread: beside other work on few cores, its threads wait for each other."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def single_thread(one_thread):
    """Every test of this folder."""
