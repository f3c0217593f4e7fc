"""The rows, as an architecture file that every command reads."""

from pathlib import Path

from mvsearch.arch.architecture import Architecture
from mvsearch.export.model import Subject
from mvsearch.utils import yaml_document
from mvsearch.utils.atomic_write import write_whole

SUFFIX = ".yaml"
EXTRA = None


def export(subject: Subject, path: Path) -> None:
    """Write the file; weights have no place in it."""
    write(subject.arch, path)


def write(arch: Architecture, path: Path) -> None:
    """An architecture as a file; `Architecture.load` reads it back with the same key."""
    cost = arch.cost()
    head = (
        f"# key {arch.key}: {cost.params:,} parameters; at {arch.image_size} px {cost.macs:,} MACs "
        f"({cost.macs_paper:,} as the MobileViTv3 paper counts)\n"
    )
    write_whole(path, (head + yaml_document.dump(arch.to_dict())).encode())
