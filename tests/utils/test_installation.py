"""What a hint tells a user to install, for each way in which mvsearch can be installed; imports tried one by one."""

import ast
import json
import re
from pathlib import Path

import pytest

from mvsearch.export.formats import format_names, load_format
from mvsearch.utils import installation
from mvsearch.utils.import_check import import_failures
from mvsearch.utils.installation import DISTRIBUTION, install_command, install_hint, requirements, source_tree

PACKAGE = Path(__file__).parents[2] / "mvsearch"
METADATA = f"""Metadata-Version: 2.4
Name: {DISTRIBUTION}
Version: 0.1.0
Requires-Dist: click>=8.1
Requires-Dist: fvcore>=0.1
Requires-Dist: fvcore>=0.1; extra == "counters"
Requires-Dist: onnx>=1.18; extra == "onnx"
Requires-Dist: onnxruntime>=1.22; (python_version >= "3.11") and extra == "onnx"
Requires-Dist: winonly>=1; sys_platform == "never" and extra == "onnx"
Provides-Extra: counters
Provides-Extra: onnx
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Makes mvsearch look installed, not imported from a source tree, with what pip records of its origin."""
    monkeypatch.setattr(installation, "source_tree", lambda: None)
    monkeypatch.setattr(installation, "find_spec", lambda _name: object())
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "mvsearch_nas-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(METADATA, encoding="utf-8")

    def record(**origin: object) -> None:
        (folder / "direct_url.json").write_text(json.dumps(origin), encoding="utf-8")

    return record


def test_a_source_tree_is_installed_again_with_the_extra():
    assert source_tree() == PACKAGE.parent
    assert install_hint("onnx", "timm").endswith(f"install -e '{PACKAGE.parent}[onnx,timm]'")


def test_a_wheel_is_installed_again_with_the_extra(installed, tmp_path):
    wheel = tmp_path / "my wheels" / "mvsearch_nas-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    installed(url=wheel.as_uri(), archive_info={})
    assert install_hint("onnx") == f"pip install 'mvsearch-nas[onnx] @ {wheel.as_uri()}'"


@pytest.mark.parametrize(
    ("origin", "named"),
    [
        (
            {"url": "https://example.org/nas.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            "git+https://example.org/nas.git@c0ffee",
        ),
        (
            {
                "url": "ssh://git@example.org/nas",
                "vcs_info": {"vcs": "git", "commit_id": "c0ffee", "requested_revision": "main"},
                "subdirectory": "python",
            },
            "git+ssh://git@example.org/nas@c0ffee#subdirectory=python",
        ),
        ({"url": "https://example.org/nas-0.1.0.whl", "archive_info": {}}, "https://example.org/nas-0.1.0.whl"),
    ],
)
def test_a_repository_or_an_address_is_installed_again_with_the_extra(installed, origin, named):
    installed(**origin)
    assert install_hint("onnx") == f"pip install 'mvsearch-nas[onnx] @ {named}'"


@pytest.mark.parametrize("origin", [None, {"url": "file:///nowhere/nas.whl", "archive_info": {}}])
def test_without_a_known_origin_the_packages_are_named_and_never_the_distribution(installed, origin):
    """The name of the distribution may belong to somebody else on the index that the user has."""
    if origin:
        installed(**origin)
    assert install_hint("onnx") == "pip install 'onnx>=1.18' 'onnxruntime>=1.22'"
    assert install_hint("counters", "onnx") == "pip install 'fvcore>=0.1' 'onnx>=1.18' 'onnxruntime>=1.22'"


def test_a_damaged_record_of_the_origin_counts_as_none(installed, tmp_path):
    (tmp_path / "mvsearch_nas-0.1.0.dist-info" / "direct_url.json").write_text("{", encoding="utf-8")
    assert install_hint("counters") == "pip install 'fvcore>=0.1'"


def test_metadata_and_source_tree_declare_the_same(installed):
    declared = requirements()
    assert [str(r) for r in declared.base] == ["click>=8.1", "fvcore>=0.1"]
    assert {name: [r.name for r in members] for name, members in declared.extras.items()} == {
        "counters": ["fvcore"],
        "onnx": ["onnx", "onnxruntime"],
    }


def test_an_environment_without_pip_is_served_by_uv(monkeypatch):
    monkeypatch.setattr(installation, "find_spec", lambda _name: None)
    assert install_command("onnx>=1") == "uv pip install 'onnx>=1'"


def test_windows_quotes_with_double_quotes(monkeypatch):
    monkeypatch.setattr(installation.os, "name", "nt")
    monkeypatch.setattr(installation, "find_spec", lambda _name: object())
    command = install_command("onnx>=1")
    monkeypatch.undo()
    assert command == 'pip install "onnx>=1"'


def test_no_other_file_says_how_to_install():
    files = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".html", ".js", ".yaml")]
    telling = [path.name for path in files if re.search(r"pip3? install", path.read_text(encoding="utf-8"))]
    assert telling == ["installation.py"]


def test_every_extra_of_a_hint_is_declared():
    named = {load_format(name).extra for name in format_names()} - {None}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "install_hint":
                named |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    assert {"onnx", "timm", "photos", "postgres"} <= named <= {*requirements().extras}


def test_an_import_that_fails_crashes_hangs_or_ends_the_process_has_its_reason(tmp_path, monkeypatch):
    bad = {
        "fails": "raise RuntimeError('no such\\n  operator')",
        "crashes": "import os; os.abort()",
        "hangs": "import time; time.sleep(60)",
        "leaves": "import sys; sys.exit('bye')",
        "ends": "import os; os._exit(7)",
        "prints": "import os; print('[1, 2]', flush=True); os.write(2, b'noise')",
    }
    for name, code in bad.items():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    calls: list[float] = []

    failures = import_failures([*bad, "json"], timeout_s=1, progress=lambda done, _total, _step="": calls.append(done))

    assert failures == {
        "fails": "RuntimeError: no such operator",
        "crashes": "the import crashes with signal 6",
        "hangs": "the import takes longer than 1 s",
        "leaves": "SystemExit: bye",
        "ends": "the import ends the process with code 7",
    }
    assert calls == sorted(calls)


def test_a_folder_beside_the_command_hides_no_package(tmp_path, monkeypatch):
    (tmp_path / "click").mkdir()
    (tmp_path / "click" / "__init__.py").write_text("raise RuntimeError", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert import_failures(["click"]) == {}
