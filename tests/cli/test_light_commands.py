"""What commands load that only read files: imports would be most of their time. By sys.modules, never by time."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mvsearch.study.plan import Plan
from mvsearch.study.study import Study

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "scipy", "matplotlib", "plotly", "optuna", "PIL", "pandas", "numpy.ma")
DATABASE = ("sqlalchemy", "urllib.request")
WRITER = ("filelock", "sqlalchemy.dialects.postgresql")
"""What a command that only reads a study in a file does without."""
OTHERS = ("tomllib", "statistics", "importlib.metadata", "mvsearch.space.exact_front", "mvsearch.data._files")
VALIDATION = ("mvsearch.validation.verdict",)
HELP = ("numpy", "rich.progress", "ruamel.yaml")
"""What `--help` does without too; others cannot."""
COMMANDS = [
    ["--help"],
    ["models"],
    ["space", "v3"],
    ["show", "mobilevitv3_xxs"],
    ["profile", "mobilevitv3_xxs+ssdlite"],
    ["scale", "mobilevitv3_xxs", "--to", "params=2M"],
    ["front", "studies/quick"],
]
PROGRAM = """
import contextlib, io, json, sys
from mvsearch.cli.main import cli

loaded = {}
for args in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()):
        cli.main(args, prog_name="mvsearch", standalone_mode=False)
    loaded[args[0]] = sorted(name for name in json.loads(sys.argv[2]) if name in sys.modules)

from mvsearch.study.plan import Plan
from mvsearch.study.study import Study

plan = Plan.load("quick", objectives=("params", "macs"), name="worker")
Study.join(plan, as_worker=True).run(lambda arch: arch.metrics(), trials=4)
loaded["worker"] = sorted(name for name in json.loads(sys.argv[2]) if name in sys.modules)
print(json.dumps(loaded))
"""


def test_commands_that_read_files_load_no_heavy_packages(tmp_path):
    plan = replace(
        Plan.load(ROOT / "spaces" / "quick.yaml", objectives=("params", "macs")), studies=tmp_path / "studies"
    )
    Study.join(plan).run(lambda arch: arch.metrics(), trials=2)
    arguments = [json.dumps(COMMANDS), json.dumps([*HEAVY, *DATABASE, *WRITER, *OTHERS, *VALIDATION, *HELP])]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = json.loads(done.stdout)
    assert loaded.pop("--help") == []
    assert "ruamel.yaml" not in loaded["models"]  # it is for files that a user wrote
    loaded = {name: [each for each in found if each not in HELP] for name, found in loaded.items()}
    worker = {*loaded.pop("worker")} - {*OTHERS, *VALIDATION}
    assert worker <= {"optuna", "numpy.ma", *DATABASE, *WRITER}  # of static costs: nothing is fitted
    assert {*loaded.pop("front")} <= {"importlib.metadata", *DATABASE}  # SQLAlchemy and moocore
    assert {name: found for name, found in loaded.items() if found} == {}


@pytest.mark.parametrize("command", ["export", "quantize"])
def test_a_file_that_exists_is_refused_before_torch_is_imported(tmp_path, command):
    (tmp_path / "net.onnx").touch()
    code = (
        "import sys\nfrom mvsearch.cli.main import main\n"
        f"sys.argv = ['mvsearch', '{command}', 'mobilevitv3_xxs', '--to', 'onnx', '-o', 'net.onnx']\n"
        "try:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "net.onnx: already exists; --force overwrites it." in done.stderr
    assert done.stdout == "False\n"
