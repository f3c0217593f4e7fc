"""Whether an exported file computes what the network computes: told by the file's own runtime, on real images.

A file stands under its name only once it has passed, because what stands there is what the next script deploys:

    export ─ into a folder beside ─ read back ─ compare with eager ─ time beside eager ─ to its place, with a report
    └────────── fails ──────────────└───────────└ differs: find the first stage that does, leave the report alone

Random input would hide errors: it drives a network into a corner that images never reach.
"""

import json
import math
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from mvsearch.data import DataSettings, load
from mvsearch.errors import CheckpointError, DataError, EnvironmentFault, MvsearchError, PlanError, VerificationError
from mvsearch.export.formats import batch_support, runtime
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Run, as_list, in_a_line, require
from mvsearch.metrics.record import Latency
from mvsearch.metrics.trial import Trial
from mvsearch.nn.network import Network
from mvsearch.training.sample import Sample, samples
from mvsearch.utils import plugins
from mvsearch.utils.atomic_write import refuse_existing, write_whole

TOLERANCE = 1e-3
"""The largest difference that float32 arithmetic in another order is allowed, as a share of the outputs' deviation."""

MAX_DROP = 0.05
"""The share of images that int8 may get wrong beyond what float32 gets wrong."""

Say = Callable[[str], None]
Timer = Callable[["Job", Run, np.ndarray], tuple[Latency, Latency]]
"""Times a file and the model itself on one image: the latency of each."""

_STAGE_IMAGES = 8
_EAGER_BATCH = 8
_CACHES = {"__pycache__", ".pytest_cache"}  # what Python leaves in a folder that was used


@dataclass(frozen=True)
class Comparison:
    """A file beside eager, its images given so many at a time; `ratio` is `worst` over the outputs' deviation."""

    batch: int
    worst: float
    ratio: float
    top1_agreement: float | None


@dataclass(frozen=True)
class Accuracy:
    """Top-1 against the labels of the sample, eager's and the file's; the change with its standard error."""

    eager: float
    file: float
    change: float
    change_sem: float


@dataclass(frozen=True)
class Report:
    """What was found of one file. `verified` is None where it could not be judged; `reason` says it in words."""

    file: str
    format: str
    runtime: str
    takes: str
    precision: str
    subject: dict[str, Any]
    data: str
    images: int
    verified: bool | None
    reason: str
    tolerance: float
    facts: dict[str, Any]
    comparisons: tuple[Comparison, ...] = ()
    first_differing_stage: str | None = None
    top1: Accuracy | None = None
    latency: Latency | None = None
    eager_latency: Latency | None = None

    def to_dict(self) -> dict[str, Any]:
        """As it is stored: what it is of, `latency_ms` and its kin at the top level, eager's under `eager`."""
        found = asdict(self)
        found |= found.pop("subject")
        del found["latency"], found["eager_latency"]
        if self.latency is not None and self.eager_latency is not None:
            found |= self.latency.metrics() | {"eager": self.eager_latency.metrics()}
        return found


@dataclass(frozen=True)
class Job:
    """What is to be written where, and what it is to be compared on; with `calibration` images it is int8."""

    kind: str
    module: ModuleType
    subject: ExportModel
    path: Path
    calibration: np.ndarray | None = None

    def write(self, path: Path, *, model: nn.Module | None = None) -> None:
        """Write the file, or that of another model. Raises VerificationError for whatever a converter raises."""
        subject = self.subject if model is None else replace(self.subject, model=model)
        with _in_a_line(f"{self.kind} cannot take this network"):
            if self.calibration is None:
                self.module.export(subject, path)
            else:
                self.module.export_int8(subject, path, self.calibration)

    @property
    def report_path(self) -> Path:
        """Where the report goes."""
        return self.path.with_name(self.path.name + ".report.json")


@contextmanager
def _in_a_line(said: str) -> Iterator[None]:
    """Converters and runtimes raise what they like; here it becomes a VerificationError."""
    try:
        yield
    except (MvsearchError, OSError):
        raise
    except Exception as error:
        raise VerificationError(in_a_line(said, error)) from error


def check_free(module: ModuleType, path: Path, *, force: bool) -> None:
    """Raises EnvironmentFault if an export would replace something unasked, has no folder to go to, or needs a package
    that is missing; PlanError if the name ends as no file of the format does."""
    require(module.EXTRA, *getattr(module, "PACKAGES", ()))
    if module.SUFFIX and path.suffix != module.SUFFIX:
        raise PlanError(f"name the file *{module.SUFFIX}, as this format's files are.", at=path)
    for each in (path, *(path.with_suffix(suffix) for suffix in getattr(module, "SIDECAR_SUFFIXES", ()))):
        refuse_existing(each, force=force, folder=True)


def images_for(chosen: str | None, trial: Trial | None = None) -> DataSettings:
    """Which images to look at: a source or folder that was chosen, else those of the trial's study, else any."""
    if chosen is not None:
        if chosen not in plugins.names("data_source") and Path(chosen).is_dir():
            return DataSettings(source="folder", path=chosen)
        if chosen == "folder":
            raise DataError("--data folder: which one? Give the folder itself: --data /my/images.")
        if Path(chosen).name != chosen:
            raise DataError(f"--data {chosen}: there is no such folder; give one of images, or a source.")
        plugins.check("data_source", chosen, error=DataError)
        return DataSettings(source=chosen)
    return DataSettings(**trial.settings.get("data", {})) if trial else DataSettings()


def draw(settings: DataSettings, size: int, held_out: int, training: int) -> tuple[Sample, Sample]:
    """So many images of the test part and of the training part, at `size` pixels."""
    path = Path(settings.path) if settings.path else None
    data = load(
        settings.source, path=path, size=settings.size, test_fraction=settings.test_fraction, seed=settings.seed
    )
    return samples(data, size, held_out=held_out, training=training)


def export(job: Job) -> None:
    """Write the file to its place, unverified; an old report of it is taken away."""
    with _beside(job.path) as folder:
        try:
            job.write(folder / job.path.name)
        except VerificationError as error:
            raise VerificationError(f"{error}; try another format.", at=job.path) from error
        _publish(folder, job.path.parent)
    job.report_path.unlink(missing_ok=True)


def export_verified(
    job: Job, sample: Sample, *, max_drop: float = MAX_DROP, say: Say, timer: Timer | None = None
) -> Report:
    """Write the file and its report if it computes what the network computes on the sample; then time it with `timer`.

    Raises VerificationError otherwise: the file is not put in its place, and the report says what differed. Timing
    waits for trainings on this machine; file and report are in place before, so Ctrl-C loses only the times.
    """
    with _beside(job.path) as folder:
        report, run = verify(job, folder / job.path.name, sample, max_drop=max_drop, say=say)
        if report.verified is not False:
            _publish(folder, job.path.parent)
        _write_report(job, report)
        if report.verified and run and timer:
            say(f"{job.path} is there; timing it beside eager, once no training runs on this machine")
            times, eager_times = timer(job, run, sample.images[:1])
            report = replace(report, latency=times, eager_latency=eager_times)
            _write_report(job, report)
    if report.verified is False:
        earlier = " (what stands there is an earlier one)" if job.path.exists() else ""
        raise VerificationError(
            f"{report.reason}; the file is not kept{earlier}, {job.report_path} tells more.", at=job.path
        )
    return report


def _write_report(job: Job, report: Report) -> None:
    write_whole(job.report_path, (json.dumps(_finite(report.to_dict()), indent=2) + "\n").encode())


def verify(job: Job, file: Path, sample: Sample, *, max_drop: float = MAX_DROP, say: Say) -> tuple[Report, Run | None]:
    """Write the file and compare it with eager at every batch size of its format; beside the report, what runs it.

    If it cannot be written or run, or differs, the report names the first stage at which that is so.
    """
    run = None
    report = Report(
        file=job.path.name,
        format=job.kind,
        runtime=runtime(job.module),
        takes=batch_support(job.module),
        precision="float32" if job.calibration is None else "int8",
        subject=job.subject.facts(),
        data=sample.source,
        images=len(sample.images),
        tolerance=TOLERANCE,
        verified=None,
        reason="",
        facts={},
    )
    say("running eager")
    expected = eager(job.subject.model, sample.images)
    if not all(np.isfinite(each).all() for each in expected):
        raise CheckpointError(
            f"{job.subject.weights}: with these weights the network itself gives no numbers; take others."
        )
    try:
        say(f"exporting to {job.kind}")
        job.write(file)
        with _in_a_line(f"{report.runtime} cannot run the file"):
            report = replace(report, facts=job.module.facts(file) if hasattr(job.module, "facts") else {})
            if why := unavailable_reason(job.module):
                return replace(report, reason=f"not verified: {why}"), None
            run = job.module.load_runtime(file)
            report = _compared(job, report, run, expected, sample, say)
        verified, reason = judge(report, max_drop)
    except VerificationError as error:
        verified, reason = False, str(error)
    report = replace(report, verified=verified, reason=reason)
    if verified is False:
        stage = first_differing_stage(job, sample.images[:_STAGE_IMAGES], say)
        said = reason + (f", first at stage {stage}" if stage else "")
        report = replace(report, reason=said, first_differing_stage=stage)
    return report, run


def _compared(job: Job, report: Report, run: Run, expected: list[np.ndarray], sample: Sample, say: Say) -> Report:
    comparisons, found = [], expected
    for batch in job.module.BATCHES:
        say(f"comparing {len(sample.images)} images, {batch} at a time")
        found = outputs(run, sample.images, batch)
        comparisons.append(compare(expected, found, batch, classes=job.subject.classes_along))
    top1 = accuracy(expected[0], found[0], sample, job.subject)
    return replace(report, comparisons=tuple(comparisons), top1=top1)


def unavailable_reason(module: ModuleType) -> str | None:
    """Why a file of this format cannot be run here, or None."""
    why: Callable[[], str | None] = getattr(module, "unavailable_reason", lambda: None)
    return why()


def eager(model: nn.Module, images: np.ndarray) -> list[np.ndarray]:
    """The network's own outputs for (N, 3, H, W), in float32 on the CPU."""

    def run(part: np.ndarray) -> list[np.ndarray]:
        return as_list(model(torch.from_numpy(part)))

    with torch.inference_mode():
        return outputs(run, images, _EAGER_BATCH)


def outputs(run: Run, images: np.ndarray, batch: int) -> list[np.ndarray]:
    """All outputs for (N, 3, H, W), so many images at a time."""
    parts = [run(np.ascontiguousarray(images[i : i + batch])) for i in range(0, len(images), batch)]
    return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]


def compare(
    expected: Sequence[np.ndarray], found: Sequence[np.ndarray], batch: int, *, classes: int | None
) -> Comparison:
    """How far a file's outputs are from eager's; what is no number, or of another shape, is infinitely far.

    `classes` is the axis of the first output along which they are told apart, if it has one.
    """
    if [each.shape for each in expected] != [each.shape for each in found]:
        return Comparison(batch, math.inf, math.inf, None)
    worst, ratio = 0.0, 0.0
    for ours, theirs in zip(expected, found, strict=True):
        far = float(np.abs(ours - theirs).max()) if np.isfinite(theirs).all() else math.inf
        worst, ratio = max(worst, far), max(ratio, far / max(float(ours.std()), 1e-12))
    same = None if classes is None else float((expected[0].argmax(classes) == found[0].argmax(classes)).mean())
    return Comparison(batch, worst, ratio, same)


def accuracy(ours: np.ndarray, theirs: np.ndarray, sample: Sample, subject: ExportModel) -> Accuracy | None:
    """Top-1 of both against the labels; None where the network's classes are not those of the sample."""
    if "num_classes" not in subject.facts() or ours.shape != theirs.shape or ours.shape[1:] != (len(sample.classes),):
        return None
    right, after = ours.argmax(1) == sample.labels, theirs.argmax(1) == sample.labels
    changes = after.astype(float) - right
    sem = float(changes.std() / math.sqrt(len(changes)))
    return Accuracy(float(right.mean()), float(after.mean()), float(changes.mean()), sem)


def judge(report: Report, max_drop: float) -> tuple[bool | None, str]:
    """Whether a file passes, and why: in float32 by its largest difference, in int8 by what it costs in accuracy."""
    worst = max(report.comparisons, key=lambda each: each.ratio)
    if not math.isfinite(worst.ratio):
        return False, "its outputs are no numbers, or not as many as the network's"
    if report.precision == "float32":
        said = f"its outputs differ from eager by up to {worst.worst:.2g}, {worst.ratio:.2g} of their deviation"
        return worst.ratio <= TOLERANCE, said + (f" ({TOLERANCE:g} is allowed)" if worst.ratio > TOLERANCE else "")
    allowed = f"({100 * max_drop:g} points may be lost)"
    if report.top1 is not None and report.top1.eager > 2 / report.subject["num_classes"]:
        change = f"int8 changes top-1 by {100 * report.top1.change:+.1f} ± {100 * report.top1.change_sem:.1f} points"
        return -report.top1.change <= max_drop, f"{change} {allowed}"
    if worst.top1_agreement is None:
        return None, "not judged: int8 is judged by the classes that a network tells, and this one gives features"
    # A network that does not know these classes has no accuracy to lose, but it has answers to keep.
    return 1 - worst.top1_agreement <= max_drop, f"int8 keeps eager's answer on {worst.top1_agreement:.1%} {allowed}"


def first_differing_stage(job: Job, images: np.ndarray, say: Say) -> str | None:
    """The first stage after which the file differs: the network is exported up to a stage, by bisection.

    None where the model or the format has no stages to cut between, or where each stage alone does as it should.
    """
    if hasattr(job.module, "WHOLE") or not isinstance(job.subject.model, nn.Sequential):
        return None
    stages = list(job.subject.model.named_children())
    last = stages.pop()[0] if isinstance(job.subject.model, Network) else None  # its head takes more than one map
    low, high = 0, len(stages)
    while low < high:
        middle = (low + high) // 2
        say(f"looking for the stage that differs: up to {stages[middle][0]}")
        low, high = (low, middle) if _differs(job, stages[: middle + 1], images) else (middle + 1, high)
    return stages[low][0] if low < len(stages) else last


class _Part(nn.Sequential):
    """A network up to a stage; of a whole one's outputs it has none."""

    outputs = ("stage",)


def _differs(job: Job, stages: list[tuple[str, nn.Module]], images: np.ndarray) -> bool:
    part = _Part(OrderedDict(stages)).eval()
    with TemporaryDirectory() as folder:
        file = Path(folder, job.path.name)
        try:
            job.write(file, model=part)
            with _in_a_line("the part cannot be run"):
                found = outputs(job.module.load_runtime(file), images, job.module.BATCHES[0])
        except VerificationError:
            return True
    # int8 differs everywhere; where it is off by as much as the images differ, nothing is left of them.
    allowed = TOLERANCE if job.calibration is None else 1.0
    return compare(eager(part, images), found, 1, classes=None).ratio > allowed


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder on the disk where the file will lie, so that moving it there is one step."""
    try:
        folder = TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise EnvironmentFault(
            f"cannot be written ({error.strerror}); choose a folder that you may write to.", at=path
        ) from None
    with folder as name:
        yield Path(name)


def _publish(folder: Path, place: Path) -> None:
    for made in folder.iterdir():
        target = place / made.name
        if target.is_dir():
            _remove_export(target, made)
        made.replace(target)


def _remove_export(old: Path, new: Path) -> None:
    """Remove a folder that an earlier export wrote, and no other: everything in it must be in the new one too."""
    written = {path.name for path in new.iterdir()} if new.is_dir() else set()
    if strange := sorted({path.name for path in old.iterdir()} - written - _CACHES):
        raise EnvironmentFault(f"is a folder with {strange[0]}, which no export wrote; choose another name.", at=old)
    shutil.rmtree(old)


def _finite(value: Any) -> Any:
    """JSON has no infinity: null."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
