"""A description of the machine that a number was measured on. Loads no torch."""

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from mvsearch._version import __version__
from mvsearch.utils.hashing import digest
from mvsearch.utils.text import plural


def describe() -> dict[str, Any]:
    """The hardware and software that a measurement may depend on. GPUs are listed only if torch is loaded already."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "gpus": _gpu_names(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {"mvsearch": __version__}
        | {name: installed_version(name) for name in ("torch", "optuna", "numpy")},
    }


def machine_id(description: dict[str, Any]) -> str:
    """Twelve hexadecimal digits of a description. Another torch version counts as another machine: times differ."""
    return digest(description)


def describe_cpu(software: str, threads: int) -> str:
    """The processor, what runs on it and its threads, as latencies name a device."""
    return f"cpu: {cpu_name()}, {software}, {plural(threads, 'thread')}"


def described_before(device: str) -> str:
    """A device as earlier versions named it: without the numbers of a processor whose name does not tell its model."""
    name = cpu_name()
    return device.replace(name, name.rpartition(" (")[0] or name)


def clock_for(device: str) -> Callable[[], float]:
    """The seconds of work on a device: processor time of this process, or the time on the wall for a GPU."""
    return time.process_time if device == "cpu" else time.perf_counter


@cache
def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The vendor's name of the processor; the family where a virtual machine hides the model, numbers for ARM's."""
    if cpuinfo.exists():
        return _linux_cpu_name(cpuinfo.read_text(encoding="utf-8", errors="replace")) or platform.machine()
    if platform.system() == "Darwin":  # platform.processor() is "arm" on every Mac
        return subprocess.check_output(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], encoding="utf-8", errors="replace"
        ).strip()
    return platform.processor() or platform.machine()


def _linux_cpu_name(cpuinfo: str) -> str:
    pairs = (line.split(":", 1) for line in cpuinfo.split("\n\n")[0].splitlines() if ":" in line)
    first = {key.strip(): value.strip() for key, value in pairs}
    name = first.get("model name", "")
    if name and not any(letter.isdigit() for letter in name.partition("@")[0]):  # its clock does not tell the model
        return f"{name} (family {first.get('cpu family')} model {first.get('model')})"
    if not name and (parts := dict.fromkeys(re.findall(r"^CPU part\s*: (\S+)", cpuinfo, flags=re.MULTILINE))):
        return f"{platform.machine()} (implementer {first.get('CPU implementer')} part {' and '.join(parts)})"
    return name


def _memory_bytes() -> int | None:
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpu_names() -> list[str]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


@cache
def installed_version(package: str) -> str | None:
    """The installed version of a package; None if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # loads a parser of e-mails

    try:
        return version(package)
    except PackageNotFoundError:
        return None
