"""The probes by name: what training can measure on a network as it goes."""

from pccore.probes import Probe
from pccore.registry import Registry
from pccore.theory.limit import LossEnergyRatio
from pccore.theory.stability import StableActivityLr

PROBES: Registry[type[Probe]] = Registry(
    "probe",
    {
        "loss_energy_ratio": LossEnergyRatio,
        "stable_activity_lr": StableActivityLr,
    },
)
