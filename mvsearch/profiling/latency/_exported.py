"""A network as a file of some format, run by the format's runtime: what the backends of runtimes share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import MvsearchError
from mvsearch.export.formats import load_format, runtime
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Run, in_a_line, require
from mvsearch.metrics.record import EvaluationFailed, Latency
from mvsearch.profiling.timing import check, inputs, measured
from mvsearch.utils import machine, machine_lock


@dataclass(frozen=True)
class Exported:
    """A backend by name, and the format whose files it runs."""

    backend: str
    kind: str

    def measure(
        self,
        model: nn.Module,
        image_size: int,
        *,
        batch: int = 1,
        repeats: int = 50,
        threads: int = 1,
        limit_s: float = 30.0,
    ) -> Latency:
        """Write the model as a file and time one batch of it, alone on the machine. First calls are not kept.

        Raises EvaluationFailed for a model that cannot be written so.
        """
        check(image_size=image_size, batch=batch, repeats=repeats, threads=threads)
        device = self.device(threads=threads)
        with self.ready(model, image_size, batch=batch, threads=threads) as call:
            return measured(
                call,
                image_size,
                batch=batch,
                repeats=repeats,
                threads=threads,
                limit_s=limit_s,
                backend=self.backend,
                device=device,
            )

    @contextmanager
    def ready(
        self, model: nn.Module, image_size: int, *, batch: int = 1, threads: int = 1
    ) -> Iterator[Callable[[], object]]:
        """A call that runs one batch; where a file takes one image, the images of a batch one after another."""
        network, images = inputs(
            model, image_size, batch, device="cpu", dtype=torch.float32, memory_format=torch.contiguous_format
        )
        one_by_one = load_format(self.kind).BATCHES == (1,)
        parts = [part.numpy() for part in images.split(1 if one_by_one else batch)]
        with TemporaryDirectory() as folder:
            # Converting keeps a core busy for seconds, and what converters import may draw from the random state.
            with machine_lock.shared(), torch.random.fork_rng(devices=[]):
                run = self._converted(network, image_size, Path(folder), threads)
            yield lambda: [run(part) for part in parts]

    def device(self, *, threads: int = 1) -> str:
        """The processor, the runtime, the torch that wrote the file, and the threads."""
        module = load_format(self.kind)
        require(module.EXTRA, *module.PACKAGES)
        release = torch.__version__.split("+")[0]
        plural = "s" if threads > 1 else ""
        return f"cpu: {machine.cpu_name()}, {runtime(module)} from torch {release}, {threads} thread{plural}"

    def missing(self) -> tuple[str, list[str]]:
        """The extra that brings the packages, and those of them that are not here."""
        module = load_format(self.kind)
        return module.EXTRA, [package for package in module.PACKAGES if find_spec(package) is None]

    def _converted(self, network: nn.Module, image_size: int, folder: Path, threads: int) -> Run:
        module = load_format(self.kind)
        # Formats ask an architecture for its image size alone; the rows are in the model.
        subject = ExportModel(Architecture(blocks=(), image_size=image_size), network, "as they stand")
        path = folder / f"network{module.SUFFIX}"
        try:
            module.export(subject, path)
            run: Run = module.load_runtime(path, threads=threads)
        except (MvsearchError, OSError):
            raise
        except Exception as error:  # converters raise what they like
            raise EvaluationFailed(in_a_line(f"{self.kind} cannot take this network", error)) from error
        return run
