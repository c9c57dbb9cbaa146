"""The types of a spec's values: bounds, names, lists, and their short forms in YAML."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

import pccore
from pccore import Registry
from pccore.own import Own
from transfer.space import LARGEST, SMALLEST, Grid, Range
from transfer.spec.errors import RejectedError
from transfer.spec.plain import plain
from transfer.spec.things import is_thing, name_of_thing, reference_schema, referenced

T = TypeVar("T")

SMALLEST_RATE: float = SMALLEST
LARGEST_RATE: float = LARGEST
LARGEST_WIDTH, LARGEST_DEPTH = 65_536, 4_096
LARGEST_SEED = 2**32 - 1
LARGEST_COUNT = 10**8
MOST_ENTRIES = 1_000


class Section(BaseModel):
    """Part of a spec: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _of_plain_values(cls, values: object) -> object:
        return plain(values)


@dataclass(frozen=True, eq=False)
class NameIn(Generic[T]):
    """Marks a string as one of the names in a registry, or a thing of the user's in its place.

    Attributes:
        registry: the registry.
    """

    registry: Registry[T]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        names = core_schema.literal_schema(list(self.registry))
        if self.registry.adopt is None:
            return names
        return core_schema.no_info_wrap_validator_function(
            self._read,
            names,
            serialization=core_schema.plain_serializer_function_ser_schema(referenced),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        names = {**handler(schema), "title": self.registry.kind}
        return names if self.registry.adopt is None else {"anyOf": [names, reference_schema()]}

    def _read(self, value: object, read: ValidatorFunctionWrapHandler) -> object:
        name = name_of_thing(self.registry, value)
        return name if isinstance(name, Own) else read(value if name is None else name)


@dataclass(frozen=True, eq=False)
class ReadAs:
    """Marks a value that a spec writes in another form.

    Attributes:
        form: the type that pydantic reads and that the JSON Schema describes.
        build: makes the value of what was read. A `ValueError` becomes a sentence.
        write: makes of the value what a spec says.
        types: classes of the value: what Python gives is written, then read like YAML.
    """

    form: object
    build: Callable[..., object]
    write: Callable[..., object]
    types: tuple[type, ...]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def written(value: object) -> object:
            return plain(self.write(value)) if isinstance(value, self.types) else value

        return core_schema.no_info_after_validator_function(
            self.build,
            core_schema.no_info_before_validator_function(
                written, handler.generate_schema(self.form)
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: referenced(self.write(value))
            ),
        )


def json_type(value: object) -> str | None:
    """Return JSON's name for the type of `value`, which chooses among alternatives."""
    kinds: Iterable[tuple[type | tuple[type, ...], str]] = (
        (bool, "boolean"),
        (int, "integer"),
        (str, "string"),
        ((list, tuple), "array"),
        (Mapping, "object"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), None)


def _listed(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """Read a list as a tuple of different entries."""
    if not isinstance(value, list | tuple):
        return read(value)
    entries = read(tuple(value))
    for place, entry in enumerate(entries):
        if entry in entries[:place]:
            raise RejectedError("must not be given twice", value[place], where=f"[{place}]")
    return entries


ByType = Discriminator(json_type)
UNIQUE = {"uniqueItems": True}

OptionalListOf = Annotated[
    tuple[T, ...],
    Field(strict=True, max_length=MOST_ENTRIES, json_schema_extra=UNIQUE),
    WrapValidator(_listed),
]
ListOf = Annotated[
    tuple[T, ...],
    Field(strict=True, min_length=1, max_length=MOST_ENTRIES, json_schema_extra=UNIQUE),
    WrapValidator(_listed),
]

Flag = Annotated[bool, Field(strict=True)]
Width = Annotated[int, Field(strict=True, ge=1, le=LARGEST_WIDTH)]
Depth = Annotated[int, Field(strict=True, ge=1, le=LARGEST_DEPTH)]
Count = Annotated[int, Field(strict=True, ge=1, le=LARGEST_COUNT)]
MOST_FURTHER = 10
Further = Annotated[int, Field(strict=True, ge=0, le=MOST_FURTHER)]
Seed = Annotated[int, Field(strict=True, ge=0, le=LARGEST_SEED)]
Rate = Annotated[
    float, Field(strict=True, ge=SMALLEST_RATE, le=LARGEST_RATE, title="learning rate")
]
Positive = Annotated[float, Field(strict=True, ge=SMALLEST_RATE, le=LARGEST_RATE)]
NotNegative = Annotated[float, Field(strict=True, ge=0, le=LARGEST_RATE)]
Ratio = Annotated[float, Field(strict=True, ge=1e-6, le=1e6)]
Exponent = Annotated[float, Field(strict=True, ge=-10, le=10)]
Label = Annotated[
    str,
    Field(
        strict=True,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        title="name of up to 64 letters, digits, dots, dashes and underscores that starts with a "
        "letter or digit",
    ),
]


class StepsPerLayer(Section):
    """Inference steps in proportion to the depth."""

    model_config = ConfigDict(title="multiple of the depth")

    depth: Annotated[float, Field(strict=True, ge=0.01, le=100)] = Field(
        description="T / H: inference takes this many steps per hidden layer, rounded, at least 1."
    )

    def steps(self, depth: int) -> int:
        """Return T for networks of `depth` hidden layers."""
        return max(1, round(self.depth * depth))


StepsOrDepth = Annotated[
    Annotated[Count, Tag("integer")]
    | Annotated[Literal["depth"], Tag("string")]
    | Annotated[StepsPerLayer, Tag("object")],
    ByType,
]
Neighbourhood = Annotated[
    Annotated[int, Field(strict=True, ge=0, le=MOST_ENTRIES), Tag("integer")]
    | Annotated[Literal["all"], Tag("string")],
    ByType,
]


class RangeForm(Section):
    """All learning rates from `low` to `high`."""

    model_config = ConfigDict(title="range")

    low: Rate = Field(description="The smallest rate.")
    high: Rate = Field(description="The largest rate.")
    log: Flag = Field(default=True, description="Search on a logarithmic scale.")


def rates(form: tuple[float, ...] | RangeForm) -> Grid | Range:
    """Return the learning rates that a list or a range describes."""
    if not isinstance(form, RangeForm):
        return Grid(tuple(sorted(form)))
    if form.low >= form.high:
        raise RejectedError(f"must be above low ({form.low:g})", form.high, where=".high")
    return Range(form.low, form.high, form.log)


def rates_as_yaml(rates: Grid | Range) -> object:
    """Return the list or the mapping that a spec has for `rates`."""
    if isinstance(rates, Grid):
        return list(rates.values)
    return {"low": rates.low, "high": rates.high, "log": rates.log}


def _seeds(form: int | tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(form)) if isinstance(form, int) else form


def _seeds_as_yaml(seeds: tuple[int, ...]) -> object:
    return len(seeds) if seeds == tuple(range(len(seeds))) else list(seeds)


def _activation_kind(value: object) -> str | None:
    """Return the tag of the alternative that `value` chooses."""
    return "string" if is_thing(value) else json_type(value)


def _activations(form: str | tuple[str, ...]) -> tuple[str, ...]:
    return (form,) if isinstance(form, str) else form


def _activations_as_yaml(names: tuple[str, ...]) -> object:
    return names[0] if len(names) == 1 else list(names)


_Activation = Annotated[str, NameIn(pccore.ACTIVATIONS)]

Rates = Annotated[
    Grid | Range,
    ReadAs(
        Annotated[
            Annotated[ListOf[Rate], Tag("array")] | Annotated[RangeForm, Tag("object")], ByType
        ],
        rates,
        rates_as_yaml,
        (Grid, Range),
    ),
]
"""A list of learning rates, or a range of them."""

Seeds = Annotated[
    tuple[int, ...],
    ReadAs(
        Annotated[
            Annotated[int, Field(strict=True, ge=1, le=MOST_ENTRIES), Tag("integer")]
            | Annotated[ListOf[Seed], Tag("array")],
            ByType,
        ],
        _seeds,
        _seeds_as_yaml,
        (),
    ),
]
"""A count n, for the seeds 0 .. n - 1, or a list of seeds."""

Activations = Annotated[
    tuple[str, ...],
    ReadAs(
        Annotated[
            Annotated[_Activation, Tag("string")] | Annotated[ListOf[_Activation], Tag("array")],
            Discriminator(_activation_kind),
        ],
        _activations,
        _activations_as_yaml,
        (),
    ),
]
"""The name of an activation, or a list of names."""
