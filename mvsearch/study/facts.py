"""What the numbers of a study depend on. It is stored with the study, and every run of the study must agree with it."""

from dataclasses import asdict
from typing import Any

from mvsearch.metrics.record import FULL
from mvsearch.study.plan import Plan
from mvsearch.study.reader import flat
from mvsearch.utils.hashing import digest


def study_facts(plan: Plan) -> dict[str, Any]:
    """The facts of a new study."""
    return {
        "objectives": list(plan.search.objectives),
        "space": plan.space_key,
        "settings": plan.settings(),
        "settings_key": plan.settings_key,
        **mutable_settings(plan),
        "document": dict(plan.space.document.data),
        "published": {name: plan.space.architecture(point).key for name, point in plan.space.published_points()},
    }


def mutable_settings(plan: Plan) -> dict[str, Any]:
    """The facts that may change from one run of a study to the next."""
    return {"search": asdict(plan.search), "exhausted": False}


def device_fact(measurement: str) -> str:
    """The name of the fact that holds the device of a measurement: `device` for latency, else e.g. `rss_device`."""
    return "device" if measurement == "latency" else f"{measurement}_device"


def settings_key(settings: dict[str, Any], facts: dict[str, Any]) -> str:
    """Identifies settings together with the study's device, images and code: the key of the evaluation cache."""
    environment = {name: facts.get(name) for name in ("device", "data", "code")}
    environment |= {name: device for name, device in facts.items() if name.endswith("_device")}
    environment |= {"precision": precision} if (precision := facts.get("precision", FULL)) != FULL else {}
    return digest({"settings": settings, **environment})


def describe_mismatch(plan: Plan, facts: dict[str, Any]) -> str | None:
    """How the facts of a study differ from the plan's; None if the plan may join the study."""
    own = study_facts(plan)
    descriptions = {
        "objectives": f"for {', '.join(facts['objectives'])}, not {', '.join(own['objectives'])}",
        "space": "from a space with other choices",
        "settings_key": f"under other settings ({_describe_difference(facts['settings'], own['settings'])})",
    }
    return next((description for key, description in descriptions.items() if facts[key] != own[key]), None)


def _describe_difference(study: dict[str, Any], plan: dict[str, Any]) -> str:
    left, right = flat(study), flat(plan)
    return "; ".join(
        f"{key}: {left.get(key)} in the study, {right.get(key)} in the plan"
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    )
