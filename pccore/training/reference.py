"""A tiny training whose losses are known in float64: does this JAX compute right on this device?"""

import numpy as np

from pccore import data
from pccore.inference import GradientDescent
from pccore.jax_settings import pinned
from pccore.networks.stacked import NetworkConfig
from pccore.rules import PredictiveCoding
from pccore.training.config import Lane, TrainingConfig
from pccore.training.loop import fit

DATASET = "toy_linear"
CONFIG = TrainingConfig(
    NetworkConfig(input_size=16, output_size=4, width=8, depth=2, activation="tanh"),
    PredictiveCoding(GradientDescent(steps=4)),
    batch_size=64,
    steps=20,
    eval_every=5,
)
LANE = Lane(weight_lr=0.05, activity_lr=10.0, seed=0)

TRAIN_LOSSES = (2.1498142800720865, 1.9007551946471388, 1.4702193896608375, 1.4058662679236826)
TEST_LOSSES = (2.0042568952216624, 1.7116334318193966, 1.4015263782966234, 1.0980530898405183)
"""Losses of `CONFIG` and `LANE` at the four evaluations, computed in float64 from the initial
weights and the order of samples that float32 training draws."""

TOLERANCE = 0.01
"""Largest relative deviation of a loss that rounding explains, that of TF32 on GPUs included."""


def deviation() -> float:
    """Train on this thread's default device; return the largest relative deviation of a loss.

    NaN if the training diverged.
    """
    with pinned():
        curve = fit(CONFIG, data.load(DATASET), LANE).curve
    found = np.concatenate([curve.train_loss, curve.test_loss])
    expected = np.array([*TRAIN_LOSSES, *TEST_LOSSES])
    if found.shape != expected.shape:
        return float("nan")
    return float(np.max(np.abs(found / expected - 1)))
