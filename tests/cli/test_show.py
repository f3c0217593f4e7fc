import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from rich.console import Console

from mvsearch.arch.architecture import Head
from mvsearch.arch.published import model_names, published
from mvsearch.report.diagram import PLAIN, ROUND, Diagram, difference_table, stage_table
from mvsearch.report.figures.architecture_diff import difference, parts, total
from mvsearch.report.figures.architecture_diff_plot import draw_architectures
from mvsearch.report.figures.palette import LIGHT


def render_text(*shown: object, width: int = 80, ascii_only: bool = False) -> list[str]:
    console = Console(width=width, force_terminal=False, color_system=None)
    if ascii_only:
        console.options.encoding = "ascii"
    with console.capture() as capture:
        console.print(*shown)
    return capture.get().splitlines()


@pytest.mark.parametrize("name", model_names())
def test_the_parts_are_all_of_an_architecture_and_cost_what_it_costs(name):
    arch = published(name)
    some = parts(arch)

    assert [part.name for part in some] == ["image", *(row.name for row in arch.blocks), "head"]
    assert total(some) == arch.cost()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", model_names())
def test_table_and_diagram_fit_the_terminal_and_cut_nothing(name, width):
    arch = published(name)
    other = published("mobilevitv1_s")
    differences = difference_table(arch, other), difference_table(arch, other, costs_of_second=True)
    for renderable in (stage_table(arch), Diagram(arch), *differences):
        lines = render_text(renderable, width=width)
        assert max(map(len, lines)) <= width
        assert "…" not in "".join(lines)


def test_a_diagram_has_a_box_for_each_stage_with_its_shape_and_its_shares():
    text = "\n".join(render_text(Diagram(published("mobilevitv3_s")), width=120))

    assert text.count("╭") == text.count("╯") == 11
    assert "params (5.76 M)" in text
    assert "mobilevit: dim 192, depth 4" in text
    assert "256 x 16 x 16" in text
    assert "30.8 %" in text
    assert "1000 classes" in text


def test_the_largest_part_has_the_longest_bar_and_the_smallest_is_still_seen():
    rows = [line for line in render_text(Diagram(published("mobilevitv3_s"))) if "%" in line]
    bars = [line.split("│")[-1] for line in rows]
    lengths = [sum(bar[:25].count(block) for block in "█▏▎▍▌▋▊▉") for bar in bars]

    assert max(lengths) == lengths[8]
    assert min(lengths) == 1


@pytest.mark.parametrize(
    ("pen", "length", "drawn"), [(ROUND, 2.5, "██▌"), (PLAIN, 2.5, "###"), (ROUND, 0.001, "▏"), (PLAIN, 0, "")]
)
def test_a_bar_is_as_long_as_its_value(pen, length, drawn):
    assert pen.bar(length) == drawn


def test_a_terminal_without_such_signs_gets_plain_ones():
    console = Console(width=80, file=open("/dev/null", "w", encoding="ascii"))  # noqa: PTH123, SIM115
    with console.capture() as capture:
        console.print(Diagram(published("mobilevitv3_xxs")))

    assert capture.get().isascii()


def test_fields_that_are_as_the_block_has_them_are_not_repeated_and_others_are_said():
    v3, v1 = (
        next(p for p in parts(published(name)) if p.name == "layer3") for name in ("mobilevitv3_s", "mobilevitv1_s")
    )

    assert v3.words == "dim 144, depth 2"
    assert v1.words == "dim 144, depth 2, local dense, fusion 3, concat input, add_input false"


def test_two_architectures_differ_where_a_field_does_and_costs_add_up():
    first, second = published("mobilevitv3_xxs"), published("mobilevitv3_xxs_l2")
    changes = difference(first, second)

    assert {change.name: change.fields for change in changes if change.mark} == {"layer4": {"depth": (4, 2)}}
    assert sum(change.costs[0].params for change in changes) == first.cost().params
    assert sum(change.costs[1].macs for change in changes) == second.cost().macs


def test_a_row_that_is_repeated_in_one_of_two_architectures_differs_in_words():
    first = published("repvit_m0_9")
    second = replace(first, blocks=tuple(replace(block, repeat=1) for block in first.blocks))

    words = {change.name: change.words() for change in difference(first, second) if change.mark}
    assert words == {"layer1": "repeat 2→1", "layer2": "repeat 2→1", "layer3": "repeat 14→1", "layer4": "repeat 2→1"}


def test_rows_that_only_one_has_are_marked_and_so_are_image_and_head():
    first = published("mobilevitv1_s")
    second = replace(published("mobilevitv2_1.0"), image_size=384, head=Head(linear=False))
    marks = {change.name: change.mark for change in difference(first, second)}
    back = {change.name: change.mark for change in difference(second, first)}

    assert (marks["final"], back["final"]) == ("-", "+")
    assert marks["image"] == marks["head"] == "~"
    assert "only in the first" in "\n".join(render_text(difference_table(first, second)))


def test_the_same_network_has_no_differences():
    assert not any(change.mark for change in difference(published("mobilevitv3_s"), published("mobilevitv3_s")))


@pytest.mark.parametrize("names", [["mobilevitv3_s"], ["mobilevitv1_s", "mobilevitv2_1.0"]])
def test_figures_are_whole_and_the_same_each_time(names, tmp_path):
    archs = [published(name) for name in names]
    for kind in ("png", "svg"):
        (tmp_path / f"a.{kind}").write_bytes(draw_architectures(archs, "50 $ & <more>", kind, LIGHT))

    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert Image.open(tmp_path / "a.png").size[0] == 1170
    assert draw_architectures(archs, "50 $ & <more>", "svg", LIGHT) == (tmp_path / "a.svg").read_bytes()


# ---- the command


def test_show_and_profile_say_the_same_numbers(printed):
    shown = json.loads(printed("show", "mobilevitv3_xxs", "--json"))
    profile = json.loads(printed("profile", "mobilevitv3_xxs", "--json"))

    assert {key: value for key, value in shown.items() if key != "stages"} == {
        key: value for key, value in profile.items() if key != "stages"
    }
    assert [{k: v for k, v in stage.items() if k != "fields"} for stage in shown["stages"]] == profile["stages"]


def test_a_difference_as_json_has_both_values_of_what_differs(printed):
    document = json.loads(printed("show", "mobilevitv3_xxs", "--diff", "mobilevitv3_xxs_l2", "--json"))

    assert document["second"]["params"] == 1_145_288
    assert [part["fields"] for part in document["parts"] if part["mark"]] == [{"depth": [4, 2]}]


def test_the_costs_of_a_difference_are_those_of_the_first_and_the_line_above_says_so(printed):
    first, *_, total = filter(str.strip, printed("show", "mobilevitv3_xxs", "--diff", "mobilevitv3_xs").splitlines())

    assert first == "mobilevitv3_xxs, and the change to mobilevitv3_xs:"
    assert total.split() == ["total", "1.25", "M", "+1.24", "M", "332", "M", "+634", "M"]


def test_what_is_the_same_network_is_said_to_be(printed):
    out = printed("show", "mobilevitv3_s_unscaled", "--diff", "ablation_5_all_s_unscaled")

    assert "mobilevitv3_s_unscaled and ablation_5_all_s_unscaled are the same network, key " in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("mobilevitv3_xss",), "did you mean 'mobilevitv3_xs"),
        (("mobilevitv3_xs", "--diff", "nothing"), "'nothing'"),
        (("mobilevitv3_xs", "--plot", "a.html"), "use .png or .svg."),
        (("mobilevitv3_xs", "--plot", "nowhere/a.svg"), "cannot be written"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(printed, arguments, says):
    before = sorted(Path().iterdir())
    err = printed("show", *arguments, code=1)

    assert says in err
    assert len(err.splitlines()) == 1
    assert sorted(Path().iterdir()) == before


def test_showing_loads_no_torch(tmp_path):
    code = (
        "import sys\nfrom mvsearch.cli.main import cli\n"
        "cli(['show', 'mobilevitv3_s', '--diff', 'mobilevitv1_s', '--plot', 'a.svg'], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0
