"""Errors of a spec: one sentence per problem, with its key, its value and what is allowed.

`spec_error` derives the sentences from pydantic's findings and from the JSON Schema of the model,
so that a sentence and the schema cannot disagree about what is allowed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import ErrorDetails

from pccore.own import REFERENCE
from results.uri import masked
from transfer.spec.schema import json_schema

LONGEST_VALUE = 60


class SpecError(ValueError):
    """An experiment that cannot be run: one sentence per problem, one per line.

    Attributes:
        sentences: the problems.
    """

    def __init__(self, sentences: str | Iterable[str]) -> None:
        self.sentences = (sentences,) if isinstance(sentences, str) else tuple(sentences)
        super().__init__("\n".join(self.sentences))


_PATH = re.compile(r"(?:unknown key )?([^\s:,]+)")


def with_lines(error: SpecError, lines: Mapping[str, int], file: str = "") -> SpecError:
    """Return an error whose sentences say on which line of a file their key is.

    A missing key has the line of the mapping that lacks it; a sentence about no key has none.

    Args:
        error: the error, whose sentences begin with their keys.
        lines: the line, counted from 1, of every path such as "tune.weight_lr[1]".
        file: begins every sentence: "spec.yaml: ".
    """

    def placed(sentence: str) -> str:
        found = _PATH.match(sentence)
        path = found[1] if found else ""
        while path and path not in lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return f"{file}line {lines[path]}: {sentence}" if path else f"{file}{sentence}"

    return SpecError(map(placed, error.sentences))


class RejectedError(ValueError):
    """A value that breaks a rule which no type expresses.

    Args:
        rule: the end of a sentence that starts with the key: "must be ...".
        value: the value received.
        where: the place inside the key's value, such as "[2]" or ".low".
    """

    def __init__(self, rule: str, value: object, where: str = "") -> None:
        self.where = where
        self.text = f"{rule}, got {shown(value)}"
        super().__init__(f"{where} {self.text}".strip())


class InsideError(ValueError):
    """Problems of a value, whose sentences begin with keys inside of it.

    Attributes:
        sentences: the problems.
    """

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


def shown(value: object) -> str:
    """Return `value` as a sentence quotes it, cut to a readable length."""
    try:
        text = masked(repr(value))
    except ValueError:  # Python refuses to print integers of thousands of digits
        text = "an integer of thousands of digits"
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def nearest(name: object, allowed: Iterable[str]) -> str:
    """Return the end of a sentence that suggests the allowed name most like `name`, if any."""
    near = get_close_matches(str(name), list(allowed), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def spec_error(error: ValidationError, model: type[BaseModel]) -> SpecError:
    """Return the findings of pydantic about `model`, one sentence each."""
    schema = json_schema(model)
    return SpecError(
        sentence
        for details in error.errors(include_url=False)
        # pydantic counts only the valid entries of a list
        if not (details["type"] == "too_short" and details["input"])
        # the default depends on a value that has a sentence of its own
        if details["type"] != "default_factory_not_called"
        for sentence in _sentences(details, schema)
    )


def _sentences(details: ErrorDetails, schema: JsonSchemaValue) -> tuple[str, ...]:
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, SpecError):
        return cause.sentences
    if isinstance(cause, InsideError):
        path = _Place.at(details["loc"], schema).path
        return tuple(f"{path}.{sentence}".removeprefix(".") for sentence in cause.sentences)
    return (_sentence(details, cause, schema),)


def _sentence(details: ErrorDetails, cause: object, schema: JsonSchemaValue) -> str:
    kind, value = details["type"], details["input"]
    if kind in ("extra_forbidden", "invalid_key", "missing"):
        *above, key = details["loc"]
        place = _Place.at(above, schema)
        return _missing(place, str(key), value) if kind == "missing" else _unknown_key(place, key)
    place = _Place.at(details["loc"], schema)
    if isinstance(cause, RejectedError):
        return f"{place.path}{cause.where} {cause.text}".removeprefix(".")
    if isinstance(cause, ValueError):
        return f"{place.path}: {cause}"
    if kind in ("too_short", "too_long"):
        array = place.having("items")
        bounds = f"{array.get('minItems', 0):,} to {array['maxItems']:,}"
        return f"{place.path} must have {bounds} entries, got {len(value):,}"
    union = place.having("discriminator") if kind.startswith("union_tag") else {}
    if union and isinstance(value, Mapping):
        key, names = union["discriminator"]["propertyName"], union["discriminator"]["mapping"]
        return _unknown_name(f"{place.path}.{key}", value.get(key), names, union["title"])
    if kind == "literal_error" and (names := place.having("enum")):
        return _unknown_name(place.path, value, names["enum"], names["title"])
    return f"{place.path or 'a spec'} {_rule(place.outer, schema)}, got {shown(value)}"


def _missing(place: "_Place", key: str, value: object) -> str:
    node, path = place.having("properties"), f"{place.path}.{key}".removeprefix(".")
    name = _option_set(node)
    if name:
        _, *options = node["properties"]
        return f"{path} is missing: {name} has the options {', '.join(options)}"
    if "title" in node:
        return f"{place.path} must have the key {key!r}, got {shown(value)}"
    what = node["properties"][key]["description"].rstrip(".")
    return f"{path} is missing: give {what[0].lower()}{what[1:]}"


def _unknown_key(place: "_Place", key: object) -> str:
    node = place.having("properties")
    keys, path = list(node["properties"]), f"{place.path}.{key}".removeprefix(".")
    choice = f"choose from {', '.join(keys)}{nearest(key, keys)}"
    name = _option_set(node)
    if name:
        return f"{path} is unknown: {name} has no option {key!r}, {choice}"
    if "title" in node:
        return f"{place.path} has the unknown key {shown(key)}: {choice}"
    return f"unknown key {path}: {choice}"


def _unknown_name(path: str, value: object, names: Iterable[str], kind: str) -> str:
    allowed = ", ".join(names)
    if not isinstance(value, str):
        return f"{path} must be one of {allowed}, got {shown(value)}"
    hint = nearest(value, names)
    return f"{path} is an unknown {kind} {shown(value)}: choose from {allowed}{hint}"


def _option_set(node: JsonSchemaValue) -> str | None:
    """Return the name that comes first in a mapping of a name and its options."""
    first, *_ = node["properties"].values()
    return first.get("const")


@dataclass
class _Place:
    """A place in a spec: its path as written, and what the schema allows there.

    Attributes:
        schema: the whole schema.
        path: keys and indices, such as "tune.weight_lr[1]".
        outer: what is allowed at the path.
        inner: the alternative of `outer` that pydantic chose by the value's type or name.
    """

    schema: JsonSchemaValue
    path: str
    outer: JsonSchemaValue
    inner: JsonSchemaValue

    @classmethod
    def at(cls, location: Iterable[int | str], schema: JsonSchemaValue) -> "_Place":
        """Return the place at pydantic's `location`, which also names alternatives."""
        place = cls(schema, "", schema, schema)
        for part in location:
            place._descend(part)
        return place

    def having(self, keyword: str) -> JsonSchemaValue:
        """Return the first alternative that has `keyword`; an empty one if none has."""
        nodes = _alternatives(self.inner, self.schema)
        return next((node for node in nodes if keyword in node), {})

    def _descend(self, part: int | str) -> None:
        for node in _alternatives(self.inner, self.schema):
            if isinstance(part, int) and "items" in node:
                return self._enter(f"[{part}]", node["items"])
            if part in node.get("properties", {}):
                return self._enter(f".{part}", node["properties"][part])
            chosen = node.get("discriminator", {}).get("mapping", {}).get(part)
            if chosen or part in (node.get("type"), node.get("title")):
                self.inner = _resolved({"$ref": chosen} if chosen else node, self.schema)
                return None
        raise LookupError(f"the schema has no {part!r} at {self.path!r}")

    def _enter(self, step: str, node: JsonSchemaValue) -> None:
        self.path = (self.path + step).removeprefix(".")
        self.outer = self.inner = node


def _resolved(node: JsonSchemaValue, schema: JsonSchemaValue) -> JsonSchemaValue:
    """Return `node` with its reference into the definitions, if any, replaced by their content."""
    reference = node.get("$ref")
    return {**schema["$defs"][reference.split("/")[-1]], **node} if reference else node


def _alternatives(node: JsonSchemaValue, schema: JsonSchemaValue) -> Iterator[JsonSchemaValue]:
    """Yield `node` and whatever it lists as alternatives, but for null."""
    node = _resolved(node, schema)
    yield node
    if "type" in node:
        return
    for branch in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        if branch.get("type") != "null":
            yield from _alternatives(branch, schema)


def _rule(node: JsonSchemaValue, schema: JsonSchemaValue) -> str:
    """Return what the schema demands at a place, as the end of a sentence."""
    found = [one for one in _alternatives(node, schema) if one.get("pattern") != REFERENCE]
    for one in found:
        if "discriminator" in one:
            key = one["discriminator"]["propertyName"]
            return f"must name one {one['title']}, alone or as {{{key}: ..., option: ...}}"
    allowed = dict.fromkeys(_allowed(one, schema) for one in found if {"type", "const"} & {*one})
    return f"must be {' or '.join(allowed)}"


def _allowed(node: JsonSchemaValue, schema: JsonSchemaValue) -> str:
    """Return what a node of one type allows."""
    low, high = node.get("minimum"), node.get("maximum")
    match node:
        case {"const": word}:
            return repr(word)
        case {"enum": names}:
            return f"one of {', '.join(names)}"
        case {"type": "boolean"}:
            return "true or false"
        case {"type": "integer"}:
            return f"an integer from {low:,} to {high:,}"
        case {"type": "number", "exclusiveMaximum": below}:
            return f"a number from {low:g} to below {below:g}"
        case {"type": "number"}:
            return f"a number from {low:g} to {high:g}"
        case {"type": "string", "title": title}:
            return f"a {title}"
        case {"type": "array"}:
            items = _resolved(node["items"], schema)
            return f"a list of {items['title']}s" if items.get("type") == "number" else "a list"
        case {"type": "object", "title": title}:
            keys = ", ".join(f"{key}: ..." for key in node["properties"])
            return f"a {title} {{{keys}}}"
        case _:
            return "a mapping of keys to values"
