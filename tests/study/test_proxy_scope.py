"""A space with networks unlike those that its score was compared on is told so in one line."""

import pytest
from command import QUICK

from mvsearch.cli._search import join
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.plan import Plan
from mvsearch.study.proxy_scope import scope_note
from mvsearch.utils import yaml_document


def note(change=(), **flags):
    text = QUICK
    for old, new in change:
        assert old in text
        text = text.replace(old, new)
    return scope_note(Plan.of(SearchSpace.parse(yaml_document.parse(text, "toy.yaml")), **flags))


def test_the_spaces_of_the_family_within_the_compared_sizes_are_silent():
    for name in ("v3", "v2", "fusion"):
        assert scope_note(Plan.load(name)) is None


def test_the_loss_is_known_at_the_costs_of_the_networks_that_were_trained_in_full():
    loss = {"objectives": ("loss", "params", "macs")}
    assert scope_note(Plan.load("v3_small")) is None
    assert "% are larger" in scope_note(Plan.load("v3", **loss))
    assert "mobilevitv2 blocks" in scope_note(Plan.load("v2", **loss))


def test_sizes_that_were_never_compared_are_counted():
    assert "28.5% are smaller" in note()
    assert note(limits=("params >= 1.1M",)) is None
    assert "100.0% are smaller" in note(limits=("params <= 0.9M",))


def test_a_score_that_holds_for_any_network_is_silent():
    assert note(objectives=("top1", "params")) is None
    assert scope_note(Plan.load("segmentation")) is None


@pytest.mark.parametrize("kind", ["mixed", "none"])
def test_another_family_is_named(kind):
    data = yaml_document.parse(QUICK, "toy.yaml").data
    for row in data["blocks"]:
        if row["block"] == "mobilevit" and (kind == "none" or row["name"] == "layer5"):
            extra = {} if kind == "none" else {"dim": row["dim"], "depth": row["depth"], "fusion": 1}
            row_block = "conv" if kind == "none" else "mobilevitv2"
            kept = {key: row[key] for key in ("name", "out") if key in row}
            row.clear()
            row.update(kept | {"block": row_block} | extra)
    data |= {"contains": []}
    if kind == "none":
        del data["vars"]["ratio"]
    found = scope_note(Plan.of(SearchSpace.parse(yaml_document.Document(data))))
    assert ("mobilevit and mobilevitv2" if kind == "mixed" else "no transformer") in found


def test_run_prints_it_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    join(Plan.of(SearchSpace.parse(yaml_document.parse(QUICK, "toy.yaml"))))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("was compared with full trainings of") == 1
