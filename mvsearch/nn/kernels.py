"""Kernels for training on a CPU, compiled from `kernels.c` by the machine's C compiler: batch norm with SiLU.

A machine without a compiler uses torch's operators, which return the same values up to rounding.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.data import cache_dir
from mvsearch.utils.text import printable

_SOURCE = Path(__file__).with_name("kernels.c")
_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_COMPILE_TIMEOUT_S = 120
_TOLERANCE = 1e-4
_PARTS = 16  # as in kernels.c

_POINTER, _LONG, _INT, _DOUBLE = ctypes.c_void_p, ctypes.c_long, ctypes.c_int, ctypes.c_double
_ARGUMENTS = {
    "norm_forward": [*[_POINTER] * 2, _LONG, _LONG, *[_POINTER] * 4, _DOUBLE, _DOUBLE, _INT, _POINTER, _POINTER, _INT],
    "norm_backward": [*[_POINTER] * 3, _LONG, _LONG, *[_POINTER] * 3, _INT, _POINTER, _POINTER, _POINTER, _INT],
}


def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where they cannot be used."""
    return _load()[0]


def fault() -> str:
    """Why the kernels cannot be used on this machine; empty if they can."""
    return _load()[1]


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    """The kernels, from the cache if they were compiled before, and what is wrong with them."""
    try:
        loaded = _open(cache_dir() / "kernels" / f"{_key()}.so")
    except subprocess.CalledProcessError as error:
        return None, f"the C compiler fails: {printable(error.stderr.decode(errors='replace').strip())[:200]}"
    except (OSError, subprocess.SubprocessError) as error:
        return None, str(error)
    for name, arguments in _ARGUMENTS.items():
        getattr(loaded, name).argtypes = arguments
        getattr(loaded, name).restype = None
    return (loaded, "") if _agrees_with_torch(loaded) else (None, "the compiled kernels compute something else")


def _open(path: Path) -> ctypes.CDLL:
    if path.exists():
        with suppress(OSError):  # a damaged file is made anew
            return ctypes.CDLL(str(path))
    _compile(path)
    return ctypes.CDLL(str(path))


def _key() -> str:
    """What the compiled file depends on: the source, the flags and the instructions of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    processor = [line for line in lines if line.startswith(("model", "flags", "Features", "CPU part"))]
    facts = (_SOURCE.read_text("utf-8"), *_FLAGS, platform.machine(), *sorted(set(processor)))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _compile(path: Path) -> None:
    """Compile into a file that appears whole; raises OSError or SubprocessError where this fails."""
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None:
        raise FileNotFoundError(f"no C compiler {os.environ.get('CC') or 'cc'} is installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        command = [compiler, *_FLAGS, str(_SOURCE), "-o", str(made), "-lm"]
        options: dict[str, Any] = {"capture_output": True, "timeout": _COMPILE_TIMEOUT_S}
        if subprocess.run([*command, "-fopenmp"], **options).returncode:
            subprocess.run(command, **options, check=True)
        made.replace(path)


def _agrees_with_torch(loaded: ctypes.CDLL) -> bool:
    """Whether a small example has torch's outputs and gradients."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 24, 3, 3, generator=generator).contiguous(memory_format=torch.channels_last)
    results = []
    for compute in (
        lambda x, norm: F.silu(norm(x)),
        lambda x, norm: _apply(x, norm.weight, norm.bias, norm, True, loaded),
    ):
        norm, leaf = nn.BatchNorm2d(24), x.clone().requires_grad_()
        with torch.enable_grad():
            y = compute(leaf, norm)
            (y * x).sum().backward()
        results.append((y, leaf.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var))
    return all(torch.allclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE) for a, b in zip(*results, strict=True))


class _NormAct(torch.autograd.Function):
    """Batch norm in training and, with `act`, SiLU: (B, C, H, W), channels last → the same."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: Any, act: bool, kernels: ctypes.CDLL
    ) -> Tensor:
        channels = x.shape[1]
        y, saved = torch.empty_like(x), torch.empty(2, channels)
        scratch = torch.empty(_PARTS * 2 * channels, dtype=torch.float64)
        maps, parameters = _pointers(x, y), _pointers(weight, bias, norm.running_mean, norm.running_var)
        rest = (norm.momentum, norm.eps, act, *_pointers(saved, scratch), torch.get_num_threads())
        kernels.norm_forward(*maps, x.numel() // channels, channels, *parameters, *rest)
        norm.num_batches_tracked.add_(1)
        ctx.save_for_backward(x, weight, bias, saved)
        ctx.act, ctx.kernels = act, kernels
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, saved = ctx.saved_tensors
        channels = x.shape[1]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        scratch = torch.empty(_PARTS * 2 * channels, dtype=torch.float64)
        maps, parameters = _pointers(gradient, x, dx), _pointers(weight, bias, saved)
        rest = (ctx.act, *_pointers(dweight, dbias, scratch), torch.get_num_threads())
        ctx.kernels.norm_backward(*maps, x.numel() // channels, channels, *parameters, *rest)
        return dx, dweight, dbias, None, None, None


_apply: Any = _NormAct.apply


def _pointers(*tensors: Tensor) -> list[int]:
    """Their addresses; the caller keeps the tensors until the kernel has returned."""
    return [tensor.data_ptr() for tensor in tensors]


def norm_act(x: Tensor, norm: nn.BatchNorm2d, *, act: bool) -> Tensor | None:
    """Batch norm in training and, with `act`, SiLU: (B, C, H, W) → the same; None where there is no kernel for it."""
    usable = (
        norm.training
        and x.is_cpu
        and x.dtype is torch.float32
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.numel() > x.shape[1]
        and norm.track_running_stats
        and norm.momentum is not None
        and (kernels := library()) is not None
    )
    return _apply(x, norm.weight, norm.bias, norm, act, kernels) if usable else None
