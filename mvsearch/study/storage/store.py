"""The database of studies: one object for every query of our tables.

Each group of tables has a file of its own; a small question is a small query. Optuna's tables, which hold the trials
for its samplers and for optuna-dashboard, are reached through `trials`.
"""

from mvsearch.study.storage.cache import EvaluationCache
from mvsearch.study.storage.records import Records
from mvsearch.study.storage.transfer import Transfer
from mvsearch.study.storage.worker_table import WorkerTable


class Store(Records, EvaluationCache, WorkerTable, Transfer):
    """Studies, records, the cache and the workers at a database URL."""
