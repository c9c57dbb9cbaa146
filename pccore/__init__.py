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
from pccore.bidirectional import BidirectionalConfig, BidirectionalNetwork
from pccore.clamping import SequenceRelaxation, clamp
from pccore.completion import Completion, complete
from pccore.configs import Lane, TrainingConfig
from pccore.convolutional import ConvolutionalConfig
from pccore.diagnostics import Trace, trace
from pccore.energies import energy, layer_energies
from pccore.equilibrium import EquilibriumConfig, EquilibriumNetwork
from pccore.hybrid import HybridConfig, HybridNetwork
from pccore.inference import (
    INFERENCE,
    ActivityOptimiser,
    AdaptiveFlow,
    Equilibrium,
    ErrorBased,
    ExactEquilibrium,
    GradientDescent,
    GradientFlow,
    Halving,
    Inference,
    InferenceScheme,
    ToConvergence,
)
from pccore.layers import Layer
from pccore.losses import OUTPUTS, OutputEnergy
from pccore.mirroring import mirror
from pccore.networks import Biases, Network, NetworkConfig
from pccore.optimisers import OPTIMISERS, SGD, Adam, Optimiser
from pccore.outcomes import Curve, Outcome, Status
from pccore.parameterisations import PARAMETERISATIONS, Parameterisation, Scalings
from pccore.penalties import PENALTIES, Orthogonality, Penalty, WeightDecay
from pccore.probes import Probe, Reading
from pccore.registry import Registry, UnknownNameError
from pccore.relaxation import Relaxation
from pccore.rules import (
    Backpropagation,
    EquilibriumPropagation,
    LearningRule,
    PredictiveCoding,
    TrustRegionNewton,
    Unsupervised,
)
from pccore.sequences import GeneralConfig, SequenceConfig, SequenceNetwork
from pccore.snapshots import Snapshots
from pccore.starts import STARTS, ForwardStart, NormalStart, Start
from pccore.training import Trained, fit, fit_many, train

CONVENTIONS = 1
"""Version of everything numerical: raised when the same settings would give other results."""

__all__ = [
    "ACTIVATIONS",
    "CONVENTIONS",
    "INFERENCE",
    "OPTIMISERS",
    "OUTPUTS",
    "PARAMETERISATIONS",
    "PENALTIES",
    "SGD",
    "STARTS",
    "Activation",
    "ActivityOptimiser",
    "Adam",
    "AdaptiveFlow",
    "Backpropagation",
    "Biases",
    "BidirectionalConfig",
    "BidirectionalNetwork",
    "Completion",
    "ConvolutionalConfig",
    "Curve",
    "Equilibrium",
    "EquilibriumConfig",
    "EquilibriumNetwork",
    "EquilibriumPropagation",
    "ErrorBased",
    "ExactEquilibrium",
    "ForwardStart",
    "GeneralConfig",
    "GradientDescent",
    "GradientFlow",
    "Halving",
    "HybridConfig",
    "HybridNetwork",
    "Inference",
    "InferenceScheme",
    "Lane",
    "Layer",
    "LearningRule",
    "Network",
    "NetworkConfig",
    "NormalStart",
    "Optimiser",
    "Orthogonality",
    "Outcome",
    "OutputEnergy",
    "Parameterisation",
    "Penalty",
    "PredictiveCoding",
    "Probe",
    "Reading",
    "Registry",
    "Relaxation",
    "Scalings",
    "SequenceConfig",
    "SequenceNetwork",
    "SequenceRelaxation",
    "Snapshots",
    "Start",
    "Status",
    "ToConvergence",
    "Trace",
    "Trained",
    "TrainingConfig",
    "TrustRegionNewton",
    "UnknownNameError",
    "Unsupervised",
    "WeightDecay",
    "clamp",
    "complete",
    "data",
    "energy",
    "fit",
    "fit_many",
    "layer_energies",
    "mirror",
    "trace",
    "train",
]
