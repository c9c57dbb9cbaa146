"""Inference schemes, which lower the energy of the activities. One interface, one file each."""

from pccore.inference.activity_optimiser import ActivityOptimiser
from pccore.inference.augmented_lagrangian import AugmentedLagrangian
from pccore.inference.base import Inference, InferenceScheme
from pccore.inference.error_based import ErrorBased, ErrorRelaxation
from pccore.inference.exact import ExactSolution
from pccore.inference.gauss_newton import GaussNewton
from pccore.inference.gradient_descent import GradientDescent
from pccore.inference.gradient_flow import AdaptiveFlow, GradientFlow
from pccore.inference.halving import Halving
from pccore.inference.langevin import Langevin
from pccore.inference.nesterov import Nesterov
from pccore.inference.to_convergence import ToConvergence
from pccore.registry import Registry, subclass_of

INFERENCE: Registry[type[InferenceScheme]] = Registry(
    "inference scheme",
    {
        "gradient_descent": GradientDescent,
        "halving": Halving,
        "to_convergence": ToConvergence,
        "optax": ActivityOptimiser,
        "gradient_flow": GradientFlow,
        "adaptive_flow": AdaptiveFlow,
        "exact": ExactSolution,
        "error_based": ErrorBased,
        "equilibrium": GaussNewton,
        "langevin": Langevin,
        "nesterov": Nesterov,
        "augmented_lagrangian": AugmentedLagrangian,
    },
    subclass_of(InferenceScheme),
)
"""Inference schemes by name."""

__all__ = [
    "INFERENCE",
    "ActivityOptimiser",
    "AdaptiveFlow",
    "AugmentedLagrangian",
    "ErrorBased",
    "ErrorRelaxation",
    "ExactSolution",
    "GaussNewton",
    "GradientDescent",
    "GradientFlow",
    "Halving",
    "Inference",
    "InferenceScheme",
    "Langevin",
    "Nesterov",
    "ToConvergence",
]
