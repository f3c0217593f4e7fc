"""Export and import of a complete study as lines of JSON, without loss.

{"format": 1, "study": "v3", "lines": 122, "facts": {}}   the first line; `lines` counts it too
{"table": "records", "row": {...}}                        a row of our tables
{"trial": {"number": 0, "params": {...}, ...}}            a trial of Optuna, in the order of their numbers
{"validation": {...}}                                     the document of a validation
{"notes": {...}}                                          the state of the sampler
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from mvsearch._version import __version__
from mvsearch.arch.architecture import Architecture
from mvsearch.errors import StudyError
from mvsearch.metrics.record import is_number
from mvsearch.study.distributions import distributions
from mvsearch.study.facts import StudyFacts
from mvsearch.study.latency_prediction import study_design
from mvsearch.study.plan import Plan
from mvsearch.study.reader import Reader
from mvsearch.study.settings import check_study_name
from mvsearch.study.storage.store import Store
from mvsearch.study.storage.transfer import check_rows
from mvsearch.study.storage.trials import (
    STATES,
    OptunaTrialStore,
    copy_trials,
    delete_trials,
    mark_trials,
    translate_optuna_errors,
)
from mvsearch.study.workers.heartbeat import worker_registry

FORMAT = 1


def lines(study: Reader, validations: Sequence[Mapping[str, Any]] = ()) -> Iterator[str]:
    """The lines of a study and its validations, each without its line break.

    Raises StudyError while a worker of it is alive.
    """
    check_no_live_worker(study)
    plan = Plan.of_study(study, workers=0)
    tables = study.store.export_rows(study.name, [arch.key for arch in _others(plan)])
    with translate_optuna_errors(plan.url):
        store = OptunaTrialStore.open(plan)
        trials, notes = store.all(), store.sampler_state
    count = 1 + sum(map(len, tables.values())) + len(trials) + len(validations) + 1
    yield _line(format=FORMAT, mvsearch=__version__, study=study.name, lines=count, facts=study.facts.to_json())
    for table, rows in tables.items():
        for row in rows:
            yield _line(table=table, row=row)
    for trial in trials:
        yield _line(trial=_trial_to_json(trial))
    for validation in validations:
        yield _line(validation=validation)
    yield _line(notes=notes)


def _others(plan: Plan) -> Iterator[Architecture]:
    """The networks that a study measures besides its candidates."""
    if plan.target:
        yield plan.target.arch
    if plan.predicts_latency:
        yield from map(plan.space.architecture, study_design(plan))


def restore(text: Iterable[str], url: str, *, name: str | None = None, source: str = "lines") -> Reader:
    """Put a study into a database, under another name if one is given.

    Raises StudyError for an incomplete study, and for a name that is taken; then no study is created. A process that is
    killed leaves no incomplete study either: the study exists from the last transaction on.
    """
    parsed = [_parse(line, f"{source}:{i}") for i, line in enumerate(text, 1) if line.strip()]
    head = parsed[0] if parsed else {}
    if head.get("format") != FORMAT or not isinstance(head.get("facts"), dict):
        raise StudyError(
            f"found format {head.get('format', 'none')} in its first line, this is {FORMAT}; is it a study?", at=source
        )
    with _explain_damage(source):
        rows = _rows(parsed, source)
        facts = StudyFacts.from_json(head["facts"])
        plan = Plan.of_facts(facts, name=name or head["study"], storage=url, workers=0)
        spaces = distributions(plan.space)
        trials = [_trial_from_json(line["trial"], spaces) for line in parsed if "trial" in line]
        if (defect := next(_find_defects(parsed, plan, rows, trials), None)) is not None:
            raise StudyError(f"{defect}; the file may be truncated or damaged.", at=source)
        store = Store(url, create=True)
        with store.lock("open"), translate_optuna_errors(url):
            _check_name_is_free(store, plan.name)
            target = OptunaTrialStore.open(plan, new=True)
            for trial in trials:
                target.add(trial)
            target.sampler_state = parsed[-1]["notes"]
            store.import_rows(plan.name, head["facts"], rows)
    return Reader(plan.name, store)


@contextmanager
def _explain_damage(source: str) -> Iterator[None]:
    """Turns the errors that a damaged file causes into one sentence."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise StudyError(
            f"{type(error).__name__} {error} while it was read; the file may be truncated or damaged.", at=source
        ) from error


def _rows(parsed: list[dict[str, Any]], source: str) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {"architectures": [], "machines": [], "evaluations": [], "records": []}
    for line in parsed:
        if "table" in line:
            rows.setdefault(line["table"], []).append(line["row"])
    check_rows(rows, source)
    return rows


def _find_defects(
    parsed: list[dict[str, Any]], plan: Plan, rows: dict[str, list[dict[str, Any]]], trials: list[FrozenTrial]
) -> Iterator[str]:
    """What is missing or invalid in a file. Files from before the key `lines` end with the notes as well."""
    head, records = parsed[0], rows["records"]
    if "notes" not in parsed[-1] or head.get("lines", len(parsed)) != len(parsed):
        yield f"it ends after {len(parsed)} lines of {head.get('lines', 'more')}"
    facts, wanted = StudyFacts.from_json(head["facts"]), plan.search
    if (facts.objectives, facts.search.limits) != (wanted.objectives, wanted.limits):
        yield "its facts contradict each other"
    if type(facts.search.trials) is not int:
        yield f"its trials are to be {facts.search.trials!r}"
    choices = {choice.name for choice in plan.space.choices}
    always = choices - plan.space.activity.keys()  # the others are recorded where they have an effect
    numbers, keys = {row["number"] for row in records}, {row["key"] for row in rows["architectures"]}
    machines = {row["id"] for row in rows["machines"]} | {None}
    for row in rows["machines"]:
        if not isinstance(row["description"].get("versions", {}), dict):
            yield f"machine {row['id']} has text instead of versions"
    if [line["trial"]["number"] for line in parsed if "trial" in line] != [*range(len(trials))]:
        yield "trials are missing"
    if len(numbers) != len(records):
        yield "two records have one number"
    yield from (f"record {number} has no trial" for number in numbers - {*range(len(trials))})
    for number, trial in enumerate(trials):
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and number not in numbers:
            yield f"trial {number} has no record"
        if trial.state == TrialState.COMPLETE and len(trial.values) != len(wanted.objectives):
            yield f"trial {number} has not a value for each objective"
    for row in records:
        if row["key"] not in keys or row.get("machine") not in machines:
            yield f"record {row['number']} has no architecture or no machine"
        if row["state"] not in STATES:
            yield f"record {row['number']} is {row['state']!r}"
        if not always <= row["choices"].keys() <= choices:
            yield f"record {row['number']} has not the choices of its space"
        metrics, complete = row["metrics"], row["state"] == "complete"
        if complete and not all(is_number(metrics.get(name)) for name in wanted.objectives):
            yield f"record {row['number']} has not a number for each objective"
        if not all(isinstance(metrics.get(name, 0), int | float) for name in plan.required_metrics):
            yield f"record {row['number']} has text instead of numbers"


def read_validations(text: Iterable[str], source: str) -> list[Any]:
    """The documents of the validations in a file, as they are stored."""
    parsed = (_parse(line, f"{source}:{i}") for i, line in enumerate(text, 1) if '"validation"' in line)
    return [line["validation"] for line in parsed if "validation" in line]


def read_name(text: Sequence[str], source: str) -> str:
    """The name of the study in a file; raises StudyError if it has none."""
    head = _parse(text[0], f"{source}:1") if text else {}
    if not isinstance(head.get("study"), str):
        raise StudyError("its first line names no study; give a file that `mvsearch studies export` wrote.", at=source)
    return str(head["study"])


def check_no_live_worker(study: Reader) -> None:
    """Raises StudyError while a worker of the study is alive."""
    if worker_registry(study.store, study.name).has_live_worker():
        raise StudyError(f"study {study.name!r}: a worker is running; stop it first, or wait.")


def rename(study: Reader, name: str) -> Reader:
    """Rename a study in its database. Raises StudyError for a name that is taken, or while a worker of it is alive."""
    check_no_live_worker(study)
    plan = Plan.of_study(study, workers=0)
    with study.store.lock("open"), translate_optuna_errors(plan.url):
        _check_name_is_free(study.store, check_study_name(name))
        copy_trials(plan, to=name)
        study.store.rename_study(study.name, name)
        delete_trials(plan)
    return Reader(name, study.store)


def remove(study: Reader) -> None:
    """Delete a study from its database. Raises StudyError while a worker of it is alive."""
    check_no_live_worker(study)
    plan = Plan.of_study(study, workers=0)
    with study.store.lock("open"), translate_optuna_errors(plan.url):
        mark_trials(plan)
        study.store.delete_study(study.name)
        delete_trials(plan)


def _check_name_is_free(store: Store, name: str) -> None:
    if store.study(name) is not None:
        raise StudyError(f"there is a study {name!r} already; give this one another name.", at=store.display_url)


def _trial_to_json(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name,
        "start": _format_time(trial.datetime_start),
        "complete": _format_time(trial.datetime_complete),
        "values": trial.values,
        "params": trial.params,
        "user_attrs": trial.user_attrs,
        "system_attrs": trial.system_attrs,
    }


def _trial_from_json(raw: dict[str, Any], spaces: dict[str, optuna.distributions.BaseDistribution]) -> FrozenTrial:
    if not re.fullmatch(r"[A-Za-z0-9_.-]*", worker := raw["user_attrs"].get("worker", "")):
        raise ValueError(f"{worker!r} names no worker")
    trial = create_trial(
        state=TrialState[raw["state"]],
        values=raw["values"],
        params=raw["params"],
        distributions=spaces,
        user_attrs=raw["user_attrs"],
        system_attrs=raw["system_attrs"],
    )
    if raw.get("start"):  # older files have no times
        trial.datetime_start = datetime.fromisoformat(raw["start"])
        complete = raw.get("complete")
        trial.datetime_complete = datetime.fromisoformat(complete) if complete else None
    return trial


def _format_time(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _line(**content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise StudyError(f"no JSON ({error}); is it a study? The file may be truncated or damaged.", at=where) from None
    if not isinstance(value, dict):
        raise StudyError(f"found {type(value).__name__}; each line is an object.", at=where)
    return value
