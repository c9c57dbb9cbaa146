"""Penalties: gradients in closed form, and training with penalties."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pc_problems import assert_close, problem

import pccore
from pccore.networks.sequence import SequenceConfig
from pccore.penalties import weights

CONFIG = pccore.NetworkConfig(
    input_size=4, output_size=3, width=5, depth=3, activation="tanh", residual=False, bias=True
)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def test_weight_decay_gradient_is_proportional_to_weights_without_biases():
    network, _, _ = problem(CONFIG)
    gradients = jax.jit(jax.grad(pccore.WeightDecay(0.1)))(network)
    expected = jax.tree.map(lambda w: 0.1 * w, network)
    expected = replace(expected, biases=jax.tree.map(jnp.zeros_like, network.biases))
    assert_close(gradients, expected)


@pytest.mark.parametrize("gain", [1.0, 1.05])
def test_orthogonality_gradient_of_every_matrix(gain):
    """d/dW of strength/2 ||W'W - g^2 I||^2 is 2 strength W (W'W - g^2 I), wide or tall."""
    network, _, _ = problem(CONFIG)
    value, gradients = jax.jit(jax.value_and_grad(pccore.Orthogonality(0.1, gain)))(network)
    matrices = [np.asarray(W) for W in (network.first, *network.hidden, network.last)]
    defects = [W.T @ W - gain**2 * np.eye(W.shape[1]) for W in matrices]
    assert_close(value, 0.05 * sum(np.sum(d**2) for d in defects))
    first, *hidden, last = (0.2 * W @ d for W, d in zip(matrices, defects, strict=True))
    first, hidden, last = jnp.asarray(first), jnp.stack(hidden), jnp.asarray(last)
    expected = replace(network, first=first, hidden=hidden, last=last)
    expected = replace(expected, biases=jax.tree.map(jnp.zeros_like, network.biases))
    assert_close(gradients, expected)


def test_square_orthogonal_weights_have_no_penalty():
    config = replace(CONFIG, input_size=5, output_size=5, parameterisation="orthogonal")
    network = jax.jit(config.build)(jax.random.key(0))
    assert float(pccore.Orthogonality(1.0, gain=1.05)(network)) < 1e-8


def test_finds_weights_without_biases_in_general_networks():
    def layers(key):
        keys = jax.random.split(key)
        convolution = eqx.nn.Conv2d(2, 3, kernel_size=2, key=keys[0])
        flat = eqx.nn.Lambda(jnp.ravel)
        return [eqx.nn.Sequential([convolution, flat]), eqx.nn.Linear(12, 4, key=keys[1])]

    network = jax.jit(SequenceConfig((2, 3, 3), 4, layers).build)(jax.random.key(0))
    assert [W.shape for W in weights(network)] == [(3, 2, 2, 2), (4, 12)]
    kernel, last = (np.asarray(W).reshape(len(W), -1) for W in weights(network))
    expected = sum(np.sum((W.T @ W - np.eye(W.shape[1])) ** 2) for W in (kernel, last))
    assert_close(jax.jit(pccore.Orthogonality(2.0))(network), expected, rtol=1e-5)


def test_training_adds_penalty_gradients():
    """With eta lambda = 1 one step of decay removes all of W, so that the prediction is zero."""
    data = pccore.data.load("digits")
    network = pccore.NetworkConfig(64, 10, width=8, depth=1)
    config = pccore.TrainingConfig(
        network,
        pccore.Backpropagation(),
        optimiser=pccore.SGD(),
        steps=2,
        eval_every=1,
        penalties=(pccore.WeightDecay(4e5), pccore.WeightDecay(6e5)),
    )
    with jax.enable_x64(False):
        curve = pccore.fit(config, data, pccore.Lane(1e-6, None, seed=0)).curve
    assert abs(curve.train_loss[0] - 0.5) > 1e-2
    np.testing.assert_allclose(curve.train_loss[1], 0.5, rtol=1e-5)  # 0.5 ||one-hot||^2


def test_rejects_invalid_parameters():
    with pytest.raises(ValueError, match="strength must be positive, got 0"):
        pccore.WeightDecay(0.0)
    with pytest.raises(ValueError, match="gain must be positive, got -1"):
        pccore.Orthogonality(1.0, gain=-1.0)
