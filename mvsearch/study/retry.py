"""How often work is tried again and how long it is waited for: every limit, for every executor.

It holds for local processes, for workers of a database server and for Ray alike. When a worker counts as dead is in
`workers/heartbeat`.
"""

TRIAL_ATTEMPTS = 3
"""Attempts at one trial that end with the death of the worker or a fault of its machine. Then the trial fails."""

CONSECUTIVE_FAILURES = 5
"""Failures in a row after which a worker stops: something other than the candidates is broken."""

RESTART_BUDGET = 10
"""Restarts of each killed process until the next success. Three trials in a row may each kill three processes."""

RAY_TASK_RETRIES = 3
"""How often Ray runs a task again after its process or its node died."""

DATABASE_WAIT_S = 600.0
"""How long a worker waits for a database server that does not answer."""

CLAIM_INTERVAL_S = 1.0
"""The pause before a worker looks for a trial again, while other workers hold all that are left."""

STOP_WAIT_S = 15.0
"""How long a process may take to release its trial before it is killed."""
