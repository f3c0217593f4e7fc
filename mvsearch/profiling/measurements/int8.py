"""The network of a trial in int8: top-1 on the held-out images, and the latency of the same file.

It is quantised after the training of the proxy, by the code of `export --int8`, with images of the training part.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import VerificationError
from mvsearch.metrics.record import EvaluationFailed, Metrics
from mvsearch.metrics.registry import LATENCY_INT8_MS, TOP1_FLOAT32, TOP1_INT8
from mvsearch.profiling.measurements import Measurement
from mvsearch.utils import machine, machine_lock

if TYPE_CHECKING:
    from mvsearch.export.formats import ExportFormat
    from mvsearch.export.job import ExportJob
    from mvsearch.export.quantised import QuantisedNetwork
    from mvsearch.training.in_memory import TrainedInMemory

_TIMED_IMAGES = 64
"""Held-out images from which it is told how long all of them take."""


@dataclass(frozen=True)
class Int8Settings:
    """`int8:` how the trained network of a trial is quantised and timed, at the image size of the proxy."""

    format: str = "onnx"
    """The format of the file, which decides about the runtime: `onnx` or `executorch`."""
    scheme: str = "channel"
    """What is computed in int8, and from which ranges: a scheme of `mvsearch export --int8`."""
    calibration: int = 100
    """Images of the training part from which the ranges are taken; all, where there are fewer."""
    repeats: int = 50
    """Timed rounds of one image; fewer where they would take longer than 30 s."""
    threads: int = 1
    """CPU threads."""


class Int8(Measurement):
    """Quantises with every seed of the proxy, and times the file of the first."""

    metrics = (LATENCY_INT8_MS,)
    scores = (TOP1_INT8, TOP1_FLOAT32)
    settings_type = Int8Settings
    positive = ("calibration", "repeats", "threads")
    exclusive = True
    trained = True

    def measure(self, arch: Architecture, settings: Int8Settings, wanted: Collection[str]) -> Metrics:
        """Raises EvaluationFailed: it is known of trained networks."""
        raise EvaluationFailed("int8 is measured of a trained network.")

    def measure_trained(self, network: "TrainedInMemory", settings: Int8Settings, wanted: Collection[str]) -> Metrics:
        """Top-1 in int8 and in float32 by the same runtime; the latency if it is wanted.

        Raises EvaluationFailed for a network that cannot be quantised.
        """
        from mvsearch.profiling.benchmark import time_file

        with _quantised(network, settings) as (job, quantised):
            with machine_lock.shared():
                images, labels = network.images.held_out_arrays()
                int8, float32 = quantised.top1(images, labels)
            metrics: Metrics = {
                TOP1_INT8.name: int8,
                TOP1_FLOAT32.name: float32,
                "int8_scheme": job.int8_scheme.label,
                "int8_runtime": job.runtime.version,
                "int8_calibration_images": len(job.calibration.images) if job.calibration else 0,
                "int8_file_bytes": quantised.path.stat().st_size,
            }
            shares = {"macs": quantised.macs_share, "delegated": quantised.delegated_share}
            metrics |= {f"int8_{name}_share": share for name, share in shares.items() if share is not None}
            if LATENCY_INT8_MS.name in wanted:
                latency = time_file(job, quantised.run, images[:1], settings.repeats, settings.threads)
                metrics |= {f"latency_int8_{name.removeprefix('latency_')}": v for name, v in latency.metrics().items()}
        return metrics

    def seconds_trained(
        self, network: "TrainedInMemory", settings: Int8Settings, wanted: Collection[str], held_out: int
    ) -> tuple[float, float]:
        """The processor time to quantise and to judge, from some of the images, and that to time the file."""
        from mvsearch.profiling.benchmark import seconds_to_time_file

        clock = machine.clock_for("cpu")
        start = clock()
        with _quantised(network, settings) as (job, quantised):
            quantised_s, images = clock() - start, network.images.few_held_out(_TIMED_IMAGES).held_out_arrays()
            start = clock()
            quantised.top1(*images)
            judged_s = (clock() - start) * held_out / len(images[0])
            timed = LATENCY_INT8_MS.name in wanted
            image, repeats, threads = images[0][:1], settings.repeats, settings.threads
            timed_s = seconds_to_time_file(job, quantised.run, image, repeats, threads) if timed else 0.0
        return quantised_s + judged_s, timed_s

    def check(self, settings: Int8Settings) -> None:
        """Raises PlanError for a format without int8, and for a scheme that it does not have."""
        from mvsearch.export.int8 import find_scheme

        find_scheme(settings.scheme, settings.format)

    def version(self, _settings: Int8Settings) -> int:
        """2 since short calls are timed several at once."""
        return 2

    def device(self, settings: Int8Settings) -> str:
        """The processor, the runtime, the torch that wrote the file, and the threads."""
        export_format = _format(settings)
        export_format.require_packages()
        assert export_format.runtime is not None
        torch = machine.installed_version("torch")
        return machine.describe_cpu(f"{export_format.runtime.version} from torch {torch}", settings.threads)

    def stored_settings(self, settings: Int8Settings, _image_size: int) -> dict[str, Any]:
        """All of them; the image size is the proxy's."""
        return asdict(settings)


def _format(settings: Int8Settings) -> "ExportFormat":
    from mvsearch.export.formats import load_format

    return load_format(settings.format)


@contextmanager
def _quantised(network: "TrainedInMemory", settings: Int8Settings) -> "Iterator[tuple[ExportJob, QuantisedNetwork]]":
    """The network in int8, as long as the context lasts; raises EvaluationFailed if it cannot be quantised."""
    from mvsearch.export.quantised import quantise

    with TemporaryDirectory() as folder:
        try:
            job = _job(network, settings, Path(folder))
            with machine_lock.shared():
                quantised = quantise(job, Path(folder), threads=settings.threads)
        except VerificationError as error:
            raise EvaluationFailed(f"int8: {error}") from error
        yield job, quantised


def _job(network: "TrainedInMemory", settings: Int8Settings, folder: Path) -> "ExportJob":
    from mvsearch.export.int8 import find_scheme
    from mvsearch.export.job import ExportJob
    from mvsearch.export.model import ExportModel

    export_format = _format(settings)
    return ExportJob(
        export_format,
        ExportModel.of_trained(network.arch, network.model, network.images.preparation),
        folder / f"network{export_format.suffix}",
        calibration=network.images.training_sample(settings.calibration),
        scheme=find_scheme(settings.scheme, settings.format),
    )


MEASUREMENT: Measurement = Int8()
