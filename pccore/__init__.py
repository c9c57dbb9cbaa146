"""Predictive coding in JAX: networks, energies, inference, learning, training, data.

import pccore

data = pccore.data.load("digits")
network = pccore.NetworkConfig(data.input_size, data.output_size, width=32, depth=8)
rule = pccore.PredictiveCoding(pccore.GradientDescent(steps=8))
config = pccore.TrainingConfig(network, rule, batch_size=64, steps=200)
outcome = pccore.fit(config, data, pccore.Lane(weight_lr=0.05, activity_lr=5.0, seed=0))
"""

from pccore import data
from pccore.activations import ACTIVATIONS, Activation
from pccore.configs import Lane, TrainingConfig
from pccore.energies import energy, layer_energies
from pccore.inference import INFERENCE, GradientDescent, Inference, InferenceScheme
from pccore.layers import Layer
from pccore.losses import OUTPUTS, OutputEnergy
from pccore.networks import Biases, Network, NetworkConfig
from pccore.optimisers import OPTIMISERS, SGD, Adam, Optimiser
from pccore.outcomes import Curve, Outcome, Status
from pccore.parameterisations import PARAMETERISATIONS, Parameterisation, Scalings
from pccore.registry import Registry, UnknownNameError
from pccore.relaxation import Relaxation
from pccore.rules import Backpropagation, LearningRule, PredictiveCoding
from pccore.training import fit, fit_many

CONVENTIONS = 1
"""Version of everything numerical: raised when the same settings would give other results."""

__all__ = [
    "ACTIVATIONS",
    "CONVENTIONS",
    "INFERENCE",
    "OPTIMISERS",
    "OUTPUTS",
    "PARAMETERISATIONS",
    "SGD",
    "Activation",
    "Adam",
    "Backpropagation",
    "Biases",
    "Curve",
    "GradientDescent",
    "Inference",
    "InferenceScheme",
    "Lane",
    "Layer",
    "LearningRule",
    "Network",
    "NetworkConfig",
    "Optimiser",
    "Outcome",
    "OutputEnergy",
    "Parameterisation",
    "PredictiveCoding",
    "Registry",
    "Relaxation",
    "Scalings",
    "Status",
    "TrainingConfig",
    "UnknownNameError",
    "data",
    "energy",
    "fit",
    "fit_many",
    "layer_energies",
]
