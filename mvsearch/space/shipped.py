"""The search spaces that mvsearch includes: the files of `spaces/`, by name. No torch."""

import shlex
from pathlib import Path

from mvsearch.errors import YamlError
from mvsearch.utils import plugins
from mvsearch.utils.installation import PACKAGE, source_tree


def shipped_spaces() -> dict[str, Path]:
    """The file of each space by its name. An installed copy has them in the package, a source tree beside it."""
    folder = (source_tree() or PACKAGE) / "spaces"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_space(name: str | Path) -> Path:
    """The file that a name stands for: a file, or else a space that mvsearch includes; raises YamlError otherwise."""
    path, shipped = Path(name), shipped_spaces()
    if path.is_file():
        return path
    if str(name) in shipped:
        return shipped[str(name)]
    if path.is_dir():
        command = f"mvsearch init --data {shlex.quote(str(name))} -o my.yaml"
        raise YamlError(f"is a folder, and a space is a YAML file; `{command}` writes one for its images.", at=name)
    files = {file.stem: str(file) for file in path.parent.glob("*.yaml")}
    near = plugins.nearest(path.stem, files)
    hint = f"did you mean {files[near]!r}?" if near else plugins.suggest(path.stem, list(shipped))
    raise YamlError(f"is neither a YAML file nor a space that mvsearch includes; {hint}", at=name)
