"""The variants: a parameterisation, a learning rule, and the network that it trains."""

from dataclasses import dataclass, fields, replace
from typing import Protocol, cast

from pccore import (
    PARAMETERISATIONS,
    AbstractNetworkConfig,
    Backpropagation,
    BidirectionalConfig,
    EquilibriumPropagation,
    ForwardStart,
    HopfieldConfig,
    HybridConfig,
    InferenceScheme,
    LearningRule,
    NetworkConfig,
    PredictiveCoding,
    Registry,
    SizedConfig,
    Start,
    TrustRegionNewton,
    Unsupervised,
    mirror,
)
from pccore.linalg.lapack import MOST_WEIGHTS
from pccore.registry import kind_of, subclass_of

Built = tuple[AbstractNetworkConfig, LearningRule]
"""The configuration of a network, and its learning rule."""


class Variant(Protocol):
    """A choice of network and learning rule."""

    @property
    def infers(self) -> bool:
        """True if the rule has an inference phase."""
        ...

    def build(self, network: SizedConfig, inference: InferenceScheme, start: Start) -> Built:
        """Return the network's configuration and the learning rule.

        Args:
            network: the network that the spec describes.
            inference: the scheme of rules that infer activities.
            start: the activities from which inference begins.

        Raises:
            ValueError: settings that are incompatible with the variant.
        """
        ...


@dataclass(frozen=True)
class InfersActivities:
    """Predictive coding under the given parameterisation.

    Attributes:
        parameterisation: a name in `pccore.PARAMETERISATIONS`.
        plain: whether the network must have no skip connections.
    """

    parameterisation: str
    plain: bool = False
    infers: bool = PredictiveCoding.infers

    def build(self, network: SizedConfig, inference: InferenceScheme, start: Start) -> Built:
        if self.plain and network.residual:
            raise ValueError(
                f"{self.parameterisation} weights need a network without skip connections: "
                "network.residual must be false"
            )
        return network.under(self.parameterisation), predictive_coding(network, inference, start)


@dataclass(frozen=True)
class KeepsScalings:
    """Predictive coding of layers of the user's own, as they are."""

    infers: bool = PredictiveCoding.infers

    def build(self, network: SizedConfig, inference: InferenceScheme, start: Start) -> Built:
        if network.takes_parameterisation:
            others = [name for name, each in VARIANTS.items() if isinstance(each, InfersActivities)]
            raise ValueError(
                f"pc leaves scalings to the layers, and those of the family {network.kind!r} take "
                f"them from a parameterisation: choose from {', '.join(others)}"
            )
        return network, predictive_coding(network, inference, start)


def predictive_coding(
    network: SizedConfig, inference: InferenceScheme, start: Start
) -> PredictiveCoding:
    """Return the rule for a network. Raises `ValueError` if it has no activities to infer."""
    if not network.hidden:
        raise ValueError(
            f"the family {network.kind} makes one module, without activities between layers to "
            "infer: return a list of layers, or choose the variant bp"
        )
    return PredictiveCoding(inference, start)


def scaled(network: SizedConfig, parameterisation: str) -> SizedConfig:
    """Return a network under a parameterisation, or as it is if it has scalings of its own."""
    return network.under(parameterisation) if network.takes_parameterisation else network


@dataclass(frozen=True)
class Backpropagates:
    """The baseline: the same network and scalings, trained on the loss (thesis 5.6, C.4)."""

    parameterisation: str
    infers: bool = Backpropagation.infers

    def build(self, network: SizedConfig, inference: InferenceScheme, start: Start) -> Built:
        """Leave out the settings of the energy, which backpropagation does not have."""
        return scaled(network, self.parameterisation).without_energy(), Backpropagation()


@dataclass(frozen=True)
class InvertsHessian:
    """Trust-region Newton, the second-order baseline of small networks (thesis 3.3.2)."""

    parameterisation: str
    infers: bool = TrustRegionNewton.infers

    def build(self, network: SizedConfig, inference: InferenceScheme, start: Start) -> Built:
        if network.weights > MOST_WEIGHTS:
            raise ValueError(
                f"trust-region Newton inverts a Hessian of at most {MOST_WEIGHTS:,} weights, and "
                f"{network.depth} layers of width {network.width} have {network.weights:,}"
            )
        return scaled(network, self.parameterisation).without_energy(), TrustRegionNewton()


@dataclass(frozen=True)
class Amortises:
    """Hybrid predictive coding: an amortiser and its mirrored generator (thesis 6.3.1)."""

    parameterisation: str
    infers: bool = PredictiveCoding.infers

    def build(self, network: SizedConfig, inference: InferenceScheme, start: Start) -> Built:
        network = replace(dense(network), parameterisation=self.parameterisation)
        return HybridConfig(network, mirror(network)), PredictiveCoding(inference, start)


@dataclass(frozen=True)
class InfersBothWays:
    """Bidirectional predictive coding: a network and its mirror (thesis 7.3)."""

    parameterisation: str
    infers: bool = PredictiveCoding.infers

    def build(self, network: SizedConfig, inference: InferenceScheme, start: Start) -> Built:
        network = replace(dense(network), parameterisation=self.parameterisation)
        return BidirectionalConfig(network, mirror(network)), PredictiveCoding(inference, start)


@dataclass(frozen=True)
class PropagatesEquilibria:
    """Equilibrium propagation in networks without skip connections (thesis C.2.5)."""

    parameterisation: str
    infers: bool = EquilibriumPropagation.infers

    def build(self, network: SizedConfig, inference: InferenceScheme, start: Start) -> Built:
        if start != ForwardStart():
            raise ValueError(
                "equilibrium propagation begins with a forward pass: training.start must be left "
                "out"
            )
        network = replace(dense(network), parameterisation=self.parameterisation)
        return HopfieldConfig(network), EquilibriumPropagation(inference)


def dense(network: SizedConfig) -> NetworkConfig:
    """Return a network if its layers are fully connected.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(network, NetworkConfig):
        raise ValueError("its layers are fully connected: network.family must be 'stacked'")
    return network


@dataclass(frozen=True)
class Learns:
    """A muPC network that a learning rule of the user's trains.

    Attributes:
        rule: the class of the rule; its fields `inference` and `start`, if it has them, are those
            of the spec, the others have their defaults.
    """

    rule: type[LearningRule]

    @property
    def infers(self) -> bool:
        """True if the rule has an inference phase."""
        return self.rule.infers

    def build(self, network: SizedConfig, inference: InferenceScheme, start: Start) -> Built:
        given = {"inference": inference, "start": start}
        named = {field.name for field in fields(self.rule)}  # type: ignore[arg-type]
        rule = self.rule(**{name: value for name, value in given.items() if name in named})
        return scaled(network, "mupc"), rule


def adopt(thing: object) -> Variant:
    """Return the variant that a user's object is, or makes with its parameterisation or rule.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(thing, type) and issubclass(thing, LearningRule):
        return Learns(LEARNING_RULES[LEARNING_RULES.name(thing)])
    made = thing() if isinstance(thing, type) and hasattr(thing, "build") else thing
    if hasattr(made, "build") and isinstance(getattr(made, "infers", None), bool):
        return cast(Variant, made)
    if hasattr(thing, "scalings"):
        return InfersActivities(PARAMETERISATIONS.name(thing))
    raise ValueError(
        "must be a parameterisation, a subclass of pccore.LearningRule, or a variant with build "
        f"and infers, {kind_of(thing)}"
    )


# Equilibrium propagation takes SP's weights, the smallest: with large ones its energy has no bound.
VARIANTS: Registry[Variant] = Registry(
    "variant",
    {
        "mupc": InfersActivities("mupc"),
        "pc": KeepsScalings(),
        "sp": InfersActivities("sp"),
        "bp": Backpropagates("mupc"),
        "sp_gaussian": InfersActivities("sp_gaussian"),
        "ntp": InfersActivities("ntp"),
        "orthogonal": InfersActivities("orthogonal", plain=True),
        "hybrid": Amortises("mupc"),
        "bidirectional": InfersBothWays("mupc"),
        "equilibrium_propagation": PropagatesEquilibria("sp"),
        "trust_region": InvertsHessian("sp"),
    },
    adopt,
)
"""Variants by name: a parameterisation with a learning rule."""

LEARNING_RULES: Registry[type[LearningRule]] = Registry(
    "learning rule",
    {
        "pc": PredictiveCoding,
        "bp": Backpropagation,
        "ep": EquilibriumPropagation,
        "trust_region": TrustRegionNewton,
        "unsupervised": Unsupervised,
    },
    subclass_of(LearningRule),
)
