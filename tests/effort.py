"""What a test tries: fewer examples and networks in the fast set, all of them with `scripts/check --all`."""

import os
import re
from collections.abc import Iterable
from typing import Any

import pytest

WIDER = re.compile(
    r"mobilevitv\d_(x?s|0\.75|1\.0)(_.*)?|.*_384|mobilenetv4_conv_m|repvit_m1_\d|shvit_s[23]|starnet_s[234]"
)
"""Published models that differ from a smaller one of their family in widths or image size alone, or in depths too."""


def examples(fast: int, full: int) -> int:
    """`full` where MVSEARCH_TEST_ALL is 1, as scripts/check --all sets it; else `fast`."""
    return full if os.environ.get("MVSEARCH_TEST_ALL") == "1" else fast


def wider_are_slow(names: Iterable[str]) -> list[Any]:
    """The names of published models as parameters: the fast set has one model of each family, depth and ablation."""
    return [pytest.param(name, marks=pytest.mark.slow if WIDER.fullmatch(name) else ()) for name in names]
