"""Things of the user's in a spec: by reference, by the name of a plugin, or as objects."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import WithJsonSchema

from pccore import Registry
from pccore.own import REFERENCE, Own, plugins

T = TypeVar("T")

_REFERENCE_SCHEMA = {
    "type": "string",
    "pattern": REFERENCE,
    "description": "Your own, as module:attribute: the module is a file beside the spec or can be "
    "imported.",
}


def name_of_thing(registry: Registry[T], given: object) -> str | None:
    """Return the name of the thing that `given` is or refers to; None if it is plain data.

    It is an `Own`, or that of a registered thing which Python gives itself.

    Raises:
        pccore.own.OwnError: it is one that cannot be used.
    """
    if registry.adopt is None:
        return None
    if isinstance(given, str) and not isinstance(given, Own):
        if given in registry or (":" not in given and given not in plugins(registry.kind)):
            return None
    elif not is_thing(given):
        return None
    return registry.find(given)


def is_thing(value: object) -> bool:
    """Return whether a value from Python is a function, a class or an object, and no plain data."""
    return callable(value) or type(value).__module__ != "builtins"


def referenced(value: object) -> object:
    """Return a value with references in place of the names of things."""
    if isinstance(value, Own):
        return value.reference
    if isinstance(value, Mapping):
        return {key: referenced(entry) for key, entry in value.items()}
    return [referenced(entry) for entry in value] if isinstance(value, list | tuple) else value


def reference_schema() -> dict[str, object]:
    """Return the JSON Schema of a reference."""
    return dict(_REFERENCE_SCHEMA)


Reference = Annotated[object, WithJsonSchema(_REFERENCE_SCHEMA)]
"""A type whose JSON Schema is that of a reference."""


def own_form(key: str) -> object:
    """Return a type whose JSON Schema is that of a thing in a spec: a reference, with options.

    Args:
        key: the key of the reference in a mapping with options.
    """
    mapping = {"type": "object", "required": [key], "properties": {key: reference_schema()}}
    return Annotated[object, WithJsonSchema({"anyOf": [reference_schema(), mapping]})]
