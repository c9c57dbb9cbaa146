"""Learning rules: where weight gradients come from. One interface, one file each."""

from pccore.rules.backpropagation import Backpropagation
from pccore.rules.base import LearningRule
from pccore.rules.predictive_coding import PredictiveCoding

__all__ = ["Backpropagation", "LearningRule", "PredictiveCoding"]
