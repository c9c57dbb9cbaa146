"""The rules by which learning rates go from tuned shapes to a target, by their names in a spec.

A rule is a dataclass, whose fields are its options. The laws that rules make are in
`transfer.judge.law`, with the meaning and the sign of exponents.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from pccore import OPTIMISERS, Registry
from pccore.optimisers import ADAPTIVE, PROPORTIONAL
from results.landscape import Cell, Landscape
from results.shapes import Shape
from results.vocabulary import DEPTH_MUP, EXPONENTS, FITTED, ZERO_SHOT
from transfer.judge.law import SIZES, Exponents, Law, Prescribed, fit, needed, varied_sizes
from transfer.judge.refine import refine
from transfer.search.samplers import SAMPLERS
from transfer.space import Grid, Space
from transfer.spec.building import training_config
from transfer.spec.errors import RejectedError
from transfer.spec.fields import Depth, Exponent, ListOf, ReadAs, Section, Width
from transfer.spec.options import Options
from transfer.spec.sections import Settings, VariantSpec

FEWEST_VALUES = 3
"""The shortest list in which an optimum can lie between two others."""


class ExponentsForm(Section):
    """Exponents of L / L0 and of N / N0."""

    model_config = ConfigDict(title="mapping")

    depth: Exponent = Field(default=0.0, description="The power of L / L0, L = depth + 1.")
    width: Exponent = Field(default=0.0, description="The power of N / N0, N the width.")


def _exponents(form: ExponentsForm) -> Exponents:
    return Exponents(depth=form.depth, width=form.width)


Powers = Annotated[Exponents, ReadAs(ExponentsForm, _exponents, vars, (Exponents,))]


@dataclass(frozen=True)
class Tuned:
    """The result of the search for one arm.

    Attributes:
        origin: the tuned shape.
        like: how steps of the optimiser depend on gradients (`pccore.Optimiser.like`).
        cell: the optimum at the tuned shape.
        landscapes: the runs of the search, by shape: the tuned one, and those of the rules.
        spaces: what was searched, by shape.
    """

    origin: Shape
    like: str | None
    cell: Cell
    landscapes: Mapping[Shape, Landscape]
    spaces: Mapping[Shape, Space]


class TransferRule(Protocol):
    """Derives a law from what was tuned."""

    def shapes(self, tuned: Shape) -> tuple[Shape, ...]:
        """Return where the search must run, besides the tuned shape."""
        ...

    def law(self, tuned: Tuned) -> Law:
        """Return the law of one arm.

        Raises:
            UnfittedError: the runs do not determine it.
        """
        ...

    def refusals(self, settings: Settings, targets: Sequence[Shape]) -> Iterator[str]:
        """Yield why the rule cannot be used, as it follows the rule's place: ".depths must ..."."""
        ...


class _FromOneShape:
    """A rule that needs only the tuned shape."""

    def shapes(self, tuned: Shape) -> tuple[Shape, ...]:
        """Return no shape."""
        return ()


@dataclass(frozen=True)
class ZeroShot(_FromOneShape):
    """The tuned rates unchanged: all exponents are 0 (thesis 5.6)."""

    def law(self, tuned: Tuned) -> Law:
        """Return the law through the tuned optimum."""
        powers = dict.fromkeys(tuned.cell, Exponents())
        return Prescribed(tuned.origin, tuned.cell, powers)

    def refusals(self, settings: Settings, targets: Sequence[Shape]) -> Iterator[str]:
        """Yield nothing: the rule suits every experiment."""
        yield from ()


@dataclass(frozen=True)
class DepthMuP(_FromOneShape):
    """The exponents that Depth-muP prescribes for muPC's scalings, derived for backpropagation.

    With a_l = (N L)^(-1/2) and unit-variance weights in the hidden layers (thesis table 5.1),

        Adam: eta ~ (N L)^(-1/2)        SGD: eta ~ N

    Adam: thesis 5.8, "rescale the learning rate of Adam by sqrt(N L) as prescribed by Depth-muP",
    which muPC leaves out; from Yang et al. (2023, arXiv 2310.02244). An Adam step changes each
    weight by eta, whatever the gradient: a hidden layer then moves features by a_l N eta, which
    must be of order 1/L for L layers to add up. SGD: the gradient, of order a_l / N, makes that
    a_l^2 eta, hence eta ~ N and no power of L (Bordelon et al., 2023, arXiv 2309.16620;
    for the width, Yang et al., 2022, arXiv 2203.03466). The exponents are those of hidden layers,
    which have nearly all weights; first and last layer, for which theory has no power of N and L
    under Adam, share the one eta. beta stays as it is.

    Other optimisers have the exponents of the one of these that they are like: of Adam if their
    steps do not grow with gradients (`pccore.Optimiser.like`).
    """

    powers: ClassVar[Mapping[str, Exponents]] = {
        ADAPTIVE: Exponents(depth=-0.5, width=-0.5),
        PROPORTIONAL: Exponents(depth=0.0, width=1.0),
    }

    def law(self, tuned: Tuned) -> Law:
        """Return the law of the experiment's optimiser through the tuned optimum."""
        assert tuned.like is not None  # `refusals`
        powers = self.powers[tuned.like]
        return Prescribed(tuned.origin, tuned.cell, {"weight_lr": powers})

    def refusals(self, settings: Settings, targets: Sequence[Shape]) -> Iterator[str]:
        """Refuse networks without muPC's scalings or without skip connections."""
        others = [
            variant.name
            for variant in settings.variants
            if _parameterisation(settings, variant) != "mupc"
        ]
        if others:
            yield f" must not be depth_mup, which is about muPC's scalings, for {_and(others)}"
        if not settings.network.residual:
            yield " must not be depth_mup, which is about skip connections: residual is false"
        optimiser = settings.training.optimiser
        if optimiser.like is None:
            name = OPTIMISERS.name_of(type(optimiser))
            yield (
                f" must not be depth_mup while it is unknown how the steps of {name} depend on the "
                "size of gradients: write like: adam if they do not grow with it, or like: sgd if "
                "they are in proportion"
            )
        if optimiser.like == PROPORTIONAL and optimiser.clip is not None:
            yield (
                " must not be depth_mup with clip for an optimiser like SGD, as clipped steps are "
                "not in proportion to gradients"
            )


@dataclass(frozen=True)
class GivenExponents(_FromOneShape):
    """Exponents given by the user.

    Attributes:
        weight_lr: exponents of eta.
        activity_lr: exponents of beta.

    Raises:
        ValueError: neither is given.
    """

    weight_lr: Powers | None = None
    activity_lr: Powers | None = None

    def __post_init__(self) -> None:
        if not self._powers:
            raise ValueError("exponents needs weight_lr or activity_lr, a mapping {depth, width}")

    def law(self, tuned: Tuned) -> Law:
        """Return the law through the tuned optimum."""
        return Prescribed(tuned.origin, tuned.cell, self._powers)

    def refusals(self, settings: Settings, targets: Sequence[Shape]) -> Iterator[str]:
        """Refuse exponents of beta where no variant searches one."""
        spaces = map(settings.space, settings.variants)
        if self.activity_lr and all(space.activity_lr is None for space in spaces):
            yield ".activity_lr must be left out: no variant searches an activity learning rate"

    @property
    def _powers(self) -> dict[str, Exponents]:
        return {name: powers for name, powers in vars(self).items() if powers is not None}


@dataclass(frozen=True)
class FittedExponents:
    """Exponents and rates fitted to the optima at several shapes, each searched like the tuned one.

    The shapes are options of the rule, not of `tune`: each costs a search that only this rule uses.

    Attributes:
        depths: depths to search besides the tuned shape: every depth at every width. Left out, it
            means the tuned depth.
        widths: widths to search; left out, it means the tuned width.
    """

    depths: ListOf[Depth] | None = None
    widths: ListOf[Width] | None = None

    def shapes(self, tuned: Shape) -> tuple[Shape, ...]:
        """Return all shapes of the fit but the tuned one."""
        shapes = (
            Shape(width, depth)
            for width in self.widths or (tuned.width,)
            for depth in self.depths or (tuned.depth,)
        )
        return tuple(shape for shape in shapes if shape != tuned)

    def law(self, tuned: Tuned) -> Law:
        """Return the law fitted to the optima at all shapes.

        Raises:
            UnfittedError: too few shapes have an optimum inside the grid.
        """
        origin = tuned.origin
        optima = {
            shape: refine(tuned.landscapes[shape], tuned.spaces[shape], seed)
            for seed, shape in enumerate((origin, *self.shapes(origin)))
        }
        return fit(origin, optima)

    def refusals(self, settings: Settings, targets: Sequence[Shape]) -> Iterator[str]:
        """Refuse too few shapes, targets outside the fit, and searches without a grid."""
        tuned = settings.tune.shape
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
            at_target = {getattr(shape, size) for shape in targets}
            new = sorted(at_target - {getattr(tuned, size)})
            if size not in varied and new:
                yield (
                    f".{size}s is missing: the rule is fitted at one {size}, "
                    f"{getattr(tuned, size)}, and a target has {size} {new[0]}"
                )
        sampler = settings.tune.sampler
        if not SAMPLERS[sampler].exhaustive:
            yield f" must not be fitted for sampler {sampler}, which leaves gaps: choose grid"
            return
        for key, rates in settings.searched:
            if isinstance(rates, Grid) and len(rates.values) == FEWEST_VALUES - 1:
                yield (
                    f" must not be fitted when {key} has {len(rates.values)} values, of which none "
                    f"is inside: give at least {FEWEST_VALUES}, or one to keep"
                )


TRANSFER_RULES: Registry[type[TransferRule]] = Registry(
    "transfer rule",
    {
        ZERO_SHOT: ZeroShot,
        DEPTH_MUP: DepthMuP,
        EXPONENTS: GivenExponents,
        FITTED: FittedExponents,
    },
)

_OPTIONS = Options(TRANSFER_RULES, key="rule")


def _as_yaml(rule: TransferRule) -> object:
    name = TRANSFER_RULES.name_of(type(rule))
    options = {key: value for key, value in vars(rule).items() if value is not None}
    written = {
        key: vars(value) if isinstance(value, Exponents) else list(value)
        for key, value in options.items()
    }
    return {"rule": name, **written} if written else name


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _different(rules: tuple[TransferRule, ...]) -> tuple[TransferRule, ...]:
    names = [TRANSFER_RULES.name_of(type(rule)) for rule in rules]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise RejectedError("must not be given twice", name, where=f"[{place}]")
    return rules


_Rule = Annotated[
    TransferRule,
    ReadAs(_OPTIONS.form, _OPTIONS.build, _as_yaml, tuple(TRANSFER_RULES.values())),
]

Rules = Annotated[
    ListOf[_Rule],
    AfterValidator(_different),
    BeforeValidator(_several, json_schema_input_type=_Rule | ListOf[_Rule]),
]
"""One transfer rule or a list of different ones, by name or with options."""


def _parameterisation(settings: Settings, variant: VariantSpec) -> str:
    activation = settings.network.activations[0]
    config = training_config(settings, variant, activation, settings.tune.shape)
    return config.network.sized_parts()[0].parameterisation


def _and(names: list[str]) -> str:
    return " and ".join(names)
