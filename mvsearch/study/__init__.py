"""The search: a plan, its trials in a database, samplers, executors and workers."""
