"""A network as an exported file, run by the format's runtime: what the backends of runtimes share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import MvsearchError
from mvsearch.export.formats import ExportFormat, Runtime, load_format
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Runner, one_line
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.profiling.latency import DEFAULT_OPTIONS, Call, TimingOptions
from mvsearch.profiling.latency._host import HostTimed
from mvsearch.profiling.timing import copy_with_images
from mvsearch.utils import machine, machine_lock


class Exported(HostTimed):
    """A backend whose files are those of the format `format_name`, in float32 on the CPU."""

    format_name: str

    @property
    def format(self) -> ExportFormat:
        """The format."""
        return load_format(self.format_name)

    @property
    def runtime(self) -> Runtime:
        """What runs the files of the format."""
        runtime = self.format.runtime
        assert runtime is not None
        return runtime

    def device(self, options: TimingOptions = DEFAULT_OPTIONS) -> str:
        """The processor, the runtime, the torch that wrote the file, and the threads."""
        self.format.require_packages()
        release = torch.__version__.split("+")[0]
        return machine.describe_cpu(f"{self.runtime.version} from torch {release}", options.threads)

    @contextmanager
    def prepare(self, model: nn.Module, image_size: int, options: TimingOptions = DEFAULT_OPTIONS) -> Iterator[Call]:
        """A call that runs one batch; where a file takes one image, it runs the images of a batch in sequence.

        Raises EvaluationFailed for a model that cannot be written as a file.
        """
        network, images = copy_with_images(
            model, image_size, options.batch, device="cpu", dtype=torch.float32, memory_format=torch.contiguous_format
        )
        parts = [part.numpy() for part in images.split(1 if self.runtime.takes_one_image else options.batch)]
        with TemporaryDirectory() as folder:
            # Conversion keeps a core busy for seconds, and the imports of converters may use the random state.
            with machine_lock.shared(), torch.random.fork_rng(devices=[]):
                run = self._convert(network, image_size, Path(folder), options.threads)
            yield lambda: [run(part) for part in parts]

    def missing_packages(self) -> tuple[str | None, list[str]]:
        """The extra of the format, and those of its packages that are not installed."""
        return self.format.extra, self.format.missing_packages()

    def _convert(self, network: nn.Module, image_size: int, folder: Path, threads: int) -> Runner:
        path = folder / f"network{self.format.suffix}"
        try:
            write_network(self.format, network, image_size, path)
            return self.runtime.load_runtime(path, threads=threads)
        except (MvsearchError, OSError, EvaluationFailed):
            raise
        except Exception as error:  # runtimes raise any type
            raise EvaluationFailed(one_line(f"{self.format_name} cannot run this network", error)) from error


def write_network(export_format: ExportFormat, network: nn.Module, image_size: int, path: Path) -> None:
    """Write a network in eval mode as a file. Raises EvaluationFailed if the format cannot express it."""
    # Formats that trace read only the image size of an architecture; its rows are in the model.
    export_model = ExportModel(Architecture(blocks=(), image_size=image_size), network, "as given")
    try:
        export_format.export(export_model, path)
    except (MvsearchError, OSError):
        raise
    except Exception as error:  # converters raise any type
        raise EvaluationFailed(one_line(f"{export_format.name} cannot convert this network", error)) from error
