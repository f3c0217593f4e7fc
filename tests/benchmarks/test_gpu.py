"""The script that checks an NVIDIA GPU, on a machine without one."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.sh"


def test_without_a_gpu_it_ends_at_once_with_a_sentence(tmp_path):
    without = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHON": sys.executable}
    done = subprocess.run(["bash", SCRIPT, tmp_path / "out"], env=without, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "torch sees no CUDA device; --device cpu --quick is a dry run" in done.stderr.splitlines()[-1]
