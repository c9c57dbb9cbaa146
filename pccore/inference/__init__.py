"""Inference schemes: how activities relax to lower the energy. One interface, one file each."""

from pccore.inference.base import Inference, InferenceScheme
from pccore.inference.gradient_descent import GradientDescent
from pccore.registry import Registry

INFERENCE: Registry[type[InferenceScheme]] = Registry(
    "inference scheme", {"gradient_descent": GradientDescent}
)

__all__ = ["INFERENCE", "GradientDescent", "Inference", "InferenceScheme"]
