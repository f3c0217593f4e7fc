"""A validation as one value: its networks, what all of its trainings share, and the folder with their results.

studies/v3/validation/
  short_1f0c5a3b9d2e/        one folder for each recipe, set of images, precision and source of initial weights
    validation.json          the verdict: what `mvsearch validate --json` prints
    results.csv              a line for each finished training
    KEY/seed_0/              the folder of a training: weights.safetensors, result.json, ...
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mvsearch.errors import StudyError
from mvsearch.metrics.registry import MAP, MIOU, TOP1
from mvsearch.training.job import TrainingJob
from mvsearch.training.trained_network import RESULT
from mvsearch.utils.atomic_write import write_whole
from mvsearch.validation.conditions import Conditions
from mvsearch.validation.networks import Network
from mvsearch.validation.rounds import Schedule, Training, schedule

FAILURE = "failed.json"
"""The reason why a training has no result: its loss became NaN."""

_CHECKPOINT_STEPS = 250


@dataclass(frozen=True)
class ValidationJob:
    """Networks that are trained under the same conditions with the seeds from 0 to `rounds` - 1, below `root`."""

    study: str
    networks: tuple[Network, ...]
    conditions: Conditions
    rounds: int
    root: Path

    @property
    def folder(self) -> Path:
        """The folder of these conditions."""
        return self.root / self.conditions.name

    @cached_property
    def by_name(self) -> dict[str, Network]:
        """The networks by name."""
        return {network.name: network for network in self.networks}

    @property
    def metric(self) -> str:
        """The name of the score that decides: that of the networks' task."""
        task = self.networks[0].arch.task
        return next(metric.name for metric in (TOP1, MIOU, MAP) if task in metric.tasks)

    def training_folder(self, training: Training) -> Path:
        """Where a training is, whatever its network is called."""
        name, seed = training
        return self.folder / self.by_name[name].key / f"seed_{seed}"

    def training(self, training: Training) -> TrainingJob:
        """One training. Equal seeds draw equal batches and augmentation for every network."""
        conditions = self.conditions
        return TrainingJob(
            arch=self.by_name[training[0]].arch,
            recipe=conditions.recipe,
            data=conditions.data,
            folder=self.training_folder(training),
            init=conditions.init,
            teacher=conditions.teacher or "",
            seed=training[1],
            every=_CHECKPOINT_STEPS,
        )

    # ---- results

    def result(self, training: Training) -> dict[str, Any] | None:
        """The result of a finished training, None for another; raises StudyError for a damaged one."""
        return _read(self.training_folder(training) / RESULT)

    def results(self) -> dict[str, dict[int, dict[str, Any]]]:
        """All results of these networks, by name and seed."""
        results: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in self.by_name}
        for name, network in self.by_name.items():
            for folder in (self.folder / network.key).glob("seed_*"):
                seed = int(folder.name.removeprefix("seed_"))
                if result := self.result((name, seed)):
                    results[name][seed] = result
        return {name: dict(sorted(by_seed.items())) for name, by_seed in results.items()}

    def failures(self) -> dict[str, str]:
        """The networks with a training that failed, with its reason."""
        failures: dict[str, str] = {}
        for name, network in self.by_name.items():
            for path in sorted((self.folder / network.key).glob(f"seed_*/{FAILURE}")):
                failures.setdefault(name, str((_read(path) or {}).get("reason")))
        return failures

    def record_failure(self, training: Training, reason: str) -> None:
        """Store why a training has no result, so that no other command repeats it."""
        write_whole(self.training_folder(training) / FAILURE, json.dumps({"reason": reason}).encode())

    def schedule(self, results: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> Schedule:
        """What is to be trained next; networks that failed are left out.

        Raises StudyError if no candidate or no baseline is left.
        """
        failures = self.failures()
        against = {
            network.name: [name for name in network.against if name not in failures]
            for network in self.networks
            if network.is_candidate and network.name not in failures
        }
        against = {name: baselines for name, baselines in against.items() if baselines}
        if not against:
            name, reason = next(iter(failures.items()))
            raise StudyError(f"nothing is left to compare: {name} failed ({reason}); use another recipe.")
        scores = {
            name: {seed: float(result[self.metric]) for seed, result in by_seed.items()}
            for name, by_seed in results.items()
        }
        images = next((result["images"] for by_seed in results.values() for result in by_seed.values()), None)
        return schedule(scores, against, self.rounds, images if self.metric == TOP1.name else None)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except ValueError:
        raise StudyError("is damaged; delete the folder of this training.", at=path) from None
