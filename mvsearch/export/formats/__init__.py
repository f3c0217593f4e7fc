"""Formats in which a network leaves: one file a format. Read back, it is the same network.

exporters/x.py
  SUFFIX                                  what the file's name ends with
  BESIDE = (".bin",)                      suffixes of what is written beside it, if anything is
  EXTRA                                   mvsearch's extra that brings the packages it needs, or None
  PACKAGES = ("onnx", ...)                these packages, if there is an extra
  stem(name) -> str                       the file's name without a suffix, where not every architecture's will do
  export(subject, path)                   write the file (onto nothing: whoever calls puts it in its place)

and, where the format has a runtime,

  RUNTIME                                 the package that runs it
  BATCHES                                 batch sizes at which the file is tried; (1,) if it takes one image at a time
  read_back(path, *, threads=1) -> Run    the file in its own runtime: (B, 3, H, W) float32 → its outputs, float32
  facts(path) -> dict                     what the file says of itself: opset, operators, share that is delegated
  export_int8(subject, path, images)      the same file with int8 weights and activations, calibrated on (N, 3, H, W)
  WHOLE = True                            the file is printed from the rows: no stage of it can be exported alone
  SAMPLE = True                           it tells of real images: `subject.sample` must be there
  why_unread() -> str | None              why the file cannot be run on this machine, in words

A package that is missing is named with the extra that brings it.
"""

from importlib.metadata import version
from types import ModuleType

from mvsearch.errors import PlanError
from mvsearch.utils import plugins


def formats() -> tuple[str, ...]:
    """The names of all formats, without importing any."""
    return plugins.names("export_format")


def load_format(name: str) -> ModuleType:
    """The module of a format; raises PlanError, with a suggestion, if there is none."""
    return plugins.load("export_format", name, error=PlanError)


def batch_support(module: ModuleType) -> str:
    """How many images a file of a format takes at a time, in words."""
    return "one image at a time" if module.BATCHES == (1,) else "any number of images"


def runtime(module: ModuleType) -> str:
    """The package that runs a format's files, with its version."""
    return f"{module.RUNTIME} {version(module.RUNTIME).split('+')[0]}"
