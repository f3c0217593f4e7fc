"""Reading a study. It creates nothing and loads no Optuna."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mvsearch.errors import StudyError
from mvsearch.metrics.constraints import Constraint, check_limits, join_limits, replace_limits
from mvsearch.metrics.pareto import Objective, comparable, some_comparable
from mvsearch.metrics.record import Record, is_number
from mvsearch.study.facts import StudyFacts
from mvsearch.study.storage.store import Store
from mvsearch.study.storage.url import display_url
from mvsearch.utils import plugins

STUDIES = Path("studies")


class Reader:
    """A study's records, and its facts when it was opened.

    `path` is the name, folder or file by which it was found; None if the database was given.
    """

    def __init__(self, name: str, store: Store, *, path: str | None = None) -> None:
        facts = load_facts(store, name)
        if facts is None:
            known = ", ".join(store.names()) or "none"
            raise StudyError(f"there is no study {name!r}; it has {known}.", at=store.display_url)
        self.name, self.store, self.facts, self.path = name, store, facts, path

    def reference(self, number: int) -> str:
        """A trial as the command line takes it: `v3:17`, with `--storage` for a database elsewhere."""
        trial = shlex.quote(f"{self.path or self.name}:{number}")
        return trial if self.path else f"{trial} --storage {shlex.quote(display_url(self.store.url))}"

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives with their directions."""
        return tuple(Objective.named(name) for name in self.facts.objectives)

    def records(self, first: int = 0) -> list[Record]:
        """The records of finished trials from a number on, in the order of their numbers."""
        return self.store.records(self.name, first)

    @property
    def limits(self) -> tuple[Constraint, ...]:
        """The constraints of the last run, with those on measured costs of the network to beat."""
        own = tuple(Constraint.parse(text) for text in self.facts.search.limits)
        return (*own, *self.facts.target.measured_limits) if self.facts.target else own

    def override_limits(self, texts: Sequence[str]) -> tuple[Constraint, ...]:
        """The constraints of the last run with others, which replace those of the same metric and direction.

        Raises PlanError for constraints that contradict each other, StudyError for a metric that no trial has.
        """
        limits = replace_limits(self.limits, [*map(Constraint.parse, texts)])
        check_limits(limits)
        records = self.records() if texts else []
        for limit in limits:
            if records and not any(is_number(record.metrics.get(limit.name)) for record in records):
                raise StudyError(
                    f"study {self.name!r}: no finished trial has a value of {limit.name}, so {limit.text!r} cannot be "
                    "checked."
                )
        return limits

    def within_limits(self, records: Sequence[Record], limits: Sequence[Constraint] | None = None) -> list[Record]:
        """The records that satisfy the constraints of the last run, or others; earlier runs may have had others.

        A record satisfies a constraint whose limit is within the noise of its measurement.
        """
        limits = self.limits if limits is None else limits
        return [record for record in records if not any(limit.violated(record.metrics) for limit in limits)]

    def measured(self, objectives: Sequence[Objective], limits: Sequence[Constraint] | None = None) -> list[Record]:
        """The records that satisfy the constraints; at least one of them has a number for each objective.

        The constraints are those of the last run unless others are given. Raises StudyError, which says what is
        missing, if there is none.
        """
        limits = self.limits if limits is None else limits
        records = self.records()
        within = self.within_limits(records, limits)
        if comparable(within, objectives):
            return within
        if not records:
            raise StudyError(f"study {self.name!r} has no finished trial yet; let it continue.")
        if comparable(records, objectives):
            within_words = f"none of its {len(records)} trials is within {join_limits(limits)}"
            advice = "let it continue" if self.progress else "choose wider limits, or more trials"
            raise StudyError(f"study {self.name!r}: {within_words}; {advice}.")
        if not any(record.state == "complete" for record in records):
            reasons = [record.reason for record in records if record.reason]
            raise StudyError(f"no trial of study {self.name!r} is complete; the last: {reasons[-1]}.")
        try:
            return some_comparable(within, objectives)
        except StudyError as error:
            raise StudyError(f"study {self.name!r}: {error}") from None

    def states(self) -> list[str]:
        """The state of every finished trial."""
        return list(self.store.states(self.name).values())

    def count(self) -> int:
        """The number of finished trials: complete, pruned or failed."""
        return self.store.count(self.name)

    @property
    def exhausted(self) -> bool:
        """Whether the search found no new candidate inside the conditions and limits when it last looked."""
        facts = load_facts(self.store, self.name)
        return facts is not None and facts.exhausted

    @property
    def progress(self) -> str:
        """The progress of a study that can continue, e.g. `12 of 40 trials so far`; empty if it is finished."""
        done, total = self.count(), self.facts.search.trials
        return f"{done} of {total} trials so far" if done < total and not self.exhausted else ""

    def machines(self) -> list[dict[str, Any]]:
        """The descriptions of the machines that the trials were measured on."""
        return self.store.machines(self.name)


def load_facts(store: Store, name: str) -> StudyFacts | None:
    """The facts of a study; None if there is no such study."""
    stored = store.study(name)
    return None if stored is None else StudyFacts.from_json(stored)


def open_study(study: str | Path, *, storage: str | None = None) -> Reader:
    """A study by name (`v3`), by folder (`studies/v3`) or by database (`studies/v3/study.db`, or a storage URL)."""
    if storage is not None:
        return Reader(str(study), Store(storage, create=False))
    path = Path(study)
    # A name stays in its folder; a path goes anywhere.
    by_name = [] if ".." in path.parts else [STUDIES / path / "study.db"]
    database = next((file for file in (path, path / "study.db", *by_name) if file.is_file()), None)
    if database is None:
        known = sorted(file.parent.name for file in STUDIES.glob("*/study.db"))
        exported = next((file for file in (path, STUDIES / path) if (file / "study.jsonl").is_file()), None)
        if exported and ".." not in path.parts:
            hint = f"`mvsearch studies import {exported / 'study.jsonl'}` takes the exported one."
        else:
            hint = plugins.suggest(path.name, known) if known else "`mvsearch run SPACE` creates one."
        raise StudyError(f"there is no study {str(study)!r} here; {hint}")
    store = Store(f"sqlite:///{database}", create=False)
    names, folder = store.names(), database.absolute().parent.name
    name = folder if folder in names or len(names) != 1 else names[0]
    return Reader(name, store, path=str(study))
