"""Read YAML as plain values, together with the line of each value.

>>> document = read(Path("spaces/v3.yaml"))
>>> str(document.where("blocks", 3, "dim"))
'spaces/v3.yaml:17: blocks.layer3.dim'
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch.errors import Location, YamlError

if TYPE_CHECKING:
    from ruamel.yaml import YAML

Place = tuple[str | int, ...]

_MAX_CHARACTERS = 100_000  # a few seconds to read, at worst; a space file has some thousand
_MAX_DEPTH = 500  # open brackets: the time to read them grows quadratically
_MAX_VALUES = 100_000  # aliases of aliases can expand to billions
_MAX_INTEGER = 10**1000  # Python refuses to print larger ones; fields check smaller ones themselves
_MAX_SHOWN = 40  # characters of a value in a message
_HINTS = {
    "'\\t'": "this is a tab; use blanks",
    "<block mapping start>": "the indentation of this line differs from that of the lines around it",
    "<block sequence start>": "the indentation of this line differs from that of the lines around it",
    "mapping values": "the line is indented too far, or a text with a colon needs quotes",
}
"""What words of the parser mean to a person."""
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}


@dataclass(frozen=True)
class Document:
    """The values of a file and their lines; `file` is None for values that are not from a file."""

    data: dict[str, Any]
    file: str | None = None
    lines: dict[Place, int] = field(default_factory=dict)

    def where(self, *place: str | int) -> Location:
        """The location of a value: file and line if known, and the path of its key, with rows by their name."""
        line = next((self.lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in self.lines), None)
        return Location(self.file, line, ".".join(self.steps(*place)) or None)

    def steps(self, *place: str | int) -> Iterator[str]:
        """The steps of a place; a row by its name rather than its number."""
        data: Any = self.data
        for step in place:
            data = data[step] if _has(data, step) else None
            name = data.get("name") if isinstance(data, dict) and isinstance(step, int) else None
            yield str(name if name is not None else step)


def _has(data: Any, step: str | int) -> bool:
    if isinstance(data, dict):
        return step in data
    return isinstance(data, list) and isinstance(step, int) and 0 <= step < len(data)


def read(path: Path) -> Document:
    """The mapping in a YAML file; raises YamlError for anything else, including tags for objects."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise YamlError(f"cannot be read ({reason}); use the path of a YAML file.", at=path) from None
    return parse(text, str(path))


def read_shipped(path: Path) -> Document:
    """The mapping in a YAML file of this package, in an eighth of the time: PyYAML reads it with libyaml.

    Only for files of which a test has shown that `read` finds the same in them: PyYAML reads YAML 1.1, where some words
    are booleans and some numbers are text, and its errors say less.
    """
    try:
        from yaml import CSafeLoader, YAMLError
    except ImportError:  # a PyYAML without libyaml
        return read(path)
    loader = CSafeLoader(path.read_text(encoding="utf-8"))
    reader = _Reader(loader.construct_object, YAMLError, str(path))
    return Document(reader.value(loader.get_single_node(), ()), str(path), reader.lines)


def parse(text: str, file: str | None = None) -> Document:
    """The mapping in a YAML text."""
    if len(text) > _MAX_CHARACTERS:
        raise YamlError(f"the file has {len(text):,} characters (limit {_MAX_CHARACTERS:,}).", at=file)
    if _open_brackets(text) > _MAX_DEPTH:
        raise YamlError("the values are nested too deeply.", at=file)
    from ruamel.yaml.error import YAMLError

    yaml = _ruamel()
    reader = _Reader(yaml.constructor.construct_object, YAMLError, file)
    try:
        root = yaml.compose(io.StringIO(text))
        data = None if root is None else reader.value(root, ())
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = Location(file, mark.line + 1 if mark else None)
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        hint = next((f": {hint}" for words, hint in _HINTS.items() if words in problem), "")
        raise YamlError(f"not valid YAML ({problem}{hint}); see the examples in spaces/.", at=place) from None
    except RecursionError:
        raise YamlError("the values are nested too deeply.", at=file) from None
    except (ValueError, OverflowError) as error:  # a number or an escape that is valid YAML and has no value
        raise YamlError(f"not valid YAML ({error}); see the examples in spaces/.", at=file) from None
    if root is None:
        raise YamlError("the file is empty; it needs at least `blocks:`.", at=file)
    if not isinstance(data, dict):
        raise YamlError(
            f"found a {type(data).__name__}; a file is a mapping with at least `blocks:`.", at=Location(file, 1)
        )
    return Document(data, file, reader.lines)


def _ruamel() -> "YAML":
    """The parser and writer of YAML 1.2. Its import takes longer than to read a file of this package without it."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True)


def _open_brackets(text: str) -> int:
    """The largest number of open brackets, including those in quotes and comments."""
    signs = (1 if sign in "[{" else -1 for sign in text if sign in "[]{}")
    return max(accumulate(signs), default=0)


class _Reader:
    """Converts nodes of ruamel.yaml or PyYAML to values and records their lines.

    `construct` converts a scalar, and raises `error` where it cannot.
    """

    def __init__(self, construct: Callable[[Any], Any], error: type[Exception], file: str | None) -> None:
        self.construct, self.error, self.file = construct, error, file
        self.lines: dict[Place, int] = {}
        self._open: list[int] = []

    def value(self, node: Any, place: Place) -> Any:
        line = node.start_mark.line + 1
        if str(node.tag) not in _PLAIN:
            raise YamlError(f"the tag {node.tag} is not a plain value; remove it.", at=Location(self.file, line))
        if id(node) in self._open:
            raise YamlError("this value contains itself; write it without an alias.", at=Location(self.file, line))
        if len(self.lines) > _MAX_VALUES:
            raise YamlError(f"the file has more than {_MAX_VALUES} values.", at=Location(self.file, line))
        self.lines.setdefault(place, line)
        if node.id == "scalar":
            return self._scalar(node, line)
        self._open.append(id(node))
        value: Any
        if node.id == "mapping":
            value = self._mapping(node, place)
        else:
            value = [self.value(item, (*place, i)) for i, item in enumerate(node.value)]
        self._open.pop()
        return value

    def _scalar(self, node: Any, line: int) -> Any:
        try:
            value = self.construct(node)
        except (self.error, ValueError, KeyError, OverflowError):
            kind = str(node.tag).rpartition(":")[2]
            raise YamlError(
                f"{_short(node.value)} cannot be read as {kind}; quote it or remove its tag.",
                at=Location(self.file, line),
            ) from None
        if isinstance(value, int) and abs(value) >= _MAX_INTEGER:
            raise YamlError(f"{_short(node.value)} exceeds 2**63; use a smaller number.", at=Location(self.file, line))
        return value

    def _mapping(self, node: Any, place: Place) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key, str) or key == "<<" or not key.isprintable():
                raise YamlError("a key must be a word.", at=Location(self.file, line))
            if key in mapping:
                raise YamlError(f"{key!r} appears twice; remove one.", at=Location(self.file, line))
            self.lines[(*place, key)] = line
            mapping[key] = self.value(value_node, (*place, key))
        return mapping


def _short(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...")


def dump(data: dict[str, Any]) -> str:
    """Plain values as YAML, with each row on one line."""
    return "\n".join(_top(key, value) for key, value in data.items()) + "\n"


def _top(key: str, value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return f"{key}:\n" + "\n".join(f"  - {dump_flow(item)}" for item in value)
    return f"{key}: {dump_flow(value)}"


def dump_flow(value: Any) -> str:
    """A plain value as YAML on one line."""
    out = io.StringIO()
    yaml = _ruamel()
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = True, 10_000, False  # type: ignore
    yaml.dump(value, out)
    return out.getvalue().removesuffix("...\n").strip()


def dump_block(data: dict[str, Any]) -> str:
    """Plain values as YAML, one per line."""
    out = io.StringIO()
    yaml = _ruamel()
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output, yaml.width = None, False, 120  # type: ignore
    yaml.dump(data, out)
    return out.getvalue()
