"""What is compared: a parameterisation with a learning rule, by name."""

from dataclasses import dataclass
from typing import Protocol

from pccore import Backpropagation, InferenceScheme, LearningRule, PredictiveCoding, Registry


class Variant(Protocol):
    """Chooses a network's parameterisation and how it learns."""

    @property
    def parameterisation(self) -> str:
        """A name in `pccore.PARAMETERISATIONS`."""
        ...

    @property
    def infers(self) -> bool:
        """Whether it has an inference phase, hence an activity learning rate."""
        ...

    def rule(self, inference: InferenceScheme) -> LearningRule:
        """The learning rule, with `inference` if it infers."""
        ...


@dataclass(frozen=True)
class InfersActivities:
    """Predictive coding under the given parameterisation."""

    parameterisation: str
    infers: bool = PredictiveCoding.infers

    def rule(self, inference: InferenceScheme) -> LearningRule:
        return PredictiveCoding(inference)


@dataclass(frozen=True)
class Backpropagates:
    """The baseline: the same network and scalings, trained on the loss (thesis 5.6, C.4)."""

    parameterisation: str
    infers: bool = Backpropagation.infers

    def rule(self, inference: InferenceScheme) -> LearningRule:
        return Backpropagation()


VARIANTS: Registry[Variant] = Registry(
    "variant",
    {
        "mupc": InfersActivities("mupc"),
        "sp": InfersActivities("sp"),
        "bp": Backpropagates("mupc"),
    },
)
