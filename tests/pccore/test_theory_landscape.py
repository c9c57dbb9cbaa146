"""Both landscapes and their Hessians at the origin: inference and its derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import theory_landscapes as problems
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st

import pccore
from pccore.theory import landscape
from pccore.theory.origin import OriginHessian

WIDTHS = st.sampled_from([(1, 1, 1), (2, 3, 2), (3, 1, 2, 2), (2, 2, 3, 1, 3)])
SEEDS = st.integers(0, 2**31)
EXACT = {"rtol": 1e-9, "atol": 1e-10}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@partial(jax.jit, static_argnums=0)
def of_both(precisions, matrices, x, y):
    """Return a landscape by the closed form and by the reference."""
    mine = landscape.equilibrated_energy_of(matrices, x, y, precisions)
    energies = mine, problems.energy(matrices, x, y, precisions)
    losses = landscape.loss_of(matrices, x, y), problems.loss(matrices, x, y)
    return energies, losses


@examples(15)
@given(WIDTHS, SEEDS, st.booleans())
def test_equilibrated_energy_is_the_minimum_over_activities(widths, seed, weighted):
    matrices, x, y = problems.draw(widths, seed)
    precisions = (0.5, 2.0, 3.0, 0.7)[: len(matrices)] if weighted else ()
    for mine, reference in of_both(precisions, matrices, x, y):
        np.testing.assert_allclose(mine, reference, **EXACT)


@pytest.mark.slow
def test_matches_stacked_network():
    config = pccore.NetworkConfig(
        3, 2, 4, 3, activation="linear", parameterisation="mupc", residual=False
    )
    network = config.build(jax.random.key(0))
    _, x, y = problems.draw([3, 4, 4, 4, 2])
    a = config.scalings
    hidden = [a.hidden * W for W in network.hidden]
    matrices = [a.first * network.first, *hidden, a.last * network.last]
    relaxation = network.relaxation(x, y)
    settled = jax.jit(lambda relaxation: relaxation.energies(relaxation.equilibrium()))
    F = jnp.sum(settled(relaxation))
    np.testing.assert_allclose(landscape.equilibrated_energy_of(matrices, x, y), F, **EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["loss", "energy"])
def test_dense_hessian_matches_reference(which):
    mine = {"loss": landscape.loss_of, "energy": landscape.equilibrated_energy_of}[which]
    problem = problems.draw((3, 1, 2, 2), seed=3)
    _, _, expected = problems.derivatives(getattr(problems, which), *problem)
    found = jax.jit(landscape.weight_hessian, static_argnums=0)(mine, *problem)
    np.testing.assert_allclose(found, expected, **EXACT)


@examples(15)
@given(WIDTHS, SEEDS, st.sampled_from(["loss", "energy"]))
def test_origin_hessian_matches_autodiff(widths, seed, which):
    matrices, x, y = problems.draw(widths, seed, scale=0)
    hidden = widths[1:-1]
    _, gradient, expected = problems.derivatives(getattr(problems, which), matrices, x, y)
    np.testing.assert_array_equal(gradient, 0)
    expected = np.asarray(expected)
    origin = getattr(OriginHessian, f"of_{which}")(x, y, hidden)
    np.testing.assert_allclose(origin.dense(), expected, **EXACT)
    np.testing.assert_allclose(origin.eigenvalues(), np.linalg.eigvalsh(expected), **EXACT)
    extremes = (origin.escape(), 0), (origin.steepest(min(hidden) - 1), -1)
    for direction, place in extremes:
        vector = problems.flat(direction.weights)
        np.testing.assert_allclose(np.linalg.norm(vector), 1, **EXACT)
        np.testing.assert_allclose(expected @ vector, direction.curvature * vector, **EXACT)
        np.testing.assert_allclose(
            direction.curvature, np.linalg.eigvalsh(expected)[place], **EXACT
        )


@pytest.mark.parametrize("H", [1, 2, 4])
def test_strictness_of_the_origin(H):
    """Eqs. 4.7 and 4.9; with one hidden layer the loss escapes along singular vectors."""
    _, x, y = problems.draw([5, 3, 2])
    loss, energy = (of(x, y, [3] * H) for of in (OriginHessian.of_loss, OriginHessian.of_energy))
    singular = np.linalg.svd(y.T @ x / len(x), compute_uv=False)[0] if H == 1 else 0
    np.testing.assert_allclose(loss.escape().curvature, -singular, **EXACT)
    assert energy.escape().curvature < loss.escape().curvature - 1e-3
    if H > 1:
        expected = -np.linalg.eigvalsh(y.T @ y / len(y))[-1]
        np.testing.assert_allclose(energy.escape().curvature, expected, **EXACT)


def test_large_networks_need_no_dense_matrix():
    """MNIST's sizes at width 500 and five hidden layers: 1.4 million weights."""
    random = np.random.default_rng(0)
    x, y = jnp.asarray(random.normal(size=(64, 784))), jnp.asarray(random.normal(size=(64, 10)))
    origin = OriginHessian.of_energy(x, y, [500] * 5)
    values = origin.eigenvalues()
    assert len(values) == origin.size == 784 * 500 + 4 * 500**2 + 500 * 10
    np.testing.assert_allclose(jnp.sum(values), -500 * jnp.sum(y**2) / 64, **EXACT)
    with pytest.raises(ValueError, match="at most 3000 rows, got 1397000"):
        origin.dense()


def test_error_messages():
    matrices, x, y = problems.draw([2, 3, 2])
    with pytest.raises(ValueError, match="hidden must be one or more positive widths"):
        OriginHessian.of_energy(x, y, [])
    with pytest.raises(ValueError, match="2 layers need 2 precisions, got 3"):
        landscape.rescaling_of(matrices, (1.0, 1.0, 1.0))
