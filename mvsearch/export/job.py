"""One export: a network, a format and a file; and whether that file may be written."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mvsearch.errors import MvsearchError, PlanError, VerificationError
from mvsearch.export.formats import ExportFormat, Runtime
from mvsearch.export.int8 import SCHEMES, Int8Scheme, Quantiser
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import one_line
from mvsearch.training.image_samples import ImageSample
from mvsearch.utils.atomic_write import refuse_existing


@dataclass(frozen=True)
class ExportJob:
    """A network to write to a path in a format; with `calibration` images, in int8 by a scheme.

    Without a `scheme` it is the first of the format's.
    """

    format: ExportFormat
    export_model: ExportModel
    path: Path
    calibration: ImageSample | None = None
    scheme: Int8Scheme | None = None

    @property
    def precision(self) -> str:
        """`float32` or `int8`."""
        return "float32" if self.calibration is None else "int8"

    @property
    def runtime(self) -> Runtime:
        """The runtime of the format; raises PlanError for a format without one."""
        if self.format.runtime is None:
            raise PlanError(f"{self.format.name} has no runtime, so its files cannot be verified; use --no-verify.")
        return self.format.runtime

    @property
    def report_path(self) -> Path:
        """The file of the report."""
        return self.path.with_name(self.path.name + ".report.json")

    def write(self, path: Path, float32: Path | None = None) -> None:
        """Write the file, and the float32 one that an int8 file is made from to `float32` where that is given.

        Raises VerificationError for any error of a converter.
        """
        with translate_errors(f"{self.format.name} cannot convert this network"):
            if self.calibration is None:
                self.format.export(self.export_model, path)
            else:
                with TemporaryDirectory() as folder:
                    quantiser = self.quantiser(Path(folder))
                    quantiser.write(path, self.int8_scheme)
                    if float32 is not None:
                        quantiser.write_float32(float32)

    @property
    def int8_scheme(self) -> Int8Scheme:
        """The scheme of an int8 file."""
        return self.scheme or SCHEMES[self.format.int8_schemes[0]]

    def int8_notes(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """The notes on an int8 file of which these facts are known."""
        note = self.int8_scheme.note(facts.get("int8_macs_share")) if self.calibration else None
        return (note,) if note else ()

    def quantiser(self, folder: Path) -> Quantiser:
        """What writes int8 files of the network; raises PlanError for a format that has none."""
        if self.format.quantiser is None or self.calibration is None:
            raise PlanError(f"--int8: {self.format.name} supports float32 only; use --to onnx or --to executorch.")
        return self.format.quantiser(self.export_model, self.calibration.images, folder)

    def with_model(self, export_model: ExportModel) -> "ExportJob":
        """The same job for another network."""
        return replace(self, export_model=export_model)


@contextmanager
def translate_errors(message: str) -> Iterator[None]:
    """Turn whatever a converter or a runtime raises into a VerificationError of one line."""
    try:
        yield
    except (MvsearchError, OSError):
        raise
    except Exception as error:
        raise VerificationError(one_line(message, error)) from error


def check_writable(export_format: ExportFormat, path: Path, weights: Path | None, *, force: bool) -> None:
    """Check that an export of a network with these weights may be written, before anything is built.

    Raises EnvironmentFault if it would replace a file without `force`, has no folder to go to or needs a package that
    is missing; PlanError if it would replace the weights, or if the file's suffix is not that of the format.
    """
    export_format.require_packages()
    if export_format.suffix and path.suffix != export_format.suffix:
        raise PlanError(f"files of this format end with {export_format.suffix}; rename the file.", at=path)
    for file in (path, *(path.with_suffix(suffix) for suffix in export_format.sidecar_suffixes)):
        if weights and weights.exists() and file.exists() and file.samefile(weights):
            raise PlanError("would replace the weights that the network is built with; use another name.", at=file)
        refuse_existing(file, force=force, folder=True)
