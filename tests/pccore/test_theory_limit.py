"""Theorem 1 and the loss/energy ratio: sampled networks, dense formulas and bounds."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pc_problems as problems
import pytest
from fewer import cases

import pccore
from pccore.theory import limit

D, K = 4, 3


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def config(width, depth, parameterisation="mupc", **options):
    return pccore.NetworkConfig(
        D, K, width, depth, activation="linear", parameterisation=parameterisation, **options
    )


def rescaling(network):
    """Return S from the output's derivative with respect to errors of all layers."""
    config = network.config
    relaxation = network.relaxation(jnp.zeros((1, D)), jnp.zeros((1, K)))

    def output(errors):
        return network.readout(relaxation.activities(relaxation.departure_of(errors))[-1])[0]

    J = jax.jacrev(output)(relaxation.origin())[:, :, 0]
    *hidden, last = config.precisions or (1.0,) * (config.depth + 1)
    p = jnp.asarray(hidden)
    return jnp.eye(K) / last + jnp.einsum("kln,jln,l->kj", J, J, 1 / p)


CASES = {
    "mupc": config(6, 5),
    "plain": config(6, 5, residual=False),
    "sp": config(5, 3, "sp"),
    "sp_gaussian": config(5, 3, "sp_gaussian"),
    "ntp": config(4, 4, "ntp"),
    "one-layer": config(3, 1),
    "chain": config(1, 3),
    "two-skip": config(4, 6, skip=2),
    "precisions": config(4, 3, precisions=(0.5, 2.0, 1.0, 3.0)),
    "initial-std": config(4, 3, initial_std=0.7),
}


SAMPLED = ("mupc", "sp", "two-skip", "precisions", "initial-std", "one-layer")


@pytest.mark.parametrize("name", cases([*SAMPLED, *sorted(CASES.keys() - set(SAMPLED))], 6))
def test_expected_rescaling_is_the_sample_mean(name):
    networks, config = 4000, CASES[name]
    keys = jax.random.split(jax.random.key(0), networks)
    S = np.asarray(jax.jit(jax.vmap(lambda key: rescaling(config.build(key))))(keys))
    error = S.std(axis=0) / networks**0.5
    expected = limit.expected_rescaling(config) * np.eye(K)
    assert (np.abs(S.mean(axis=0) - expected) < 5 * error + 1e-12).all()


@pytest.mark.parametrize(("N", "H"), [(1024, 1), (4096, 16), (1024, 127)])
def test_mupc_approaches_backpropagation_at_the_rate_of_theorem_1(N, H):
    L = H + 1
    excess = limit.expected_rescaling(config(N, H)) - 1
    assert excess == pytest.approx(L / N * ((1 + 1 / L) ** H - 1))
    assert excess < (math.e - 1) * L / N
    assert limit.expected_rescaling(config(N, H, "sp_gaussian")) == pytest.approx(2.0**H)


@pytest.mark.slow
@pytest.mark.parametrize("name", cases(("two-skip", "precisions", "mupc", "sp", "one-layer"), 2))
def test_ratio_matches_quadratic_forms(name):
    config = CASES[name]
    network, x, y = problems.problem(config)
    found = jax.jit(limit.LossEnergyRatio().measure)(network, x, y, jnp.nan)
    r, S = np.asarray(y - network.predict(x)), np.asarray(rescaling(network))
    loss = 0.5 * np.mean(np.sum(r**2, axis=1))
    energy = 0.5 * np.mean(np.sum(r * np.linalg.solve(S, r.T).T, axis=1))
    expected = {"loss": loss, "equilibrated_energy": energy, "loss_energy_ratio": loss / energy}
    assert found == pytest.approx(expected, rel=1e-9)
    eigenvalues = np.linalg.eigvalsh(S)
    assert eigenvalues[0] * (1 - 1e-9) < found["loss_energy_ratio"] < eigenvalues[-1] * (1 + 1e-9)


def test_wide_networks_have_the_predicted_ratio():
    """Fig. 5.6 at t = 0: the K eigenvalues of S scatter around their mean by about (K/N)^(1/2)."""
    N, H = 512, 16
    network = config(N, H).build(jax.random.key(0))
    draw = np.random.default_rng(0)
    x, y = jnp.asarray(draw.normal(size=(8, D))), jnp.asarray(draw.normal(size=(8, K)))
    ratio = jax.jit(limit.LossEnergyRatio().measure)(network, x, y, 1.0)["loss_energy_ratio"]
    predicted = limit.expected_rescaling(network.config) - 1
    assert ratio - 1 == pytest.approx(predicted, rel=2 * (K / N) ** 0.5)


def test_vmapped_lanes_match_single_runs():
    config = CASES["mupc"]
    networks = jax.vmap(config.build)(jax.random.split(jax.random.key(0), 3))
    _, x, y = problems.problem(config)
    measure = jax.jit(jax.vmap(limit.LossEnergyRatio().measure, in_axes=(0, None, None, 0)))
    found = measure(networks, x, y, jnp.ones(3))
    for lane in range(3):
        network = jax.tree.map(lambda leaf, lane=lane: leaf[lane], networks)
        alone = jax.jit(limit.LossEnergyRatio().measure)(network, x, y, 1.0)
        for quantity, value in alone.items():
            assert float(found[quantity][lane]) == pytest.approx(float(value), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "relu"}, "needs activation 'linear', got 'relu'"),
        ({"output": "cross_entropy"}, "needs output 'mse', got 'cross_entropy'"),
        ({"activity_decay": 0.5}, "needs activity_decay 0, got 0.5"),
        ({"parameterisation": "orthogonal", "residual": False}, "independent weights, got"),
    ],
)
def test_rejects_networks_without_a_formula(change, message):
    with pytest.raises(ValueError, match=message):
        limit.expected_rescaling(replace(config(4, 3), **change))


def test_probe_rejects_nonlinear_networks():
    network, x, y = problems.problem(replace(config(4, 3), activation="tanh"))
    with pytest.raises(ValueError, match="needs activation 'linear', got 'tanh'"):
        limit.LossEnergyRatio().measure(network, x, y, jnp.array(jnp.nan))
