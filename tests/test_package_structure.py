"""Who may import whom, and which modules stay light."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import mvsearch
from mvsearch.utils import plugins

PACKAGE = Path(__file__).parents[1] / "mvsearch"

LEVELS = [
    {"errors", "_version"},
    {"utils"},
    {"arch"},
    {"metrics", "data"},
    {"space", "scaling", "baselines", "nn"},
    {"training"},
    {"proxies", "export"},
    {"profiling"},
    {"study"},
    {"validation"},
    {"proxy_eval"},
    {"report"},
    {"cli"},
    {"__main__"},
]
"""From the bottom up: a package imports from lower levels and from itself."""

LIGHT = (
    "arch.heads.ssdlite",
    "arch.published",
    "space.search_space",
    "space.exact_front",
    "scaling",
    "baselines",
    "baselines.latencies",
    "metrics.pareto",
    "data",
    "study.plan",
    "study.resolve",
    "study.reader",
    "study.comparison",
    "proxy_eval.rank_correlation",
    "proxy_eval.calibration",
    "proxy_eval.benchmark",
    "training.recipes",
    "report.dominance",
    "report.figures.accuracy_cost",
    "report.figures.proxy_scores",
    "report.figures.front_plot",
    "report.figures.scaling",
    "report.table",
    "report.validation_table",
    "cli.validate",
    "report.diagram",
    "report.page.page",
    "utils.machine",
    "utils.machine_lock",
    "cli.proxies",
    "cli.paper_figures",
    "cli.baselines",
    "cli.train",
)

WITHOUT_OPTUNA = (
    "study.reader",
    "study.resolve",
    "study.comparison",
    "report.figures.front_plot",
    "report.page.page",
    "metrics.pareto",
    "space.exact_front",
    "cli.front",
    "cli.compare",
    "cli.report",
)

FILES = sorted(PACKAGE.rglob("*.py"))


def package_of(module: str) -> str:
    """`arch` of `mvsearch.arch.cost`; `__init__` of the package itself."""
    return (*module.split("."), "__init__")[1]


@cache
def imports_of(path: Path) -> set[str]:
    """The modules of ours that a file imports, also inside functions, and the packages of the plug-ins that it loads.

    Imports for the type checker alone do not count.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in checked_only:
            if node.module == "mvsearch":
                modules |= {f"mvsearch.{alias.name}" for alias in node.names if alias.name != "__version__"}
            elif node.module.startswith("mvsearch."):
                modules |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("plugins.load", "import_module") and node.args:
            modules |= _loaded_by_name(node.args[0])
    return modules


def _loaded_by_name(argument: ast.expr) -> set[str]:
    if isinstance(argument, ast.Constant):
        name = str(argument.value)
        return {plugins.KINDS.get(name, name)} if name in plugins.KINDS or name.startswith("mvsearch.") else set()
    if isinstance(argument, ast.JoinedStr) and isinstance(argument.values[0], ast.Constant):
        start = str(argument.values[0].value)
        return {start.rstrip(".")} if start.startswith("mvsearch.") else set()
    return set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_packages_import_in_one_direction(path):
    level = {package: i for i, packages in enumerate(LEVELS) for package in packages}
    package = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if package == "__init__":
        return
    others = {package_of(module) for module in imports_of(path)} - {package}
    above = sorted(other for other in others if level[other] >= level[package])
    assert not above, f"{package} is below or beside {', '.join(above)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_module_of_another_package_is_imported(path):
    package = path.relative_to(PACKAGE).parts[0]
    private = [
        module
        for module in imports_of(path)
        if package_of(module) != package
        and any(part.startswith("_") for part in module.split(".")[1:-1] if part != "_version")
    ]
    assert not private


def test_every_kind_of_plugin_names_a_package_with_files():
    for kind in plugins.KINDS:
        assert plugins.names(kind), kind


def test_few_modules_stand_in_the_root_of_the_package():
    assert len(list(PACKAGE.glob("*.py"))) <= 6


@pytest.mark.parametrize(("modules", "heavy"), [(LIGHT, "torch"), (WITHOUT_OPTUNA, "optuna")])
def test_light_modules_load_no(modules, heavy):
    """In one process: what none of them loads together, none of them loads alone."""
    code = """
import importlib, sys
for module in sys.argv[2:]:
    importlib.import_module(f"mvsearch.{module}")
    if sys.argv[1] in sys.modules:
        sys.exit(f"{module} loads {sys.argv[1]}")
"""
    done = subprocess.run([sys.executable, "-c", code, heavy, *modules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_public_names_come_without_torch():
    names = "Architecture, SearchSpace, Plan, published, front"
    code = f"import sys; from mvsearch import {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_public_names_are_listed_and_imported_by_a_star():
    imported: dict[str, object] = {}
    exec("from mvsearch import *", imported)
    names = {"Architecture", "Plan", "SearchSpace", "Study", "front", "published", "__version__"}
    assert names <= {*dir(mvsearch)}
    assert names == {*imported} - {"__builtins__"}


def test_every_block_and_every_head_has_its_module():
    assert set(plugins.names("layer")) >= {*plugins.names("block"), *plugins.names("head")}


REPOSITORY = PACKAGE.parent
PRIVATE_OPTUNA = re.compile(r"optuna(\.\w+)*\._|from optuna(\.\w+)* import _|\b(?<!self)\._(trial|study)_id\b")


@pytest.mark.parametrize("folder", ["mvsearch", "tests", "benchmarks"])
def test_optuna_is_used_through_its_public_interface(folder):
    this = Path(__file__)
    files = [path for path in (REPOSITORY / folder).rglob("*.py") if path != this]
    assert [str(path) for path in files if PRIVATE_OPTUNA.search(path.read_text())] == []
