"""The page of every key of a spec, made from its JSON Schema."""

import re
from collections.abc import Iterator

from transfer.spec.model import Experiment
from transfer.spec.schema import json_schema

INTRODUCTION = """# Every key of a spec

Types, bounds and defaults, made from the JSON Schema that `mupc schema` prints.
[The spec reference](../spec.md) explains what the names stand for. A key without a default is
required, or is not set unless you set it (–).
"""

MAPPING = "mapping"
"""What a mapping without a name or title of its own is called."""

Node = dict[str, object]


def page() -> str:
    """Return the page."""
    return "\n".join([INTRODUCTION, *_Sections(json_schema(Experiment)).lines()])


class _Sections:
    """The sections of the page: one for each mapping that a spec can have."""

    def __init__(self, schema: Node) -> None:
        self.schema = schema
        self.definitions: dict[str, Node] = schema["$defs"]
        self.titles = {name: self._title(name) for name in self.definitions}
        self.places = dict(self._reached(schema, ""))

    def lines(self) -> Iterator[str]:
        yield from self._section("Top level", "top-level", self.schema)
        for name, place in self.places.items():
            title = self.titles[name]
            heading = f"`{place}`" if title == MAPPING else f"`{place}`: {title}"
            yield from self._section(heading, _anchor(name), self.definitions[name])

    def _title(self, name: str) -> str:
        """Return what an option is called in a spec, else its title, else that it is a mapping."""
        node = self.definitions[name]
        for key in node["properties"].values():
            if "const" in key:
                return f"`{key['const']}`"
        return str(node.get("title", MAPPING))

    def _reached(self, node: object, place: str) -> Iterator[tuple[str, str]]:
        """Yield every definition with the first key that leads to it, in the order of a spec."""
        seen: set[str] = set()

        def walk(node: object, place: str) -> Iterator[tuple[str, str]]:
            if isinstance(node, list):
                for item in node:
                    yield from walk(item, place)
            elif isinstance(node, dict):
                if "$ref" in node:
                    name = node["$ref"].rpartition("/")[2]
                    if name not in seen:
                        seen.add(name)
                        yield name, place
                        yield from walk(self.definitions[name], place)
                for key, inner in node.get("properties", {}).items():
                    yield from walk(inner, f"{place}.{key}" if place else key)
                for word in ("anyOf", "oneOf", "items"):
                    yield from walk(node.get(word), place)

        yield from walk(node, place)

    def _section(self, title: str, anchor: str, node: Node) -> Iterator[str]:
        yield f"## {title} {{ #{anchor} }}\n"
        if anchor != "top-level":
            yield f"{_meaning(node)}\n"
        yield "| key | value | default | meaning |\n|---|---|---|---|"
        for key, value in node["properties"].items():
            required = key in node.get("required", ())
            cells = (f"`{key}`", self._kind(value), _default(value, required), _meaning(value))
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""

    def _kind(self, node: Node) -> str:
        """Return the values that a node allows, in words."""
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            return f"[{self.titles[name]}](#{_anchor(name)})"
        for word in ("anyOf", "oneOf"):
            if word in node:
                kinds = [self._kind(item) for item in node[word] if item.get("type") != "null"]
                return " or ".join(dict.fromkeys(kinds))
        if "const" in node:
            return f"`{node['const']}`"
        if "enum" in node:
            return ", ".join(f"`{value}`" for value in node["enum"])
        if node.get("type") == "array":
            items = f" of {self._kind(node['items'])}" if "items" in node else ""
            return f"list{items}{_bounds(node, 'minItems', 'maxItems')}"
        if "pattern" in node and "title" not in node:
            return "`module:attribute`"
        kind = {"boolean": "`true` or `false`"}.get(node.get("type"), node.get("type", "any"))
        return f"{node.get('title', kind)}{_bounds(node, 'minimum', 'maximum')}"


def _anchor(name: str) -> str:
    return name.lower()


def _bounds(node: Node, low: str, high: str) -> str:
    least = node.get(low, node.get("exclusiveMinimum"))
    most = node.get(high, node.get("exclusiveMaximum"))
    above = " above" if least is not None and low not in node else ""
    below = " below" if most is not None and high not in node else ""
    if least == most:
        return f", {_number(least)}" if least is not None else ""
    words = [
        f"{above} {_number(least)}" if least is not None else "",
        f"{' and' if least is not None else ''}{below or ' to'} {_number(most)}"
        if most is not None
        else "",
    ]
    text = "".join(words).replace(" and to", " to").strip()
    return f", {text}" if text else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _default(node: Node, required: bool) -> str:
    default = node.get("default")
    if required:
        return "required"
    if default is None:
        return "–"
    if isinstance(default, dict) and "$ref" in node:
        return "its own defaults"
    return f"`{_yaml(default)}`"


def _yaml(value: object) -> str:
    """Return a default as a spec writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _meaning(node: Node) -> str:
    """Return the description of a node, with links to the pages that it names."""
    text = str(node.get("description", ""))
    return re.sub(r"docs/([\w-]+)\.md", r"[\1](../\1.md)", text)
