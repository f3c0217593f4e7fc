"""Ships `spaces/` inside the package, as `mvsearch/spaces/`. Everything else is declared in pyproject.toml."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["mvsearch*"]), "mvsearch.spaces"],
    package_dir={"mvsearch.spaces": "spaces"},
)
