"""Learning rules: computations of weight gradients, one per file."""

from pccore.rules.backpropagation import Backpropagation
from pccore.rules.base import LearningRule
from pccore.rules.equilibrium_propagation import EquilibriumPropagation
from pccore.rules.predictive_coding import PredictiveCoding
from pccore.rules.trust_region import TrustRegionNewton
from pccore.rules.unsupervised import Unsupervised

__all__ = [
    "Backpropagation",
    "EquilibriumPropagation",
    "LearningRule",
    "PredictiveCoding",
    "TrustRegionNewton",
    "Unsupervised",
]
