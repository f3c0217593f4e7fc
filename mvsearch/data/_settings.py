"""Which images a study or an export uses."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSettings:
    """`data:` which images the proxy sees."""

    source: str = "fashion_mnist"
    path: str | None = None
    size: int | None = None
    test_fraction: float = 0.1
    seed: int = 0
