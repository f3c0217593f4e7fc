"""Tables fit the terminal: at 80 and 100 columns every number is whole, and no line of a table is longer."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mvsearch.study.plan import Plan
from mvsearch.study.study import Study
from mvsearch.utils.fitted_table import FittedTable, shorten

ROOT = Path(__file__).parents[2]
XXS, XS = "mobilevitv3_xxs", "mobilevitv3_xs"
COMMANDS = (
    ("models",),
    ("models", "--task", "segmentation"),
    ("models", "--task", "detection"),
    ("baselines", "--sources"),
    ("studies",),
    ("front", "v3", "--calibrate"),
    ("front", "v3", "--all", "--calibrate", "--baselines"),
    ("compare", "v3", "other"),
    ("show", XXS),
    ("show", XXS, "--diff", "mobilevitv1_s"),
    ("profile", f"{XXS}+deeplabv3"),
    ("space", "quick.yaml"),
    ("space", "quick.yaml", "--front", "--limit", "params >= 300k"),
    ("scale", XXS, "--to", "params=2M"),
    ("scale", XXS, "--grid", "0.5,0.75,1"),
    ("data", "list"),
    ("data", "check", "photos"),
    ("cache", "v3"),
    ("proxies", "--proxy", "params", "--data", "photos"),
)


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    """A folder with two studies of the space v3, with scores in closed form."""
    folder = tmp_path_factory.mktemp("studies")
    for name, sign in (("v3", 1), ("other", -1)):
        options = {"name": name, "objectives": ("loss", "params"), "trials": 8, "sampler": "random"}
        plan = replace(Plan.load(ROOT / "spaces" / "v3.yaml", **options), studies=folder / "studies")

        def scores(arch, sign=sign):
            return {**arch.metrics(), "loss": 3 + sign / arch.cost().macs ** 0.1}

        Study.join(plan).run(scores, trials=8)
    return folder


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_numbers_are_whole_and_lines_fit(mvsearch, monkeypatch, studies, args):
    (studies / "quick.yaml").write_text(Path("quick.yaml").read_text("utf-8"), "utf-8")
    monkeypatch.chdir(studies)

    def printed(columns: int) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        done = mvsearch(*args)
        assert done.code == 0, done.err
        return done.out

    numbers = _numbers(printed(400))
    for columns in (80, 100):
        text = printed(columns)
        assert numbers - _numbers(text) == set()
        assert [line for line in text.splitlines() if len(line) > columns and "  " in line.strip()] == []
        assert [word for word in text.split() if "…" in word and not re.search("[a-z]", word)] == []


def _numbers(text: str) -> set[str]:
    """The words that are numbers; seconds of this run differ from those of another."""
    text = re.sub(r"[\d.]+ s;", "", text)
    return {word.strip("();,:") for word in text.split() if re.fullmatch(r"[-+±(]*\d[\d.,]*[%);:]*", word)}


def test_no_other_module_makes_a_table():
    texts = {path.name: path.read_text("utf-8") for path in (ROOT / "mvsearch").rglob("*.py")}
    assert [name for name, text in texts.items() if "rich.table" in text and re.search(r"\bTable\(", text)] == [
        "fitted_table.py"
    ]


def table(*names: str, columns: int = 12) -> FittedTable:
    made = FittedTable(title="title")
    made.add_column("architecture", no_wrap=True)
    for i in range(columns):
        made.add_column(f"long head {i}", justify="right")
    for name in names:
        made.add_row(name, *(f"{10**6 + i:,}" for i in range(columns)))
    return made


def lines(made: FittedTable, width: int) -> list[str]:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(made)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 300])
def test_every_width_has_all_columns_and_distinct_names(width):
    names = ("mobilevitv3_xxs_one_deeplabv3", "mobilevitv3_xxs_two_deeplabv3")
    shown = lines(table(*names), width)
    text = "\n".join(shown)
    assert max(map(len, shown)) <= width
    assert all(text.count(f"{10**6 + i:,}") == 2 for i in range(12))
    assert text.count("title") == 1
    rows = {line.split()[0] for line in shown if "1,000,0" in line}
    assert len(rows) == 2


def test_a_table_that_fits_is_not_changed():
    assert lines(table("a", columns=1), 80)[1:] == [
        "                            ",
        " architecture   long head 0 ",
        " ────────────────────────── ",
        " a                1,000,000 ",
        "                            ",
    ]


@pytest.mark.parametrize(
    ("width", "short"), [(30, "mobilevitv3_xxs"), (15, "mobilevitv3_xxs"), (9, "mobi…_xxs"), (1, "m…s")]
)
def test_names_shorten_in_the_middle(width, short):
    assert shorten("mobilevitv3_xxs", width) == short
