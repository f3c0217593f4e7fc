"""A study as lines of JSON, whole: to be committed, sent, and taken in again elsewhere without loss.

{"format": 1, "study": "v3", "facts": {...}}              the first line
{"table": "records", "row": {...}}                        our tables, a row a line
{"trial": {"number": 0, "params": {...}, ...}}            Optuna's, in the order of their numbers
{"notes": {...}}                                          what the sampler noted
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from mvsearch import __version__
from mvsearch.beats import register
from mvsearch.errors import StudyError
from mvsearch.plan import Plan, checked_name
from mvsearch.reading import Reader
from mvsearch.samplers._legal import distributions
from mvsearch.store import Store
from mvsearch.trials import Trials, told_of_trials

FORMAT = 1


def lines(study: Reader) -> Iterator[str]:
    """The lines of a study, each without its line break. Raises StudyError while somebody works on it."""
    refuse_at_work(study)
    yield _line(format=FORMAT, mvsearch=__version__, study=study.name, facts=study.facts)
    for table, rows in study.store.rows(study.name).items():
        for row in rows:
            yield _line(table=table, row=row)
    plan = Plan.of_study(study, workers=0)
    with told_of_trials(plan.url):
        trials = Trials.open(plan)
        for trial in trials.all():
            yield _line(trial=_spelled(trial))
        yield _line(notes=trials.notes)


def restore(text: Iterable[str], url: str, *, name: str | None = None, source: str = "lines") -> Reader:
    """Put a study into a database, under another name if one is given.

    Raises StudyError, naming the line, for what is no study, and for a name that is taken; then nothing is written.
    """
    parsed = [_parsed(line, f"{source}:{i}") for i, line in enumerate(text, 1) if line.strip()]
    head = parsed[0] if parsed else {}
    if head.get("format") != FORMAT or not isinstance(head.get("facts"), dict):
        found = head.get("format", "none")
        raise StudyError(f"{source}: found format {found} in its first line, this is {FORMAT}; is it a study?")
    name = name or str(head["study"])
    rows: dict[str, list[dict[str, Any]]] = {}
    for line in parsed:
        if "table" in line:
            rows.setdefault(line["table"], []).append(line.get("row") or {})
    store = Store(url, create=True)
    with store.locked("open"):
        _refuse_taken(store, name)
        store.put_rows(name, head["facts"], rows)
        try:
            reader = Reader(name, store)
            with told_of_trials(url):
                _put_trials(Plan.of_study(reader, workers=0), parsed)
        except BaseException as error:
            _unmake(url, store, name)
            if isinstance(error, KeyError | TypeError | ValueError | AttributeError):
                raise StudyError(f"{source}: {type(error).__name__} {error} while it was read; is it whole?") from error
            raise
    return reader


def _unmake(url: str, store: Store, name: str) -> None:
    store.remove_study(name)
    with suppress(KeyError), told_of_trials(url):
        optuna.delete_study(study_name=name, storage=url)


def told_name(text: Sequence[str], source: str) -> str:
    """The name that a study has in its lines; raises StudyError if it has none."""
    head = _parsed(text[0], f"{source}:1") if text else {}
    if not isinstance(head.get("study"), str):
        raise StudyError(f"{source}: its first line names no study; give a file that `mvsearch studies export` wrote.")
    return str(head["study"])


def refuse_at_work(study: Reader) -> None:
    """Raises StudyError while a worker of the study is alive."""
    if register(study.store, study.name).anyone():
        raise StudyError(f"study {study.name!r}: somebody works on it; stop that first, or wait.")


def rename(study: Reader, name: str) -> Reader:
    """Give a study another name where it is. Raises StudyError for one that is taken, or while somebody works on it."""
    refuse_at_work(study)
    with study.store.locked("open"):
        _refuse_taken(study.store, checked_name(name))
        study.store.rename_study(study.name, name)
    return Reader(name, study.store)


def remove(study: Reader) -> None:
    """Take a study out of its database. Raises StudyError while somebody works on it."""
    refuse_at_work(study)
    aside = _aside(Plan.of_study(study, workers=0))
    with told_of_trials(aside.url):
        Trials.forget(aside)
        study.store.remove_study(study.name, trials_to=aside.name)
        Trials.forget(aside)


def _aside(plan: Plan) -> Plan:
    """The plan under a name that no study has, for trials of which a kill may leave some."""
    return replace(plan, name=f"{plan.name} (not whole)")


def _refuse_taken(store: Store, name: str) -> None:
    if store.study(name) is not None:
        raise StudyError(f"{store.shown}: there is a study {name!r} already; give this one another name.")


def _put_trials(plan: Plan, parsed: list[dict[str, Any]]) -> None:
    spaces, trials = distributions(plan.space), Trials.open(plan)
    for line in parsed:
        if "trial" in line:
            trials.put(_read(line["trial"], spaces))
        elif "notes" in line:
            trials.notes = line["notes"]


def _spelled(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "params": trial.params,
        "user_attrs": trial.user_attrs,
        "system_attrs": trial.system_attrs,
    }


def _read(raw: dict[str, Any], spaces: dict[str, optuna.distributions.BaseDistribution]) -> FrozenTrial:
    return create_trial(
        state=TrialState[raw["state"]],
        values=raw["values"],
        params=raw["params"],
        distributions=spaces,
        user_attrs=raw["user_attrs"],
        system_attrs=raw["system_attrs"],
    )


def _line(**content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))


def _parsed(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise StudyError(f"{where}: no JSON ({error}); is it a study, and whole?") from None
    if not isinstance(found, dict):
        raise StudyError(f"{where}: found {type(found).__name__}; each line is an object.")
    return found
