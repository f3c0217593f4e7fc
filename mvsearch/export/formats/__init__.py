"""Export formats: one file a format, and the file's name is the format's. Read back, a file is the same network.

    export/formats/x.py
      FORMAT = ExportFormat(name="x", ...)     what the format is, and the functions that write and run its files

`ExportFormat` and `Runtime` are the contract: optional members have defaults, so nobody asks whether a member is there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mvsearch.errors import EnvironmentFault, PlanError
from mvsearch.utils import machine, plugins
from mvsearch.utils.installation import install_command, install_hint

if TYPE_CHECKING:
    import numpy as np

    from mvsearch.export.int8 import Quantiser
    from mvsearch.export.model import ExportModel
    from mvsearch.export.runtime import Runner


class WriteFile(Protocol):
    """Writes a network as a file."""

    def __call__(self, export_model: "ExportModel", path: Path, /) -> None:
        """Write the file. Nothing is there yet: the caller moves the file to its place."""


class MakeQuantiser(Protocol):
    """Prepares a network for int8."""

    def __call__(self, export_model: "ExportModel", images: "np.ndarray", folder: Path, /) -> "Quantiser":
        """What writes its int8 files, calibrated on images (N, 3, H, W), with a folder for files on the way."""
        ...


class LoadRuntime(Protocol):
    """Loads a file into the runtime of its format."""

    def __call__(self, path: Path, /, *, threads: int = 1) -> "Runner":
        """The loaded file, called with (B, 3, H, W) float32."""
        ...


def _no_facts(_path: Path) -> dict[str, Any]:
    return {}


def _none() -> str | None:
    return None


def _release(package: str) -> str | None:
    """The package with its version; None if it is not installed."""
    release = machine.installed_version(package)
    return f"{package} {release.split('+')[0]}" if release else None


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What runs the files of a format: a package, and how it is asked.

    `batch_sizes` are those at which a file is verified; (1,) if it takes one image at a time. `facts` reads from a file
    what it states about itself: opset, operators, share that is delegated. `unavailable_reason` explains why files
    cannot be run on this machine, or returns None. A file that is not run `in_process` is run by a process of its own.
    """

    package: str
    load_runtime: LoadRuntime
    batch_sizes: tuple[int, ...] = (1, 3, 8)
    facts: Callable[[Path], dict[str, Any]] = _no_facts
    unavailable_reason: Callable[[], str | None] = _none
    in_process: bool = True

    @property
    def version(self) -> str:
        """The package with its version: `onnxruntime 1.22.0`; its name alone if another package contains it."""
        return _release(self.package) or self.package

    @property
    def takes_one_image(self) -> bool:
        """Whether a file takes one image at a time."""
        return self.batch_sizes == (1,)

    @property
    def batch_support(self) -> str:
        """How many images a file takes at a time, in words."""
        return "one image at a time" if self.takes_one_image else "any number of images"


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """An export format: how its files are called and written, and what runs them.

    `sidecar_suffixes` are those of the files that are written beside it. `extra` is mvsearch's extra that brings the
    `packages` it needs. `file_stem` makes a file name of an architecture's name. `exports_stages` is False where the
    file is printed from the rows, so that no stage of it can be exported alone. A format with `needs_sample` describes
    the images that the network expects: the ExportModel must have a sample. `runtime` is None where nothing runs the
    files, and `quantiser` where there is no int8; `int8_schemes` are the schemes that it has, the default one first.
    `converter` names what converts the network in a Python of its own, with its version; None where nothing does.
    """

    name: str
    suffix: str
    export: WriteFile
    runtime: Runtime | None
    quantiser: MakeQuantiser | None = None
    int8_schemes: tuple[str, ...] = ()
    sidecar_suffixes: tuple[str, ...] = ()
    extra: str | None = None
    packages: tuple[str, ...] = ()
    file_stem: Callable[[str], str] = str
    exports_stages: bool = True
    needs_sample: bool = False
    converter: Callable[[], str | None] = _none

    @property
    def packages_used(self) -> str:
        """The installed packages that its files depend on, with their versions: `torch 2.13.0, onnx 1.23.2`."""
        return ", ".join(filter(None, map(_release, ("torch", *self.packages))))

    @property
    def written_by(self) -> str:
        """All that its files depend on, with versions."""
        return ", ".join(filter(None, (self.packages_used, self.converter())))

    def missing_packages(self) -> list[str]:
        """The packages that are not installed."""
        return [package for package in self.packages if find_spec(package) is None]

    def require_packages(self) -> None:
        """Raises EnvironmentFault, naming the extra, if a package is not installed."""
        for package in self.missing_packages():
            hint = install_hint(self.extra) if self.extra else install_command(package)
            raise EnvironmentFault(f"the package {package} is missing; install it with `{hint}`.")


def format_names() -> tuple[str, ...]:
    """The names of all formats, without importing any."""
    return plugins.names("export_format")


def load_format(name: str) -> ExportFormat:
    """The format of a name; raises PlanError, with a suggestion, if there is none."""
    export_format: ExportFormat = plugins.load("export_format", name, error=PlanError).FORMAT
    return export_format
