"""Finding the architecture that a person names. Loads the database only for a trial of a study."""

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from mvsearch.architecture import Architecture
from mvsearch.errors import ArchitectureError, StudyError
from mvsearch.models import model_names, published


def find_architecture(name: str, *, storage: str | None = None) -> Architecture:
    """An architecture by published name, YAML file or `STUDY:NUMBER`; ArchitectureError says what would do."""
    if name in model_names():
        return published(name)
    study, colon, number = name.rpartition(":")
    if colon and number.isdigit():
        return _of_trial(study, int(number), storage)
    if Path(name).suffix in (".yaml", ".yml") or Path(name).is_file():
        return Architecture.load(name)
    near = get_close_matches(name, model_names(), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "; `mvsearch models` lists the published ones."
    raise ArchitectureError(f"{name!r} names no architecture: no published model, YAML file or STUDY:NUMBER{hint}")


def _of_trial(study: str, number: int, storage: str | None) -> Architecture:
    from mvsearch.reading import open_study

    reader = open_study(study, storage=storage)
    for record in reader.records():
        if record.number == number:
            return replace(Architecture.from_dict(record.architecture), name=f"{reader.name}_{number}")
    raise StudyError(f"study {reader.name!r} has no finished trial {number}; `mvsearch front {study}` lists the best.")
