"""A network in int8 beside the same network in float32, both run by the runtime of the format."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mvsearch.export.comparison import run_batches
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
    batch: int
    macs_share: float | None = None
    delegated_share: float | None = None

    def top1(self, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        """The share of images (N, 3, H, W) whose class is found, in int8 and in float32."""
        return (
            top1(self.run, images, labels, batch=self.batch),
            top1(self.run_float32, images, labels, batch=self.batch),
        )


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
        facts, batch = runtime.facts(path), 1 if runtime.takes_one_image else _BATCH
        run, run_float32 = (runtime.load_runtime(file, threads=threads) for file in (path, float32))
    return QuantisedNetwork(path, run, run_float32, batch, facts.get("int8_macs_share"), facts.get("delegated_share"))


def top1(run: Runner, images: np.ndarray, labels: np.ndarray, *, batch: int) -> float:
    """The share of images whose class a file finds; an output of NaN finds none."""
    logits = run_batches(run, images, batch)[0]
    known = np.isfinite(logits).all(1)
    return float(((logits.argmax(1) == labels) & known).mean())
