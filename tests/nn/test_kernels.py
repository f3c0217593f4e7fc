"""Compiled kernels of training against torch's operators."""

import pytest
import torch
import torch.nn.functional as F
from small import SOFTMAX
from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.nn import build, kernels
from mvsearch.nn.accelerate import accelerate
from mvsearch.nn.conv import Conv

pytestmark = pytest.mark.usefixtures("one_thread")

needs_compiler = pytest.mark.skipif(bool(kernels.fault()), reason=f"kernels cannot be used here: {kernels.fault()}")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """Nothing is compiled yet."""
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path))
    kernels._load.cache_clear()
    yield tmp_path
    kernels._load.cache_clear()


def channels_last(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last)


def gradients(compute, x, *parameters):
    """The output, and the gradients of the input and the parameters."""
    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = compute(leaf)
    weights = torch.arange(y.numel(), dtype=y.dtype).cos().view(y.shape)  # in another memory format than the output
    return y, *torch.autograd.grad((y * weights).sum(), [leaf, *parameters])


@needs_compiler
@pytest.mark.parametrize("act", [True, False])
@pytest.mark.parametrize("offset", [0.0, 40.0])
def test_batch_norm_with_activation_and_its_gradients_are_those_in_double_precision(act, offset):
    for batch, channels, side in ((2, 8, 1), (5, 24, 1), (3, 37, 7), (40, 16, 9)):
        x, norm, exact = (
            channels_last(batch, channels, side, side) + offset,
            nn.BatchNorm2d(channels),
            nn.BatchNorm2d(channels).double(),
        )
        for each in (norm, exact):
            nn.init.constant_(each.weight, 0.7)
            nn.init.constant_(each.bias, 0.3)
        ours = gradients(lambda x, norm=norm: kernels.norm_act(x, norm, act=act), x, norm.weight, norm.bias)
        wanted = gradients(
            lambda x, norm=exact: F.silu(norm(x)) if act else norm(x), x.double(), exact.weight, exact.bias
        )
        for a, b in zip((*ours, *norm.buffers()), (*wanted, *exact.buffers()), strict=True):
            torch.testing.assert_close(a.double(), b.double(), rtol=1e-4, atol=1e-4 * (1 + offset / 10))


@needs_compiler
def test_a_value_that_is_not_a_number_stays_visible():
    x = channels_last(2, 8, 4, 4)
    x[0, 3, 1, 1] = torch.nan
    y = kernels.norm_act(x, nn.BatchNorm2d(8), act=True)
    assert y[:, 3].isnan().all()
    assert not y[:, :3].isnan().any()


@needs_compiler
def test_the_number_of_threads_changes_no_digit():
    norm, x = nn.BatchNorm2d(16), channels_last(19, 16, 7, 7)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(gradients(lambda x: kernels.norm_act(x, norm, act=True), x, norm.weight, norm.bias))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_an_accelerated_network_shares_parameters_and_statistics_and_has_the_same_outputs():
    model = build(Architecture.from_dict(SOFTMAX), seed=0).to(memory_format=torch.channels_last).train()
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    fast, x = accelerate(model), channels_last(4, 3, 32, 32)
    assert all(a is b for a, b in zip(model.parameters(), fast.parameters(), strict=True))
    assert all(a is b for a, b in zip(model.buffers(), fast.buffers(), strict=True))
    outputs = []
    for network in (model, fast):
        torch.manual_seed(0)
        outputs.append(network(x))
    torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-4)
    assert torch.equal(model.eval()(x), fast.eval()(x))


@needs_compiler
def test_a_damaged_file_in_the_cache_is_compiled_anew(empty_cache):
    damaged = empty_cache / "kernels" / f"{kernels._key()}.so"
    damaged.parent.mkdir()
    damaged.write_bytes(b"\x7fELF")
    assert kernels.library()
    assert damaged.stat().st_size > 1000


def test_without_a_compiler_torch_computes_and_the_reason_is_known(empty_cache, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    block, x = Conv(8, 8, groups=8), channels_last(2, 8, 4, 4)
    assert kernels.norm_act(x, block.norm, act=True) is None
    assert torch.equal(block(x), accelerate(block)(x))
    assert "compiler" in kernels.fault()
