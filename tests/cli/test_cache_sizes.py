"""Sizes in the table of `mvsearch cache`."""

import pytest

from mvsearch.cli.cache import size_text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0.0 KiB"), (3 * 2**10, "3.0 KiB"), (2**20, "1.0 MiB"), (5 * 2**30, "5,120.0 MiB")]
)
def test_a_small_cache_is_not_printed_as_nothing(size, text):
    assert size_text(size) == text
