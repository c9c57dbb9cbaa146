"""Predictive coding in JAX: networks, energies, inference, learning, training, data.

import equinox as eqx
import jax
import pccore

def layers(key):  # a network of your own layers, each on one sample
    first, second = jax.random.split(key)
    relu = eqx.nn.Lambda(jax.nn.relu)
    above = eqx.nn.Sequential([relu, eqx.nn.Linear(32, 10, key=second)])
    return [eqx.nn.Linear(64, 32, key=first), above]

data = pccore.data.load("digits")  # or any object with train_x, train_y, test_x and test_y
network = pccore.SequenceConfig((64,), 10, layers)
rule = pccore.PredictiveCoding(pccore.GradientDescent(steps=4))
config = pccore.TrainingConfig(network, rule, batch_size=64, steps=200, eval_every=50)
lane = pccore.Lane(weight_lr=0.01, activity_lr=10.0, seed=0)

def watch(evaluation):  # called at every evaluation
    print(evaluation.step, evaluation.test_accuracy)

trained = pccore.train(config, data, lane, on_evaluation=watch)

# pccore.NetworkConfig has the muPC thesis's networks, of any depth at the same compile time. A loop
# of your own needs rule.gradients(network, x, y, beta, key) and an optimiser (docs/networks.md).
"""

from pccore import data
from pccore.activations import ACTIVATIONS, Activation, Change
from pccore.completion import Completion, complete
from pccore.diagnostics import Trace, trace
from pccore.energies import energy, layer_energies
from pccore.function_optimisers import OPTIMISERS
from pccore.inference import (
    INFERENCE,
    ActivityOptimiser,
    AdaptiveFlow,
    AugmentedLagrangian,
    ErrorBased,
    ExactSolution,
    GaussNewton,
    GradientDescent,
    GradientFlow,
    Halving,
    Inference,
    InferenceScheme,
    Langevin,
    Nesterov,
    ToConvergence,
)
from pccore.layers import Layer
from pccore.losses import OUTPUTS, OutputEnergy
from pccore.networks.arrays import from_arrays, to_arrays
from pccore.networks.base import AbstractNetwork, AbstractNetworkConfig, SizedConfig, describe
from pccore.networks.bidirectional import BidirectionalConfig, BidirectionalNetwork
from pccore.networks.clamping import clamp
from pccore.networks.convolutional import ConvolutionalConfig
from pccore.networks.convolutional_stack import ConvolutionalStack, ConvolutionalStackConfig
from pccore.networks.family import FamilyConfig, NetworkFunction
from pccore.networks.general import SequenceRelaxation
from pccore.networks.hopfield import HopfieldConfig, HopfieldNetwork
from pccore.networks.hybrid import HybridConfig, HybridNetwork
from pccore.networks.mirroring import mirror
from pccore.networks.sequence import GeneralConfig, SequenceConfig, SequenceNetwork, Skip
from pccore.networks.stack import Biases
from pccore.networks.stacked import Network, NetworkConfig
from pccore.optimisers import SGD, Adam, Optimiser
from pccore.parameterisations import PARAMETERISATIONS, Parameterisation, Scalings
from pccore.penalties import PENALTIES, Orthogonality, Penalty, WeightDecay
from pccore.predictor import Predictor
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
from pccore.schedules import Schedule
from pccore.starts import STARTS, ForwardStart, NormalStart, Start
from pccore.training.config import CONVENTIONS, Lane, SpectralActivityLr, TrainingConfig
from pccore.training.data_arrays import DataArrays
from pccore.training.evaluation import Evaluation
from pccore.training.loop import Trained, fit, fit_many, train
from pccore.training.outcomes import LEARNED, Curve, Outcome, Status
from pccore.training.probe import Probe, Reading
from pccore.training.snapshots import Snapshots

__all__ = [
    "ACTIVATIONS",
    "CONVENTIONS",
    "INFERENCE",
    "LEARNED",
    "OPTIMISERS",
    "OUTPUTS",
    "PARAMETERISATIONS",
    "PENALTIES",
    "SGD",
    "STARTS",
    "AbstractNetwork",
    "AbstractNetworkConfig",
    "Activation",
    "ActivityOptimiser",
    "Adam",
    "AdaptiveFlow",
    "AugmentedLagrangian",
    "Backpropagation",
    "Biases",
    "BidirectionalConfig",
    "BidirectionalNetwork",
    "Change",
    "Completion",
    "ConvolutionalConfig",
    "ConvolutionalStack",
    "ConvolutionalStackConfig",
    "Curve",
    "DataArrays",
    "EquilibriumPropagation",
    "ErrorBased",
    "Evaluation",
    "ExactSolution",
    "FamilyConfig",
    "ForwardStart",
    "GaussNewton",
    "GeneralConfig",
    "GradientDescent",
    "GradientFlow",
    "Halving",
    "HopfieldConfig",
    "HopfieldNetwork",
    "HybridConfig",
    "HybridNetwork",
    "Inference",
    "InferenceScheme",
    "Lane",
    "Langevin",
    "Layer",
    "LearningRule",
    "Nesterov",
    "Network",
    "NetworkConfig",
    "NetworkFunction",
    "NormalStart",
    "Optimiser",
    "Orthogonality",
    "Outcome",
    "OutputEnergy",
    "Parameterisation",
    "Penalty",
    "PredictiveCoding",
    "Predictor",
    "Probe",
    "Reading",
    "Registry",
    "Relaxation",
    "Scalings",
    "Schedule",
    "SequenceConfig",
    "SequenceNetwork",
    "SequenceRelaxation",
    "SizedConfig",
    "Skip",
    "Snapshots",
    "SpectralActivityLr",
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
    "describe",
    "energy",
    "fit",
    "fit_many",
    "from_arrays",
    "layer_energies",
    "mirror",
    "to_arrays",
    "trace",
    "train",
]
