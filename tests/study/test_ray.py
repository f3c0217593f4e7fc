"""Trials on a real Ray cluster of two nodes, one of which is killed in the middle."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from toy import toy_plan

from mvsearch.errors import EnvironmentFault, StudyError
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.study.executors.ray import RemoteEvaluator, Share, _get_result, cluster
from mvsearch.study.executors.ray import run as run_with_ray
from mvsearch.study.study import Study

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def nodes():
    """A head without room for trials, and what was given it by `add_node(num_cpus=...)`."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    ray.init(cluster.address, log_to_driver=False, logging_level="error", namespace="mvsearch")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_node_that_is_killed_loses_no_trial(nodes, tmp_path):
    first, second = (nodes.add_node(num_cpus=2) for _ in range(2))
    nodes.wait_for_nodes()
    plan = toy_plan(tmp_path, objectives=("params", "macs"), trials=40)
    Study.join(plan)
    reader, killed = Study.read(plan), threading.Event()

    def watch(progress, news, statuses):
        if progress.count >= 5 and not killed.is_set():
            killed.set()
            nodes.remove_node(second, allow_graceful=False)

    assert not run_with_ray(plan, reader, watch, workers=4, share=Share(cpus=1))
    assert killed.is_set()
    records = reader.records()
    assert [record.state for record in records] == ["complete"] * 40
    assert len({record.key for record in records}) == 40
    nodes.remove_node(first)


@pytest.fixture
def one_place(nodes):
    """A node with room for one trial at a time."""
    node = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    yield
    nodes.remove_node(node)


def test_a_limit_on_memory_holds_in_a_task(one_place, tmp_path):
    plan = toy_plan(tmp_path, objectives=("params", "memory_mib"), trials=12, memory_gib=0.25)  # too little for torch
    Study.join(plan)
    with pytest.raises(StudyError, match=r"nothing but failures so far.*\b[Mm]emory"):
        run_with_ray(plan, Study.read(plan), lambda *_: None, workers=1, share=Share())


def test_a_wait_for_a_place_is_neither_a_trials_time_nor_recorded(one_place, tmp_path):
    plan = toy_plan(tmp_path, objectives=("params", "macs"), timeout_s=5.0)
    study, go = Study.join(plan), tmp_path / "go"

    @ray.remote
    def hold():
        import time

        while not go.exists():
            time.sleep(0.05)

    holder = hold.remote()
    evaluate = RemoteEvaluator(plan, Share(), {}, threading.Event(), study.worker)
    start = time.monotonic()
    with ThreadPoolExecutor() as pool:
        done = pool.submit(study.run, evaluate, trials=1)
        time.sleep(6)
        go.touch()
        done.result()
    ray.get(holder)
    (record,) = study.records()
    assert record.state == "complete"
    assert record.seconds < time.monotonic() - start - 5


def test_an_address_where_nobody_answers_is_told_at_once():
    start = time.monotonic()
    with pytest.raises(EnvironmentFault, match=r"no cluster at 127\.0\.0\.1:1 \(.*refused"), cluster("127.0.0.1:1"):
        raise AssertionError("connected")
    assert time.monotonic() - start < 30


def test_what_a_cluster_has_room_for():
    assert Share(gpus=0.5).slots({"GPU": 4.0, "CPU": 64.0}) == 8
    assert Share(cpus=2).slots({"CPU": 5.0}) == 2
    with pytest.raises(EnvironmentFault, match="0 GPU, 8 CPU"):
        Share(gpus=1).slots({"CPU": 8.0})


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("RaySystemError", OSError), ("WorkerCrashedError", EvaluationFailed), ("ObjectLostError", OSError)],
)
def test_what_the_cluster_is_to_blame_for_is_not_the_candidates(fault, kind, monkeypatch):
    made = getattr(ray.exceptions, fault)
    error = made.__new__(made)
    Exception.__init__(error, "gone")
    monkeypatch.setattr(made, "__str__", lambda self: "gone")

    def lost(task):
        raise error

    monkeypatch.setattr(ray, "get", lost)
    with pytest.raises(kind, match="gone"):
        _get_result(None)
