"""Which networks are trained: the best candidates of a study, and the baselines that each is compared with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import is_published, model, model_names, published
from mvsearch.errors import PlanError, StudyError
from mvsearch.metrics.pareto import comparable
from mvsearch.metrics.record import Metrics, Record
from mvsearch.metrics.registry import SIZE, scores
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.reader import Reader
from mvsearch.study.resolve import find_architecture
from mvsearch.study.short_list import short_list
from mvsearch.utils.yaml_document import Document


@dataclass(frozen=True)
class Network:
    """One network, at the image size and with the number of classes of the study's space.

    `metrics` are its costs and what the study measured of it. A candidate has the `number` of its trial, and is
    compared with the baselines `against`, by name.
    """

    name: str
    arch: Architecture
    metrics: Metrics
    number: int | None = None
    against: tuple[str, ...] = ()

    @property
    def is_candidate(self) -> bool:
        """Whether the study proposed it; otherwise it is a baseline."""
        return self.number is not None

    @cached_property
    def key(self) -> str:
        """The key of its architecture, which the study has too."""
        return self.arch.key


@dataclass(frozen=True)
class Selection:
    """Candidates and baselines, and sentences that say how they were chosen."""

    networks: tuple[Network, ...]
    notes: tuple[str, ...]


def select_networks(
    reader: Reader,
    *,
    top: int,
    trials: Sequence[int] = (),
    against: Sequence[str] = (),
    storage: str | None = None,
) -> Selection:
    """The `top` candidates by score, or these trials, and the baselines `against`.

    By default that is the network that the study is to beat, or else for each candidate the smallest published model
    that costs at least as much. Raises StudyError for a study without finished candidates or without a score,
    PlanError or ArchitectureError for a baseline that is unknown or of another task.
    """
    space = SearchSpace.parse(Document(dict(reader.facts.document)))
    ranked = _trials(reader, trials) if trials else _ranked(reader)
    records = ranked if trials else [record for record in ranked if not record.published][:top]
    if not records:
        raise StudyError(f"study {reader.name!r} has only published models so far; let it continue.")
    candidates = [_candidate(reader, record) for record in records]
    notes = [] if trials else _selection_notes(ranked, records, top)
    known, target = _measured(reader), reader.facts.target
    given = {name: find_architecture(name, storage=storage) for name in against}
    if given or target:
        given = given or ({target.name: target.arch} if target else {})
        baselines = _distinct([_baseline(name, arch, space, known) for name, arch in given.items()], candidates)
        candidates = [replace(candidate, against=tuple(b.name for b in baselines)) for candidate in candidates]
        return Selection((*candidates, *baselines), tuple(notes))
    pool = [_baseline(name, published(name), space, known) for name in _published_names(reader, space.head.task)]
    chosen = {candidate.name: _match(candidate, pool) for candidate in candidates}
    candidates = [replace(candidate, against=(chosen[candidate.name].name,)) for candidate in candidates]
    notes += [_describe_match(candidate, chosen[candidate.name]) for candidate in candidates]
    return Selection((*candidates, *{b.name: b for b in chosen.values()}.values()), tuple(notes))


def _trials(reader: Reader, numbers: Sequence[int]) -> list[Record]:
    records = {record.number: record for record in reader.records()}
    if missing := [number for number in numbers if number not in records]:
        raise StudyError(f"study {reader.name!r} has no finished trial {missing[0]}; `mvsearch front` lists the best.")
    return [records[number] for number in dict.fromkeys(numbers)]


def _ranked(reader: Reader) -> list[Record]:
    """All candidates, the best first: by the short list of a study that is to beat a network, else by the first score.

    Published models are among them.
    """
    score = next((objective for objective in reader.objectives if objective.name in scores()), None)
    if score is None:
        objectives = ", ".join(objective.name for objective in reader.objectives)
        raise StudyError(
            f"study {reader.name!r} has no score to rank its candidates by, only {objectives}; name them: --trial 17."
        )
    measured = comparable(reader.measured([score]), [score])
    if reader.facts.target and (entries := short_list(measured, reader.facts.target, score)):
        return [entry.record for entry in entries]
    return sorted(measured, key=lambda record: (score.cost(record.metrics[score.name]), record.number))


def _selection_notes(ranked: Sequence[Record], chosen: Sequence[Record], top: int) -> list[str]:
    """What a reader has to know of how candidates were chosen: too few of them, published models before the last."""
    notes = []
    if len(chosen) < top:
        notes.append(f"the study has {len(chosen)} candidates within its limits, fewer than --top {top}")
    before = ranked[: ranked.index(chosen[-1])]
    if names := [record.published for record in before if record.published]:
        listed = ", ".join(names)
        notes.append(f"published models rank above these candidates ({listed}); --against {names[0]} compares with one")
    return notes


def _candidate(reader: Reader, record: Record) -> Network:
    name = f"{reader.name}:{record.number}"
    arch = replace(Architecture.from_dict(record.architecture), name=f"{reader.name}_{record.number}")
    return Network(name, arch, {**arch.metrics(), **record.metrics}, record.number)


def _measured(reader: Reader) -> dict[str, Metrics]:
    """What the study measured of every complete trial and of the network to beat, by key."""
    known = {record.key: record.metrics for record in reader.records() if record.state == "complete"}
    target = reader.facts.target
    return known | ({target.arch.key: target.metrics} if target and target.metrics else {})


def _baseline(name: str, arch: Architecture, space: SearchSpace, known: Mapping[str, Metrics]) -> Network:
    """A baseline with the costs that it has in the space; raises PlanError for one of another task."""
    if arch.task != space.head.task:
        raise PlanError(
            f"is for {arch.task}, and the networks of the study are for {space.head.task}; use another.",
            at=f"--against {name}",
        )
    arch = replace(arch.at(image_size=space.size_for(arch), num_classes=space.num_classes), name=arch.name or name)
    return Network(name, arch, known.get(arch.key) or arch.metrics())


def _distinct(baselines: Iterable[Network], candidates: Sequence[Network]) -> list[Network]:
    """Baselines of different networks; raises PlanError for one that is a candidate too."""
    distinct: dict[str, Network] = {}
    for baseline in baselines:
        if same := next((candidate for candidate in candidates if candidate.key == baseline.key), None):
            raise PlanError(f"is the same network as {same.name}; use another.", at=f"--against {baseline.name}")
        distinct.setdefault(baseline.key, baseline)
    return list(distinct.values())


def _published_names(reader: Reader, task: str) -> list[str]:
    """The published models that the space contains, else all of the task; rows of ablation tables are left out."""
    return _sizes(reader.facts.published) or _sizes(model_names(task))


def _sizes(names: Iterable[str]) -> list[str]:
    """The models that are published as a size of their family: with the score of a full training."""
    return [
        name
        for name in names
        if is_published(name) and any(score in model(name).figures for score in ("top1", "miou", "map"))
    ]


def _match(candidate: Network, pool: Sequence[Network]) -> Network:
    """The smallest baseline that costs at least as much as a candidate; the largest of all if none does."""
    others = [baseline for baseline in pool if baseline.key != candidate.key]
    larger = [baseline for baseline in others if _costs_no_more(candidate, baseline)]
    return min(larger, key=_size) if larger else max(others, key=_size)


def _costs_no_more(one: Network, other: Network) -> bool:
    return all(one.metrics[name] <= other.metrics[name] for name in SIZE)


def _size(network: Network) -> tuple[int, int]:
    return network.metrics["params"], network.metrics["macs"]


def _describe_match(candidate: Network, baseline: Network) -> str:
    smallest = "the smallest published model that costs at least as much"
    reason = smallest if _costs_no_more(candidate, baseline) else "the largest published model, though it costs less"
    return f"{candidate.name} is compared with {baseline.name}, {reason}"
