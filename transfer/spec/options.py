"""Things that a spec names with options of their own: an optimiser, a start, a transfer rule.

Every such thing is a frozen dataclass in a registry, whose fields are its options. Each entry of a
registry becomes a pydantic model, made from the dataclass: types, bounds and defaults are those of
the fields, and descriptions those under "Attributes:" in its docstring.
"""

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from dataclasses import Field as DataclassField
from functools import reduce
from operator import or_
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)

from pccore import Registry
from pccore.own import Own
from pccore.validation import Bounds
from transfer.spec.errors import InsideError, spec_error
from transfer.spec.fields import LARGEST_COUNT, LARGEST_RATE, SMALLEST_RATE, ReadAs, Section
from transfer.spec.things import name_of_thing, own_form

T = TypeVar("T")


class Options(Generic[T]):
    """The form of a registry's entries in a spec: a name, or a mapping with options.

    Args:
        registry: frozen dataclasses, whose constructors check what types do not express.
        key: the key of the name in the mapping.
        base: their abstract base class, whose instances Python may give.
        types: types of options that a spec writes otherwise than the dataclass, by option.
        default: the name under `key` that a mapping may leave out, and that entry's own defaults.
    """

    def __init__(
        self,
        registry: Registry[type[T]],
        key: str = "name",
        base: type | None = None,
        types: Mapping[str, object] | None = None,
        default: Mapping[str, str] | None = None,
    ) -> None:
        self.registry, self.key, self.base = registry, key, base
        self._own: dict[str, Own] = {}
        self._types, self._default = types or {}, default or {}
        self._inherited = descriptions(base) if base else {}
        self._forms = {name: self._form(name, entry) for name, entry in registry.items()}

    @property
    def form(self) -> object:
        """The type that pydantic reads: a union of the entries' models, chosen by the name."""
        kind = Field(title=self.registry.kind)
        chosen = Field(discriminator=self.key)
        mapping = _annotated(_union(self._forms.values()), chosen, kind)
        alone = tuple(name for name, form in self._forms.items() if not _required(form))
        either = _union([_annotated(Literal[alone], kind), mapping]) if alone else mapping
        spell_out = BeforeValidator(self._spelled_out, json_schema_input_type=either)
        registered = _annotated(mapping, spell_out)
        if self.registry.adopt is None:
            return registered
        form = _union([registered, own_form(self.key)])
        return _annotated(registered, WrapValidator(self._or_own, json_schema_input_type=form))

    def _or_own(self, value: object, read: ValidatorFunctionWrapHandler) -> object:
        """Read the options of a thing of the user's by its fields, others by `read`."""
        mapping = value if isinstance(value, Mapping) else {self.key: value}
        own = name_of_thing(self.registry, mapping.get(self.key))
        if not isinstance(own, Own):
            return read(value if own is None else {**mapping, self.key: own})
        self._own[str(own)] = own
        if own not in self._forms:
            self._forms[str(own)] = self._form(str(own), self.registry[own])
        form = self._forms[own]
        try:
            return form.model_validate({**mapping, self.key: str(own)})
        except ValidationError as error:
            raise InsideError(spec_error(error, form).sentences) from None

    def marker(self) -> ReadAs:
        """Return the annotation of a field that holds an entry."""
        types = (self.base,) if self.base else tuple(self.registry.values())
        return ReadAs(self.form, self.build, self.write, types)

    def build(self, form: Section) -> T:
        """Return the entry that `form` describes."""
        name, options = self.read(form)
        try:
            thing = self.registry[name](**options)
            json.dumps(asdict(thing))  # type: ignore[call-overload]  # a dataclass
        except (Exception, SystemExit) as error:  # whatever the user's code raises
            if isinstance(error, ValueError) or not isinstance(name, Own):
                raise
            cause = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{name} cannot be made: {cause}") from None
        return thing

    def read(self, form: Section) -> tuple[str, dict[str, object]]:
        """Return the name in `form`, and all of its options."""
        name, *options = type(form).model_fields
        chosen = getattr(form, name)
        return self._own.get(chosen, chosen), {each: getattr(form, each) for each in options}

    def write(self, thing: T) -> dict[str, object]:
        """Return the mapping that is read as `thing`."""
        return {self.key: self.registry.name_of(type(thing)), **set_options(thing)}

    def _spelled_out(self, value: object) -> object:
        if isinstance(value, str):
            return {self.key: value}
        if self._default and isinstance(value, Mapping):
            return {self.key: self._default[self.key], **value}
        return value

    def _form(self, name: str, entry: type[T]) -> type[Section]:
        hints, described = get_type_hints(entry, include_extras=True), descriptions(entry)
        usual = self._default if self._default.get(self.key) == name else {}
        keys: dict[str, Any] = {
            self.key: (
                Literal[name],
                Field(usual.get(self.key, ...), description=f"The {self.registry.kind} {name!r}."),
            )
        }
        for field in _ordered(entry):
            default = ... if field.default is MISSING else field.default
            form = self._types.get(field.name) or _option_type(hints[field.name], name in self._own)
            text = described.get(field.name) or self._inherited.get(field.name)
            keys[field.name] = (
                form,
                Field(usual.get(field.name, default), description=text),
            )
        return create_model(
            f"{entry.__name__}Options", __base__=Section, __doc__=summary(entry), **keys
        )


def set_options(thing: object) -> dict[str, object]:
    """Return the options of a dataclass, without those of its interface that are None."""
    found: dict[str, object] = {}
    for field in _ordered(type(thing)):
        value = getattr(thing, field.name)
        if value is not None or not field.kw_only:
            found[field.name] = set_options(value) if is_dataclass(value) else value
    return found


def _ordered(entry: type) -> list[DataclassField[object]]:
    """Return the fields of a dataclass, those that it inherits from its interface last."""
    return sorted(fields(entry), key=lambda field: field.kw_only is True)


def descriptions(described: type) -> dict[str, str]:
    """Return what the docstring of a class says under "Attributes:", by attribute."""
    _, _, rest = (inspect.getdoc(described) or "").partition("Attributes:\n")
    section = re.split(r"\n(?=\S)", rest)[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, re.MULTILINE)
    return {name: _capitalised(text) for name, text in entries}


def summary(described: type) -> str:
    """Return the first paragraph of the docstring of a class."""
    return " ".join((inspect.getdoc(described) or "").partition("\n\n")[0].split())


def _capitalised(text: str) -> str:
    """Return `text` on one line and with a capital, unless it starts with a symbol."""
    first, *rest = text.split()
    return " ".join([first.capitalize() if first.isalpha() and first.islower() else first, *rest])


def _union(types: Iterable[object]) -> object:
    """Return the union of types that are made at run time."""
    return reduce(or_, types)


def _annotated(form: object, *metadata: object) -> object:
    """Return a type with annotations that are made at run time."""
    return Annotated[(form, *metadata)]


def _required(form: type[Section]) -> bool:
    _, *options = form.model_fields.values()
    return any(option.is_required() for option in options)


def _option_type(hint: object, own: bool) -> object:
    """Return the strict and bounded type of an option annotated with `hint`.

    Options without bounds are not negative, unless they are of the user's own things.
    """
    base, *metadata = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if base in (str, bool):
        return _annotated(base, Field(strict=True))
    if base not in (int, float):
        return hint
    bounds = next((one for one in metadata if isinstance(one, Bounds)), None)
    largest = LARGEST_COUNT if base is int else LARGEST_RATE
    if bounds is None:
        return _annotated(base, Field(strict=True, ge=-largest if own else 0, le=largest))
    least = SMALLEST_RATE if bounds.above == 0 else bounds.least
    if bounds.below is not None:
        return _annotated(base, Field(strict=True, ge=least, lt=bounds.below))
    return _annotated(base, Field(strict=True, ge=least, le=largest))
