"""How much every layer learned: against weights kept from the start, for networks of all kinds."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import pccore
from pccore.training.programs import layer_changes

DIGITS = pccore.data.load("digits")
NETWORK = pccore.NetworkConfig(DIGITS.input_size, DIGITS.output_size, width=8, depth=6, bias=True)
CONFIG = pccore.TrainingConfig(
    NETWORK, pccore.PredictiveCoding(pccore.GradientDescent(3)), steps=20, eval_every=20
)


def relative_changes(now: list[np.ndarray], before: list[np.ndarray]) -> list[float]:
    """Return ||W - W_0|| / ||W_0|| of every matrix, in float64."""
    return [
        float(np.linalg.norm(np.float64(w) - v) / np.linalg.norm(np.float64(v)))
        for w, v in zip(now, before, strict=True)
    ]


def matrices(network: pccore.Network) -> list[np.ndarray]:
    return [np.asarray(w) for w in (network.first, *network.hidden, network.last)]


def test_changes_of_a_training_equal_those_of_kept_weights() -> None:
    lane = pccore.Lane(0.05, 10.0, 3)
    trained = pccore.train(CONFIG, DIGITS, lane)
    expected = relative_changes(
        matrices(trained.network), matrices(NETWORK.build(jax.random.key(3)))
    )
    outcome = trained.outcome
    np.testing.assert_allclose(outcome.layer_changes, expected, rtol=1e-4)
    # T = 3: the error moves the activities of the top three hidden layers, and with them the
    # weights of the top four layers; Adam takes its first steps nearly everywhere else at zero.
    assert outcome.layers == 7
    np.testing.assert_array_equal(outcome.layer_changes[:3], 0.0)
    assert outcome.layers_learned == sum(change > 0.01 for change in expected) == 4


def test_lanes_have_their_own_changes_and_diverged_ones_none() -> None:
    lanes = [pccore.Lane(0.05, 10.0, 3), pccore.Lane(1e5, 10.0, 3), pccore.Lane(0.001, 10.0, 4)]
    one, diverged, other = pccore.fit_many(CONFIG, DIGITS, lanes)
    alone = pccore.fit(CONFIG, DIGITS, lanes[2])
    np.testing.assert_allclose(other.layer_changes, alone.layer_changes, rtol=1e-3)
    assert one.layer_changes[-1] > 2 * other.layer_changes[-1]
    assert diverged.status is pccore.Status.DIVERGED
    assert (diverged.layers, diverged.layers_learned) == (7, None)
    assert np.isnan(diverged.layer_changes).all()
    assert pccore.Outcome.failed("no memory").layers is None


def test_without_updates_nothing_has_changed() -> None:
    outcome = pccore.fit(replace(CONFIG, steps=0), DIGITS, pccore.Lane(0.05, 10.0, 0))
    np.testing.assert_array_equal(outcome.layer_changes, np.zeros(7))
    assert outcome.layers_learned == 0


def small(depth: int, inputs: int, outputs: int) -> pccore.NetworkConfig:
    return pccore.NetworkConfig(inputs, outputs, width=4, depth=depth, bias=True)


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (small(1, 3, 2), 2),
        (pccore.HybridConfig(small(2, 3, 2), small(2, 2, 3)), 6),
        (pccore.BidirectionalConfig(small(2, 3, 2), small(2, 2, 3)), 6),
        (pccore.HopfieldConfig(replace(small(3, 3, 2), residual=False)), 4),
        (pccore.ConvolutionalConfig((3, 8, 8), 2, channels=(2, 2), width=4), 4),
    ],
    ids=["stacked", "hybrid", "bidirectional", "hopfield", "convolutional"],
)
def test_networks_of_every_kind_have_changes(
    config: pccore.AbstractNetworkConfig, layers: int
) -> None:
    """Weights that double have changed by their initial RMS, those that stay by nothing."""
    initial = config.build(jax.random.key(0))
    lanes = jax.tree.map(lambda w: w[None], initial)
    double = jax.tree.map(lambda w: 2 * w, lanes)
    np.testing.assert_allclose(layer_changes(double, lanes), np.ones((1, layers)), rtol=1e-6)
    np.testing.assert_array_equal(layer_changes(lanes, lanes), np.zeros((1, layers)))
