"""What can be said about predictive coding without training: closed forms, spectra, limits.

Every tool works from the layers' structure, at sizes that dense formulas cannot reach.
"""

from pccore.theory.activity_hessian import hessian_product
from pccore.theory.conditioning import largest_eigenvalue
from pccore.theory.limit import LossEnergyRatio, expected_rescaling
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

__all__ = [
    "Edges",
    "LossEnergyRatio",
    "MarchenkoPastur",
    "Semicircle",
    "deep_edges",
    "diagonal_edges",
    "expected_rescaling",
    "hessian_product",
    "largest_eigenvalue",
    "off_diagonal",
    "weyl_bounds",
    "wishart",
]
