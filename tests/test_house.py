"""The house's rules: who may import whom, and which rooms stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mvsearch"

LEVELS = [
    {"errors", "cost", "connection"},
    {"plugins", "record", "files"},
    {"yamlfile", "expression", "blocks", "machine", "pareto", "worker"},
    {"limits", "confirm"},
    {"heads"},
    {"architecture"},
    {"models", "terms", "data", "store"},
    {"beats", "locate", "nn", "reading", "ranking"},
    {"training"},
    {"tasks"},
    {"calibration", "space", "finding", "counters", "proxies", "comparison", "scaling", "rivals", "memory"},
    {"report", "sums"},
    {"exact", "exporters"},
    {"plan", "latency"},
    {"samplers", "evaluate", "verify", "bench", "protocol", "recipes"},
    {"trials", "judge", "contest", "ancestry"},
    {"trainer"},
    {"study", "archive"},
    {"executors"},
    {"cli"},
    {"__main__"},
]
"""From the ground up: a room imports from lower levels, and from its own."""

LIGHT = (
    "heads.ssdlite",
    "space",
    "plan",
    "scaling",
    "exact",
    "models",
    "finding",
    "reading",
    "pareto",
    "comparison",
    "ranking",
    "calibration",
    "rivals",
    "judge",
    "cli.proxies",
    "cli.figures",
    "cli.rivals",
    "report.arena",
    "report.rivalry",
    "rivals.times",
    "report.scatter",
    "report.table",
    "report.plot",
    "report.growth",
    "report.diagram",
    "report.page.page",
    "data",
    "machine",
    "recipes",
    "cli.train",
)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """The rooms that a file imports, also inside functions; imports for the type checker alone do not count."""
    tree = ast.parse(path.read_text())
    checked_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in checked_only or not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        parts = node.module.split(".")
        if parts[0] == "mvsearch":
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found - {"__version__"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward_only(path):
    level = {room: i for i, rooms in enumerate(LEVELS) for room in rooms}
    room = room_of(path)
    if room == "__init__":
        return
    above = [other for other in imports_of(path) if other != room and level[other] >= level[room]]
    assert not above, f"{room} is below or beside {', '.join(above)}"


@pytest.mark.parametrize("room", LIGHT)
def test_light_rooms_load_no_torch(room):
    code = f"import sys, mvsearch.{room}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "room",
    [
        "reading",
        "finding",
        "comparison",
        "report.plot",
        "report.page.page",
        "pareto",
        "exact",
        "cli.front",
        "cli.compare",
        "cli.report",
    ],
)
def test_reading_a_study_loads_no_optuna(room):
    code = f"import sys, mvsearch.{room}; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_public_names_come_without_torch():
    names = "Architecture, SearchSpace, Plan, published, front"
    code = f"import sys; from mvsearch import {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_block_and_every_head_has_its_module():
    from mvsearch import plugins

    assert {path.stem for path in (PACKAGE / "nn").glob("*.py")} >= {*plugins.names("blocks"), *plugins.names("heads")}
