"""A network in int8 beside the same network in float32, both run by the runtime of the format."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mvsearch.export.comparison import run_batches
from mvsearch.export.formats import Runtime
from mvsearch.export.job import ExportJob, translate_errors
from mvsearch.export.runtime import Runner

_BATCH = 64


@dataclass(frozen=True)
class QuantisedNetwork:
    """The int8 file at `path`, and what runs it and the float32 file.

    `macs_share` is the share of multiply-accumulates that is computed in int8, None where the format does not know it;
    `delegated_share` that of the operators that ExecuTorch leaves to XNNPACK.
    """

    path: Path
    run: Runner
    run_float32: Runner
    runtime: Runtime
    macs_share: float | None = None
    delegated_share: float | None = None

    def top1(self, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        """The share of images (N, 3, H, W) whose class is found, in int8 and in float32."""
        int8, float32 = (run_images(self.runtime, run, images) for run in (self.run, self.run_float32))
        return float(are_right(int8, labels).mean()), float(are_right(float32, labels).mean())


def quantise(job: ExportJob, folder: Path, *, threads: int = 1) -> QuantisedNetwork:
    """Write the int8 file of a job and the float32 file to a folder, and load both.

    Raises VerificationError for any error of a converter or a runtime.
    """
    suffix, runtime = job.format.suffix, job.runtime
    path, float32 = folder / f"int8{suffix}", folder / f"float32_network{suffix}"
    with translate_errors(f"{job.format.name} cannot quantise this network"):
        quantiser = job.quantiser(folder)
        quantiser.write_float32(float32)
        quantiser.write(path, job.int8_scheme)
    with translate_errors(f"{runtime.version} cannot run the file"):
        facts = runtime.facts(path)
        run, run_float32 = (runtime.load_runtime(file, threads=threads) for file in (path, float32))
    return QuantisedNetwork(path, run, run_float32, runtime, facts.get("int8_macs_share"), facts.get("delegated_share"))


def run_images(runtime: Runtime, run: Runner, images: np.ndarray) -> np.ndarray:
    """The outputs of a file for images (N, 3, H, W), so many at a time as its runtime takes."""
    return run_batches(run, images, 1 if runtime.takes_one_image else _BATCH)[0]


def are_right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) whether the class of each image is found; an output of NaN finds none."""
    return np.asarray((logits.argmax(1) == labels) & np.isfinite(logits).all(1))
