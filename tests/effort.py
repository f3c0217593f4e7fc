"""How many examples a test draws: fewer in the fast set, all of them with `scripts/check --all`."""

import os


def examples(fast: int, full: int) -> int:
    """`full` where MVSEARCH_TEST_ALL is 1, as scripts/check --all sets it; else `fast`."""
    return full if os.environ.get("MVSEARCH_TEST_ALL") == "1" else fast
