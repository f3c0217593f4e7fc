"""Scores that stand for accuracy: one file a proxy, and the file's name is the proxy's name.

    proxies/x.py
      PROXY = Proxy(version=1, scores=(Metric(...),), settings=Settings, score=score)

With the same architecture, settings, data and seed a proxy returns the same score. A file loads no torch before `score`
is called.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol, cast

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.errors import PlanError
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import Metric, declare
from mvsearch.utils import plugins
from mvsearch.utils.progress import Progress

if TYPE_CHECKING:
    from mvsearch.training.in_memory import TrainedInMemory


class ScoreNetwork(Protocol):
    """Computes the scores of a network."""

    def __call__(
        self,
        arch: Architecture,
        settings: Any,
        data: DataSet,
        *,
        seed: int = 0,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> Metrics:
        """At least all declared scores that are for the architecture's task.

        Raises `EvaluationFailed`, with the reason, for a network that has no score.
        """


class TrainNetwork(Protocol):
    """Computes the scores of a network by training it."""

    def __call__(
        self,
        arch: Architecture,
        settings: Any,
        data: DataSet,
        *,
        seed: int = 0,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> "tuple[Metrics, TrainedInMemory]":
        """What `ScoreNetwork` returns, and the trained network."""


@dataclass(frozen=True)
class HeldOut:
    """The images of the training part that scores are computed on: `images` of `of`, where `asked` were asked for.

    `reduced` if that was too many. At least one image of each class is held out, so `images` can also be more.
    """

    images: int
    of: int
    asked: int
    reduced: bool

    @property
    def words(self) -> str:
        """E.g. `480 of 2,400 training images (5,000 were asked for; at most a fifth is held out)`."""
        asked = f" ({self.asked:,} were asked for; at most a fifth is held out)" if self.reduced else ""
        return f"{self.images:,} of {self.of:,} training images{asked}"


@dataclass(frozen=True)
class Scope:
    """The networks that a score was compared with full trainings on: elsewhere its order is not known to hold.

    `blocks` are the kinds of transformer blocks, of which a network has one; `params` is the range of parameters.
    """

    words: str
    blocks: tuple[str, ...]
    params: tuple[float, float]


@dataclass(frozen=True)
class ScoreTime:
    """The seconds of one score of a network, with one seed: `fixed_s`, and `step_s` for each training step.

    `network` is the one that was trained for that, on some of the images; None for a proxy that trains none.
    """

    fixed_s: float
    step_s: float = 0.0
    network: "TrainedInMemory | None" = None


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A file of `proxies/`.

    `version` rises when the same settings would give another score. `scores` are the metrics that it declares; it ranks
    the networks of a task by the first for it. `settings` is a frozen dataclass, the fields of `proxy:` in a file.
    `task_defaults` are, for each task, the settings that differ from its defaults. `held_out` counts the images that
    it evaluates on, for a task; None if there are none. `weights` names the trained networks that its scores depend on,
    with their checksums; empty if there are none. `check` raises if none of some networks can use them, and returns
    sentences about them. `measures` are further numbers that it returns. `scopes` has the networks that a score is
    known to order, for scores that hold for some networks only.
    `at_equal_cost` has for a score the one to use instead among networks of equal cost. `time` tells from a few steps
    how long a score takes on a device; None for scores that are so cheap that one of them is computed for that. `train`
    is `score` where the network that it trains is needed too; None for a proxy that trains none.
    """

    version: int
    scores: tuple[Metric, ...]
    settings: type[Any]
    score: ScoreNetwork
    task_defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    held_out: Callable[[str, Any, DataSet], HeldOut] | None = None
    weights: Callable[[str, Any, DataSet], str] | None = None
    check: Callable[[Sequence[Architecture], Any, DataSet], tuple[str, ...]] | None = None
    measures: tuple[Metric, ...] = ()
    scopes: Mapping[str, Scope] = field(default_factory=dict)
    at_equal_cost: Mapping[str, str] = field(default_factory=dict)
    time: Callable[[Architecture, Any, DataSet, str], ScoreTime] | None = None
    train: TrainNetwork | None = None

    def scores_for(self, task: str) -> tuple[Metric, ...]:
        """The scores that it has for a task; it ranks by the first."""
        return tuple(score for score in self.scores if task in score.tasks)

    def images_key(self, task: str, settings: Any, data: DataSet) -> str:
        """Identifies the images of a score, and how they are divided where that is not as the settings say."""
        held_out = self.held_out(task, settings, data) if self.held_out else None
        divided = f", {held_out.images} held out" if held_out and held_out.reduced else ""
        return f"{data.name} {data.checksum}{divided}"

    @property
    def has_steps(self) -> bool:
        """Whether it trains for a number of steps, so that it can have rungs."""
        return any(setting.name == "steps" for setting in fields(self.settings))


class ProxyModule(Protocol):
    """A file of `proxies/`."""

    PROXY: Proxy


def settings_used(settings: Any) -> dict[str, Any]:
    """The settings of a proxy that scores depend on, by name.

    A field whose metadata say that it is `of` another setting belongs to them only where that other one is set.
    """
    used = (each.name for each in fields(settings) if getattr(settings, each.metadata.get("of", ""), True))
    return {name: getattr(settings, name) for name in used}


def load_proxy(name: str) -> Proxy:
    """The proxy of that name; raises PlanError, with a suggestion, if there is none."""
    return cast(ProxyModule, plugins.load("proxy", name, error=PlanError)).PROXY


for _name in plugins.names("proxy"):
    declare(*load_proxy(_name).measures, *load_proxy(_name).scores)
