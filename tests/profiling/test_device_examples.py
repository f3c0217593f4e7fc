"""The scripts of examples/devices, on a stand-in phone that is a folder here, and on a real sshd of this machine."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import SOFTMAX, require_format, small_model

from mvsearch.export.formats import load_format
from mvsearch.profiling.device_command import CommandFailed, DeviceCommand

EXAMPLES = Path(__file__).parents[2] / "examples" / "devices"

ADB = """#!/bin/sh
# Paths of the phone are folders here; commands that a phone has are in its bin.
echo "${{ANDROID_SERIAL:-}} $*" >> {phone}/calls
if [ -e {phone}/offline ]; then echo "error: device offline" >&2; exit 1; fi
case $1 in
push) cp "$2" "{phone}/$(basename "$3")" && echo "1 file pushed, 0 skipped." ;;
shell) PATH={phone}/bin:$PATH sh -c "$(echo "$2" | sed "s#/data/local/tmp#{phone}#g")" ;;
logcat) cat {phone}/logcat ;;
esac
"""
TOOLS = {
    "getprop": """case $1 in ro.product.model) printf 'Pixel "8"\\r\\n' ;; *) echo 15 ;; esac""",
    "md5sum": 'echo "0123456789abcdef  $1"',
    "dumpsys": 'printf "  level: 80\\n  temperature: 312\\n"',
    "taskset": 'shift; exec "$@"',
}
LINE = "I 00:00:00.05 executorch:executor_runner.cpp:313] Model executed successfully"
EXECUTOR = f"""
n=$(echo "$@" | sed 's/.*num_executions=\\([0-9]*\\).*/\\1/')
echo "{LINE} $n time(s) in $((n * 4)).500000 ms." >&2
echo "OutputX 0: tensor(sizes=[1, 10], [0.1, ])"
"""
LITERT = """
echo "INFO: count=70 first=14941 curr=14066 min=13728 max=16145 avg=14290.9 std=452" >&2
timings="Init: 52687, First inference: 19105, Warmup (avg): 14452.5, Inference (avg): 14290.9"
echo "INFO: Inference timings in us: $timings" >&2
"""
REAL_EXECUTOR = f"""#!{sys.executable}
import sys, time
import torch
from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
from executorch.runtime import Runtime

flags = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
_unsafe_reset_threadpool(int(flags["cpu_threads"]))
method = Runtime.get().load_program(flags["model_path"]).load_method("forward")
images = torch.ones(tuple(method.metadata.input_tensor_meta(0).sizes()))
total = 0.0
for _ in range(int(flags["num_executions"])):
    start = time.perf_counter()
    method.execute([images])
    total += time.perf_counter() - start
print("{LINE}", flags["num_executions"], f"time(s) in {{total * 1e3:.6f}} ms.", file=sys.stderr)
"""
REAL_LITERT = f"""#!{sys.executable}
import sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter

flags = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
interpreter = Interpreter(model_path=flags["graph"], num_threads=int(flags["num_threads"]))
interpreter.allocate_tensors()
[images] = interpreter.get_input_details()
interpreter.set_tensor(images["index"], np.ones(images["shape"], images["dtype"]))
times_us = []
for _ in range(int(flags["warmup_runs"]) + int(flags["num_runs"])):
    start = time.perf_counter()
    interpreter.invoke()
    times_us.append((time.perf_counter() - start) * 1e6)
mean_us = float(np.mean(times_us[int(flags["warmup_runs"]):]))
print("INFO: Inference timings in us: Init: 1, Warmup (avg): 1, Inference (avg):", mean_us, file=sys.stderr)
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def phone(tmp_path, monkeypatch):
    """The folder that stands for /data/local/tmp of a phone, behind an `adb` on the path."""
    folder = tmp_path / "phone"
    for name, text in TOOLS.items():
        program(folder / "bin" / name, text)
    program(tmp_path / "host" / "adb", ADB.format(phone=folder))
    monkeypatch.setenv("PATH", f"{tmp_path / 'host'}:{os.environ['PATH']}")
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    program(folder / "executor_runner", EXECUTOR)
    program(folder / "benchmark_model", LITERT)
    return folder


def measure(script: str, file: Path, device: str = "", timeout_s: float = 60.0):
    run = f"{EXAMPLES / script} {{file}} {{threads}} {{repeats}} {{device}}"
    return DeviceCommand(run, timeout_s, device, {"threads": 2, "repeats": 20})(file)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a network.pte"
    path.write_bytes(b"network")
    return path


@pytest.mark.parametrize("device", ["", "8A1X"])
def test_executor_runner_gives_its_milliseconds_per_execution(phone, file, device):
    reading = measure("android_executorch.sh", file, device)

    assert reading.latency_ms == pytest.approx(80.5 / 20)
    assert reading.details["device"] == "Pixel 8, Android 15"
    assert (reading.details["version"], reading.details["battery_c"]) == ("md5 01234567", 31.2)
    calls = (phone / "calls").read_text().splitlines()
    assert all(call.startswith(f"{device} ") for call in calls)
    assert any("--num_executions=20 --cpu_threads=2" in call for call in calls)
    assert not list(phone.glob("mvsearch-*"))  # nothing stays on the phone


def test_what_an_android_build_logs_is_read_from_the_log_of_the_phone(phone, file, monkeypatch):
    monkeypatch.setenv("CPUS", "f0")
    program(phone / "executor_runner", "exit 0")
    (phone / "logcat").write_text(f"11-29 10:00:00.000  1  1 I ExecuTorch: {LINE[-28:]} 20 time(s) in 50.000000 ms.\n")
    assert measure("android_executorch.sh", file).latency_ms == 2.5
    assert "taskset f0" in (phone / "calls").read_text()


def test_benchmark_model_gives_its_average_in_microseconds(phone, file, monkeypatch):
    monkeypatch.setenv("FLAGS", "--use_gpu=true")
    reading = measure("android_litert.sh", file)

    assert reading.latency_ms == pytest.approx(14.2909)
    assert reading.describe_device("", "") == "Pixel 8, Android 15, benchmark_model --use_gpu=true md5 01234567"
    assert "--num_threads=2 --num_runs=20 --warmup_runs=5 --use_gpu=true" in (phone / "calls").read_text()


@pytest.mark.parametrize("script", ["android_executorch.sh", "android_litert.sh"])
@pytest.mark.parametrize(
    ("runner", "reason"),
    [
        ("echo 'unknown operator' >&2; exit 134", "unknown operator"),
        ("echo nothing", "time|timings"),
        (None, "offline"),
    ],
)
def test_a_runner_that_refuses_a_file_and_a_phone_that_is_away_have_a_reason(phone, file, script, runner, reason):
    (phone / "logcat").write_text("")
    if runner is None:
        (phone / "offline").touch()
    for name in ("executor_runner", "benchmark_model"):
        program(phone / name, runner or "")
    with pytest.raises(CommandFailed, match=reason):
        measure(script, file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "runner", "text"),
    [("executorch", "executor_runner", REAL_EXECUTOR), ("litert", "benchmark_model", REAL_LITERT)],
)
def test_a_network_is_measured_by_the_real_runtime_behind_the_stand_in(phone, tmp_path, name, runner, text):
    require_format(name)
    program(phone / runner, text)
    path = tmp_path / f"small{load_format(name).suffix}"
    load_format(name).export(small_model(SOFTMAX), path)
    reading = measure(f"android_{name}.sh", path, timeout_s=250.0)

    assert 0 < reading.latency_ms < 100
    assert (reading.details.get("executions", 20), reading.details["threads"]) == (20, 2)


# A real ssh daemon of this machine


@pytest.fixture
def ssh_host(tmp_path, monkeypatch):
    """A host name that ssh reaches: a daemon on 127.0.0.1 with a key of its own, which ends with the test."""
    daemon = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if daemon is None or shutil.which("ssh") is None:
        pytest.skip("there is no sshd on this machine; Debian has it in openssh-server")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": tmp_path / "host",
        "AuthorizedKeysFile": tmp_path / "user.pub",
        "PidFile": tmp_path / "pid",
        "StrictModes": "no",
        "UsePAM": "no",
    }
    config = tmp_path / "sshd_config"
    config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    process = subprocess.Popen([daemon, "-D", "-e", "-f", config], stderr=subprocess.PIPE, text=True)
    known = f"-o UserKnownHostsFile={tmp_path / 'known'} -o StrictHostKeyChecking=no -o LogLevel=ERROR"
    monkeypatch.setenv("SSH", f"ssh -F none -p {port} -i {tmp_path / 'user'} -o BatchMode=yes {known}")
    monkeypatch.setenv("PYTHON", sys.executable)
    deadline = time.monotonic() + 10
    while socket.socket().connect_ex(("127.0.0.1", port)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if process.poll() is not None:
        pytest.skip(f"sshd does not start here: {(process.stderr.read().strip().splitlines() or ['no message'])[-1]}")
    yield f"{getpass.getuser()}@127.0.0.1"
    process.terminate()
    process.wait()


def test_a_file_is_measured_on_a_host_over_ssh(ssh_host, tmp_path, monkeypatch):
    require_format("onnx")
    path = tmp_path / "net.onnx"
    tiny_onnx(path)
    reading = measure("ssh.sh", path, ssh_host)

    assert reading.latency_ms > 0
    assert (reading.details["runtime"], reading.details["threads"]) == ("onnxruntime", 2)
    path.write_bytes(b"no network")
    with pytest.raises(CommandFailed, match="exit code 1"):
        measure("ssh.sh", path, ssh_host)
    monkeypatch.setenv("SSH", os.environ["SSH"].replace(" -p ", " -o ConnectTimeout=1 -p 1 -p "))
    with pytest.raises(CommandFailed, match="refused"):
        measure("ssh.sh", path, ssh_host)


def test_the_program_that_runs_on_a_board_times_a_file_without_mvsearch(tmp_path):
    require_format("onnx")
    path = tmp_path / "net.onnx"
    tiny_onnx(path)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = [sys.executable, EXAMPLES / "time_file.py", path, "1", "10"]
    printed = json.loads(subprocess.run(run, env=environment, capture_output=True, check=True, cwd=tmp_path).stdout)

    assert 0 < printed["latency_p10_ms"] <= printed["latency_ms"] <= printed["latency_p90_ms"]


def tiny_onnx(path: Path) -> None:
    """A file of one operator, (N, 3, 8, 8) in."""
    from onnx import TensorProto, helper, save

    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Relu", ["images"], ["logits"])], "net", [image], [logits])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
