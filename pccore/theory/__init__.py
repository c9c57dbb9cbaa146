"""Theory of predictive coding without training: closed forms, spectra, limits.

Every tool uses the structure of the layers and reaches sizes that dense formulas cannot.
"""

from pccore.spectrum import hessian_product
from pccore.theory.chains import LinearChain, Sharpness
from pccore.theory.conditioning import (
    ActivityConditioning,
    Conditioning,
    conditioning,
    largest_eigenvalue,
)
from pccore.theory.desiderata import (
    Desiderata,
    Desideratum,
    ForwardNorms,
    desiderata,
    forward_norms,
)
from pccore.theory.effective_depth import (
    predicted_changes,
    predicted_layers,
    reset_unlearned,
)
from pccore.theory.equilibrated import (
    ExactActivities,
    equilibrated_energy,
    exact_activities,
    rescaling,
)
from pccore.theory.expansion import (
    Expansion,
    GradientParts,
    forward_curvature,
    trust_region_expansion,
    trust_region_gradient,
)
from pccore.theory.landscape import (
    Covariances,
    covariances,
    equilibrated_energy_of,
    loss_of,
    rescaling_of,
    weight_hessian,
)
from pccore.theory.limit import LossEnergyRatio, expected_rescaling
from pccore.theory.near_critical import (
    damped_newton,
    descent_trajectory,
    escape_steps,
    flow_trajectory,
)
from pccore.theory.numerical_energy import NumericalEnergy
from pccore.theory.one_unit import (
    Alignment,
    alignment,
    energy_while_inferring,
    nearest_minimum,
    saddle_eigenvalues,
)
from pccore.theory.origin import Direction, OriginHessian
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
from pccore.theory.saddles import ZeroRankHessian, zero_rank_saddle
from pccore.theory.stability import (
    StableActivityLr,
    blow_up_activity_lr,
    bounded_activity_lr,
    has_step_limit,
    stable_activity_lr,
)
from pccore.theory.weight_gradients import GradientCosine, WeightGradientNorm

__all__ = [
    "ActivityConditioning",
    "Alignment",
    "Conditioning",
    "Covariances",
    "Desiderata",
    "Desideratum",
    "Direction",
    "Edges",
    "ExactActivities",
    "Expansion",
    "ForwardNorms",
    "GradientCosine",
    "GradientParts",
    "LinearChain",
    "LossEnergyRatio",
    "MarchenkoPastur",
    "NumericalEnergy",
    "OriginHessian",
    "Semicircle",
    "Sharpness",
    "StableActivityLr",
    "WeightGradientNorm",
    "ZeroRankHessian",
    "alignment",
    "blow_up_activity_lr",
    "bounded_activity_lr",
    "conditioning",
    "covariances",
    "damped_newton",
    "deep_edges",
    "descent_trajectory",
    "desiderata",
    "diagonal_edges",
    "energy_while_inferring",
    "equilibrated_energy",
    "equilibrated_energy_of",
    "escape_steps",
    "exact_activities",
    "expected_rescaling",
    "flow_trajectory",
    "forward_curvature",
    "forward_norms",
    "has_step_limit",
    "hessian_product",
    "largest_eigenvalue",
    "loss_of",
    "nearest_minimum",
    "off_diagonal",
    "predicted_changes",
    "predicted_layers",
    "rescaling",
    "rescaling_of",
    "reset_unlearned",
    "saddle_eigenvalues",
    "stable_activity_lr",
    "trust_region_expansion",
    "trust_region_gradient",
    "weight_hessian",
    "weyl_bounds",
    "wishart",
    "zero_rank_saddle",
]
