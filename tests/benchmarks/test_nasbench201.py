"""The benchmark on a public table measures what it says, on a made-up table of the same columns."""

import gzip
import itertools
from pathlib import Path

import moocore
import numpy as np
import pytest
from nasbench201 import LEAST_MS, Table, fill, others, read_section, replace_section, run, shares


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Accuracy grows with every conv 3x3 (3), latency with every operation; the last half was trained twice only."""
    lines = ["ops,cifar10_valacc_seed0,cifar10_valacc_seed1,cifar10_valacc_seed2,ms_made_up"]
    for ops in itertools.product("01234", repeat=6):
        accuracy = 50 + 5 * ops.count("3")
        last = "" if ops[0] > "2" else f"{accuracy + 1}"
        lines.append(f"{''.join(ops)},{accuracy - 1},{accuracy},{last},{5 * (6 - ops.count('0')):.3f}")
    path = tmp_path_factory.mktemp("table") / "table.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join([lines[0], *reversed(lines[1:])]))
    return path


@pytest.fixture(scope="module")
def table(path: Path) -> Table:
    return Table.read(path, "cifar10", "ms_made_up")


def test_networks_are_in_the_order_of_codes_and_small_latencies_are_clipped(table):
    index = int(np.ravel_multi_index((3, 0, 0, 0, 3, 3), (5,) * 6))
    assert table.truth[index] == pytest.approx([100 - (64 + 65) / 2, 15.0])
    assert table.truth[0] == pytest.approx([50.0, LEAST_MS])
    seen = {table.evaluate(index, np.random.default_rng(seed))[0] for seed in range(20)}
    assert seen == {0.64, 0.65}


def test_the_share_is_of_the_hypervolume_of_all_networks(table):
    everything = shares(table, np.flatnonzero(moocore.is_nondominated(table.truth)).tolist())
    assert everything[-1] == pytest.approx(1.0)
    best, cheapest = int(np.ravel_multi_index((3,) * 6, (5,) * 6)), 0
    assert shares(table, [best])[0] == pytest.approx(everything[-1] * (65 - 20.5) * (40 - 30) / volume(table), rel=1e-6)
    assert shares(table, [cheapest, best])[1] > shares(table, [cheapest])[0]


def volume(table: Table) -> float:
    """The area below 65 % and 40 ms that some network dominates, counted in steps of the front."""
    truth, area = table.truth, 0.0
    edges = sorted({*truth[truth[:, 1] < 40][:, 1], 40.0})
    for left, right in itertools.pairwise(edges):
        area += (right - left) * max(0.0, 65 - truth[truth[:, 1] <= left][:, 0].min())
    return area


@pytest.mark.parametrize("sampler", ["random", "tpe", "surrogate"])
def test_runs_are_the_same_again_and_the_own_sampler_never_repeats_a_network(table, sampler):
    one, other = (run(table, sampler, 3, evaluations=12)["found"] for _ in range(2))
    assert one == other
    assert sampler != "surrogate" or len(set(one)) == 12


def test_finished_runs_are_kept(table, tmp_path, monkeypatch):
    monkeypatch.setattr("nasbench201.run", lambda *_: {"found": [0], "proposal_ms": 1.0})
    file: Path = tmp_path / "results.jsonl"
    first = fill(file, table, ("cifar10", "ms_made_up"), 2, ("random",))
    assert len(first) == 2
    assert fill(file, table, ("cifar10", "ms_made_up"), 2, ("random",)) == first
    assert len(file.read_text(encoding="utf-8").splitlines()) == 2


def test_the_section_is_replaced_in_its_place():
    page = "# Page\n\n## Tables\n\n## What is counted\n\nwords\n"
    once = replace_section(page, "## NAS-Bench-201: one\n\n")
    assert read_section(once) == "## NAS-Bench-201: one\n\n"
    assert replace_section(once, "## NAS-Bench-201: two\n\n") == once.replace("one", "two")


def test_other_devices_have_a_row_each_with_the_latency_of_their_slowest_network_as_the_limit(
    path, tmp_path, monkeypatch
):
    monkeypatch.setattr("nasbench201.OTHERS", (("cifar10", "ms_made_up"),))
    best = int(np.ravel_multi_index((0, 0, 3, 3, 3, 3), (5,) * 6))
    monkeypatch.setattr("nasbench201.run", lambda *_: {"found": [best] * 200, "proposal_ms": 1.0})
    text = others(path, tmp_path / "results.jsonl", 2, ("surrogate", "random"))
    table = Table.read(path, "cifar10", "ms_made_up", 0.0)
    share = shares(table, [best], np.array([65.0, 30.0]))[0]
    cell = f"{share:.3f}".removeprefix("0")
    assert f"| CIFAR-10 | `ms_made_up` | 2 | {cell} / {cell} |  |  | {cell} / {cell} |" in text
