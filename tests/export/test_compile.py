"""`torch.compile` gives the logits of eager, on a built network and on its exported copy."""

import importlib.util

import pytest
import torch
from small import MIXED

from mvsearch.arch.architecture import Architecture
from mvsearch.export.formats.torch import network_class, source
from mvsearch.nn import build

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "backend",
    [
        "aot_eager",  # captures and splits the graph as the default backend does, and generates no code
        pytest.param("inductor", marks=pytest.mark.slow),
    ],
)
def test_a_compiled_network_returns_the_logits_of_eager(backend, tmp_path):
    arch = Architecture.from_dict(MIXED)
    built = build(arch, seed=1).eval()
    (tmp_path / "net.py").write_text(source(arch), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("net", tmp_path / "net.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    exported = getattr(module, network_class(source(arch)))().eval()
    exported.load_state_dict(built.state_dict())
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = built(images)
        for network in (built, exported):
            torch.compiler.reset()
            logits = torch.compile(network, backend=backend, fullgraph=True)(images)
            torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5 * float(expected.std()))
