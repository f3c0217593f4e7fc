"""Other tools, corrected by what they miss and what they add, agree exactly with the closed form."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from effort import wider_are_slow
from small import PLAIN
from torch import nn

from mvsearch import published
from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import model_names
from mvsearch.cli.main import cli
from mvsearch.errors import EnvironmentFault
from mvsearch.nn import build
from mvsearch.profiling.counters import Count, Missed, _fused, load_counter
from mvsearch.utils import plugins, yaml_document

pytestmark = pytest.mark.usefixtures("one_thread")

COUNTERS = plugins.names("counter")
SIZES = (96, pytest.param(160, marks=pytest.mark.slow), pytest.param(224, marks=pytest.mark.slow), 256)
"""At 96, 160 and 224 px the grid of the last stage is odd, so it is resized for its patches; at 256 px none is."""

SORTS = ("mobilevitv1_xxs", "mobilevitv3_xxs", "mobilevitv2_0.5", "mobilevitv3_0.5", "ablation_2_conv1x1")
"""One of each family and fusion."""

FVCORE_TOTAL = {
    "mobilevitv1_xxs": 418183680,
    "mobilevitv3_xxs": 343298048,
    "mobilevitv3_s_l2": 1702005248,
    "mobilevitv2_0.5": 480454656,
    "mobilevitv3_0.5": 495659008,
    "mobilevitv3_0.5_384": 1114912768,
    "ablation_2_conv1x1": 1789065216,
}
"""What fvcore counts of the authors' code, whose attention is not fused, so that it misses none."""

ATTENTION = "scaled_dot_product_attention"


def count(tool: str, arch: Architecture) -> Count:
    return load_counter(tool)(arch)


def test_there_are_three():
    assert COUNTERS == ("dispatch", "fvcore", "thop")


@pytest.mark.parametrize("tool", COUNTERS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SORTS)
def test_corrected_a_tool_agrees_with_the_closed_form(name, size, tool):
    arch = published(name).at(image_size=size)
    counted = count(tool, arch)

    assert counted.exact == arch.cost().macs
    assert counted.exact_params == arch.cost().params
    assert sum(counted.by_operator.values()) == counted.macs
    assert counted.extra.items() <= counted.by_operator.items()
    assert "exactly the closed form" in counted.sentence(arch.cost().macs)


@pytest.mark.parametrize("name", wider_are_slow(model_names()))
def test_torch_counts_every_published_model_right_by_itself(name):
    counted = count("dispatch", published(name).at(image_size=256))
    cost = published(name).at(image_size=256).cost()

    assert (counted.macs, counted.params) == (cost.macs, cost.params)
    assert not counted.extra
    assert not any(missed.macs for missed in counted.missed.values())


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["fvcore", "thop"])
@pytest.mark.parametrize("name", [name for name in model_names() if name not in SORTS])
def test_the_other_tools_agree_on_every_other_model_at_a_small_size(name, tool):
    arch = published(name).at(image_size=64)
    assert count(tool, arch).exact == arch.cost().macs


@pytest.mark.parametrize(
    "name", [name if name in SORTS[:4] else pytest.param(name, marks=pytest.mark.slow) for name in FVCORE_TOTAL]
)
def test_fvcore_and_what_it_misses_are_its_total_on_the_authors_unfused_code(name):
    counted = count("fvcore", published(name))
    assert counted.macs + sum(missed.macs for missed in counted.missed.values()) == FVCORE_TOTAL[name]


@pytest.mark.parametrize("tool", ["fvcore", "thop"])
def test_both_tools_miss_every_attention_of_the_softmax_family(tool):
    # Nine transformer layers; both products of N tokens, D wide, at four places of a patch: 2 N N D each.
    products = 2 * 4 * (2 * 256**2 * 64 + 4 * 64**2 * 80 + 3 * 16**2 * 96)
    counted = count(tool, published("mobilevitv3_xxs"))

    assert counted.missed[ATTENTION] == Missed(calls=9, macs=products)
    assert [name for name, missed in counted.missed.items() if missed.macs] == [ATTENTION]
    assert count(tool, published("mobilevitv3_xxs_l2")).missed[ATTENTION].calls == 7


@pytest.mark.parametrize("tool", COUNTERS)
def test_nothing_is_missed_of_separable_attention(tool):
    counted = count(tool, published("mobilevitv3_0.5"))
    assert not any(missed.macs for missed in counted.missed.values())


def test_fvcore_adds_norms_and_resizing():
    divided = count("fvcore", published("mobilevitv3_xxs"))
    resized = count("fvcore", published("mobilevitv3_xxs").at(image_size=224))

    assert divided.extra == {"batch_norm": 8359936, "layer_norm": 2775040}
    assert resized.extra.keys() == {"batch_norm", "layer_norm", "upsample_bilinear2d"}
    assert {"silu", "add", "mean"} <= divided.missed.keys()


def test_thop_has_no_rule_for_group_norm_and_loses_its_parameters():
    arch = published("mobilevitv3_0.5")
    counted = count("thop", arch)

    assert counted.missed["GroupNorm"] == Missed(calls=21, params=4160)
    assert counted.missed["SiLU"].calls == 16 + 9  # of convolutions, and of the feed-forward layers
    assert counted.params == arch.cost().params - 4160
    assert counted.extra.keys() == {"BatchNorm2d"}


@pytest.mark.parametrize("tool", COUNTERS)
@pytest.mark.parametrize("head", [{"linear": False}, {"pool": "max"}])
def test_other_heads_and_classes_are_counted_too(head, tool):
    arch = published("mobilevitv3_xxs").at(image_size=64, num_classes=10)
    arch = replace(arch, head=replace(arch.head, **head))
    assert count(tool, arch).exact == arch.cost().macs


@pytest.mark.parametrize("tool", COUNTERS)
def test_counting_leaves_random_state_gradients_and_later_networks_alone(tool):
    arch = published("mobilevitv3_xxs").at(image_size=64)
    keys = list(build(arch, seed=0).state_dict())
    state = torch.get_rng_state()
    count(tool, arch)

    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    later = build(arch, seed=0)
    assert list(later.state_dict()) == keys
    assert not any(module._forward_hooks for module in later.modules())


@pytest.mark.parametrize("tool", COUNTERS)
def test_the_same_architecture_is_counted_the_same(tool):
    arch = published("mobilevitv3_0.5").at(image_size=64)
    assert count(tool, arch) == count(tool, arch)


@pytest.mark.parametrize("tool", COUNTERS)
def test_a_tool_prints_nothing(tool, capfd, caplog, recwarn):
    count(tool, published("mobilevitv3_xxs").at(image_size=72))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not recwarn.list


def test_nothing_but_its_own_counter_needs_thop(tmp_path):
    """thop is optional: the commands and the other counters work without it."""
    file = tmp_path / "plain.yaml"
    file.write_text(yaml_document.dump(PLAIN), encoding="utf-8")
    code = (
        "import sys; sys.modules['thop'] = None\n"
        "from mvsearch.cli.main import main\n"
        f"sys.argv = ['mvsearch', 'profile', {str(file)!r}, '--counter', 'dispatch', '--json']\n"
        "main()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["counter"]["tool"] == "torch FlopCounterMode"


@pytest.mark.parametrize(("tool", "module"), [("fvcore", "fvcore.nn"), ("thop", "thop.profile")])
def test_a_tool_that_is_not_installed_is_named(tool, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EnvironmentFault, match=rf"'{tool}' .*\[counters\]"):
        count(tool, published("mobilevitv3_xxs"))


class Cross(nn.Module):
    """Attention of 5 queries to 7 keys of width 4, with values of width 6; called by position or by name."""

    def forward(self, _images: torch.Tensor) -> torch.Tensor:
        query, key, value = torch.zeros(2, 3, 5, 4), torch.zeros(2, 3, 7, 4), torch.zeros(2, 3, 7, 6)
        by_position = F.scaled_dot_product_attention(query, key, value, None, 0.0)
        return by_position + F.scaled_dot_product_attention(query=query, key=key, value=value, scale=1.0)


def test_attention_is_counted_at_the_shapes_of_its_call():
    one = 2 * 3 * (5 * 4 * 7 + 5 * 7 * 6)
    assert _fused.missed_attention(Cross(), torch.zeros(1)) == {ATTENTION: Missed(calls=2, macs=2 * one)}


TOY = Count(
    tool="tool",
    version="1.0",
    params=900,
    macs=1_500,
    by_operator={"conv": 1_200, "norm": 300},
    missed={"attention": Missed(3, macs=4_000), "odd": Missed(2, params=100), "silu": Missed(5), "add": Missed(1)},
    extra={"norm": 300},
)


def test_the_sentence_says_what_is_missed_and_added_and_whether_it_agrees():
    assert TOY.sentence(5_200).splitlines() == [
        "tool 1.0 counts 1,500 MACs and 900 parameters.",
        "It misses attention (3 calls: 4,000 MACs) and odd (2 calls: 100 parameters).",
        "It adds 300 for norm, which the closed form does not count.",
        "It also skips silu (5) and add (1), for which nothing is added here.",
        "The corrected total is 5,200 MACs, exactly the closed form.",
    ]
    assert (TOY.exact, TOY.exact_params) == (5_200, 1_000)


def test_the_sentence_of_a_tool_that_misses_nothing_is_short():
    plain = replace(TOY, missed={}, extra={}, macs=1_200)
    assert plain.sentence(1_200).splitlines() == [
        "tool 1.0 counts 1,200 MACs and 900 parameters.",
        "The total is 1,200 MACs, exactly the closed form.",
    ]


@pytest.mark.parametrize(
    ("closed_form", "ending"), [(5_000, "200 more than the closed form."), (5_207, "7 fewer than the closed form.")]
)
def test_the_sentence_says_by_how_much_it_disagrees(closed_form, ending):
    assert TOY.sentence(closed_form).endswith(ending)


@pytest.mark.parametrize("tool", COUNTERS)
def test_profile_shows_the_count(tool):
    shown = CliRunner().invoke(cli, ["profile", "mobilevitv3_xxs", "--counter", tool])
    assert shown.exit_code == 0
    assert "332,163,072 MACs, exactly the closed form." in shown.stdout

    facts = CliRunner().invoke(cli, ["profile", "mobilevitv3_xxs", "--counter", tool, "--json"])
    counted = json.loads(facts.stdout)["counter"]
    added = sum(counted["extra"].values())
    assert counted["macs"] - added + sum(missed["macs"] for missed in counted["missed"].values()) == 332163072
