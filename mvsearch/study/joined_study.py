"""A study that a worker has joined. The scheduler and the runner share it."""

from collections.abc import Callable
from dataclasses import replace

from mvsearch.arch.published import published_keys
from mvsearch.metrics.record import Metrics, Record
from mvsearch.space.inverse import Point
from mvsearch.study.candidate import Candidate
from mvsearch.study.facts import StudyFacts
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader, load_facts
from mvsearch.study.storage.store import Store
from mvsearch.study.storage.trials import OptunaTrialStore
from mvsearch.study.target import MOST_TARGET_REPLICATES
from mvsearch.study.workers.heartbeat import worker_registry
from mvsearch.study.workers.registry import Worker
from mvsearch.utils import machine


class JoinedStudy(Reader):
    """A study that one worker of this process has joined."""

    def __init__(self, plan: Plan, store: Store, trials: OptunaTrialStore) -> None:
        super().__init__(plan.name, store)
        self.plan, self.trials = plan, trials
        self.worker = Worker(worker_registry(store, plan.name))
        self.recent_failures: list[Record] = []
        """Trials of this worker that failed or were lost since it last measured one to the end."""
        self._evaluation_keys: dict[tuple[int | None, int], str] = {}
        self._published = published_keys(plan.space.head.task) | {
            key: name for name, key in self.facts.published.items()
        }

    def update_facts(self, change: Callable[[StudyFacts], StudyFacts]) -> None:
        """Change the facts of the study as they are stored now."""
        self.facts = change(self.current_facts())
        self.store.update_study(self.name, self.facts.to_json())
        self._evaluation_keys.clear()

    def current_facts(self) -> StudyFacts:
        """The facts as they are stored now."""
        return load_facts(self.store, self.name) or self.facts

    def target_measurement(self, repeat: int) -> Metrics | None:
        """What was measured of the target with the seeds of a repeat; None if that was not done yet."""
        assert self.plan.target is not None
        return self.known_metrics(self.plan.target.arch.key, repeat=repeat)

    def update_target(self) -> None:
        """Store the mean of what was measured of the target so far."""
        with self.store.study_lock(self.name):
            cached = map(self.target_measurement, range(MOST_TARGET_REPLICATES))
            measured = [metrics for metrics in cached if metrics is not None]
            if measured and (target := self.plan.target):
                self.update_facts(lambda facts: replace(facts, target=target.with_measurements(measured)))

    def evaluation_key(self, *, rung: int | None = None, repeat: int = 0) -> str:
        """Identifies all that a number depends on besides the architecture: settings, device, images and code."""
        if (rung, repeat) not in self._evaluation_keys:
            settings = self.plan.settings(rung=rung, repeat=repeat)
            self._evaluation_keys[rung, repeat] = self.facts.settings_key(settings)
        return self._evaluation_keys[rung, repeat]

    def known_metrics(
        self, key: str, *, rung: int | None = None, repeat: int = 0, predicted: bool = False
    ) -> Metrics | None:
        """What was measured of an architecture before; None if that lacks something that this study needs.

        Another study may have needed other metrics of one measurement, or only a prediction of the latency, which
        suffices for a rung, and if it may be `predicted`.
        """
        metrics = self.store.evaluation(key, self.evaluation_key(rung=rung, repeat=repeat))
        if metrics is None or repeat:  # a repeat has scores alone
            return metrics
        suffices = predicted or rung is not None or not metrics.get("latency_predicted")
        return metrics if suffices and self.plan.required_metrics <= metrics.keys() else None

    def make_candidate(self, number: int, point: Point) -> Candidate:
        """The candidate of a trial, whose architecture is parsed here and nowhere else."""
        arch = self.plan.space.architecture(point)
        key = arch.key
        return Candidate(number, self.plan.space.effective(point), arch, key, self._published.get(key))

    def save(self, record: Record) -> None:
        """Write a finished trial: the record and the measurement in one transaction, then the state of the trial."""
        self.store.save_record(self.name, record, settings=self.evaluation_key(), machine=machine.describe())
        self.trials.finish(record)
