"""A sweep of training functions as its author writes it: YAML or Python, validated where built."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import (
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from pccore.own import Own, OwnError
from pccore.registry import UnknownNameError
from results.rates import SHARED
from results.shapes import Shape
from transfer.functions import TRAININGS
from transfer.search.pruning import PRUNERS, Pruner
from transfer.search.pruning import Seeds as SeedsFirst
from transfer.search.samplers import SAMPLERS
from transfer.space import Grid, Range, Space
from transfer.spec.budget import BudgetSpec
from transfer.spec.checks import MOST_CELLS
from transfer.spec.errors import RejectedError, SpecError, nearest
from transfer.spec.fields import (
    LARGEST_RATE,
    MOST_ENTRIES,
    SMALLEST_RATE,
    Count,
    Depth,
    Further,
    Label,
    NameIn,
    Section,
    Seeds,
    Width,
    rates_as_yaml,
)
from transfer.spec.function_rules import NamedRule, read_rules
from transfer.spec.sections import PRUNING
from transfer.spec.targets import TransferSpec
from transfer.spec.things import is_thing, reference_schema, referenced
from transfer.spec.transfer_rules import TransferRule
from transfer.spec.whole import WholeSpec

MOST_RATES = 6
"""Rates of a sweep: the judge's time grows with the power of their number."""
MOST_FUNCTIONS = 20
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _read_functions(given: object) -> dict[str, Own]:
    """Return the training functions by name."""
    several = isinstance(given, Mapping)
    functions = dict(cast(Mapping[object, object], given)) if several else {None: given}
    if not 1 <= len(functions) <= MOST_FUNCTIONS:
        raise RejectedError(f"must have 1 to {MOST_FUNCTIONS} functions", list(functions))
    found = {}
    for label, thing in functions.items():
        where = f".{label}" if several else ""
        if label is not None and not (isinstance(label, str) and _LABEL.fullmatch(label)):
            raise RejectedError(
                "must name functions by letters, digits, dots, dashes and underscores", label
            )
        if not (isinstance(thing, str) or is_thing(thing)):
            raise RejectedError(
                "must be a function train(shape, rates, seed), or module:function in a spec",
                thing,
                where,
            )
        try:
            own = TRAININGS.find(thing)
        except UnknownNameError:
            raise RejectedError(
                "must be module:function, such as my_module:train, where the module is a file "
                "beside the spec or can be imported",
                thing,
                where,
            ) from None
        except OwnError as error:
            raise ValueError(f"{where.removeprefix('.')} {error}".strip()) from None
        name = own.partition("@")[0]
        found[name if label is None else str(label)] = cast(Own, own)
    return found


def _functions_as_yaml(functions: Mapping[str, Own]) -> object:
    (first, *others) = functions.items()
    if not others and first[0] == first[1].partition("@")[0]:
        return referenced(first[1])
    return {name: referenced(own) for name, own in functions.items()}


def _read_rates(given: object) -> dict[str, Grid | Range]:
    """Return the values of each rate."""
    if isinstance(given, Space):
        return dict(given.searched)
    if not isinstance(given, Mapping) or not 1 <= len(given) <= MOST_RATES:
        rule = f"must name 1 to {MOST_RATES} rates, each with a list of values or a range"
        raise RejectedError(rule, given)
    found, taken = {}, _columns_of_the_ledger()
    for name, values in given.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise RejectedError("must name rates by letters, digits and underscores", name)
        if name in taken or name == "rule":
            raise RejectedError(
                "must not name a rate like a column of the ledger: choose another name", name
            )
        found[name] = _read_values(values, f".{name}")
    return found


def _columns_of_the_ledger() -> frozenset[str]:
    """Return the names that frames have already; pandas is loaded for them."""
    from results.schema.columns import RUNS
    from results.schema.verdict_columns import VERDICTS

    return frozenset(column.name for column in (*RUNS, *VERDICTS)).difference(SHARED)


def _read_values(given: object, where: str) -> Grid | Range:
    if isinstance(given, Grid | Range):
        given = rates_as_yaml(given)
    if isinstance(given, Mapping):
        return _read_range(given, where)
    if not isinstance(given, list | tuple) or not 1 <= len(given) <= MOST_ENTRIES:
        raise RejectedError("must be a list of values or {low: ..., high: ...}", given, where)
    for place, value in enumerate(given):
        _require_rate(value, f"{where}[{place}]")
        if value in given[:place]:
            raise RejectedError("must not be given twice", value, f"{where}[{place}]")
    whole = all(isinstance(value, int) for value in given)
    return Grid(tuple(sorted(float(value) for value in given)), whole)


def _read_range(given: Mapping[object, object], where: str) -> Range:
    keys = ("low", "high", "log")
    for key in given:
        if key not in keys:
            near = nearest(key, keys)
            raise RejectedError(
                f"has an unknown key: choose from {', '.join(keys)}{near}", key, where
            )
    for key in keys[:2]:
        if key not in given:
            raise RejectedError(f"must have the key {key!r}", dict(given), where)
        _require_rate(given[key], f"{where}.{key}")
    low, high, log = given["low"], given["high"], given.get("log", True)
    if not isinstance(log, bool):
        raise RejectedError("must be true or false", log, f"{where}.log")
    whole = isinstance(low, int) and isinstance(high, int)
    least, most = float(cast(float, low)), float(cast(float, high))
    if least >= most:
        raise RejectedError(f"must be above low ({least:g})", high, f"{where}.high")
    return Range(least, most, log, whole)


def _require_rate(value: object, where: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not SMALLEST_RATE <= cast(float, value) <= LARGEST_RATE:
        raise RejectedError(
            f"must be a number from {SMALLEST_RATE:g} to {LARGEST_RATE:g}, as rates are compared "
            "by their logarithms",
            value,
            where,
        )


def _rates_as_yaml(rates: Mapping[str, Grid | Range]) -> dict[str, object]:
    """Return what `_read_rates` reads as these: integers for whole rates."""

    def number(value: float, whole: bool) -> float:
        return int(value) if whole else value

    return {
        name: [number(value, values.whole) for value in values.values]
        if isinstance(values, Grid)
        else {
            "low": number(values.low, values.whole),
            "high": number(values.high, values.whole),
            "log": values.log,
        }
        for name, values in rates.items()
    }


Functions = Annotated[
    dict[str, Own],
    PlainValidator(_read_functions),
    PlainSerializer(_functions_as_yaml),
    WithJsonSchema({"anyOf": [reference_schema(), {"type": "object"}]}),
]
"""A training function, or several by name."""

NamedRates = Annotated[
    dict[str, Grid | Range],
    PlainValidator(_read_rates),
    PlainSerializer(_rates_as_yaml),
    WithJsonSchema({"type": "object"}),
]
"""The values of each rate: a list, or a range."""

RulesOfRates = Annotated[Any, WithJsonSchema({"type": ["string", "object", "array"]})]


class SearchSpec(Section):
    """The search at the small shape."""

    skip_unstable: ClassVar[bool] = False

    width: Width = Field(default=1, description="N of the small shape.")
    depth: Depth = Field(default=1, description="H of the small shape.")
    rates: NamedRates = Field(description="The searched rates: a list of values, or a range, each.")
    sampler: Annotated[str, NameIn(SAMPLERS)] = Field(
        default="grid", description="How cells are chosen; grid runs every cell of the lists."
    )
    trials: Count | None = Field(
        default=None, description="Number of cells to run, for samplers other than grid."
    )
    in_flight: Count | None = Field(
        default=None, description="Cells that a sampler proposes before the first of them is done."
    )
    seeds: Seeds = Field(default=(0, 1, 2), description="A count of seeds, or a list.")

    extend: Further | None = Field(
        default=None,
        description="Largest number of values to add on each side of each list, which they "
        "continue, while the optimum lies on the edge there.",
    )
    prune: Annotated[Pruner, PRUNING.marker()] | None = Field(
        default=None,
        description="seeds: run the first seed of every cell, and the others only of cells that "
        "are the best so far. Calls of a function cannot be stopped early, as other pruners do.",
    )

    @property
    def shape(self) -> Shape:
        """The small shape."""
        return Shape(width=self.width, depth=self.depth)


class FunctionTransferSpec(TransferSpec):
    """The targets at which the optimum is rerun, and how it is judged."""

    rules: RulesOfRates = Field(
        default="zero_shot",
        description="Rules that take the tuned rates to the targets: a name, a mapping with a rule "
        "for each rate, or a list of these.",
    )


class Sweep(WholeSpec):
    """Tune the rates of training functions on a small shape, rerun their optimum on large ones.

    Build one with `from_dict`, `from_yaml` or `mupc.load`, whose errors are sentences.
    """

    keep: ClassVar[str] = "none"

    name: Label = Field(description="A name for the sweep, which the ledger records.")
    train: Functions = Field(
        description="A function train(shape, rates, seed), as module:function, or several by name."
    )
    tune: SearchSpec = Field(description="A mapping with rates, and the width and depth.")
    transfer: FunctionTransferSpec = Field(description="A mapping with depths, widths or targets.")
    budget: BudgetSpec | None = Field(
        default=None,
        description="The most that the experiment may take: operations, hours of busy workers, or "
        "runs. What is used up leaves verdicts from what ran; raise it and run again to go on.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = list(self._problems())
        if found:
            raise SpecError(found)
        return self

    @property
    def space(self) -> Space:
        """The cells."""
        return Space(**self.tune.rates)

    @property
    def searched(self) -> tuple[tuple[str, Grid | Range], ...]:
        """The rates, each with its key in the spec."""
        return tuple((f"tune.rates.{name}", values) for name, values in self.tune.rates.items())

    @property
    def rules(self) -> tuple[tuple[str, TransferRule], ...]:
        """The transfer rules by the names that verdicts have."""
        return tuple((each.name, each.rule) for each in self._named_rules())

    @property
    def own(self) -> tuple[Own, ...]:
        """The names of the training functions, and of a sampler of the user's."""
        names = (*self.train.values(), self.tune.sampler)
        return tuple(name for name in names if isinstance(name, Own))

    @property
    def targets(self) -> tuple[Shape, ...]:
        """The shapes at which the optimum is rerun, in the order of the spec."""
        return self.transfer.shapes(self.tune.shape)

    @property
    def tuned(self) -> tuple[Shape, ...]:
        """The shapes that are searched: the tuned one, and those that a rule is fitted to."""
        shape = self.tune.shape
        others = (other for _, rule in self.rules for other in rule.shapes(shape))
        return tuple(dict.fromkeys((shape, *others)))

    def _named_rules(self) -> tuple[NamedRule, ...]:
        return read_rules(self.transfer.rules, self.space)

    def _problems(self) -> Iterator[str]:
        """Yield contradictions between keys that are each valid by themselves."""
        tune, transfer = self.tune, self.transfer
        yield from self.budget.problems(counted=False) if self.budget else ()
        try:
            rules = self._named_rules()
        except RejectedError as error:
            yield f"transfer.rules{error.where} {error.text}"
            return
        lists = [key for key in ("depths", "widths") if getattr(transfer, key) is not None]
        if transfer.targets is None and not lists:
            yield "transfer must have depths, widths or targets, got none of them"
            return
        if transfer.targets is not None and lists:
            yield f"transfer.{lists[0]} must be left out when transfer.targets lists the shapes"
        yield from transfer.problems(tune.seeds)
        exhaustive = SAMPLERS[tune.sampler].exhaustive
        if not exhaustive and tune.trials is None:
            yield f"tune.trials is missing: sampler {tune.sampler} needs the number of cells to try"
        for key in ("trials", "in_flight"):
            if exhaustive and (value := getattr(tune, key)) is not None:
                yield (
                    f"tune.{key} must be left out, as sampler {tune.sampler} tries every cell, "
                    f"got {value}"
                )
        if tune.prune is not None and not isinstance(tune.prune, SeedsFirst):
            yield (
                "tune.prune must be seeds for a training function, whose calls cannot be stopped "
                f"early, got {PRUNERS.name_of(tune.prune)}"
            )
        if tune.extend and not exhaustive:
            yield (
                f"tune.extend must be left out for sampler {tune.sampler}: it extends lists of a "
                f"grid, got {tune.extend}"
            )
        for key, values in self.searched:
            if isinstance(values, Grid):
                continue
            if exhaustive:
                yield f"{key} must be a list for sampler {tune.sampler}, got a range"
            if transfer.neighbourhood == "all":
                yield f"{key} must be a list for transfer.neighbourhood 'all', got a range"
        counts = [len(v.values) for v in tune.rates.values() if isinstance(v, Grid)]
        if exhaustive and (cells := math.prod(counts)) > MOST_CELLS:
            yield f"tune.rates must make at most {MOST_CELLS:,} cells, got {cells:,}"
        targets = transfer.shapes(tune.shape)
        for place, each in enumerate(rules):
            for refusal in each.rule.refusals(cast(Any, self), targets):
                yield f"transfer.rules[{place}]{refusal}"


def is_sweep(values: object) -> bool:
    """Return whether a spec is that of a sweep: it has the key `train`."""
    return isinstance(values, Mapping) and "train" in values
