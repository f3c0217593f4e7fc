from dataclasses import replace
from pathlib import Path

import pytest

from mvsearch.arch.published import published
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.record import Record
from mvsearch.report.models_beyond import models_beyond
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.facts import StudyFacts, study_facts
from mvsearch.study.plan import Plan
from mvsearch.utils.yaml_document import parse

SPACE = Path(__file__).parents[2] / "spaces" / "quick.yaml"
ARCH = published("mobilevitv3_xxs").at(image_size=224, num_classes=12)


@pytest.fixture(scope="module")
def facts() -> StudyFacts:
    text = (
        SPACE.read_text().replace("image_size: 256", "image_size: 224").replace("num_classes: 1000", "num_classes: 12")
    )
    return study_facts(Plan.of(SearchSpace.parse(parse(text))))


def limits(*texts: str) -> list[Constraint]:
    return [Constraint.parse(text) for text in texts]


def record(state: str, **metrics: float) -> Record:
    return Record(0, ARCH.key, state, None, ARCH.metrics() | metrics, {}, ARCH.to_dict(), ARCH.name, 0.0)


def test_a_model_beyond_a_limit_has_the_costs_under_the_studys_own_head(facts):
    models = {model.name: model for model in models_beyond(facts, [], limits("params <= 100k"))}

    assert models["mobilevitv3_xxs"].metrics == ARCH.metrics()
    assert models["mobilevitv3_xxs"].limits == ("params <= 100k",)
    assert models.keys() == facts.published.keys()


def test_a_model_within_the_limits_is_not_beyond_them(facts):
    assert models_beyond(facts, [], limits("params <= 6M")) == ()
    assert models_beyond(facts, [record("complete")], limits("params <= 100k"))[0].name != "mobilevitv3_xxs"


def test_a_model_that_a_measurement_pruned_has_what_was_measured(facts):
    (model,) = models_beyond(facts, [record("pruned", latency_ms=21.0)], limits("latency_ms <= 10"))

    assert (model.name, model.metrics["latency_ms"]) == ("mobilevitv3_xxs", 21.0)
    assert "latency 21" in model.text


def test_a_name_that_is_not_published_is_left_out(facts):
    other = replace(facts, published={"own": "0" * 12})

    assert models_beyond(other, [], limits("params <= 100k")) == ()
