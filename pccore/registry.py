"""Registries: the names that specs use, and the error for an unknown name."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Generic, TypeVar

T = TypeVar("T")


class UnknownNameError(ValueError):
    """An unregistered name; the message lists the allowed ones."""


class Registry(Mapping[str, T], Generic[T]):
    """An immutable mapping from names, as written in YAML, to the objects that they stand for.

    `registry["name"]` raises `UnknownNameError`, whose message has the kind of object, the value
    received, the allowed names and the nearest of them.
    """

    def __init__(self, kind: str, entries: Mapping[str, T]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: object) -> T:
        if isinstance(name, str) and name in self._entries:
            return self._entries[name]
        raise UnknownNameError(self._unknown(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def name_of(self, thing: object) -> str:
        """Return the name under which `thing`, or its class, is registered."""
        for name, entry in self._entries.items():
            if entry is thing or entry is type(thing):
                return name
        raise KeyError(f"{thing!r} is not a registered {self.kind}")

    def _unknown(self, name: object) -> str:
        near = get_close_matches(str(name), self._entries, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"unknown {self.kind} {name!r}: choose from {', '.join(self._entries)}{hint}"
