"""The registry of probes, the measurements during training."""

from collections.abc import Callable
from typing import Any

from pccore.registry import Registry
from pccore.rules import LearningRule
from pccore.theory.conditioning import ActivityConditioning
from pccore.theory.desiderata import ForwardNorms
from pccore.theory.limit import LossEnergyRatio
from pccore.theory.numerical_energy import NumericalEnergy
from pccore.theory.stability import StableActivityLr
from pccore.theory.weight_gradients import GradientCosine, WeightGradientNorm
from pccore.training.probe import Probe

PROBES: Registry[type[Probe[Any]]] = Registry(
    "probe",
    {
        "activity_conditioning": ActivityConditioning,
        "forward_norms": ForwardNorms,
        "gradient_cosine": GradientCosine,
        "loss_energy_ratio": LossEnergyRatio,
        "numerical_energy": NumericalEnergy,
        "stable_activity_lr": StableActivityLr,
        "weight_gradient_norm": WeightGradientNorm,
    },
)

RULE_PROBES: Registry[Callable[[LearningRule], Probe[Any]]] = Registry(
    "probe of the learning rule",
    {"gradient_cosine": GradientCosine, "weight_gradient_norm": WeightGradientNorm},
)
"""The probes made from a learning rule alone, which a spec requests for the rule of each run."""
