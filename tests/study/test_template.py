"""`mvsearch space --template`: a commented file for a family, a model, a space or a budget, which `run` can search."""

import pytest
from command import assert_refused

from mvsearch.arch.published import model_names, published
from mvsearch.errors import PlanError
from mvsearch.metrics.constraints import Constraint
from mvsearch.space.search_space import SearchSpace
from mvsearch.space.shipped import find_space
from mvsearch.study.first_space import rows_text
from mvsearch.study.plan import Plan
from mvsearch.study.template import families, template, template_names
from mvsearch.utils.yaml_document import parse


def plan(text: str) -> Plan:
    return Plan.of(SearchSpace.parse(parse(text)))


@pytest.mark.parametrize("name", [name for name in families() if name not in ("mobilevitv2", "mobilevitv3")])
def test_a_family_is_open_around_its_smallest_model_which_is_a_point(name):
    text = template(name)
    space, smallest = plan(text).space, families()[name][0]

    assert smallest in space.contains
    assert space.architecture(space.find_point(published(smallest))).key == published(smallest).key
    assert space.size > 1_000
    assert text.startswith(f"# Networks around {smallest}: ")
    plan(text).check_constraints(published(smallest).metrics())  # raises where it is beyond them


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("ablation_2_conv1x1", "mobilenetv4_conv_m") else pytest.mark.slow)
        for name in model_names()
    ],
)
def test_any_published_model_has_a_template_and_contains_it(name):
    space = plan(template(name)).space
    assert name in space.contains
    costs = space.costs(200)
    assert costs.params.min() < published(name).cost().params < costs.params.max()


def test_a_space_and_the_families_of_the_shipped_spaces_are_their_files_which_init_takes_its_rows_from():
    for name, space in {"mixed": "mixed", "quick": "quick", "mobilevitv3": "v3", "mobilevitv2": "v2"}.items():
        assert template(name) == find_space(space).read_text(encoding="utf-8")
    assert rows_text() in template("mobilevitv3")


def test_limits_replace_those_of_the_same_side_and_the_study_has_the_given_name():
    text = template("v3", [Constraint.parse("params<=1.5M"), Constraint.parse("operators <= 450")], study="mine")

    mine = plan(text)
    assert mine.search.limits == ("macs <= 2.1G", "params <= 1.5M", "operators <= 450")
    assert mine.name == "mine"


def test_the_command_prints_or_writes_the_file(mvsearch):
    printed = mvsearch("space", "--template", "starnet")
    assert plan(printed.out).space.contains == ("starnet_s1",)
    written = mvsearch("space", "--template", "params=1.5M", "-o", "small one.yaml")
    assert "mvsearch run small one.yaml" in written.out
    mixed = Plan.load("small one.yaml")
    assert (mixed.name, mixed.search.limits) == ("small_one", ("macs <= 900M", "params <= 1.5M"))
    assert mvsearch("space", "--template", "repvit", "--json").json["text"] == template("repvit")
    assert "--force" in assert_refused(mvsearch, "space", "--template", "starnet", "-o", "small one.yaml")


@pytest.mark.parametrize(
    ("arguments", "decisive"),
    [
        (("mixd",), ["did you mean 'mixed'?"]),
        (("StarNet",), ["did you mean 'starnet'?"]),
        (("params=3M,macs=200M",), ["write one, and the others with --limit"]),
        (("params=1,5M",), ["did you mean 'params <= 1.5M'"]),
        (("params=10k",), ["mvsearch: --template: search.limits: no point satisfies", "382,392"]),
        (("latency=3",), ["latency_ms"]),
        (("v2", "--limit", "params <= 1M", "--limit", "params >= 2M"), ["contradict"]),
    ],
)
def test_bad_input_names_what_exists(mvsearch, arguments, decisive):
    refusal = assert_refused(mvsearch, "space", "--template", *arguments)
    assert [words for words in decisive if words not in refusal] == []


@pytest.mark.parametrize("arguments", [(), ("v3", "--template", "v3"), ("v3", "-o", "x.yaml")])
def test_options_that_do_not_go_together_are_usage_errors(mvsearch, arguments):
    assert mvsearch("space", *arguments).code == 2


def test_an_unknown_template_lists_all():
    with pytest.raises(PlanError) as caught:
        template("nothing")
    assert all(name in str(caught.value) for name in template_names())
