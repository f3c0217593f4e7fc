"""How often work is tried again and how long it is waited for: every limit, for every executor, in one value."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """When a trial, a worker, a process or a database is given up.

    It holds for local processes, for workers of a database server and for Ray alike. When a worker counts as dead is in
    `workers/heartbeat`.
    """

    trial_attempts: int = 3
    """Attempts at one trial that end with the death of the worker or a fault of its machine. Then the trial fails."""

    consecutive_failures: int = 5
    """Failures in a row after which a worker stops: something other than the candidates is broken."""

    restart_budget: int = 10
    """Restarts of each killed process until the next success. Three trials in a row may each kill three processes."""

    ray_task_retries: int = 3
    """How often Ray runs a task again after its process or its node died."""

    database_wait_s: float = 600.0
    """How long a worker waits for a database server that does not answer."""

    claim_interval_s: float = 1.0
    """The pause before a worker looks for a trial again, while other workers hold all that are left."""

    stop_wait_s: float = 15.0
    """How long a process may take to release its trial before it is killed."""


RETRY_POLICY = RetryPolicy()
