"""Whether modules can be imported, tried in another process: an import may crash, hang or print."""

import json
import subprocess
import sys
from collections.abc import Iterable

from mvsearch.utils.progress import Progress, no_progress

TIMEOUT_S = 120
"""Seconds that the import of one module may take."""

_CHILD = """
import faulthandler, importlib, json, os, sys
results = os.fdopen(os.dup(1), "w", encoding="utf-8")
silent = os.open(os.devnull, os.O_WRONLY)
os.dup2(silent, 1), os.dup2(silent, 2)   # what a package prints is not a result
for name in sys.argv[2:]:
    reason = None
    faulthandler.dump_traceback_later(float(sys.argv[1]), exit=True)
    try:
        importlib.import_module(name)
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    print(json.dumps([name, reason]), file=results, flush=True)
os._exit(0)   # without what packages do at exit
"""


def import_failures(
    modules: Iterable[str], *, timeout_s: float = TIMEOUT_S, progress: Progress = no_progress
) -> dict[str, str]:
    """Why modules cannot be imported, in one line each; those that can are left out.

    One process imports all of them in turn. Another goes on after one that crashes or takes longer than `timeout_s`.
    """
    failures: dict[str, str] = {}
    names = list(dict.fromkeys(modules))
    waiting = list(names)
    while waiting:
        command = [sys.executable, "-P", "-W", "ignore", "-c", _CHILD, str(timeout_s), *waiting]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8") as child:
            assert child.stdout is not None
            for line in child.stdout:
                progress(len(names) - len(waiting), len(names))
                name, reason = json.loads(line)
                waiting.remove(name)
                if reason is not None:
                    failures[name] = " ".join(reason.split())
        if waiting:
            failures[waiting.pop(0)] = _ended(child.returncode, timeout_s)
    return failures


def _ended(code: int, timeout_s: float) -> str:
    """How an import ended its process. The watchdog of faulthandler ends it with 1."""
    if code == 1:
        return f"the import takes longer than {timeout_s:g} s"
    return f"the import crashes with signal {-code}" if code < 0 else f"the import ends the process with code {code}"
