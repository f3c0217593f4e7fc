"""`contains:` takes architecture files and folders of trainings, by paths relative to the space file."""

from dataclasses import replace
from pathlib import Path

import pytest

from mvsearch.arch.architecture import FILE_NAME, Architecture
from mvsearch.arch.published import published
from mvsearch.errors import ArchitectureError, SpaceError
from mvsearch.report.models_beyond import models_beyond
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.facts import StudyFacts, describe_changes, study_facts
from mvsearch.study.plan import Plan
from mvsearch.utils.yaml_document import Document

TEXT = """name: own
image_size: 64
num_classes: 12
blocks:
  - {name: stem, block: conv, out: {choose: [16, 24]}, stride: 2}
  - {name: body, block: mv2, out: 24, stride: 2, expand: {choose: [2, 4]}}
contains: [CONTAINED]
search: {objectives: [params, macs], trials: 2, sampler: random}
"""
ROWS = [{"name": "a", "block": "conv", "out": 24, "stride": 2}, {"name": "b", "block": "mv2", "out": 24, "stride": 2}]


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder with a network for 1,000 classes at 256 px, of 24 channels, as a file and as a training."""
    arch = Architecture.from_dict({"blocks": ROWS})
    (tmp_path / "trained").mkdir()
    for path in (tmp_path / "net.yaml", tmp_path / "trained" / FILE_NAME):
        arch.save(path)
    return tmp_path


def load(folder: Path, contained: str) -> SearchSpace:
    (folder / "own.yaml").write_text(TEXT.replace("CONTAINED", contained), encoding="utf-8")
    return SearchSpace.load(folder / "own.yaml")


@pytest.mark.parametrize(("entry", "name"), [("net.yaml", "net"), ("./net.yaml", "net"), ("trained", "trained")])
def test_a_file_is_a_point_under_the_classes_and_the_size_of_the_space(own, entry, name):
    space = load(own, entry)

    assert space.contains == (name,)
    [(found, point)] = space.published_points()
    assert (found, point) == (name, {"stem.out": 24, "body.expand": 4})
    assert space.architecture(point).num_classes == 12


def test_a_study_keeps_the_network_without_its_file(own):
    facts = study_facts(Plan.of(load(own, "net.yaml")))
    (own / "net.yaml").unlink()
    stored = StudyFacts.from_json(facts.to_json())
    space = SearchSpace.parse(Document(dict(stored.document)))

    assert dict(space.published_points()) == {"net": {"stem.out": 24, "body.expand": 4}}
    assert stored.published == {"net": space.architecture(space.published_points()[0][1]).key}
    assert describe_changes(stored, replace(stored, document={**stored.document, "contains": []})) == (
        "contains = none, was net",
    )


def test_a_network_beyond_a_limit_is_shown_with_its_costs(own):
    plan = Plan.of(load(own, "net.yaml"), limits=("params <= 5k",))
    [beyond] = models_beyond(study_facts(plan), [], plan.limits)

    assert (beyond.name, beyond.metrics) == (
        "net",
        plan.space.architecture(plan.space.published_points()[0][1]).metrics(),
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"out": 32}, ("stem.out is 32", "16, 24")),
        ({"kernel": 5}, ("stem.kernel is 5", "3")),
        ({"block": "mv2"}, ("mv2, mv2", "conv, mv2")),
    ],
)
def test_what_does_not_fit_is_named_with_both_values_and_the_line(own, change, words):
    Architecture.from_dict({"blocks": [ROWS[0] | change, ROWS[1]]}).save(own / "other.yaml")
    with pytest.raises(SpaceError) as raised:
        load(own, "net.yaml, other.yaml")

    assert (raised.value.file, raised.value.line, raised.value.key) == (str(own / "own.yaml"), 7, "contains.other")
    assert all(word in str(raised.value) for word in ("other", *words))


@pytest.mark.parametrize("entry", ["gone.yaml", "empty", "nets/gone", "{name: net}", "3"])
def test_what_is_no_network_is_refused_with_the_line(own, entry):
    (own / "empty").mkdir()
    with pytest.raises(SpaceError) as raised:
        load(own, entry)
    assert raised.value.line == 7


def test_a_mistake_in_the_file_has_the_line_of_that_file(own):
    (own / "net.yaml").write_text("blocks:\n  - {name: a, block: conv, out: many}\n", encoding="utf-8")
    with pytest.raises(ArchitectureError) as raised:
        load(own, "net.yaml")
    assert (raised.value.file, raised.value.line) == (str(own / "net.yaml"), 2)


def test_a_file_does_not_take_the_name_of_another_published_model(own):
    published("mobilevitv3_xs").save(own / "mobilevitv3_xxs.yaml")
    with pytest.raises(SpaceError, match="rename"):
        load(own, "./mobilevitv3_xxs.yaml")
