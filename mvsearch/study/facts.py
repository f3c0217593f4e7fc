"""What a study was created with, and what its numbers depend on. Every run of a study must agree with its facts."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from mvsearch.errors import StudyError
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.record import FULL, Metrics
from mvsearch.profiling.measurements import measurements
from mvsearch.study.settings import SearchSettings
from mvsearch.study.target import Target
from mvsearch.utils.hashing import digest
from mvsearch.utils.machine import described_before
from mvsearch.utils.settings import flatten

if TYPE_CHECKING:
    from mvsearch.study.plan import Plan

_TYPES = {
    "objectives": list,
    "space": str,
    "settings": dict,
    "settings_key": str,
    "search": dict,
    "document": dict,
    "published": dict,
}
_OPTIONAL = ("exhausted", "proxy_check", "target")

NETWORK_KEYS = ("image_size", "num_classes", "vars", "blocks", "head", "where")
"""The keys of a space file that say which networks there are: another value is another space."""


@dataclass(frozen=True)
class StudyFacts:
    """The facts of a study, stored with it as JSON.

    `settings` are all settings that a number depends on, `search` those of the last run, which may change. `document`
    is the space file, `published` the published models in the space by name with their keys. `exhausted` says that the
    search found no new candidate when it last looked. `environment` is what the first worker pinned: the images
    (`data`), the trained networks that scores start or learn from (`weights`), the versions of the code, the precision,
    the devices. `proxy_check` are the metrics of published models outside the space, by name. `target` is the network
    that the study is to beat, with its metrics.
    """

    objectives: tuple[str, ...]
    space_digest: str
    settings: Mapping[str, Any]
    settings_digest: str
    search: SearchSettings
    document: Mapping[str, Any]
    published: Mapping[str, str]
    exhausted: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    proxy_check: Mapping[str, Metrics] = field(default_factory=dict)
    target: Target | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The facts as they are stored; raises StudyError for something else."""
        wrong = [key for key, kind in _TYPES.items() if not isinstance(stored.get(key), kind)]
        if wrong:
            names = " and no valid ".join(wrong)
            raise StudyError(f"the facts of the study have no valid {names}; the file may be truncated or damaged.")
        try:
            return cls(
                objectives=tuple(stored["objectives"]),
                space_digest=stored["space"],
                settings=stored["settings"],
                settings_digest=stored["settings_key"],
                search=SearchSettings.from_json(stored["search"]),
                document=stored["document"],
                published=stored["published"],
                exhausted=stored.get("exhausted", False),
                environment={k: v for k, v in stored.items() if k not in (*_TYPES, *_OPTIONAL)},
                proxy_check=stored.get("proxy_check", {}).get("metrics", {}),
                target=Target.from_json(stored["target"]) if "target" in stored else None,
            )
        except (LookupError, TypeError, AttributeError) as error:
            raise StudyError(
                f"the facts of the study cannot be read ({error}); the file may be truncated or damaged."
            ) from error

    def to_json(self) -> dict[str, Any]:
        """The facts as they are stored: values of JSON alone."""
        stored: dict[str, Any] = {
            "objectives": self.objectives,
            "space": self.space_digest,
            "settings": dict(self.settings),
            "settings_key": self.settings_digest,
            "search": asdict(self.search),
            "exhausted": self.exhausted,
            "document": dict(self.document),
            "published": dict(self.published),
        }
        stored |= {**self.environment}
        stored |= {"proxy_check": {"metrics": self.proxy_check}} if self.proxy_check else {}
        stored |= {"target": self.target.to_json()} if self.target else {}
        return dict(json.loads(json.dumps(stored)))

    @property
    def images(self) -> str | None:
        """The images that scores were computed on, with their checksum; None if there were none."""
        return self.environment.get("data")

    @property
    def held_out(self) -> str | None:
        """The images that scores were computed on, in words; None if no score needs them, or none was computed yet."""
        return self.environment.get("held_out")

    @property
    def weights(self) -> str | None:
        """The trained networks that scores start or learn from, with their checksums; None if there are none."""
        return self.environment.get("weights")

    @property
    def settings_used(self) -> dict[str, Any]:
        """The settings, where the number of held-out images is what was used, not what was asked for."""
        used = {name: dict(part) if isinstance(part, dict) else part for name, part in self.settings.items()}
        if self.held_out and "proxy" in used:
            used["proxy"]["held_out"] = int(self.held_out.split()[0].replace(",", ""))
        return used

    def device(self, measurement: str = "latency") -> str | None:
        """The device of a measurement; None if it was not used."""
        return self.environment.get(device_fact(measurement))

    def settings_key(self, settings: Mapping[str, Any] | None = None) -> str:
        """Identifies settings, by default the study's own, together with the images, the code and the devices.

        Numbers of equal keys are interchangeable: it is the key of the evaluation cache.
        """
        environment: dict[str, Any] = {name: self.environment.get(name) for name in ("device", "data", "code")}
        environment |= {name: device for name, device in self.environment.items() if name.endswith("_device")}
        environment |= {"weights": self.environment["weights"]} if "weights" in self.environment else {}
        environment |= {"precision": p} if (p := self.environment.get("precision", FULL)) != FULL else {}
        return digest({"settings": self.settings if settings is None else settings, **environment})

    def for_run(self, plan: "Plan") -> Self:
        """The facts for another run by a plan, which may search in another way and find new candidates."""
        new = study_facts(plan)
        return replace(self, search=new.search, document=new.document, published=new.published, exhausted=False)

    def pin(self, environment: Mapping[str, str]) -> Self:
        """The facts with these values pinned, or as an earlier version pinned them; StudyError for another value."""
        for name, value in environment.items():
            if (pinned := self.environment.get(name, value)) not in (value, described_before(value)):
                raise StudyError(
                    f"the study was measured with {name} {pinned}, this run has {value}; the numbers are not "
                    "comparable: create a new study with --name."
                )
        return replace(self, environment={**environment, **self.environment})


def device_fact(measurement: str) -> str:
    """The name of the fact that holds the device of a measurement: `device` for latency, else e.g. `rss_device`."""
    return "device" if measurement == "latency" else f"{measurement}_device"


def study_facts(plan: "Plan") -> StudyFacts:
    """The facts of a new study."""
    return StudyFacts(
        objectives=plan.search.objectives,
        space_digest=plan.space_digest,
        settings=plan.settings(),
        settings_digest=plan.settings_digest,
        search=plan.search,
        document=plan.space.document.data,
        published={name: plan.space.architecture(point).key for name, point in plan.space.published_points()},
        target=plan.target,
    )


def describe_changes(old: StudyFacts, new: StudyFacts) -> tuple[str, ...]:
    """What another run changes of a study, a clause for each setting, e.g. `trials = 40, was 12`."""
    before, after = _run_settings(old), _run_settings(new)
    return tuple(
        f"{key} = {_setting_text(after.get(key))}, was {_setting_text(before.get(key))}"
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    )


def _run_settings(facts: StudyFacts) -> dict[str, Any]:
    """The settings of a run: those of the search, and what else the space file has."""
    stored = facts.to_json()
    rest = {key: value for key, value in stored["document"].items() if key not in ("search", *NETWORK_KEYS)}
    return {**stored["search"], **flatten(rest)}


def _setting_text(value: Any) -> str:
    if isinstance(value, list):
        return (
            ", ".join(str(each["name"] if isinstance(each, dict) and "name" in each else each) for each in value)
            or "none"
        )
    return "not given" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def describe_mismatch(plan: "Plan", facts: StudyFacts) -> str | None:
    """How the facts of a study differ from the plan's; None if the plan may join the study."""
    if _target_key(facts) != _target_key(plan):
        return f"to beat {_target_name(facts)}, not {_target_name(plan)}"
    if facts.objectives != plan.search.objectives:
        return f"for {', '.join(facts.objectives)}, not {', '.join(plan.search.objectives)}"
    if facts.space_digest != plan.space_digest:
        return "from a space with other choices"
    if facts.settings_digest != plan.settings_digest:
        return f"under other settings ({_describe_difference(facts.settings, plan.settings())})"
    if new := _measured(plan) - _measured(facts):
        return f"without {' and '.join(sorted(new))}"
    return None


def _measured(study: "StudyFacts | Plan") -> set[str]:
    """The metrics of measurements that are objectives or limited: of some measurements only these are taken."""
    search, costs = study.search, study.target.costs if study.target else ()
    names = (*search.objectives, *(Constraint.parse(text).name for text in search.limits), *costs)
    declared = {name for measurement in measurements().values() for name in measurement.names}
    return declared & {name.partition("@")[0] for name in names}


def _target_key(study: "StudyFacts | Plan") -> tuple[str, frozenset[str]] | None:
    return (study.target.arch.key, frozenset(study.target.costs)) if study.target else None


def _target_name(study: "StudyFacts | Plan") -> str:
    return study.target.goal if study.target else "a given network"


def suggest_match(plan: "Plan", facts: StudyFacts) -> str:
    """What makes the plan match the study."""
    if _target_key(facts) != _target_key(plan):
        if facts.target is None:
            return "leave out --beat"
        return " ".join((f"give --beat {facts.target.name}", *(f"--beat-on {name}" for name in facts.search.beat_on)))
    if facts.objectives != plan.search.objectives:
        return f"give {' '.join(f'--objective {name}' for name in facts.objectives)}"
    if facts.settings_digest == plan.settings_digest and (new := _measured(plan) - _measured(facts)):
        return f"leave out the limit on {' and '.join(sorted(new))}"
    return "restore the file as it was"


def _describe_difference(study: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    left, right = flatten(study), flatten(plan)
    return "; ".join(
        f"{key}: {left.get(key)} in the study, {right.get(key)} in the plan"
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    )
