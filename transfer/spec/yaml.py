"""A safe subset of YAML: no aliases, tags or duplicate keys, and numbers as in YAML 1.2.

PyYAML's safe loader reads `1e-3` as a string, `no` as False and `1:30` as 90, keeps the last of
duplicate keys, expands aliases without limit and recurses once per level. Here its parser's events
are assembled without recursion, and plain scalars follow YAML 1.2's core schema.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import yaml

from results.storage.regular import open_regular
from transfer.spec.errors import SpecError, shown

MOST_BYTES = 1_000_000
DEEPEST = 20
MOST_DIGITS = 100

_CONSTANTS = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
    ".inf": float("inf"),
    "-.inf": float("-inf"),
    ".nan": float("nan"),
}
_INTEGER = re.compile(rf"[-+]?[0-9]{{1,{MOST_DIGITS}}}")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class Document(NamedTuple):
    """The value of a YAML document.

    Attributes:
        value: mappings with string keys, lists, scalars.
        lines: the line, counted from 1, of every key and entry, by a path such as
            "tune.weight_lr[1]".
    """

    value: object
    lines: Mapping[str, int]


def read_yaml(path: Path | str) -> Document:
    """Return what is in the YAML file `path`.

    Raises:
        SpecError: the file cannot be read, is longer than 1 MB, or holds YAML that is not
            allowed.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        if len(content) > MOST_BYTES:
            raise _too_long()
        return parse_yaml(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is not text in UTF-8: byte {error.start} is damaged") from None
    except SpecError as error:
        raise SpecError(f"{path}: {sentence}" for sentence in error.sentences) from None


def parse_yaml(text: str) -> Document:
    """Return what a YAML text holds.

    Raises:
        SpecError: text longer than 1 MB, invalid YAML, several documents, an alias or anchor, a
            tag, a duplicate or non-string key, or more than 20 levels.
    """
    if len(text) > MOST_BYTES:
        raise _too_long()
    assembly = _Assembly()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            assembly.take(event)
    except yaml.MarkedYAMLError as error:
        raise SpecError(f"{_line(error.problem_mark)}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise SpecError(f"not valid YAML: {str(error).splitlines()[0]}") from None
    return Document(assembly.value, assembly.lines)


def write_yaml(value: object) -> str:
    """Return the text that `parse_yaml` reads as `value`."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Quotes strings that `parse_yaml`, unlike PyYAML, reads as numbers; writes no aliases."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = None if isinstance(_scalar(text), str) else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.add_representer(str, _Dumper.represent_text)


def _too_long() -> SpecError:
    return SpecError(f"a spec must be at most {MOST_BYTES:,} bytes long")


class _Assembly:
    """Builds the value from parser events; `open` holds the collections not yet closed."""

    def __init__(self) -> None:
        self.value: object = None
        self.documents = 0
        self.open: list[dict[str, object] | list[object]] = []
        self.keys: list[str | None] = []  # for each open mapping, the key whose value comes next
        self.paths: list[str] = []  # of the open collections
        self.lines: dict[str, int] = {}

    def take(self, event: yaml.Event) -> None:
        """Consume the next event."""
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                line = _line(event.start_mark)
                raise SpecError(f"{line}: only one YAML document is allowed in a file")
        elif isinstance(event, yaml.NodeEvent):
            self._take_node(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.open.pop()
            self.keys.pop()
            self.paths.pop()

    def _take_node(self, event: yaml.NodeEvent) -> None:
        number = event.start_mark.line + 1 if event.start_mark else 0
        line = f"line {number}"
        if event.anchor is not None:
            raise SpecError(f"{line}: YAML anchors and aliases are not allowed")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            raise SpecError(f"{line}: YAML tags such as {shown(tag)} are not allowed")
        if isinstance(event, yaml.ScalarEvent):
            self._place(_scalar(event.value) if event.implicit[0] else event.value, number)
            return
        collection: dict[str, object] | list[object] = (
            {} if isinstance(event, yaml.MappingStartEvent) else []
        )
        if len(self.open) == DEEPEST:
            raise SpecError(f"{line}: more than {DEEPEST} levels of nesting")
        path = self._place(collection, number)
        self.open.append(collection)
        self.keys.append(None)
        self.paths.append(path)

    def _place(self, value: object, number: int) -> str:
        """Put `value`, which starts on line `number`, where the innermost open collection expects
        it; return its path."""
        if not self.open:
            self.value = value
            return ""
        inner, key, path = self.open[-1], self.keys[-1], self.paths[-1]
        if isinstance(inner, list):
            path = f"{path}[{len(inner)}]"
            self.lines[path] = number
            inner.append(value)
        elif key is not None:
            path = _inside(path, key)
            inner[key] = value
            self.keys[-1] = None
        elif not isinstance(value, str):
            raise SpecError(f"line {number}: a key must be a name, got {shown(value)}")
        elif value in inner:
            raise SpecError(f"line {number}: the key {shown(value)} is given twice")
        else:
            self.keys[-1] = value
            self.lines[_inside(path, value)] = number
        return path


def _inside(path: str, key: str) -> str:
    return f"{path}.{key}".removeprefix(".")


class _Mark(Protocol):
    line: int


def _line(mark: _Mark | None) -> str:
    return f"line {mark.line + 1}" if mark else "the spec"


def _scalar(text: str) -> object:
    """Return the value of a plain (unquoted) scalar."""
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _REAL.fullmatch(text) else text
