"""What can be said about predictive coding without training: closed forms, spectra, limits.

Every tool works from the layers' structure, at sizes that dense formulas cannot reach.
"""

from pccore.theory.activity_hessian import hessian_product
from pccore.theory.conditioning import (
    ActivityConditioning,
    Conditioning,
    conditioning,
    largest_eigenvalue,
)
from pccore.theory.equilibrated import (
    Equilibrium,
    equilibrated_energy,
    exact_activities,
    rescaling,
)
from pccore.theory.limit import LossEnergyRatio, expected_rescaling
from pccore.theory.numerical_energy import NumericalEnergy
from pccore.theory.random_matrices import (
    Edges,
    MarchenkoPastur,
    Semicircle,
    deep_edges,
    diagonal_edges,
    off_diagonal,
    weyl_bounds,
    wishart,
)
from pccore.theory.stability import (
    StableActivityLr,
    blow_up_activity_lr,
    has_step_limit,
    stable_activity_lr,
)
from pccore.theory.weight_gradients import WeightGradientNorm

__all__ = [
    "ActivityConditioning",
    "Conditioning",
    "Edges",
    "Equilibrium",
    "LossEnergyRatio",
    "MarchenkoPastur",
    "NumericalEnergy",
    "Semicircle",
    "StableActivityLr",
    "WeightGradientNorm",
    "blow_up_activity_lr",
    "conditioning",
    "deep_edges",
    "diagonal_edges",
    "equilibrated_energy",
    "exact_activities",
    "expected_rescaling",
    "has_step_limit",
    "hessian_product",
    "largest_eigenvalue",
    "off_diagonal",
    "rescaling",
    "stable_activity_lr",
    "weyl_bounds",
    "wishart",
]
