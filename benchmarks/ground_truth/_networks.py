"""The networks of the ground truth, and their groups of about equal cost."""

from dataclasses import asdict, dataclass
from pathlib import Path

from mvsearch.arch.architecture import Architecture
from mvsearch.proxy_eval.ground_truth import Network
from mvsearch.proxy_eval.ground_truth import load_networks as load
from mvsearch.utils.yaml_document import dump_block

FOLDER = Path(__file__).parent
SPACES = FOLDER.parent.parent / "spaces"
NETWORKS = FOLDER / "networks.yaml"


@dataclass(frozen=True)
class Group:
    """Networks of about equal cost: ranges of parameters and MACs, ends included, and how many of each origin.

    `space` is the shipped space that random networks are drawn from.
    """

    name: str
    params: tuple[float, float]
    macs: tuple[float, float]
    each: int
    published: tuple[str, ...] = ()
    space: str = "v3"


GROUPS = (
    Group("xxs", (1.05e6, 1.25e6), (277e6, 332.2e6), 6, ("mobilevitv3_xxs", "mobilevitv3_xxs_l2")),
    Group("smaller", (0.70e6, 0.82e6), (190e6, 228e6), 5, space="v3_small"),
    Group("smallest", (0.53e6, 0.63e6), (145e6, 172e6), 5, space="v3_small"),
    Group("xs", (2.25e6, 2.5e6), (860e6, 967e6), 0, ("mobilevitv3_xs", "mobilevitv3_xs_l2")),
)
"""From the cost of XXS down, and XS. Spaces: v3 has next to nothing below the cost of XXS."""


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
