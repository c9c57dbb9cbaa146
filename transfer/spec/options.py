"""Things that a spec names with options of their own, which are the fields of their dataclass."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

from pccore import Registry
from transfer.spec.errors import RejectedError
from transfer.spec.fields import (
    LARGEST_COUNT,
    LARGEST_RATE,
    Reader,
    integer,
    list_of,
    name_in,
    number,
)


def thing_in(registry: Registry[Any]) -> Reader[Any]:
    """A reader of names that `registry` holds and of mappings {name: ..., option: ...}.

    The value is an instance of the dataclass named; one given by Python is checked like a mapping.
    """

    def read(value: object, where: str = "") -> Any:
        if isinstance(value, tuple(registry.values())):
            value = as_yaml(registry)(value)
        name, options = named(registry, value, where)
        return registry[name](**options)

    return read


def as_yaml(registry: Registry[Any]) -> Callable[[Any], dict[str, Any]]:
    """What `thing_in` reads back as a thing."""
    return lambda thing: {"name": registry.name_of(type(thing)), **asdict(thing)}


def things_in(registry: Registry[Any]) -> Reader[tuple[Any, ...]]:
    """A reader of lists, which may be empty, of what `thing_in` reads."""
    read = thing_in(registry)
    return lambda value, where="": () if value in ((), []) else list_of(read)(value, where)


def all_as_yaml(registry: Registry[Any]) -> Callable[[Any], list[dict[str, Any]]]:
    """What `things_in` reads back as the things."""
    write = as_yaml(registry)
    return lambda things: [write(thing) for thing in things]


def named(
    registry: Registry[Any],
    value: object,
    where: str = "",
    key: str = "name",
    special: Mapping[str, Reader[Any]] | None = None,
) -> tuple[str, dict[str, Any]]:
    """The name of a dataclass and all of its options, typed: those given, and the other defaults.

    Args:
        registry: of dataclasses, whose constructors check what their types do not say.
        value: the name, alone or in a mapping with options.
        where: the place of the value.
        key: under which the mapping has the name.
        special: readers of options that a spec may write otherwise than their type says.
    """
    if not isinstance(value, str | Mapping):
        rule = f"must name one {registry.kind}, alone or as {{{key}: ..., option: ...}}"
        raise RejectedError(rule, value, where=where)
    given = {key: value} if isinstance(value, str) else dict(value)
    name = name_in(registry)(given.pop(key, None), f"{where}.{key}")
    hints = get_type_hints(registry[name])
    options = {field.name: field for field in fields(registry[name])}
    _refuse_others(given, name, [key, *options], where)
    read = {}
    for option, field in options.items():
        if option in given:
            reader = (special or {}).get(option) or _reader(hints[option])
            read[option] = reader(given[option], f"{where}.{option}")
        elif field.default is not MISSING:
            read[option] = field.default
        else:
            rule = f"is missing: {name} has the options {', '.join(options)}"
            raise RejectedError(rule, where=f"{where}.{option}")
    return name, read


def _refuse_others(given: Mapping[Any, Any], name: str, keys: list[str], where: str) -> None:
    for key in given:
        if key not in keys:
            near = get_close_matches(str(key), keys, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            rule = f"is unknown: {name} has no option {key!r}, choose from {', '.join(keys)}{hint}"
            raise RejectedError(rule, where=f"{where}.{key}")


def _text(value: object, where: str = "") -> str:
    """A name, which the option's owner knows or refuses."""
    if not isinstance(value, str):
        raise RejectedError("must be a name", value, where=where)
    return value


_READERS: dict[type, Reader[Any]] = {
    int: integer(0, LARGEST_COUNT),
    float: number(0, LARGEST_RATE),
    str: _text,
}


def _reader(hint: Any) -> Reader[Any]:
    """The reader of a type, or of the one among several that YAML can write."""
    return next(_READERS[one] for one in (hint, *get_args(hint)) if one in _READERS)
