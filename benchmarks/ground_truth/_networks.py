"""The networks of the ground truth, and their groups of about equal cost."""

from dataclasses import asdict, dataclass
from pathlib import Path

from mvsearch.arch.architecture import Architecture
from mvsearch.proxy_eval.ground_truth import Network
from mvsearch.proxy_eval.ground_truth import load_networks as load
from mvsearch.utils.yaml_document import dump_block

FOLDER = Path(__file__).parent
SPACE = FOLDER.parent.parent / "spaces" / "v3.yaml"
NETWORKS = FOLDER / "networks.yaml"


@dataclass(frozen=True)
class Group:
    """Networks of about equal cost: ranges of parameters and MACs, ends included, and how many of each origin."""

    name: str
    params: tuple[float, float]
    macs: tuple[float, float]
    published: tuple[str, ...]
    each: int


GROUPS = (
    Group("xxs", (1.05e6, 1.25e6), (277e6, 332e6), ("mobilevitv3_xxs", "mobilevitv3_xxs_l2"), 6),
    Group("mid", (1.65e6, 1.85e6), (500e6, 600e6), (), 4),
    Group("xs", (2.25e6, 2.5e6), (860e6, 967e6), ("mobilevitv3_xs", "mobilevitv3_xs_l2"), 3),
    Group("s", (5.1e6, 5.8e6), (1.6e9, 1.84e9), ("mobilevitv3_s", "mobilevitv3_s_l2"), 1),
)
"""From the cost of each published size down; the largest cost most to train, so there are fewest of them."""


def load_networks() -> list[Network]:
    """All networks, in the order in which they are trained."""
    return list(load(NETWORKS))


def architecture(network: Network) -> Architecture:
    """The network itself."""
    return network.architecture(FOLDER)


def save_networks(networks: list[Network]) -> None:
    """Write the file; its comment says how it came about."""
    defaults = {"point": None, "space": "v3"}
    rows = [
        {name: value for name, value in asdict(network).items() if defaults.get(name, "") != value}
        for network in networks
    ]
    NETWORKS.write_text(f"# Written by choose.py; trained by train.py.\n{dump_block({'networks': rows})}", "utf-8")
