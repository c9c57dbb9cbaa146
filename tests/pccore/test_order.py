"""Networks that apply the activation after the weights (thesis eq. 2.1)."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pccore
from pccore import native
from pccore.networks.stacked import Network

CONFIG = pccore.NetworkConfig(3, 2, 4, 3, "tanh", order="weights_first")
EXACT = {"rtol": 1e-9, "atol": 1e-12}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def batch():
    random = np.random.default_rng(0)
    return jnp.asarray(random.normal(size=(5, 3))), jnp.asarray(random.normal(size=(5, 2)))


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_layers_are_those_of_eq_2_1(batch, residual, bias):
    """z_1 = phi(a_1 W_1 x), z_l = phi(a_l W_l z) + tau z, and a linear output."""
    x, y = batch
    network = replace(CONFIG, residual=residual, bias=bias).build(jax.random.key(0))
    a = network.config.scalings
    z = np.tanh(a.first * x @ network.first.T)
    nodes = [z]
    for W in network.hidden:
        z = np.tanh(a.hidden * z @ W.T) + residual * z
        nodes.append(z)
    output = a.last * z @ network.last.T
    np.testing.assert_allclose(network.forward(x), np.stack(nodes), **EXACT)
    np.testing.assert_allclose(network.predict(x), output, **EXACT)
    relaxation = network.relaxation(x, y)
    loss = 0.5 * np.sum((y - output) ** 2) / 5
    assert relaxation.loss() == pytest.approx(float(loss))
    energies = relaxation.energies(relaxation.origin())
    np.testing.assert_allclose(energies, [0, 0, 0, loss], **EXACT)


def test_gradients_are_those_of_the_energy(batch):
    """dF/dz_l = e_l - a W' (phi'(a W z_l) e_{l+1}) - tau e_{l+1}, by hand for the top layers."""
    x, y = batch
    network = CONFIG.build(jax.random.key(1))
    relaxation = network.relaxation(x, y)
    a, z = network.config.scalings, network.forward(x)
    _, _, top = relaxation.gradient(relaxation.origin())
    error = a.last * z[-1] @ network.last.T - y
    np.testing.assert_allclose(top, a.last * error @ network.last, **EXACT)
    moved = tuple(jnp.full_like(d, 0.1 * place) for place, d in enumerate(relaxation.origin()))
    _, second, _ = relaxation.gradient(moved)
    z = [z[place] + moved[place] for place in range(3)]
    into, out = (a.hidden * z[p] @ network.hidden[p].T for p in (0, 1))
    e2, e3 = z[1] - np.tanh(into) - z[0], z[2] - np.tanh(out) - z[1]
    back = a.hidden * ((1 - np.tanh(out) ** 2) * e3) @ network.hidden[1]
    np.testing.assert_allclose(second, e2 - back - e3, **EXACT)


def test_linear_networks_are_the_same_in_both_orders(batch):
    usual, other = (
        replace(CONFIG, activation="linear", order=order).build(jax.random.key(0))
        for order in ("activation_first", "weights_first")
    )
    assert type(usual) is type(other) is Network
    np.testing.assert_array_equal(usual.predict(batch[0]), other.predict(batch[0]))


def test_native_calls_know_the_usual_order_alone():
    scheme = pccore.GradientDescent(3)
    assert native.covers(replace(CONFIG, order="activation_first"), scheme)
    assert not native.covers(CONFIG, scheme)


def test_trains_by_predictive_coding():
    with jax.enable_x64(False):
        digits = pccore.data.load("digits")
        network = pccore.NetworkConfig(64, 10, 16, 2, "tanh", order="weights_first")
        rule = pccore.PredictiveCoding(pccore.GradientDescent(2))
        config = pccore.TrainingConfig(network, rule, steps=60, eval_every=60)
        outcome = pccore.fit(config, digits, pccore.Lane(0.1, 10.0, 0))
    assert outcome.status is pccore.Status.TRAINED
    assert outcome.test_accuracy > 0.6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"order": "phi_first"}, "order must be activation_first or weights_first, got 'phi_fir"),
        ({"skip": 2}, "order weights_first needs skip 1, got 2"),
        ({"layers_per_product": 3}, "order weights_first needs layers_per_product 0, got 3"),
    ],
)
def test_invalid_orders_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        replace(CONFIG, **change)


def test_networks_of_several_stacks_need_the_usual_order():
    with pytest.raises(ValueError, match="need the order activation_first"):
        pccore.HybridConfig(CONFIG, pccore.mirror(CONFIG))
    with pytest.raises(ValueError, match="equilibrium propagation needs the order"):
        pccore.HopfieldConfig(replace(CONFIG, residual=False))
