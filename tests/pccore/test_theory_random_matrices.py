"""Random-matrix predictions: the thesis's numbers and sampled matrices.

Edges of an N x N matrix fluctuate by order N^(-2/3) of their size (Tracy and Widom).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st

import pccore
from pccore.networks.linear_solution import activity_hessian
from pccore.theory import random_matrices
from pccore.theory.random_matrices import MarchenkoPastur, Semicircle

K = 3


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def config(width, depth, parameterisation="mupc", **options):
    return pccore.NetworkConfig(
        5, K, width, depth, activation="linear", parameterisation=parameterisation, **options
    )


def moments(law, *, points=20_001):
    """Return integrals of 1, x and x^2 over the density, with points concentrated at its ends."""
    low, high = law.edges
    x = 0.5 * (low + high) - 0.5 * (high - low) * np.cos(np.linspace(0, np.pi, points))
    density = np.asarray(law.density(jnp.asarray(x)))
    return [np.trapezoid(density * x**power, x) for power in range(3)]


sizes = st.integers(1, 300)
variances = st.floats(1e-3, 1e3)


@examples(15)
@given(sizes, sizes, variances)
def test_marchenko_pastur_has_the_moments_of_a_wishart_matrix(M, N, v):
    law = MarchenkoPastur(M, N, v)
    expected = [min(1, M / N), v * M, v**2 * M * (M + N)]
    # the integrand is singular at x = 0 for M near N
    np.testing.assert_allclose(moments(law), expected, rtol=2e-3)
    assert law.atom == pytest.approx(1 - expected[0])


@examples(10)
@given(variances)
def test_semicircle_has_the_moments_of_a_wigner_matrix(v):
    np.testing.assert_allclose(moments(Semicircle(v)), [1, 0, v], rtol=1e-6, atol=1e-9 * v)


@pytest.mark.parametrize(("M", "N"), [(200, 200), (50, 200), (400, 200)])
def test_marchenko_pastur_is_the_spectrum_of_a_sampled_matrix(M, N):
    """Eigenvalues stay within about 1/N of their quantiles (rigidity)."""
    law, W = MarchenkoPastur(M, N, 0.5), np.random.default_rng(0).normal(size=(M, N)) * 0.5**0.5
    sampled = np.linalg.eigvalsh(W.T @ W)
    x = np.linspace(*law.edges, 20_001)[1:]
    cumulative = law.atom + np.cumsum(np.asarray(law.density(jnp.asarray(x)))) * (x[1] - x[0])
    empirical = np.searchsorted(sampled, x) / N
    assert np.abs(cumulative - empirical).max() < 5 / N


@pytest.mark.parametrize("name", ["mupc", "ntp", "sp_gaussian"])
def test_edges_without_skips_match_the_thesis(name):
    deep = config(1000, 100, name, residual=False)
    expected = (1, 5)  # eq. C.16; the last layer's K / N is small
    assert random_matrices.diagonal_edges(deep) == pytest.approx(expected)
    assert random_matrices.off_diagonal(deep, dense=True).edges == pytest.approx((-2, 2))  # C.17
    assert random_matrices.weyl_bounds(deep, dense=True) == pytest.approx((-1, 7))


def test_activity_decay_shifts_the_spectrum():
    """The shift is one for alpha = 1 (thesis C.2.1)."""
    plain, decayed = (config(64, 8, residual=False, activity_decay=alpha) for alpha in (0, 1.0))
    for edges in (
        random_matrices.diagonal_edges,
        random_matrices.weyl_bounds,
        random_matrices.deep_edges,
    ):
        assert edges(decayed) == pytest.approx(edges(plain).shifted(1))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("s", [0.2, 3**-0.5, 1.0, 2.0])
def test_deep_edges_match_the_free_sum(residual, s):
    """The upper edge is the minimum of z(w) above the support of the mean, by brute force."""
    deep = config(64, 50, residual=residual)
    mean = 2 if residual else 1
    w = mean + np.geomspace(1e-9, 20, 400_001)
    cauchy = (w**2 - 4) ** -0.5 if residual else w / (w**2 - 1)
    around = "_around_shift" if residual else "_around_identity"
    edges = getattr(random_matrices, around)(s)
    assert edges.high == pytest.approx(np.min(w + s**2 * cauchy) ** 2, rel=1e-6)
    if residual or s >= 1:
        assert edges.low == 0
    else:
        w = np.linspace(0, 1, 100_001)[:-1]  # within the gap of the mean's spectrum
        assert edges.low == pytest.approx(np.max(w + s**2 * w / (w**2 - 1)) ** 2, rel=1e-6)
    assert random_matrices.deep_edges(deep).low == 0


def sampled(config):
    """Return the spectra of D, O and H_z of a random network."""
    blocks = activity_hessian(config.build(jax.random.key(1)))
    H, N = config.depth, config.width
    own, between = np.zeros((2, H, N, H, N))
    for place in range(H):
        own[place, :, place] = blocks.diagonal[place]
    for place in range(H - 1):
        between[place + 1, :, place] = blocks.below[place]
        between[place, :, place + 1] = blocks.below[place].T
    own, between = own.reshape(H * N, -1), between.reshape(H * N, -1)
    return [np.linalg.eigvalsh(matrix) for matrix in (own, between, own + between)]


@pytest.mark.parametrize("name", ["mupc", "sp_gaussian", "sp", "ntp"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 12])
def test_sampled_hessians_stay_within_the_bounds(name, residual, depth):
    N = 64
    network = config(N, depth, name, residual=residual)
    own, between, H = sampled(network)
    edges, weyl = random_matrices.diagonal_edges(network), random_matrices.weyl_bounds(network)
    slack = 2 * N ** (-2 / 3) * edges.high
    assert own[-1] == pytest.approx(edges.high, abs=slack)
    assert own[0] == pytest.approx(edges.low, abs=slack)
    assert H[-1] < weyl.high + slack
    assert H[0] > max(weyl.low - slack, 0)
    if depth > 1 and not residual:
        radius = random_matrices.off_diagonal(network).edges.high
        assert between[-1] == pytest.approx(radius, abs=slack)
    deep = random_matrices.deep_edges(network)
    assert np.sum(deep.high + slack < H) <= K
    assert H[0] > deep.low - N ** (-2 / 3)


@pytest.mark.slow
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("name", ["mupc", "sp_gaussian", "sp"])
def test_deep_networks_reach_the_limit_edges(name, residual):
    """At depth 16 the edges differ from the limit by less than 3%; N^(-2/3) adds 6%."""
    network = config(64, 16, name, residual=residual)
    *_, H = sampled(network)
    deep = random_matrices.deep_edges(network)
    assert H[-K - 1] == pytest.approx(deep.high, rel=0.06)
    assert H[0] == pytest.approx(deep.low, abs=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "tanh"}, "need activation 'linear', got 'tanh'"),
        ({"output": "cross_entropy"}, "need output 'mse', got 'cross_entropy'"),
        ({"precisions": (1.0, 2.0, 1.0)}, r"need precisions \(\), got \(1.0, 2.0, 1.0\)"),
        ({"skip": 2}, "need skip 1, got 2"),
        ({"parameterisation": "orthogonal", "residual": False}, "weights, got .* 'orthogonal'"),
    ],
)
def test_rejects_unsupported_networks(change, message):
    network = pccore.NetworkConfig(5, K, 8, 2, **{"activation": "linear", **change})
    with pytest.raises(ValueError, match=message):
        random_matrices.weyl_bounds(network)


def test_one_hidden_layer_has_no_off_diagonal():
    with pytest.raises(ValueError, match="need depth 2, got depth 1"):
        random_matrices.off_diagonal(config(8, 1))
