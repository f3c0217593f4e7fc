"""Finding the architecture that a person names. Loads the database only for a trial of a study."""

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.heads import head_class
from mvsearch.arch.published import all_names, is_published, published
from mvsearch.errors import ArchitectureError, StudyError
from mvsearch.metrics.trial import Trial
from mvsearch.utils import plugins


def find_architecture(name: str, *, storage: str | None = None) -> Architecture:
    """An architecture by published name, YAML file, `STUDY:NUMBER` or folder of a training.

    ArchitectureError says what would do.

    `ARCH+HEAD` is the backbone of any of these under another head, as its task usually has it: `studies/v3:17+ssdlite`.
    """
    if is_published(name):
        return published(name)
    backbone, plus, kind = name.rpartition("+")
    if plus and kind in plugins.names("head"):
        found = find_architecture(backbone, storage=storage)
        return replace(found.with_head(head_class(kind)()), name=f"{found.name or found.key}_{kind}")
    if trial := find_trial(name, storage=storage):
        return trial.architecture
    if Path(name).is_dir():
        return _of_training(Path(name))
    if Path(name).suffix in (".yaml", ".yml") or Path(name).is_file():
        return Architecture.load(name)
    from mvsearch.study.reader import STUDIES

    if (STUDIES / name / "study.db").is_file():
        raise ArchitectureError(f"is a study; name one of its trials: {name}:NUMBER.", at=name)
    near = get_close_matches(name, all_names(), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "; `mvsearch models` lists the published ones."
    raise ArchitectureError(
        f"unknown architecture {name!r}: use a published model, a YAML file, STUDY:NUMBER or the folder of a "
        f"training{hint}"
    )


def _of_training(folder: Path) -> Architecture:
    """The architecture of a finished training; ArchitectureError if the folder is none."""
    from mvsearch.training.trained_network import ARCHITECTURE, WEIGHTS

    if (folder / ARCHITECTURE).is_file():
        return Architecture.load(folder / ARCHITECTURE)
    if (folder / "study.db").is_file():
        raise ArchitectureError("is a study; name one of its trials: STUDY:NUMBER.", at=folder)
    if (folder / "checkpoint.pt").is_file():
        raise ArchitectureError("is a training that is not finished; run its command again to resume it.", at=folder)
    raise ArchitectureError(
        f"is a folder without {ARCHITECTURE}; give the folder of a finished training, which has {ARCHITECTURE} and "
        f"{WEIGHTS}, or the YAML file of a network.",
        at=folder,
    )


def find_trial(name: str, *, storage: str | None = None) -> Trial | None:
    """The candidate that `STUDY:NUMBER` names; None for a name of another kind. StudyError if there is none."""
    study, colon, number = name.rpartition(":")
    if not (colon and number.isdecimal()):
        return None
    from mvsearch.study.reader import open_study

    reader = open_study(study, storage=storage)
    record = reader.store.record(reader.name, int(number))
    if record is None:
        raise StudyError(
            f"study {reader.name!r} has no finished trial {number}; `mvsearch front {study}` lists the best."
        )
    return Trial(reader.name, record, dict(reader.facts.settings), reader.facts.held_out)
