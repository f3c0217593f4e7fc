"""`python -m mvsearch` is `mvsearch`."""

from mvsearch.cli.main import main

main()
