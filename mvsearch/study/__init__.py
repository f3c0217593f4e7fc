"""The search: a plan, its trials in a database, samplers, executors and workers."""

import mvsearch.profiling.measurements  # noqa: F401
import mvsearch.proxies  # noqa: F401  these two declare the metrics that a plan may name
