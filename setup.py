"""Ships `spaces/` and the tables of `benchmarks/ground_truth/` inside the package. The rest is in pyproject.toml."""

from setuptools import find_namespace_packages, setup
from setuptools.command.build_py import build_py

_DATA = {"mvsearch.spaces": "spaces", "mvsearch.ground_truth": "benchmarks/ground_truth"}


class BuildPy(build_py):
    """Leaves out the programs that lie beside the tables."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """The modules of a package; a folder of data has none."""
        return [] if package in _DATA else super().find_package_modules(package, package_dir)


setup(
    packages=[*find_namespace_packages(include=["mvsearch*"]), *_DATA],
    package_dir=_DATA,
    cmdclass={"build_py": BuildPy},
)
