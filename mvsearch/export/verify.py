"""Checks that an exported file computes what the network computes, with the file's own runtime on real images.

A file is moved to its name only once it has passed, because the file under that name is the one that gets deployed:

    export to a folder beside ─ load ─ compare with eager ─ publish with a report ─ time beside eager
    └────────── error ──────────└──────└ differs: find the first differing stage, keep only the report

Random input would hide errors: it drives a network into a range that images never reach.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mvsearch.errors import CheckpointError, VerificationError
from mvsearch.export.comparison import (
    MAX_DROP,
    TOLERANCE,
    Accuracy,
    OutputComparison,
    add_colour,
    assess_float32,
    assess_int8,
    compare,
    compare_accuracy,
    run_batches,
    run_eager,
)
from mvsearch.export.job import ExportJob, translate_errors
from mvsearch.export.publish import publish, staging_folder
from mvsearch.export.runtime import Runner
from mvsearch.export.speed import Speed
from mvsearch.export.stages import first_differing_stage
from mvsearch.training.image_samples import ImageSample
from mvsearch.utils.atomic_write import write_whole
from mvsearch.utils.progress import Progress, no_progress

Timer = Callable[[ExportJob, Runner, Runner | None, np.ndarray], Speed]
"""Times one image in the file, in the float32 file beside an int8 one, and in the model itself."""

_STAGE_IMAGES = 8
_UNTIMED = "int8 was not timed; it may be slower than float32."


@dataclass(frozen=True)
class VerificationReport:
    """The result of one export. `verified` is None where it could not be decided; `reason` explains it in words.

    `calibration` says how an int8 file is quantised: the scheme, and how many images of which data. The bytes are
    those of all that is written for the file, and for the float32 file that is timed beside it.
    """

    file: str
    format: str
    runtime: str
    written_by: str
    takes: str
    precision: str
    network: dict[str, Any]
    data: str
    images: int
    verified: bool | None
    reason: str
    tolerance: float
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()
    comparisons: tuple[OutputComparison, ...] = ()
    first_differing_stage: str | None = None
    top1: Accuracy | None = None
    calibration: dict[str, Any] | None = None
    file_bytes: int | None = None
    float32_bytes: int | None = None
    speed: Speed | None = None

    def to_dict(self) -> dict[str, Any]:
        """As it is stored: the facts of the network, the latency and the headline of `speed` at the top level."""
        values = asdict(self)
        values |= values.pop("network")
        del values["speed"], values["float32_bytes"]
        if self.speed is not None:
            values |= self.speed.to_dict(file_bytes=self.file_bytes, float32_bytes=self.float32_bytes)
        return values


def export_unverified(job: ExportJob) -> dict[str, Any]:
    """Write the file to its place; returns its report (see `report_unverified`)."""
    with staging_folder(job.path) as folder:
        try:
            job.write(folder / job.path.name)
        except VerificationError as error:
            raise VerificationError(f"{error}; try another format.", at=job.path) from error
        publish(folder, job.path.parent)
    return report_unverified(
        job, "--no-verify" if job.format.runtime else f"{job.format.name} has no runtime of its own"
    )


def report_unverified(job: ExportJob, reason: str) -> dict[str, Any]:
    """The report of a file in its place that was not verified, with the reason.

    It is written where the preparation of images is known, for which some formats have no place. An earlier report is
    removed in any case.
    """
    model = job.export_model
    report: dict[str, Any] = {"file": job.path.name, "format": job.format.name}
    report |= {"verified": None, "reason": f"not verified: {reason}", "notes": model.notes}
    report |= model.facts() | {"written_by": job.format.written_by}
    report |= {"takes": job.runtime.batch_support} if job.format.runtime else {"weights": None}
    if job.calibration:
        own = (*(model.sample.notes if model.sample else ()), *job.int8_notes(job.runtime.facts(job.path)), _UNTIMED)
        report |= {"notes": model.notes + own, "calibration": _describe_calibration(job)}
    if model.preparation:
        write_report(job, report)
    else:
        job.report_path.unlink(missing_ok=True)
    return report


def export_verified(
    job: ExportJob,
    sample: ImageSample,
    *,
    max_drop: float = MAX_DROP,
    progress: Progress = no_progress,
    timer: Timer | None = None,
) -> VerificationReport:
    """Write the file and its report if it computes what the network computes on the sample; then time it with `timer`.

    Raises VerificationError otherwise: the file is discarded, and the report names the difference. Timing waits for
    trainings on this machine; file and report are written before it, so Ctrl-C loses only the latencies.
    """
    with staging_folder(job.path) as folder, TemporaryDirectory() as beside:
        file = folder / job.path.name
        float32 = Path(beside, file.name) if timer and job.calibration is not None else None
        report, run = verify(job, file, sample, max_drop=max_drop, progress=progress, float32=float32)
        report = replace(report, file_bytes=_bytes_in(folder))
        if report.verified is not False:
            publish(folder, job.path.parent)
        write_report(job, report.to_dict())
        if report.verified is not False and run and timer:
            report = _time(job, report, run, float32, sample.images[:1], timer, progress)
            write_report(job, report.to_dict())
    if report.verified is False:
        earlier = " (an earlier one stays in its place)" if job.path.exists() else ""
        raise VerificationError(f"{report.reason}; the file is discarded{earlier}, see {job.report_path}.", at=job.path)
    return report


def _time(
    job: ExportJob,
    report: VerificationReport,
    run: Runner,
    float32: Path | None,
    image: np.ndarray,
    timer: Timer,
    progress: Progress,
) -> VerificationReport:
    """The report with the speed of a file that is written, and of the float32 file beside an int8 one."""
    run_float32 = None
    if float32 is not None:
        run_float32 = job.runtime.load_runtime(float32)
        report = replace(report, float32_bytes=_bytes_in(float32.parent))
    progress(0, None, f"{job.path} is written; timing it beside eager once no training runs on this machine")
    return replace(report, speed=timer(job, run, run_float32, image))


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def verify(
    job: ExportJob,
    file: Path,
    sample: ImageSample,
    *,
    max_drop: float = MAX_DROP,
    progress: Progress = no_progress,
    float32: Path | None = None,
) -> tuple[VerificationReport, Runner | None]:
    """Write the file and compare it with eager at every batch size of its format; the report, and what runs the file.

    The float32 file that an int8 one is made from is written to `float32` where that is given.
    If the file cannot be written or run, or differs, the report names the first stage at which it does.
    """
    progress(0, None, "running eager")
    images = add_colour(sample.images) if job.calibration is None else sample.images
    expected = run_eager(job.export_model.model, images)
    if not all(np.isfinite(output).all() for output in expected):
        raise CheckpointError(
            "the PyTorch model produces NaN or inf with these weights; use others.", at=job.export_model.weights
        )
    report, run = _new_report(job, sample), None
    try:
        progress(0, None, f"exporting to {job.format.name}")
        job.write(file, float32)
        with translate_errors(f"{report.runtime} cannot run the file"):
            facts = job.runtime.facts(file)
            report = replace(report, facts=facts, notes=(*report.notes, *job.int8_notes(facts)))
            if reason := job.runtime.unavailable_reason():
                return replace(report, reason=f"not verified: {reason}"), None
            run = job.runtime.load_runtime(file)
            report = _compare_batches(job, report, run, expected, images, sample, progress)
        report = _assess(job, report, max_drop)
    except VerificationError as error:
        report = replace(report, verified=False, reason=str(error))
    if report.verified is False:
        stage = first_differing_stage(job, images[-_STAGE_IMAGES:], progress)
        reason = report.reason + (f", first at stage {stage}" if stage else "")
        report = replace(report, reason=reason, first_differing_stage=stage)
    return report, run


def _new_report(job: ExportJob, sample: ImageSample) -> VerificationReport:
    return VerificationReport(
        file=job.path.name,
        format=job.format.name,
        runtime=job.runtime.version,
        written_by=job.format.written_by,
        takes=job.runtime.batch_support,
        precision=job.precision,
        network=job.export_model.facts(),
        data=sample.source,
        images=len(sample.images),
        tolerance=TOLERANCE,
        verified=None,
        reason="",
        facts={},
        calibration=_describe_calibration(job),
        notes=(*job.export_model.notes, *sample.notes),
    )


def _describe_calibration(job: ExportJob) -> dict[str, Any] | None:
    if (taken := job.calibration) is None:
        return None
    return {"images": len(taken.images), "data": taken.source, "scheme": job.int8_scheme.label}


def _compare_batches(
    job: ExportJob,
    report: VerificationReport,
    run: Runner,
    expected: list[np.ndarray],
    images: np.ndarray,
    sample: ImageSample,
    progress: Progress,
) -> VerificationReport:
    comparisons, outputs = [], expected
    for batch in sorted({min(size, len(sample.images)) for size in job.runtime.batch_sizes}):
        progress(0, None, f"comparing {len(sample.images)} images, {batch} at a time")
        outputs = run_batches(run, images, batch)
        comparisons.append(compare(expected, outputs, batch, classes=job.export_model.class_axis))
    labelled = len(sample.images)
    top1 = compare_accuracy(expected[0][:labelled], outputs[0][:labelled], sample, job.export_model)
    return replace(report, comparisons=tuple(comparisons), top1=top1)


def _assess(job: ExportJob, report: VerificationReport, max_drop: float) -> VerificationReport:
    verified: bool | None
    if job.calibration is None:
        verified, reason = assess_float32(report.comparisons)
    else:
        num_classes = report.network.get("num_classes")
        verified, reason = assess_int8(report.comparisons, report.top1, num_classes=num_classes, max_drop=max_drop)
    return replace(report, verified=verified, reason=reason)


def write_report(job: ExportJob, report: dict[str, Any]) -> None:
    """Write a report beside its file."""
    write_whole(job.report_path, (json.dumps(_replace_inf(report), indent=2) + "\n").encode())


def _replace_inf(value: Any) -> Any:
    """JSON has no infinity: write null."""
    if isinstance(value, dict):
        return {name: _replace_inf(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_inf(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
