"""The wheel: it contains every file of the package and the spaces, and works in an empty environment and folder."""

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from command import assert_refused

from mvsearch.space.shipped import find_space, shipped_spaces

ROOT = Path(__file__).parents[2]
GROUND_TRUTH = "benchmarks/ground_truth"
SOURCES = ("mvsearch", "spaces", GROUND_TRUTH, "pyproject.toml", "setup.py", "README.md", "LICENSE")
pytestmark = pytest.mark.skipif(shutil.which("pip") is None, reason="needs pip")


def pip(*arguments: str, python: str = sys.executable) -> None:
    command = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of a copy of the sources, so that the checkout stays clean."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder / "dist"), str(folder))
    (built,) = (folder / "dist").iterdir()
    return Path(built)


def test_the_wheel_contains_every_file_of_the_package_and_the_spaces(wheel):
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "mvsearch").rglob("*") if path.is_file()}
    package = {path for path in package if "__pycache__" not in path}
    spaces = {f"mvsearch/spaces/{path.name}" for path in (ROOT / "spaces").iterdir()}
    tables = [ROOT / GROUND_TRUTH / "networks.yaml", *(ROOT / GROUND_TRUTH).glob("cifar10*.csv")]
    with zipfile.ZipFile(wheel) as archive:
        contained = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert contained == package | spaces | {f"mvsearch/ground_truth/{path.name}" for path in tables}


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> str:
    """An empty environment with the wheel. Its other packages are those of this environment, without mvsearch.

    A path in a .pth file is added without the .pth files there, so an editable installation is not importable.
    """
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, symlinks=True)
    scripts, purelib = (
        Path(sysconfig.get_path(name, "venv", {"base": str(folder)})) for name in ("scripts", "purelib")
    )
    (purelib / "packages.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    pip("install", "--no-deps", "--no-index", str(wheel), python=str(scripts / "python"))
    return str(scripts / "python")


SCRIPT = """
import json, sys
from mvsearch.cli.main import cli
from mvsearch.utils.installation import install_hint, source_tree
import mvsearch
assert source_tree() is None, mvsearch.__file__
print(json.dumps([mvsearch.__file__, install_hint("onnx")]))
for line in sys.argv[1:]:
    cli.main(line.split(), standalone_mode=False)
    print(flush=True)
"""


def test_the_main_commands_run_from_the_wheel_in_an_empty_folder(wheel, python, tmp_path):
    lines = (
        "models --json",
        "space v3 --json",
        "run v3 --objective params --objective macs --trials 1 --workers 1 --json",
        "front v3 --json",
        "export v3:0 --to torch -o net.py --no-verify",
        "show v3:0",
        "proxies --against ground_truth --proxy macs --data photos --json",
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = {"cwd": tmp_path, "env": environment, "capture_output": True, "encoding": "utf-8", "check": False}
    done = subprocess.run([python, "-c", SCRIPT, *lines], **run)
    assert done.returncode == 0, done.stderr
    file, hint = json.loads(done.stdout.partition("\n")[0])
    assert file.startswith(str(Path(python).parents[1]))
    assert hint.endswith(f"'mvsearch-nas[onnx] @ {wheel.as_uri()}'")
    assert {"net.py", "studies"} <= {path.name for path in tmp_path.iterdir()}
    command = subprocess.run([Path(python).with_name("mvsearch"), "space", "nowhere"], **run)
    assert command.returncode == 1
    assert "detection, fusion, int8, mixed, quick, segmentation, v2, v3" in command.stderr


# ---- spaces by name


def test_the_spaces_of_this_source_tree_have_their_names():
    assert shipped_spaces() == {path.stem: path for path in (ROOT / "spaces").glob("*.yaml")}


def test_a_file_is_preferred_to_a_space_of_its_name_and_a_folder_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("v2").mkdir()
    Path("v3").write_text("blocks: []", encoding="utf-8")
    assert find_space("v2") == ROOT / "spaces" / "v2.yaml"
    assert find_space("v3") == Path("v3")


@pytest.mark.parametrize("name", ["v33", "v3.yaml", "spaces/v3.yaml"])
def test_a_name_that_is_nearly_a_space_gets_a_suggestion(mvsearch, name):
    refusal = assert_refused(mvsearch, "space", name)
    assert f"{name}: " in refusal
    assert "'v3'" in refusal


@pytest.mark.parametrize("command", ["run", "space"])
def test_help_lists_the_spaces(mvsearch, command):
    assert ", ".join(shipped_spaces()) in " ".join(mvsearch(command, "--help").out.split())
