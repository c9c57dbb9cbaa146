"""Registries: the names that specs use, and the error for an unknown name."""

from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from difflib import get_close_matches
from inspect import isabstract
from typing import Any, Generic, TypeVar, cast

from pccore.own import Own, OwnError, found_by, named, plugins
from pccore.source_digest import called
from pccore.source_text import SourceError

T = TypeVar("T")

Adopt = Callable[[object], T]
"""Returns what stands for a thing of the user's in a registry, or raises `ValueError`, whose text
says what the thing must be."""


class UnknownNameError(ValueError):
    """An unregistered name; the message lists the allowed ones."""


class Registry(Mapping[str, T], Generic[T]):
    """An immutable mapping from names, as written in YAML, to the objects that they stand for.

    `registry["name"]` raises `UnknownNameError`, whose message has the kind of object, the value
    received, the allowed names and the nearest of them. The names of things of the user's (`Own`)
    stand for these, and are not among the registered ones.

    Args:
        kind: what the entries are, as errors call it.
        entries: the registered ones.
        adopt: admits things of the user's; None admits none.
    """

    def __init__(
        self, kind: str, entries: Mapping[str, T], adopt: "Adopt[T] | None" = None
    ) -> None:
        self.kind, self.adopt = kind, adopt
        self._entries = dict(entries)
        self._own_names: dict[object, Own] = {}
        self._known: dict[str, Own] = {}

    def __getitem__(self, name: object) -> T:
        if isinstance(name, Own) and name.kind == self.kind:
            return cast(T, name.entry)
        if isinstance(name, str) and name in self._entries:
            return self._entries[name]
        if isinstance(name, str) and name in self._known:
            return cast(T, self._known[name].entry)
        raise UnknownNameError(self._unknown(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def name_of(self, thing: object) -> str:
        """Return the name under which `thing`, or its class, is registered, or its own name."""
        for name, entry in self._entries.items():
            if entry is thing or entry is type(thing):
                return name
        if self.adopt is not None:
            if thing not in self._own_names:
                self._own_names[thing] = self._own(thing, None, called(thing))
            return self._own_names[thing]
        raise KeyError(f"{thing!r} is not a registered {self.kind}")

    def name(self, given: object) -> str:
        """Return the name for what was given. This imports nothing: rows of ledgers pass here.

        Args:
            given: a registered name, the name of a thing that this process has used, or a thing.

        Raises:
            UnknownNameError: a name that is none of these.
            OwnError: a thing that cannot be used here; one sentence.
        """
        if isinstance(given, Own) and given.kind == self.kind:
            return given
        if isinstance(given, str) and given in self._entries:
            return given
        if isinstance(given, str) and given in self._known:
            return self._known[given]
        if self.adopt is not None and not isinstance(given, str):
            for name, entry in self._entries.items():
                if entry is given or getattr(entry, "function", None) is given:
                    return name
            return self._own(given, None, called(given))
        raise UnknownNameError(self._unknown(given))

    def find(self, given: object) -> str:
        """Return the name for what a user gave, and import what it refers to.

        Args:
            given: what `name` takes, the name of a plugin, or `module:attribute`.

        Raises:
            UnknownNameError: a name that is none of these.
            OwnError: a thing that cannot be used here; one sentence.
        """
        if self.adopt is None or not isinstance(given, str) or isinstance(given, Own):
            return self.name(given)
        if ":" in given:
            thing, reference, digest = found_by(given)
            name = self._own(thing, reference, reference)
            if digest and not name.endswith(f"@{digest}"):
                raise OwnError(
                    f"{reference} is not what it was: its code has the digest "
                    f"{name.rpartition('@')[2]}, not {digest}; leave out @{digest} to take it as "
                    "it is"
                )
            return name
        if given not in self._entries and given in (found := plugins(self.kind)):
            place = found[given].value
            return self._own(found_by(place)[0], place, f"the plugin {given!r} ({place})")
        return self.name(given)

    def _own(self, thing: object, reference: str | None, where: str) -> Own:
        assert self.adopt is not None
        if isinstance(thing, Own) and thing.kind == self.kind:
            return thing
        try:
            own = named(self.kind, thing, None, reference)  # first: what it is may be code to run
            own.entry = self.adopt(thing)
        except (OwnError, SourceError) as error:
            raise OwnError(f"{where} cannot be used: {error}") from None
        except ValueError as error:
            raise OwnError(f"{where} {error}") from None
        self._known[str(own)] = own
        if isinstance(own.entry, type):
            self._own_names[own.entry] = own
        return own

    def _unknown(self, name: object) -> str:
        if self.adopt is not None and isinstance(name, str) and "@" in name:
            return (
                f"the {self.kind} {name!r} is a user's own, which this process has not met: "
                "first call mupc.load on the spec that names it, or give it to a configuration"
            )
        allowed = [*self._entries, *(plugins(self.kind) if self.adopt is not None else ())]
        near = get_close_matches(str(name), allowed, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"unknown {self.kind} {name!r}: choose from {', '.join(allowed)}{hint}"


def subclass_of(base: type) -> Callable[[object], Any]:
    """Return what admits the frozen dataclasses that implement an abstract base class."""

    def adopt(thing: object) -> type:
        if not isinstance(thing, type) or not issubclass(thing, base):
            raise ValueError(f"must be a subclass of {_public(base)}, {kind_of(thing)}")
        if isabstract(thing):
            missing = ", ".join(sorted(cast(type[ABC], thing).__abstractmethods__))
            raise ValueError(f"is a subclass of {_public(base)} without {missing}")
        if not is_dataclass(thing) or "__dataclass_params__" not in vars(thing):
            raise ValueError("must be a frozen dataclass: write @dataclass(frozen=True) above it")
        if not thing.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            raise ValueError("must be a frozen dataclass: write frozen=True")
        return thing

    return adopt


def kind_of(thing: object) -> str:
    """Return what a thing is, as the end of a sentence about what it must be."""
    if isinstance(thing, type):
        return f"not the class {thing.__name__}"
    if callable(thing) and hasattr(thing, "__name__"):
        return f"not the function {called(thing)}"
    return f"not an object of type {type(thing).__name__}"


def _public(base: type) -> str:
    return f"{base.__module__.partition('.')[0]}.{base.__name__}"
