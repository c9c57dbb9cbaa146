"""Premultipliers and distributions of initial weights against thesis table 5.1."""

import jax
import numpy as np
import pytest

import pccore
import pccore.theory

D, K, N, H = 50, 10, 200, 9


def config(**options):
    return pccore.NetworkConfig(D, K, N, H, **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"parameterisation": "sp"}, (1, 1, 1)),
        ({"parameterisation": "sp_gaussian"}, (1, 1, 1)),
        ({"parameterisation": "mupc"}, (D**-0.5, (N * (H + 1)) ** -0.5, 1 / N)),
        ({"parameterisation": "mupc", "residual": False}, (D**-0.5, N**-0.5, 1 / N)),
        ({"parameterisation": "ntp"}, (D**-0.5, (N * (H + 1)) ** -0.5, N**-0.5)),
        ({"parameterisation": "ntp", "residual": False}, (D**-0.5, N**-0.5, N**-0.5)),
        ({"parameterisation": "orthogonal", "residual": False}, (1, 1, 1)),
    ],
)
def test_premultipliers_match_table_5_1(options, expected):
    a = config(**options).scalings
    assert (a.first, a.hidden, a.last) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("mupc", lambda n: 1.0),
        ("ntp", lambda n: 1.0),
        ("sp_gaussian", lambda n: 1 / n),
        ("sp", lambda n: 1 / (3 * n)),
    ],
)
def test_initial_variance_by_layer(name, variance):
    network = pccore.Network.create(config(parameterisation=name), jax.random.key(0))
    for weights, fan_in in ((network.first, D), (network.hidden, N), (network.last, N)):
        assert pccore.PARAMETERISATIONS[name].variance(fan_in) == variance(fan_in)
        assert np.var(weights) == pytest.approx(variance(fan_in), rel=0.08)
        assert abs(np.mean(weights)) < 0.1 * np.std(weights)
    assert network.hidden.shape == (H - 1, N, N)


def test_kaiming_uniform_bound():
    network = config(parameterisation="sp").build(jax.random.key(0))
    assert np.abs(network.hidden).max() <= N**-0.5
    assert np.abs(network.first).max() == pytest.approx(D**-0.5, rel=1e-2)


@pytest.mark.parametrize("depth", [4, 64])
def test_mupc_forward_pass_is_stable_in_depth(depth):
    """Activities are of order one at every layer and any depth (desideratum 1, thesis 5.5)."""
    wide = pccore.NetworkConfig(D, K, 256, depth, activation="linear")
    network = pccore.Network.create(wide, jax.random.key(1))
    z = network.forward(jax.random.normal(jax.random.key(2), (64, D)))
    sizes = np.sqrt(np.mean(np.asarray(z) ** 2, axis=(1, 2)))
    # a linear residual network's variance grows by (1 + 1/L)^(H-1) < e
    assert 0.8 < sizes.min() <= sizes.max() < 2.0


@pytest.mark.parametrize(("activation", "gain"), [("linear", 1.0), ("relu", 1.0), ("tanh", 1.05)])
def test_orthogonal_weights_preserve_lengths_up_to_gain(activation, gain):
    network = config(parameterisation="orthogonal", residual=False, activation=activation).build(
        jax.random.key(0)
    )
    identity = gain**2 * np.eye(N)
    for W in network.hidden:
        np.testing.assert_allclose(W.T @ W, identity, atol=1e-5)
    np.testing.assert_allclose(network.first.T @ network.first, gain**2 * np.eye(D), atol=1e-5)
    np.testing.assert_allclose(network.last @ network.last.T, gain**2 * np.eye(K), atol=1e-5)


def test_initial_range_bounds_all_weights():
    network = config(parameterisation="sp", initial_range=(0.5, 1.0)).build(jax.random.key(0))
    for weights in jax.tree.leaves(network):
        assert 0.5 <= weights.min() < weights.max() < 1
        assert weights.mean() == pytest.approx(0.75, abs=0.02)


def test_rejects_invalid_initial_range():
    with pytest.raises(ValueError, match=r"initial_range must be increasing, got \(1.0, 0.5\)"):
        config(initial_range=(1.0, 0.5))
    with pytest.raises(
        ValueError, match=r"initial_std are mutually exclusive, got \(0.5, 1.0\) and 0.1"
    ):
        config(initial_range=(0.5, 1.0), initial_std=0.1)
    with pytest.raises(ValueError, match="need weights of mean zero"):
        pccore.theory.expected_rescaling(config(activation="linear", initial_range=(0.5, 1.0)))


def test_counts_weights():
    network = config().build(jax.random.key(0))
    assert config().weights == sum(w.size for w in jax.tree.leaves(network))
