"""Reading a study. It creates nothing and loads no Optuna."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mvsearch.errors import StudyError
from mvsearch.metrics.constraints import Limit
from mvsearch.metrics.pareto import Objective, comparable, some_comparable
from mvsearch.metrics.record import Metrics, Record
from mvsearch.study.storage.store import Store
from mvsearch.study.storage.url import display_url
from mvsearch.utils import plugins

STUDIES = Path("studies")


class Reader:
    """A study's finished candidates, and what the study was made with.

    `path` is the name, folder or file under which it was found; None where it was looked for in a given database.
    """

    def __init__(self, name: str, store: Store, *, path: str | None = None) -> None:
        facts = store.study(name)
        if facts is None:
            known = ", ".join(store.names()) or "none"
            raise StudyError(f"there is no study {name!r}; it holds {known}.", at=store.display_url)
        self.name, self.store, self.facts, self.path = name, store, facts, path

    def called(self, number: int) -> str:
        """A trial as the command line takes it: `v3:17`, with `--storage` for a database of another place."""
        trial = shlex.quote(f"{self.path or self.name}:{number}")
        return trial if self.path else f"{trial} --storage {shlex.quote(display_url(self.store.url))}"

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What the study seeks."""
        return tuple(Objective.named(name) for name in self.facts["objectives"])

    def records(self, first: int = 0) -> list[Record]:
        """Every finished candidate from a number on, in the order of their numbers."""
        return self.store.records(self.name, first)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """What candidates must keep to, as the study's last run had it."""
        return tuple(Limit.parse(text) for text in self.facts["search"]["limits"])

    def within_limits(self, records: list[Record]) -> list[Record]:
        """Those that keep to the study's limits as they are now; an earlier run may have had others."""
        limits = self.limits
        return [
            r for r in records if all(limit.holds(r.metrics[limit.name]) for limit in limits if limit.name in r.metrics)
        ]

    def measured(self, objectives: Sequence[Objective]) -> list[Record]:
        """Every finished candidate within the limits, of which at least one has a number for each objective.

        Raises StudyError, saying what is missing, if there is none.
        """
        records = self.records()
        kept = self.within_limits(records)
        if comparable(kept, objectives):
            return kept
        if not records:
            raise StudyError(f"study {self.name!r} has no finished trial yet; let it run on.")
        if comparable(records, objectives):
            said = " and ".join(limit.text for limit in self.limits)
            raise StudyError(f"study {self.name!r}: none of its {len(records)} trials keeps to {said}; let it run on.")
        if not any(record.state == "complete" for record in records):
            reasons = [record.reason for record in records if record.reason]
            raise StudyError(f"no candidate of {self.name} was measured; the last: {reasons[-1]}.")
        try:
            return some_comparable(kept, objectives)
        except StudyError as error:
            raise StudyError(f"study {self.name!r}: {error}") from None

    def count(self) -> int:
        """How many candidates are finished: complete, pruned or failed."""
        return self.store.count(self.name)

    @property
    def exhausted(self) -> bool:
        """Whether the search found no new candidate inside the conditions and limits when it last looked."""
        return bool((self.store.study(self.name) or {}).get("exhausted"))

    @property
    def progress(self) -> str:
        """How far a study has come that may go on, e.g. `12 of 40 trials so far`; else empty."""
        done, wanted = self.count(), self.facts["search"]["trials"]
        return f"{done} of {wanted} trials so far" if done < wanted and not self.exhausted else ""

    @property
    def checked(self) -> dict[str, Metrics]:
        """What `run --check-proxy` measured of published models, by name, beside those that were searched among."""
        return dict(self.facts.get("proxy_check", {}).get("metrics", {}))

    def machines(self) -> list[dict[str, Any]]:
        """What the candidates were measured on."""
        return self.store.machines(self.name)


def open_study(study: str | Path, *, storage: str | None = None) -> Reader:
    """A study by name (`v3`), by folder (`studies/v3`) or by database (`studies/v3/study.db`, or a storage URL)."""
    if storage is not None:
        return Reader(str(study), Store(storage, create=False))
    path = Path(study)
    # A name stays in its folder; a path goes anywhere.
    named = [] if ".." in path.parts else [STUDIES / path / "study.db"]
    database = next((place for place in (path, path / "study.db", *named) if place.is_file()), None)
    if database is None:
        known = sorted(found.parent.name for found in STUDIES.glob("*/study.db"))
        hint = plugins.suggest(path.name, known) if known else "`mvsearch run SPACE` makes one."
        raise StudyError(f"there is no study {str(study)!r} here; {hint}")
    store = Store(f"sqlite:///{database}", create=False)
    names = store.names()
    name = database.parent.name if database.parent.name in names or len(names) != 1 else names[0]
    return Reader(name, store, path=str(study))


def flat(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Settings within settings by dotted names, so that two studies' can be laid side by side.

    >>> flat({"proxy": {"steps": 300}})
    {'proxy.steps': 300}
    """
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{path}{key}.") if isinstance(value, Mapping) else {f"{path}{key}": value}
    return found
