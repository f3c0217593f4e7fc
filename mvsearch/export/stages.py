"""Finding the first stage of a network at which an exported file differs."""

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import nn

from mvsearch.errors import VerificationError
from mvsearch.export.comparison import TOLERANCE, compare, run_batches, run_eager
from mvsearch.export.job import ExportJob, translate_errors
from mvsearch.nn.network import MultiMapNetwork
from mvsearch.utils.progress import Progress, no_progress


def first_differing_stage(job: ExportJob, images: np.ndarray, progress: Progress = no_progress) -> str | None:
    """The first stage after which the file differs. The network is exported up to a stage, by bisection.

    None where the model or the format has no stages to cut between, or where each stage alone is exported correctly.
    """
    model = job.export_model.model
    if not job.format.exports_stages or not isinstance(model, nn.Sequential):
        return None
    stages = list(model.named_children())
    # The head of this network reads several maps, so it cannot follow the last stage of a sequence.
    last = stages.pop()[0] if isinstance(model, MultiMapNetwork) else None
    low, high = 0, len(stages)
    while low < high:
        middle = (low + high) // 2
        progress(0, None, f"searching for the stage that differs: up to {stages[middle][0]}")
        low, high = (low, middle) if differs(job, stages[: middle + 1], images) else (middle + 1, high)
    return stages[low][0] if low < len(stages) else last


def differs(job: ExportJob, stages: list[tuple[str, nn.Module]], images: np.ndarray) -> bool:
    """Whether the file of a sequence of stages cannot be written, cannot be run or computes something else."""
    part = nn.Sequential(OrderedDict(stages)).eval()
    part_job = job.with_model(replace(job.export_model, model=part, output_names=("stage",)))
    with TemporaryDirectory() as folder:
        file = Path(folder, job.path.name)
        try:
            part_job.write(file)
            with translate_errors("the stages cannot be run"):
                run = job.runtime.load_runtime(file)
                outputs = run_batches(run, images, job.runtime.batch_sizes[0])
        except VerificationError:
            return True
    # int8 differs everywhere; where the difference is as large as the deviation, the output is lost.
    allowed = TOLERANCE if job.calibration is None else 1.0
    return compare(run_eager(part, images), outputs, 1, classes=None).ratio > allowed
