"""What is compared: a parameterisation with a learning rule, and the network that it trains."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

from pccore import (
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
    Start,
    mirror,
)

Built = tuple[Any, LearningRule]
"""The config of a network of any kind, and how it learns."""


class Variant(Protocol):
    """Chooses a network and how it learns."""

    @property
    def infers(self) -> bool:
        """Whether it has an inference phase."""
        ...

    def build(self, network: NetworkConfig, inference: InferenceScheme, start: Start) -> Built:
        """The network's config and the learning rule.

        Args:
            network: what the spec says of it.
            inference: how activities relax, for rules that infer any.
            start: where they begin.

        Raises:
            ValueError: settings that do not suit the variant.
        """
        ...


@dataclass(frozen=True)
class InfersActivities:
    """Predictive coding under the given parameterisation.

    Attributes:
        parameterisation: a name in `pccore.PARAMETERISATIONS`.
        plain: whether it needs a network without skip connections.
    """

    parameterisation: str
    plain: bool = False
    infers: bool = PredictiveCoding.infers

    def build(self, network: NetworkConfig, inference: InferenceScheme, start: Start) -> Built:
        if self.plain and network.residual:
            raise ValueError(
                f"{self.parameterisation} weights need a network without skip connections: "
                "network.residual must be false"
            )
        network = replace(network, parameterisation=self.parameterisation)
        return network, PredictiveCoding(inference, start)


@dataclass(frozen=True)
class Backpropagates:
    """The baseline: the same network and scalings, trained on the loss (thesis 5.6, C.4)."""

    parameterisation: str
    infers: bool = Backpropagation.infers

    def build(self, network: NetworkConfig, inference: InferenceScheme, start: Start) -> Built:
        """What belongs to the energy is left out: there is none."""
        network = replace(network, parameterisation=self.parameterisation)
        return replace(network, precisions=(), activity_decay=0.0), Backpropagation()


@dataclass(frozen=True)
class Amortises:
    """Hybrid predictive coding: an amortiser, and a generator that mirrors it (thesis 6.3.1)."""

    parameterisation: str
    infers: bool = PredictiveCoding.infers

    def build(self, network: NetworkConfig, inference: InferenceScheme, start: Start) -> Built:
        network = replace(network, parameterisation=self.parameterisation)
        return HybridConfig(network, mirror(network)), PredictiveCoding(inference, start)


@dataclass(frozen=True)
class InfersBothWays:
    """Bidirectional predictive coding: a network, and one that mirrors it (thesis 7.3)."""

    parameterisation: str
    infers: bool = PredictiveCoding.infers

    def build(self, network: NetworkConfig, inference: InferenceScheme, start: Start) -> Built:
        network = replace(network, parameterisation=self.parameterisation)
        return BidirectionalConfig(network, mirror(network)), PredictiveCoding(inference, start)


@dataclass(frozen=True)
class PropagatesEquilibria:
    """Equilibrium propagation, of plain networks (thesis C.2.5)."""

    parameterisation: str
    infers: bool = EquilibriumPropagation.infers

    def build(self, network: NetworkConfig, inference: InferenceScheme, start: Start) -> Built:
        if start != ForwardStart():
            raise ValueError(
                "equilibrium propagation begins with a forward pass: training.start must be left "
                "out"
            )
        network = replace(network, parameterisation=self.parameterisation)
        return HopfieldConfig(network), EquilibriumPropagation(inference)


# Equilibrium propagation has SP's weights, the smallest: large ones leave its energy without bound.
# Trust-region Newton is missing: it takes networks of at most 3,000 weights.
VARIANTS: Registry[Variant] = Registry(
    "variant",
    {
        "mupc": InfersActivities("mupc"),
        "sp": InfersActivities("sp"),
        "bp": Backpropagates("mupc"),
        "sp_gaussian": InfersActivities("sp_gaussian"),
        "ntp": InfersActivities("ntp"),
        "orthogonal": InfersActivities("orthogonal", plain=True),
        "hybrid": Amortises("mupc"),
        "bidirectional": InfersBothWays("mupc"),
        "equilibrium_propagation": PropagatesEquilibria("sp"),
    },
)

LEARNING_RULES: Registry[Any] = Registry(
    "learning rule",
    {"pc": PredictiveCoding, "bp": Backpropagation, "ep": EquilibriumPropagation},
)
