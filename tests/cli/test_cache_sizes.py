"""The table of `mvsearch cache`."""

from pathlib import Path

import pytest

from mvsearch.cli.cache import size_text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0.0 KiB"), (3 * 2**10, "3.0 KiB"), (2**20, "1.0 MiB"), (5 * 2**30, "5,120.0 MiB")]
)
def test_a_small_cache_is_not_printed_as_nothing(size, text):
    assert size_text(size) == text


def test_rows_are_told_apart_in_a_narrow_terminal(mvsearch, monkeypatch):
    names = [f"folder-20cef6256a46d6f{i}" for i in range(3)]
    for name in names:
        Path("cache/decoded", name).mkdir(parents=True)
    monkeypatch.setenv("MVSEARCH_CACHE", "cache")
    monkeypatch.setenv("COLUMNS", "80")
    text = mvsearch("cache").out
    assert "decoded images in cache/decoded:" in text
    assert {line.split()[0] for line in text.splitlines() if "KiB" in line} == set(names)
    assert {row["folder"] for row in mvsearch("cache", "--json").json} == {f"cache/decoded/{name}" for name in names}
