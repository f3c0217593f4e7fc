"""Scores that stand for accuracy: one file a proxy, and the file's name is the proxy's name.

A file defines what `Proxy` below lists. With the same architecture, settings, data and seed it returns the same score.
A file loads no torch before `score` is called.
"""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.errors import PlanError
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import Metric, declare
from mvsearch.utils import plugins
from mvsearch.utils.progress import Progress


class Proxy(Protocol):
    """A file of `proxies/`."""

    @property
    def VERSION(self) -> int:  # noqa: N802  a constant of the file
        """Rises when the same settings would give another score."""

    @property
    def SCORES(self) -> tuple[Metric, ...]:  # noqa: N802  a constant of the file
        """The metrics that it declares; it ranks networks by the first."""

    @property
    def TASK_DEFAULTS(self) -> Mapping[str, Mapping[str, Any]]:  # noqa: N802  a constant of the file
        """For each task, the settings (and `seeds`) that differ from the defaults of `Settings`."""

    @property
    def Settings(self) -> type[Any]:  # noqa: N802  a class of the file
        """A frozen dataclass: the fields of `proxy:` in a file. Where it has `steps`, the proxy can have rungs."""

    def score(
        self,
        arch: Architecture,
        settings: Any,
        data: DataSet,
        *,
        seed: int = 0,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> Metrics:
        """At least all of SCORES that are for the architecture's task.

        Raises `EvaluationFailed`, with the reason, for a network that has no score.
        """


def load_proxy(name: str) -> Proxy:
    """The proxy of that name; raises PlanError, with a suggestion, if there is none."""
    return cast(Proxy, plugins.load("proxy", name, error=PlanError))


for _name in plugins.names("proxy"):
    declare(*load_proxy(_name).SCORES)
