"""A command that measures one exported file on a device: its words, its run, and what is read from its output.

    ./measure.sh {file}     split into words as a shell would, then the placeholders are replaced in each word

No shell runs it, so that a path with blanks stays one word; write `sh -c '...' - {file}` for one. Loads no torch.
"""

import json
import math
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from threading import Event
from typing import IO, Any

from mvsearch.errors import Location, PlanError

_NUMBER = re.compile(r"([-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf(?:inity)?))\s*(?:ms)?", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_RUN = Location(key="latency.run")
_MAX_SHOWN = 160  # characters of what a command printed, in an error
_MAX_OUTPUT = 16 << 20
_POLL_S = 0.2


class CommandFailed(Exception):
    """One run of a command that gives no latency; the reason in one line."""


@dataclass(frozen=True)
class Reading:
    """What one run of a command printed: milliseconds for a batch, and what else its JSON has."""

    latency_ms: float
    details: Mapping[str, Any] = field(default_factory=dict)

    def describe_device(self, name: str, command: str) -> str:
        """The device with its runtime, as the command names them; without a name of its own, the command's.

        >>> Reading(4.0, {"device": "Pixel 8", "runtime": "executorch", "version": "1.2"}).describe_device("", "x")
        'Pixel 8, executorch 1.2'
        """
        told = str(self.details.get("device") or "")
        where = ": ".join(dict.fromkeys(part for part in (name, told) if part)) or f"unnamed device of `{command}`"
        software = " ".join(str(self.details[key]) for key in ("runtime", "version") if self.details.get(key))
        described = ", ".join(part for part in (where, software) if part)
        return "".join(character for character in described if character.isprintable())


@dataclass(frozen=True)
class DeviceCommand:
    """The command of one device, as it is written in a file, and how long one run may take."""

    run: str
    timeout_s: float
    device: str = ""
    values: Mapping[str, int] = field(default_factory=dict)

    def __call__(self, file: os.PathLike[str] | str, stop: Event | None = None) -> Reading:
        """Run the command on a file; `stop` ends it early. Raises CommandFailed if it gives no latency."""
        words, stop = self.words(file), stop or Event()
        if stop.is_set():
            raise CommandFailed("the command was stopped")
        # Files, not pipes: a program that it leaves running, e.g. adb's server, may keep a pipe open.
        with TemporaryFile() as output, TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    start_new_session=True,  # what it started is ended with it, and Ctrl-C reaches only this process
                )
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                raise CommandFailed(f"`{words[0]}` cannot be run ({reason})") from None
            try:
                self._wait(process, stop, output, errors)
            finally:
                _end(process)
            printed, complaints = _text(output), _text(errors)
        if process.returncode:
            raise CommandFailed(f"the command ended {_exit(process.returncode)}{_last_words(complaints, printed)}")
        return parse(printed)

    def words(self, file: os.PathLike[str] | str) -> list[str]:
        """The words of the command for a file; other braces than placeholders stay as they are.

        >>> DeviceCommand("run --at {device} {file}", 1.0, "s25").words("a b.pte")
        ['run', '--at', 's25', 'a b.pte']
        """
        values = {**self.values, "file": os.fspath(file), "device": self.device}
        return [_PLACEHOLDER.sub(lambda m: str(values.get(m[1], m[0])), word) for word in shlex.split(self.run)]

    def _wait(self, process: "subprocess.Popen[bytes]", stop: Event, *outputs: IO[bytes]) -> None:
        left_s = self.timeout_s
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=min(_POLL_S, left_s))
            left_s -= _POLL_S
            if any(os.fstat(output.fileno()).st_size > _MAX_OUTPUT for output in outputs):
                raise CommandFailed(f"the command printed more than {_MAX_OUTPUT >> 20} MiB")
            if process.returncode is not None:
                return
            if stop.is_set():
                raise CommandFailed("the command was stopped")
            if left_s <= 0:
                raise CommandFailed(f"the command did not end within {self.timeout_s:g} s (timeout_s)")


def check_command(run: str, devices: tuple[str, ...], *, threads: int = 1, batch: int = 1) -> None:
    """Raises PlanError for a command without a file, for devices without `{device}`, and for options that it lacks."""
    try:
        words = shlex.split(run)
    except ValueError as error:
        raise PlanError(f"found {run!r}, which cannot be split into words ({error}).", at=_RUN) from None
    used = {name for word in words for name in _PLACEHOLDER.findall(word)}
    if "file" not in used:
        found = f"found {run!r} without {{file}}" if run else "the command that measures a file is missing"
        raise PlanError(f"{found}; use e.g. './measure.sh {{file}}'.", at=_RUN)
    if len(set(devices)) < len(devices) or not all(re.fullmatch(r"[\w.:@-]+", name) for name in devices):
        raise PlanError(
            f"found {', '.join(devices)}; use different names of letters, digits, _ . : @ and -.",
            at=Location(key="latency.devices"),
        )
    needs = {"device": len(devices) > 1, "threads": threads > 1, "batch": batch > 1}
    for name, needed in needs.items():
        if needed and name not in used:
            raise PlanError(f"{run!r} has no {{{name}}}, so {name} cannot be set; add it.", at=_RUN)


def uses(run: str, name: str) -> bool:
    """Whether a command has a placeholder."""
    return f"{{{name}}}" in run


def parse(output: str) -> Reading:
    """The latency in the output of a command: the number that is its last line, or `latency_ms` of its JSON.

    The JSON is the whole output, or what follows from the last line that begins with a brace, or the last line that is
    an object. Raises CommandFailed for anything else, and for a latency that is not a positive number.

    >>> parse('warm up\\n{"latency_ms": 12.5, "device": "Pixel 8"}').latency_ms, parse("done\\n12.5 ms\\n").latency_ms
    (12.5, 12.5)
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines:
        raise CommandFailed("the command printed nothing; its last line must be the milliseconds, or JSON")
    if match := _NUMBER.fullmatch(lines[-1]):
        return Reading(_positive(match[1]))
    texts = (output, output[output.rfind("\n{") + 1 :], *reversed(lines))
    found = next((value for text in texts if isinstance(value := _json(text), dict)), None)
    if found is None:
        raise CommandFailed(f"the last line of the command is not a number of milliseconds: {_short(lines[-1])!r}")
    if "latency_ms" not in found:
        raise CommandFailed(f"the JSON of the command has no latency_ms; it has {', '.join(found) or 'nothing'}")
    return Reading(_positive(found["latency_ms"]), {k: v for k, v in found.items() if k != "latency_ms"})


def _json(text: str) -> Any:
    try:
        # NaN and Infinity are not JSON, and neither is what becomes of 1e999.
        return json.loads(
            text, parse_constant=str, parse_float=lambda t: number if math.isfinite(number := float(t)) else t
        )
    except (ValueError, RecursionError):
        return None


def _positive(value: Any) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:  # false for NaN
        raise CommandFailed(f"the command gives a latency of {_short(str(value))} ms; a positive number is needed")
    return number


def _short(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _last_words(*texts: str) -> str:
    """The last line of the first of these texts that has one."""
    lines = next((lines for text in texts if (lines := text.strip().splitlines())), [])
    return f" ({_short(lines[-1].strip())})" if lines else ""


def _text(output: IO[bytes]) -> str:
    output.seek(0)
    return output.read().decode("utf-8", errors="replace")


def _exit(code: int) -> str:
    """How a process ended, e.g. `with exit code 3` or `by signal 11 (Segmentation fault)`."""
    return f"with exit code {code}" if code > 0 else f"by signal {-code} ({signal.strsignal(-code)})"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and all that it started, if it runs."""
    if process.poll() is None:
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
