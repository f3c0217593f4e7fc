"""The tutorial: it shows the files of docs/tutorial/, and each of its commands runs, in order, in an empty folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)```", TEXT, re.S)
WITH_OPERATORS = """
import runpy, sys
import torch

for name in ("nms", "qnms"):
    torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
sys.argv = sys.argv[1:]
sys.path.insert(0, ".")
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script where torchvision was built for another torch, which declares two operators that torchvision needs."""

PYTHON = """#!/bin/sh
case "$1" in *use_timm.py) exec {python} {helper} "$@";; esac
exec {python} "$@"
"""


def test_the_script_that_is_shown_is_that_of_the_folder():
    shown = (ROOT / "docs" / "tutorial" / "use_timm.py").read_text(encoding="utf-8")
    assert f"\n{shown}```" in TEXT


def test_the_script_says_in_a_sentence_that_torchvision_does_not_fit(tmp_path):
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    script = shutil.copy(ROOT / "docs" / "tutorial" / "use_timm.py", tmp_path)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "install the torchvision" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_of_the_tutorial_runs(tmp_path):
    for package in ("skimage", "imgviz", "onnxruntime"):
        pytest.importorskip(package)
    shutil.copytree(ROOT / "docs" / "tutorial", tmp_path / "docs" / "tutorial")
    commands, helper = tmp_path / "bin", tmp_path / "bin" / "with_operators.py"
    commands.mkdir()
    helper.write_text(WITH_OPERATORS, encoding="utf-8")
    (commands / "python").write_text(PYTHON.format(python=sys.executable, helper=helper), encoding="utf-8")
    (commands / "mvsearch").write_text(f'#!/bin/sh\nexec {sys.executable} -m mvsearch "$@"\n', encoding="utf-8")
    for command in ("python", "mvsearch"):
        (commands / command).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MVSEARCH_CACHE": str(tmp_path / "cache"),
    }
    for block in COMMANDS:
        done = subprocess.run(
            ["bash", "-euc", block], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    assert {path.name for path in tmp_path.glob("*.onnx")} == {"my_net.onnx", "my_net_int8.onnx"}
