import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from mvsearch.utils import machine

ROOT = Path(__file__).parents[2]


def test_the_same_machine_has_the_same_id_in_another_process():
    code = "import json; from mvsearch.utils import machine; print(json.dumps(machine.describe()))"
    descriptions = [
        json.loads(subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True).stdout)
        for _ in range(2)
    ]

    assert machine.machine_id(descriptions[0]) == machine.machine_id(descriptions[1])
    assert machine.machine_id({**descriptions[0], "cpu": "another"}) != machine.machine_id(descriptions[0])


def test_describing_the_machine_does_not_load_torch():
    code = "import sys; from mvsearch.utils import machine; machine.describe(); sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_description_names_what_a_time_depends_on():
    description = machine.describe()

    assert description["cpu"]
    assert description["cores"] >= 1
    assert description["memory_bytes"] > 2**27
    assert description["python"] == platform.python_version()
    assert description["versions"]["torch"]


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor : 0\nmodel name\t: AMD EPYC 9R14\ncpu family: 25\n\nprocessor: 1\n", "AMD EPYC 9R14"),
        ("model name\t: AMD EPYC\ncpu family\t: 25\nmodel\t\t: 17\n", "AMD EPYC (family 25 model 17)"),
        (
            "model name\t: Intel(R) Xeon(R) CPU @ 2.20GHz\ncpu family\t: 6\nmodel\t\t: 79\n",
            "Intel(R) Xeon(R) CPU @ 2.20GHz (family 6 model 79)",
        ),
        ("model name\t: Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz\n", "Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz"),
        ("processor : 0\nBogoMIPS : 243.75\n", platform.machine()),
        (
            "CPU implementer\t: 0x41\nCPU part\t: 0xd05\n\nCPU implementer\t: 0x41\nCPU part\t: 0xd0a\n",
            f"{platform.machine()} (implementer 0x41 part 0xd05 and 0xd0a)",
        ),
    ],
)
def test_the_cpu_name_tells_processors_apart_that_linux_does_not_name(tmp_path, cpuinfo, name):
    (tmp_path / "cpuinfo").write_text(cpuinfo)

    assert machine.cpu_name(tmp_path / "cpuinfo") == name


def test_the_cpu_name_of_a_mac_is_its_brand_string(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(subprocess, "check_output", lambda *_a, **_k: "Apple M3 Pro\n")

    assert machine.cpu_name(tmp_path / "none") == "Apple M3 Pro"
