"""The registry of probes, the measurements during training."""

from pccore.registry import Registry
from pccore.theory.conditioning import ActivityConditioning
from pccore.theory.desiderata import ForwardNorms
from pccore.theory.limit import LossEnergyRatio
from pccore.theory.numerical_energy import NumericalEnergy
from pccore.theory.stability import StableActivityLr
from pccore.theory.weight_gradients import WeightGradientNorm
from pccore.training.probe import Probe

PROBES: Registry[type[Probe]] = Registry(
    "probe",
    {
        "activity_conditioning": ActivityConditioning,
        "forward_norms": ForwardNorms,
        "loss_energy_ratio": LossEnergyRatio,
        "numerical_energy": NumericalEnergy,
        "stable_activity_lr": StableActivityLr,
        "weight_gradient_norm": WeightGradientNorm,
    },
)
