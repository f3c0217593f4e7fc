"""Latency by a command of the user: a phone over adb, a board over ssh, a vendor's command line.

The network is exported in `format`, and `run` measures the file; see `profiling/device_command` for how it is run and
read. Several `devices` measure each network at the same time; the latency is that of the slowest, and that of each is
stored as well. On each device a reference network tells a flaky device from a bad candidate: `profiling/device_check`.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from mvsearch.errors import DeviceUnavailable, EnvironmentFault, Location, PlanError, VerificationError
from mvsearch.export.formats import ExportFormat, format_names, load_format
from mvsearch.metrics.record import EvaluationFailed, Latency, is_number
from mvsearch.profiling import reference
from mvsearch.profiling.device_check import CheckedDevice, pause_s
from mvsearch.profiling.device_command import CommandFailed, DeviceCommand, Reading, check_command, uses
from mvsearch.profiling.latency import DEFAULT_OPTIONS, LIMIT_S, REPEATS, Call, LatencyBackend, TimingOptions
from mvsearch.utils import machine_lock, plugins

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")

_NOISE = 0.03
"""How far another pair of runs may be from this one, beside what the two differ by."""


class Command(LatencyBackend):
    """Measures what the command of the user prints."""

    name = "command"
    version = 2
    supports = frozenset({"run", "format", "devices", "timeout_s", "retries", "exclusive"})
    side_by_side = False
    remote = True

    def check(self, options: TimingOptions) -> None:
        """Raises PlanError for a command that cannot be run, or a format that has no file."""
        super().check(options)
        check_command(options.run, options.devices, threads=options.threads, batch=options.batch)
        if not 0 < options.timeout_s < math.inf:  # false for NaN
            raise PlanError(
                f"found {options.timeout_s:g}; use the seconds that one run may take, a finite number above 0.",
                at=Location(key="latency.timeout_s"),
            )
        if not options.format:
            raise PlanError("is missing; use e.g. executorch.", at=Location(key="latency.format"))
        plugins.check("export_format", options.format, error=PlanError, at=Location(key="latency.format"))

    def device(self, options: TimingOptions = DEFAULT_OPTIONS) -> str:
        """The devices with their runtimes as the command names them, and what wrote the file.

        The command measures the reference once a process for that. Raises DeviceUnavailable if it cannot.
        """
        return _bench(options).device

    def measure(
        self,
        model: "nn.Module",
        image_size: int,
        options: TimingOptions = DEFAULT_OPTIONS,
        *,
        repeats: int = REPEATS,
        limit_s: float = LIMIT_S,
    ) -> Latency:
        """The latency of one batch on the slowest device. Raises EvaluationFailed for a network that alone fails."""
        bench = _bench(options)
        with _written(model, image_size, options) as path:
            readings = bench.run(lambda device: bench.measure(device, path, image_size, repeats=repeats))
        return bench.latency(readings, image_size)

    @contextmanager
    def prepare(self, model: "nn.Module", image_size: int, options: TimingOptions = DEFAULT_OPTIONS) -> Iterator[Call]:
        """A call that measures one batch on all devices once, and returns the reading of the slowest."""
        bench = _bench(options)
        with _written(model, image_size, options) as path:
            command = partial(bench.command, image_size=image_size, repeats=REPEATS)

            def call() -> Reading:
                readings = bench.run(lambda device: bench.once(command(device), path), exclusive=False)
                return max(readings.values(), key=lambda reading: reading.latency_ms)

            yield call

    def missing_packages(self) -> tuple[str | None, list[str]]:
        """None: those of the format are named when it is used."""
        return None, []


BACKEND: LatencyBackend = Command()


class _Bench:
    """The devices of a command, with a file of the reference network that each of them has measured."""

    def __init__(self, options: TimingOptions) -> None:
        self.options, self.stop = options, Event()
        self.format: ExportFormat = load_format(options.format)
        if self.format.runtime is None or not self.format.exports_stages:  # described or printed, not compiled
            raise PlanError(
                f"no runtime of a device reads a {options.format} file; use one of: {', '.join(_formats())}.",
                at=Location(key="latency.format"),
            )
        self._folder = TemporaryDirectory(prefix="mvsearch-reference-")  # removed with the process
        self._reference = Path(self._folder.name, f"reference{self.format.suffix}")
        try:
            _write(reference.network(), reference.IMAGE_SIZE, self.format, self._reference)
        except EvaluationFailed as error:
            raise VerificationError(str(error), at=Location(key="latency.format")) from error
        self.devices = {name: self._checked(name) for name in options.devices or ("",)}
        probed = self.run(CheckedDevice.probe)
        self.names = {name: reading.describe_device(name, options.run) for name, reading in probed.items()}
        # Stored studies have pinned the device without the converter.
        self.device = _describe(self.names.values(), self.format.name, self.format.packages_used)

    def _checked(self, name: str) -> CheckedDevice:
        command, run = self.command(name, image_size=reference.IMAGE_SIZE, repeats=REPEATS), self.options.run

        def learn(reading: Reading) -> float:
            """The fastest known time of the reference on the device that answered: another phone has its own."""
            device = f"{reading.describe_device(name, run)}, {run}"
            described = _describe([device], self.format.name, self.format.packages_used)
            batch = f", batch {self.options.batch}" if self.options.batch > 1 else ""
            conditions = f"{described}, {self.options.threads} threads{batch}"
            return reference.known_time(conditions, reading.latency_ms, quiet=True).ms

        return CheckedDevice(
            name,
            lambda: command(self._reference, self.stop),
            learn,
            retries=self.options.retries,
            pause=self.stop.wait,
        )

    def command(self, device: "str | CheckedDevice", *, image_size: int, repeats: int) -> DeviceCommand:
        """The command of one device."""
        name, options = device if isinstance(device, str) else device.name, self.options
        values = {"threads": options.threads, "batch": options.batch, "repeats": repeats, "image_size": image_size}
        return DeviceCommand(options.run, options.timeout_s, name, values)

    def measure(self, device: CheckedDevice, path: Path, image_size: int, *, repeats: int) -> tuple[Reading, Reading]:
        """Two readings of a file on a device. Raises DeviceUnavailable if another device answers."""
        command = self.command(device, image_size=image_size, repeats=repeats)
        pair = device.measure(lambda: command(path, self.stop))
        before = self.names[device.name]
        for reading in pair:
            if (now := reading.describe_device(device.name, self.options.run)) != before:
                raise DeviceUnavailable(f"the command measures on {now}; so far it was {before}. Choose one of them.")
        return pair

    def once(self, command: DeviceCommand, path: Path) -> Reading:
        """One reading of a file, after retries with a pause before each. Raises EvaluationFailed."""
        reason = ""
        for attempt in range(1 + self.options.retries):
            if attempt:
                self.stop.wait(pause_s(attempt))
            try:
                return command(path, self.stop)
            except CommandFailed as error:
                reason = str(error)
        raise EvaluationFailed(reason)

    def run(self, work: Callable[[CheckedDevice], T], *, exclusive: bool = True) -> dict[str, T]:
        """What the work on each device returns, by its name; the devices work at the same time.

        Of several errors, that of a device that is away is raised: the candidate is then measured again later.
        """
        self.stop.clear()
        with ExitStack() as stack:
            if self.options.exclusive and exclusive:
                stack.enter_context(machine_lock.exclusive())
            for name in sorted(self.devices):  # in one order, so that two processes never wait for each other
                stack.enter_context(machine_lock.device(name or self.options.run))
            if len(self.devices) == 1:
                return {name: work(device) for name, device in self.devices.items()}
            return self._run_at_once(work)

    def _run_at_once(self, work: Callable[[CheckedDevice], T]) -> dict[str, T]:
        with ThreadPoolExecutor(len(self.devices)) as pool:
            try:
                futures = {name: pool.submit(work, device) for name, device in self.devices.items()}
                errors = [error for future in futures.values() if (error := future.exception())]
            except BaseException:
                self.stop.set()  # the threads end, and with them their commands
                raise
        for error in sorted(errors, key=lambda error: not isinstance(error, EnvironmentFault)):
            raise error
        return {name: future.result() for name, future in futures.items()}

    def latency(self, readings: Mapping[str, tuple[Reading, Reading]], image_size: int) -> Latency:
        """The latency on the slowest device, with that of each."""
        each = {name: self._latency(name, pair, image_size) for name, pair in readings.items()}
        slowest = max(each.values(), key=lambda latency: latency.median_ms)
        device = _describe(self.names.values(), self.format.name, self.format.written_by)
        return replace(slowest, by_device=each, device=device) if self.options.devices else slowest

    def _latency(self, name: str, pair: tuple[Reading, Reading], image_size: int) -> Latency:
        low, high = (reading.latency_ms for reading in pair)
        details, median, known = pair[0].details, (low + high) / 2, self.devices[name].reference_ms
        threads = self.options.threads if uses(self.options.run, "threads") else details.get("threads")
        return Latency(
            median_ms=median,
            p10_ms=min(low, _reported(pair[0], "latency_p10_ms", low)),
            p90_ms=max(high, _reported(pair[0], "latency_p90_ms", high)),
            repeats=len(pair),
            batch=self.options.batch,
            image_size=image_size,
            threads=threads if isinstance(threads, int) else None,
            precision="fp32",
            backend=BACKEND.name,
            device=_describe([self.names[name]], self.format.name, self.format.written_by),
            low_ms=low * (1 - _NOISE),
            high_ms=high * (1 + _NOISE),
            ratio=median / known,
            ratio_low=low * (1 - _NOISE) / known,
            ratio_high=high * (1 + _NOISE) / known,
            reference=reference.TITLE,
            reference_ms=known,
            reference_quiet=True,
            reported=dict(details) or None,
        )


def _reported(reading: Reading, name: str, default: float) -> float:
    """A positive number that the command printed; the default if it printed none."""
    value = reading.details.get(name)
    return float(value) if isinstance(value, int | float) and is_number(value) and value > 0 else default


@cache
def _bench(options: TimingOptions) -> _Bench:
    """The devices of these options; they are probed once a process."""
    BACKEND.check(options)
    return _Bench(options)


def _formats() -> list[str]:
    """The formats of files that runtimes of devices read."""
    formats = [load_format(name) for name in format_names()]
    return [each.name for each in formats if each.runtime and each.exports_stages]


def _describe(devices: Iterable[str], format_name: str, written_by: str) -> str:
    """Devices, and the files that they run."""
    return f"command: {'; '.join(devices)}, {format_name} file by {written_by}"


@contextmanager
def _written(model: "nn.Module", image_size: int, options: TimingOptions) -> Iterator[Path]:
    export_format = load_format(options.format)
    with TemporaryDirectory(prefix="mvsearch-") as folder:
        path = Path(folder, f"network{export_format.suffix}")
        _write(model, image_size, export_format, path)
        yield path


def _write(model: "nn.Module", image_size: int, export_format: ExportFormat, path: Path) -> None:
    """Write a copy of a model as a file."""
    from copy import deepcopy

    import torch

    from mvsearch.profiling.latency._exported import write_network

    export_format.require_packages()
    # Conversion keeps a core busy for seconds, and the imports of converters may use the random state.
    with machine_lock.shared(), torch.random.fork_rng(devices=[]):
        write_network(export_format, deepcopy(model).float().cpu().eval(), image_size, path)
