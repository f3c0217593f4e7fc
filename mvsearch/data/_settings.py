"""Which images a study or an export uses."""

from dataclasses import dataclass

MIN_SIZE = 8
"""The smallest side in pixels that images are decoded at."""


@dataclass(frozen=True)
class DataSettings:
    """`data:` which images the proxy sees."""

    source: str = "fashion_mnist"
    """Where the images are from."""
    path: str | None = None
    """The folder of the images, for sources that need one; relative to the folder in which the command runs."""
    size: int | None = None
    """The shorter side in pixels that images are decoded at; by default the source's own."""
    test_fraction: float = 0.1
    """The share of each class that is kept for testing, where the images have no test part of their own."""
    seed: int = 0
    """Draws that test part."""
