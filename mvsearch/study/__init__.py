"""The search: a plan, its trials in a database, samplers, executors and workers."""

import mvsearch.profiling.measurements
import mvsearch.proxies  # noqa: F401  these declare the metrics that a plan may name
