"""The search: a plan, its trials in a database, samplers, executors and workers."""

import mvsearch.proxies  # noqa: F401  declares the scores that a plan may name
