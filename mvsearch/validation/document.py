"""The files of a validation: validation.json, results.csv, and the weights of its networks."""

import csv
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvsearch.data import DataSettings
from mvsearch.errors import StudyError
from mvsearch.study.reader import Reader
from mvsearch.training.trained_network import WEIGHTS
from mvsearch.utils.atomic_write import write_whole
from mvsearch.utils.text import join_words
from mvsearch.validation.folder import DOCUMENT, TABLE, validation_documents, validation_folder
from mvsearch.validation.job import ValidationJob
from mvsearch.validation.outcome import ValidatedNetwork, Validation
from mvsearch.validation.verdict import describe_conditions, notes, verdict

_LOG = logging.getLogger(__name__)
_COLUMNS = ("network", "key", "role", "seed", "params", "macs", "steps", "loss", "cpu_seconds", "device")


def to_document(validation: Validation) -> dict[str, Any]:
    """The content of validation.json, which `--json` prints too."""
    return {
        "study": validation.study,
        "verdict": verdict(validation),
        "notes": notes(validation),
        **validation.to_json(),
    }


def write_validation(validation: Validation, job: ValidationJob) -> None:
    """Write validation.json and results.csv into the folder of the job."""
    _write_document(validation, job.folder)
    write_whole(job.folder / TABLE, _table(job).encode())


def _table(job: ValidationJob) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, (*_COLUMNS, job.metric), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for name, by_seed in job.results().items():
        network = job.by_name[name]
        role = "candidate" if network.is_candidate else "baseline"
        costs = {"params": network.metrics["params"], "macs": network.metrics["macs"]}
        for seed, result in by_seed.items():
            own = {"network": name, "key": network.key, "role": role, "seed": seed, **costs}
            writer.writerow({**result, **own})
    return out.getvalue()


def read_validations(reader: Reader) -> list[Validation]:
    """The validations of a study: those on its own images first, of these the last written first.

    Raises StudyError for a damaged one.

    One whose candidates are other networks than the study's trials is left out, with a warning: a deleted study of the
    same name left it behind.
    """
    validations = []
    for path in validation_documents(reader):
        validation = _read(path).of_study(reader.name)
        if all(_is_trial(reader, network) for network in validation.networks if network.number is not None):
            validations.append(validation)
        else:
            _LOG.warning("%s is of another study that had this name; it is left out.", path)
    own = _place(reader.facts.settings.get("data", {}))
    return sorted(validations, key=lambda validation: _place(validation.conditions["images"]) != own)


def stored_documents(reader: Reader) -> list[Mapping[str, Any]]:
    """The validations of a study as they are written into the study's own file."""
    return [to_document(validation) for validation in read_validations(reader)]


def parse_documents(documents: Sequence[Any], source: str) -> list[Validation]:
    """The validations that `stored_documents` returned; raises StudyError if one is damaged."""
    with _explain_damage("one of its validations is damaged; export the study again.", source):
        return [Validation.from_json(document) for document in documents]


def restore_validations(reader: Reader, validations: Sequence[Validation]) -> None:
    """Write validations into the folder of an imported study, the newest, which are first, last."""
    for validation in reversed(validations):
        _write_document(validation, validation_folder(reader) / Path(validation.conditions["name"]).name)


def _write_document(validation: Validation, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / DOCUMENT, (json.dumps(to_document(validation), indent=2) + "\n").encode())


def _place(images: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return images.get("source"), images.get("path")


def _is_trial(reader: Reader, network: ValidatedNetwork) -> bool:
    record = reader.store.record(reader.name, network.number or 0)
    return record is not None and record.key == network.key


def _read(path: Path) -> Validation:
    with _explain_damage("is damaged; `mvsearch validate` writes it again.", path):
        return Validation.from_json(json.loads(path.read_text("utf-8")))


@contextmanager
def _explain_damage(message: str, at: Path | str) -> Iterator[None]:
    """Turns the errors that a damaged document causes into one sentence."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError):
        raise StudyError(message, at=at) from None


@dataclass(frozen=True)
class ValidatedWeights:
    """The weights of a trial that was validated: those of its first seed, which no score selected, and its images."""

    path: Path
    images: DataSettings
    image_size: int
    classes: int
    words: str


def validated_weights(reader: Reader, key: str) -> ValidatedWeights | None:
    """The weights of the network of that key from the last validation that trained it; None if none did."""
    folder = validation_folder(reader)
    for validation in read_validations(reader):
        conditions = validation.conditions
        path = folder / conditions["name"] / key / "seed_0" / WEIGHTS
        if path.exists():
            words = (
                f"the validated weights (seed 0, {describe_conditions(validation)}){_describe_loss(validation, key)}"
            )
            images = DataSettings(**conditions["images"])
            return ValidatedWeights(path, images, conditions["image_size"], conditions["classes"], words)
    return None


def _describe_loss(validation: Validation, key: str) -> str:
    """Which baselines the network of that key is worse than, in words; empty if it is worse than none."""
    networks = validation.by_name
    own = [each for each in validation.comparisons if networks[each.candidate].key == key]
    worse = [each.baseline for each in own if each.verdict == "worse"]
    return f", found worse than {join_words(worse)}" if worse else ""
