"""How long a validation still takes: measured seconds a step, and MACs for what was not measured yet."""

import time
from collections.abc import Mapping

from mvsearch.validation.job import ValidationJob
from mvsearch.validation.rounds import Schedule, Training

_OVERHEAD_MACS = 3e6
"""What a step costs besides its MACs, for augmentation, norms and the optimiser, as MACs of an image."""


class Pace:
    """The speed of this command's trainings. `step` and `end` say what they do."""

    def __init__(self, job: ValidationJob) -> None:
        size = job.conditions.recipe.image_size
        macs = {network.name: network.arch.at(image_size=size).cost().macs for network in job.networks}
        self._work = {name: job.conditions.steps * (value + _OVERHEAD_MACS) for name, value in macs.items()}
        self._done, self._seconds = 0.0, 0.0
        self._last: dict[Training, tuple[float, int]] = {}
        """When each running training reported last, and its step then."""

    def work(self, training: Training) -> float:
        """What a whole training costs, in units that are proportional to its time."""
        return float(self._work[training[0]])

    def step(self, training: Training, step: int, steps: int) -> None:
        """Note that a training finished a step. The first report of a training shows where it resumes."""
        now = time.monotonic()
        if training in self._last:
            then, before = self._last[training]
            self._seconds += now - then
            self._done += self.work(training) * (step - before) / max(1, steps)
        self._last[training] = now, step

    def end(self, training: Training) -> None:
        """Note that a training is over."""
        self._last.pop(training, None)

    def left_s(self, schedule: Schedule, running: Mapping[Training, float], workers: int) -> float | None:
        """The seconds that are left if no candidate stops; None before anything is measured.

        `running` are the finished shares of the trainings under way.
        """
        if not self._done:
            return None
        left = {training: self.work(training) for training in (*schedule.next, *schedule.later)}
        total = sum(work * (1 - running.get(training, 0.0)) for training, work in left.items())
        return total * self._seconds / self._done / max(1, min(workers, len(left)))
