"""What a user can correct: one tree of exceptions, caught once, by the command line.

    MvsearchError
      YamlError            a file that is not YAML, or contains more than values
      ArchitectureError    a row that is misspelt or illegal
      SpaceError           a search space that is misspelt, empty or does not contain what it says
      PlanError            search, proxy, latency or data settings that cannot be met
      DataError            images that are missing, broken or not what was asked for
      StudyError           a study that is missing, damaged, or made under other settings
      CheckpointError      weights that do not fit the network
      VerificationError    an exported file that cannot be made, or does not compute what the network computes
      EnvironmentFault     a missing package, device or file permission
        DatabaseUnavailable  a database server that does not answer now
        DeviceUnavailable    a phone or board that does not answer now, or is not as fast as it was

Every message states where the mistake is, what was found, and what is valid.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Location:
    """Where a value is written: a file, a line and the path of its key, as far as they are known.

    >>> str(Location("spaces/v3.yaml", 17, "blocks.layer3.dim"))
    'spaces/v3.yaml:17: blocks.layer3.dim'
    """

    file: str | None = None
    line: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        file = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        return ": ".join(part for part in (file, self.key) if part)


def _escape(text: str) -> str:
    """The text with what no terminal can print written as escapes: control characters, bytes that are not UTF-8."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class MvsearchError(Exception):
    """Anything the user can correct; printed as one sentence, exit code 1.

    `at` is the place of the mistake, which opens the sentence: a file alone, or a Location. Its parts are in the
    attributes `file`, `line` and `key`, each None where it is not known; `reason` is the sentence without it.
    """

    def __init__(self, message: str, *, at: Location | Path | str | None = None) -> None:
        super().__init__(_escape(f"{at}: {message}" if at is not None and str(at) else message))
        self.reason = _escape(message)
        location = at if isinstance(at, Location) else Location(None if at is None else str(at))
        self.file, self.line, self.key = location.file, location.line, location.key


class YamlError(MvsearchError):
    """A file that cannot be read as plain YAML values."""


class ArchitectureError(MvsearchError):
    """A row or a file of rows that describes no network."""


class SpaceError(MvsearchError):
    """A search space that cannot be searched as it stands."""


class PlanError(MvsearchError):
    """Settings of a search that contradict each other or the machine."""


class DataError(MvsearchError):
    """Images that are missing, broken or not what was asked for."""


class StudyError(MvsearchError):
    """A study that cannot be opened, joined or read."""


class CheckpointError(MvsearchError):
    """Weights whose names or shapes do not fit the network."""


class VerificationError(MvsearchError):
    """An exported file that cannot be made or run, or does not compute what the network computes."""


class EnvironmentFault(MvsearchError):
    """Something the machine lacks: a package, a device, space or permission."""


class DatabaseUnavailable(EnvironmentFault):
    """A database server that does not answer now; the same request may succeed later."""


class DeviceUnavailable(EnvironmentFault):
    """A device that latency is measured on, which does not answer now; the same command resumes later."""


_GPU_FAULTS = ("CUDA error", "CUDA driver error", "CUDA unknown error", "cuDNN error", "No CUDA GPUs")


def is_machine_fault(error: Exception) -> bool:
    """Whether the machine may have caused an error, not the computation: the same computation may succeed elsewhere.

    A GPU without enough memory for a network is not a fault: every GPU of its size would raise the error.
    """
    gpu = isinstance(error, RuntimeError) and any(text in str(error) for text in _GPU_FAULTS)
    return gpu or isinstance(error, OSError | MemoryError)
