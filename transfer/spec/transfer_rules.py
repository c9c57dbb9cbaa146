"""The rules by which learning rates go from tuned shapes to a target, by their names in a spec.

A rule is a dataclass, whose fields are its options. The laws that rules make are in
`transfer.judge.law`, with the meaning and the sign of exponents.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from pccore import SGD, Adam, Optimiser, Registry
from results.landscape import Cell, Landscape
from results.vocabulary import DEPTH_MUP, EXPONENTS, FITTED, ZERO_SHOT
from transfer.judge.law import SIZES, Exponents, Law, Prescribed, fit, needed, varied_sizes
from transfer.judge.refine import refine
from transfer.search.samplers import SAMPLERS
from transfer.shapes import Shape
from transfer.space import Grid, Space
from transfer.spec.building import training_config
from transfer.spec.errors import RejectedError, unknown_key
from transfer.spec.fields import Reader, depth, exponent, list_of, width
from transfer.spec.networks import stacks
from transfer.spec.options import named

if TYPE_CHECKING:
    from transfer.spec.model import Experiment

FEWEST_VALUES = 3
"""Of a list in which an optimum can lie between two others."""


@dataclass(frozen=True)
class Tuned:
    """What was searched for one arm.

    Attributes:
        experiment: the spec.
        cell: the optimum at the tuned shape.
        landscapes: the runs of the search at the tuned shape, and wherever else a rule wanted them.
        space: what was searched.
    """

    experiment: "Experiment"
    cell: Cell
    landscapes: Mapping[Shape, Landscape]
    space: Space


class TransferRule(Protocol):
    """Makes a law of what was tuned."""

    def shapes(self, tuned: Shape) -> tuple[Shape, ...]:
        """Where the search must run, besides the tuned shape."""
        ...

    def law(self, tuned: Tuned) -> Law:
        """The law of one arm.

        Raises:
            UnfittedError: the runs do not determine it.
        """
        ...

    def refusals(self, experiment: "Experiment") -> Iterator[str]:
        """Why it cannot be used in an experiment: what must follow the rule's place, such as
        ".depths must ..."."""
        ...


class _FromOneShape:
    """A rule that needs the tuned shape alone."""

    def shapes(self, tuned: Shape) -> tuple[Shape, ...]:
        """None."""
        return ()


@dataclass(frozen=True)
class ZeroShot(_FromOneShape):
    """The tuned rates, as they are: all exponents are 0 (thesis 5.6)."""

    def law(self, tuned: Tuned) -> Law:
        """Of the tuned optimum."""
        powers = {"weight_lr": Exponents(), "activity_lr": Exponents()}
        return Prescribed(tuned.experiment.tune.shape, tuned.cell, powers)

    def refusals(self, experiment: "Experiment") -> Iterator[str]:
        """It can always be used."""
        yield from ()


@dataclass(frozen=True)
class DepthMuP(_FromOneShape):
    """What Depth-muP prescribes for networks with muPC's scalings, derived for backpropagation.

    With a_l = (N L)^(-1/2) and unit-variance weights in the hidden layers (thesis table 5.1),

        Adam: eta ~ (N L)^(-1/2)        SGD: eta ~ N

    Adam: thesis 5.8, "rescale the learning rate of Adam by sqrt(N L) as prescribed by Depth-muP",
    which muPC leaves out; from Yang et al. (2023, arXiv 2310.02244). An Adam step changes each
    weight by eta, whatever the gradient: a hidden layer then moves features by a_l N eta, which
    must be of order 1/L for L layers to add up. SGD: the gradient, of order a_l / N, makes that
    a_l^2 eta, hence eta ~ N and no power of L (Bordelon et al., 2023, arXiv 2309.16620;
    for the width, Yang et al., 2022, arXiv 2203.03466). The exponents are those of hidden layers,
    which have nearly all weights; first and last layer, for which theory has no power of N and L
    under Adam, share the one eta. Of beta it says nothing: beta stays.
    """

    powers: ClassVar[Mapping[type[Optimiser], Exponents]] = {
        Adam: Exponents(depth=-0.5, width=-0.5),
        SGD: Exponents(depth=0.0, width=1.0),
    }

    def law(self, tuned: Tuned) -> Law:
        """Of the tuned optimum and the experiment's optimiser."""
        powers = self.powers[type(tuned.experiment.training.optimiser)]
        return Prescribed(tuned.experiment.tune.shape, tuned.cell, {"weight_lr": powers})

    def refusals(self, experiment: "Experiment") -> Iterator[str]:
        """Networks that are not scaled as it takes for granted."""
        others = [
            variant.name
            for variant in experiment.variants
            if _parameterisation(experiment, variant.name) != "mupc"
        ]
        if others:
            yield f" must not be depth_mup, which is about muPC's scalings, for {_and(others)}"
        if not experiment.network.residual:
            yield " must not be depth_mup, which is about skip connections: residual is false"


@dataclass(frozen=True)
class GivenExponents(_FromOneShape):
    """Exponents of one's own.

    Attributes:
        weight_lr: of eta.
        activity_lr: of beta.

    Raises:
        ValueError: neither is given.
    """

    weight_lr: Exponents | None = None
    activity_lr: Exponents | None = None

    def __post_init__(self) -> None:
        if not self._powers:
            raise ValueError("exponents needs weight_lr or activity_lr, a mapping {depth, width}")

    def law(self, tuned: Tuned) -> Law:
        """Of the tuned optimum."""
        return Prescribed(tuned.experiment.tune.shape, tuned.cell, self._powers)

    def refusals(self, experiment: "Experiment") -> Iterator[str]:
        """Exponents of a beta that there is not."""
        if self.activity_lr and not any(map(experiment.has_activity_lr, experiment.variants)):
            yield ".activity_lr must be left out: no variant has an activity learning rate"

    @property
    def _powers(self) -> dict[str, Exponents]:
        return {name: powers for name, powers in vars(self).items() if powers is not None}


@dataclass(frozen=True)
class FittedExponents:
    """Exponents and rates fitted to the optima at several shapes, each searched like the tuned one.

    The shapes are options of the rule, not of `tune`: they cost a search each, which only this
    rule has a use for, and all others start from the one tuned shape.

    Attributes:
        depths: with `widths`: the shapes are every depth at every width, and the tuned shape.
        widths: a missing list means the tuned width, or the tuned depth.
    """

    depths: tuple[int, ...] | None = None
    widths: tuple[int, ...] | None = None

    def shapes(self, tuned: Shape) -> tuple[Shape, ...]:
        """All but the tuned one."""
        shapes = (
            Shape(width, depth)
            for width in self.widths or (tuned.width,)
            for depth in self.depths or (tuned.depth,)
        )
        return tuple(shape for shape in shapes if shape != tuned)

    def law(self, tuned: Tuned) -> Law:
        """Of the optima at all shapes.

        Raises:
            UnfittedError: too few of them have an optimum inside the grid.
        """
        generator = np.random.default_rng(0)  # the same runs give the same law
        origin = tuned.experiment.tune.shape
        optima = {
            shape: refine(tuned.landscapes[shape], tuned.space, generator)
            for shape in (origin, *self.shapes(origin))
        }
        return fit(origin, optima)

    def refusals(self, experiment: "Experiment") -> Iterator[str]:
        """Too few shapes, targets that it says nothing about, and searches without a grid."""
        tuned = experiment.tune.shape
        shapes = (tuned, *self.shapes(tuned))
        varied = varied_sizes(shapes)
        if not varied or len(shapes) < needed(varied):
            least = needed(varied or SIZES[:1])
            yield (
                f".depths and widths must make at least {least} shapes with the tuned one, so "
                f"that a fit can fail, got {len(shapes)}: {_and([f'({s})' for s in shapes])}"
            )
            return
        for size in SIZES:
            at_target = {getattr(shape, size) for shape in experiment.targets}
            new = sorted(at_target - {getattr(tuned, size)})
            if size not in varied and new:
                yield (
                    f".{size}s is missing: the rule is fitted at one {size}, "
                    f"{getattr(tuned, size)}, and a target has {size} {new[0]}"
                )
        sampler = experiment.tune.sampler
        if not SAMPLERS[sampler].exhaustive:
            yield f" must not be fitted for sampler {sampler}, which leaves gaps: choose grid"
            return
        for key, rates in experiment.searched:
            if isinstance(rates, Grid) and len(rates.values) == FEWEST_VALUES - 1:
                yield (
                    f" must not be fitted when {key} has {len(rates.values)} values, of which none "
                    f"is inside: give at least {FEWEST_VALUES}, or one to keep"
                )


TRANSFER_RULES: Registry[Any] = Registry(
    "transfer rule",
    {
        ZERO_SHOT: ZeroShot,
        DEPTH_MUP: DepthMuP,
        EXPONENTS: GivenExponents,
        FITTED: FittedExponents,
    },
)


def read_rules(value: object) -> tuple[TransferRule, ...]:
    """A rule or a list of different ones: names, or mappings {rule: ..., option: ...}."""
    several = value if isinstance(value, list | tuple) else [value]
    read = list_of(_rule)(several)
    names = [TRANSFER_RULES.name_of(type(rule)) for rule in read]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise RejectedError("must not be given twice", name, where=f"[{place}]")
    return read


def rules_as_yaml(value: tuple[TransferRule, ...]) -> list[Any]:
    """What `read_rules` reads back as `value`."""
    return [_rule_as_yaml(rule) for rule in value]


def _rule_as_yaml(rule: TransferRule) -> Any:
    name = TRANSFER_RULES.name_of(type(rule))
    options = {key: value for key, value in vars(rule).items() if value is not None}
    written = {
        key: vars(value) if isinstance(value, Exponents) else list(value)
        for key, value in options.items()
    }
    return {"rule": name, **written} if written else name


def _rule(value: object, where: str = "") -> TransferRule:
    if isinstance(value, tuple(TRANSFER_RULES.values())):
        value = _rule_as_yaml(value)  # type: ignore[arg-type]  # one of ours
    name, options = named(TRANSFER_RULES, value, where, key="rule", special=_READERS)
    rule: TransferRule = TRANSFER_RULES[name](**options)
    return rule


def _exponents(value: object, where: str = "") -> Exponents:
    """A mapping {depth: q, width: p}; what is missing is 0."""
    if not isinstance(value, Mapping):
        raise RejectedError("must be a mapping {depth: ..., width: ...}", value, where=where)
    names = [field.name for field in fields(Exponents)]
    for key in value:
        if key not in names:
            raise RejectedError(f"has the {unknown_key(key, names)}", where=where)
    return Exponents(**{key: exponent(power, f"{where}.{key}") for key, power in value.items()})


_READERS: Mapping[str, Reader[Any]] = {
    "weight_lr": _exponents,
    "activity_lr": _exponents,
    "depths": list_of(depth),
    "widths": list_of(width),
}


def _parameterisation(experiment: "Experiment", variant: str) -> str:
    activation = experiment.network.activation[0]
    config = training_config(experiment, variant, activation, experiment.tune.shape)
    return stacks(config.network)[0].parameterisation


def _and(names: list[str]) -> str:
    return " and ".join(names)
