"""What int8 costs a trained network: by scheme, and by stage.

    schemes     each scheme's file beside the float32 file of the same runtime
    stages      one stage alone in int8, and all stages but one: what it costs, and what it would give back

Top-1 changes by whole images, so the error of the outputs stands beside it: it is known much more exactly.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mvsearch.errors import VerificationError
from mvsearch.export.int8 import Int8Scheme, Quantiser
from mvsearch.export.job import ExportJob, translate_errors
from mvsearch.export.quantised import are_right, run_images
from mvsearch.training.image_samples import ImageSample
from mvsearch.utils.progress import Progress, no_progress

T = TypeVar("T")


@dataclass(frozen=True)
class Int8Loss:
    """A file beside the float32 file of the same runtime.

    `top1` is None where the classes of the images are not the network's; `change` is its difference from float32, with
    its standard error. `same_top1` is the share of images whose prediction stays; `error` is the root mean square of
    the difference of the outputs, as a share of their deviation.
    """

    top1: float | None
    change: float | None
    change_sem: float | None
    same_top1: float
    error: float


@dataclass(frozen=True)
class SchemeLoss:
    """What a scheme costs, with the size of its file and the share of multiply-accumulates in int8, where known.

    `note` is a sentence where that share is 0 because all products are too small. Without a `loss`, the file cannot be
    written or run.
    """

    scheme: str
    words: str
    loss: Int8Loss | None
    file_bytes: int | None
    macs_share: float | None
    note: str | None


@dataclass(frozen=True)
class StageLoss:
    """What a stage costs: when it `alone` is in int8, and when it alone stays in float32 (`others`).

    None where that file cannot be written or run.
    """

    stage: str
    alone: Int8Loss | None
    others: Int8Loss | None


@dataclass(frozen=True)
class Int8Analysis:
    """What int8 costs a network. `top1_float32` is None where the classes of the images are not the network's.

    `failed` names the files that could not be written or run, and why.
    """

    format: str
    runtime: str
    calibration_images: int
    calibration_data: str
    images: int
    data: str
    top1_float32: float | None
    float32_bytes: int
    schemes: tuple[SchemeLoss, ...]
    stages_scheme: str
    stages: tuple[StageLoss, ...]
    failed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Int8Analyser:
    """Writes files of one network by many schemes and compares them with its float32 file, on a sample of images.

    `job` has the calibration images; its files lie in `folder`. Raises VerificationError where the float32 file cannot
    be written or run.
    """

    def __init__(self, job: ExportJob, sample: ImageSample, folder: Path, progress: Progress = no_progress) -> None:
        self._job, self._sample, self._progress = job, sample, progress
        progress(0, None, f"exporting to {job.format.name}")
        self._file = folder / f"compared{job.format.suffix}"
        with translate_errors(f"{job.format.name} cannot quantise this network"):
            self.quantiser: Quantiser = job.quantiser(folder)
            self.quantiser.write_float32(self._file)
        self._float32, self.float32_bytes = self._run(self._file), self._file.stat().st_size
        self._failed: list[str] = []

    def analyse(self, schemes: Sequence[Int8Scheme], by_stage: Int8Scheme) -> Int8Analysis:
        """What these schemes cost, and what each stage that is in int8 by the scheme `by_stage` costs.

        Raises VerificationError if no file of a scheme can be written and run.
        """
        names = [name for name in self.quantiser.stages if name not in by_stage.float_stages]
        total = len(schemes) + 2 * len(names)
        self._failed = []
        found = [self._scheme(scheme, i, total) for i, scheme in enumerate(schemes)]
        if not any(each.loss for each in found):
            raise VerificationError(self._failed[0])
        losses = []
        for i, name in enumerate(names):
            done = len(schemes) + 2 * i
            rest = tuple(stage for stage in self.quantiser.stages if stage != name)
            alone = self._loss(replace(by_stage, float_stages=rest), done, total, f"{name} alone in int8")
            kept = replace(by_stage, float_stages=(*by_stage.float_stages, name))
            others = self._loss(kept, done + 1, total, f"all but {name} in int8")
            losses.append(StageLoss(name, alone, others))
        calibration = self._job.calibration
        assert calibration is not None
        return Int8Analysis(
            format=self._job.format.name,
            runtime=self._job.runtime.version,
            calibration_images=len(calibration.images),
            calibration_data=calibration.source,
            images=len(self._sample.images),
            data=self._sample.source,
            top1_float32=self._top1(self._float32),
            float32_bytes=self.float32_bytes,
            schemes=tuple(found),
            stages_scheme=by_stage.label,
            stages=tuple(losses),
            failed=tuple(self._failed),
        )

    def _scheme(self, scheme: Int8Scheme, done: int, total: int) -> SchemeLoss:
        loss = self._loss(scheme, done, total, scheme.label)
        facts = self._attempt(scheme.label, lambda: self._job.runtime.facts(self._file)) if loss else None
        if facts is None:
            return SchemeLoss(scheme.label, scheme.words, None, None, None, None)
        share = facts.get("int8_macs_share")
        return SchemeLoss(scheme.label, scheme.words, loss, self._file.stat().st_size, share, scheme.note(share))

    def _loss(self, scheme: Int8Scheme, done: int, total: int, step: str) -> Int8Loss | None:
        self._progress(done, total, step)

        def measure() -> Int8Loss:
            self.quantiser.write(self._file, scheme)
            return self._compare(self._run(self._file))

        return self._attempt(step, measure)

    def _attempt(self, step: str, work: Callable[[], T]) -> T | None:
        try:
            with translate_errors(f"{self._job.format.name} cannot quantise this network"):
                return work()
        except VerificationError as error:
            self._failed.append(f"{step}: {error}")
            return None

    def _run(self, file: Path) -> np.ndarray:
        runtime = self._job.runtime
        with translate_errors(f"{runtime.version} cannot run the file"):
            return run_images(runtime, runtime.load_runtime(file), self._sample.images)

    def _compare(self, outputs: np.ndarray) -> Int8Loss:
        expected, labels = self._float32, self._sample.labels
        same = float((outputs.argmax(1) == expected.argmax(1)).mean())
        difference = float(np.sqrt(((outputs - expected) ** 2).mean()))
        error = difference / max(float(expected.std()), 1e-12)
        if (top1 := self._top1(outputs)) is None:
            return Int8Loss(None, None, None, same, error)
        changes = are_right(outputs, labels).astype(float) - are_right(expected, labels)
        sem = float(changes.std() / math.sqrt(len(changes)))
        return Int8Loss(top1, float(changes.mean()), sem, same, error)

    def _top1(self, outputs: np.ndarray) -> float | None:
        if outputs.shape[1:] != (len(self._sample.classes),):
            return None
        return float(are_right(outputs, self._sample.labels).mean())
