"""Trials on a real Ray cluster of two nodes, one of which is killed during the run."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from toy import TOY, toy_plan

from mvsearch.errors import EnvironmentFault
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.study.evaluator import Evaluator
from mvsearch.study.executors.ray import RemoteEvaluator, ResourceShare, _get_result, cluster
from mvsearch.study.executors.ray import run as run_with_ray
from mvsearch.study.study import Study

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def nodes():
    """A cluster: a head without resources for trials, and one node with a single slot."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    ray.init(cluster.address, log_to_driver=False, logging_level="error", namespace="mvsearch")
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_the_memory_limit_holds_in_a_task(nodes, tmp_path):
    """The limit is far above what Python and torch need, and the batch far above the limit."""
    text = TOY + "latency: {batch: 10000000}\n"
    plan = toy_plan(tmp_path, text, objectives=("latency_ms", "params"), memory_gib=8.0)
    evaluate = RemoteEvaluator(
        plan, ResourceShare(), Evaluator(plan).facts(), threading.Event(), Study.join(plan).worker
    )
    with pytest.raises(EvaluationFailed, match="limit 8 GiB"):
        evaluate(plan.space.architecture(plan.space.point(plan.space.sample(1, 0)[0])))


def test_the_wait_for_a_slot_counts_neither_for_the_time_limit_nor_in_the_record(nodes, tmp_path):
    plan = toy_plan(tmp_path, objectives=("params", "macs"), timeout_s=1.5)
    study, go = Study.join(plan), tmp_path / "go"

    @ray.remote
    def occupy():
        import time

        deadline = time.monotonic() + 120
        while not go.exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    occupied = occupy.remote()
    evaluate = RemoteEvaluator(plan, ResourceShare(), {}, threading.Event(), study.worker)
    start = time.monotonic()
    with ThreadPoolExecutor() as pool:
        done = pool.submit(study.run, evaluate, trials=1)
        time.sleep(2.5)
        go.touch()
        done.result()
    ray.get(occupied)
    (record,) = study.records()
    assert record.state == "complete"
    assert record.seconds < time.monotonic() - start - 2


@pytest.mark.slow
def test_a_killed_node_loses_no_trial(nodes, tmp_path):
    second = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    plan = toy_plan(tmp_path, objectives=("params", "macs"), trials=20)
    Study.join(plan)
    reader, killed = Study.read(plan), threading.Event()

    def callback(progress, *_):
        if progress.count >= 3 and not killed.is_set():
            killed.set()
            nodes.remove_node(second, allow_graceful=False)

    assert not run_with_ray(plan, reader, callback, workers=2, share=ResourceShare(cpus=1))
    assert killed.is_set()
    records = reader.records()
    assert [record.state for record in records] == ["complete"] * 20
    assert len({record.key for record in records}) == 20


def test_an_address_without_a_cluster_is_an_error_at_once():
    start = time.monotonic()
    with pytest.raises(EnvironmentFault, match=r"127\.0\.0\.1:1 \(.*refused"), cluster("127.0.0.1:1"):
        raise AssertionError("connected")
    assert time.monotonic() - start < 30


def test_the_slots_of_a_cluster_follow_from_its_resources():
    assert ResourceShare(gpus=0.5).slots({"GPU": 4.0, "CPU": 64.0}) == 8
    assert ResourceShare(cpus=2).slots({"CPU": 5.0}) == 2
    with pytest.raises(EnvironmentFault, match="0 GPU, 8 CPU"):
        ResourceShare(gpus=1).slots({"CPU": 8.0})


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("RaySystemError", OSError), ("WorkerCrashedError", EvaluationFailed), ("ObjectLostError", OSError)],
)
def test_a_fault_of_the_cluster_is_not_the_candidates(fault, kind, monkeypatch):
    error_class = getattr(ray.exceptions, fault)
    error = error_class.__new__(error_class)
    Exception.__init__(error, "gone")
    monkeypatch.setattr(error_class, "__str__", lambda self: "gone")

    def get(task):
        raise error

    monkeypatch.setattr(ray, "get", get)
    with pytest.raises(kind, match="gone"):
        _get_result(None)
