"""Critical points of the equilibrated energy, and errata of the thesis (docs/theory.md)."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import theory_landscapes as problems
from fewer import cases

import pccore
from pccore.theory import equilibrated_energy, hessian_product
from pccore.theory.landscape import (
    covariances,
    equilibrated_energy_of,
    loss_of,
    rescaling_of,
    weight_hessian,
)
from pccore.theory.origin import OriginHessian

DEEP = (3, 4, 4, 2)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def residuals(matrices, x, y):
    """Return r_i as rows."""
    for W in matrices:
        x = x @ W.T
    return y - x


def rescaled(matrices, c):
    """Return the matrices with W_L multiplied and W_1 divided by c: the same function of x."""
    return [matrices[0] / c, *matrices[1:-1], c * matrices[-1]]


def test_energy_falls_along_the_scale_of_the_last_matrix():
    """dF*/dc at c = 1 is -(1/B) sum_i v_i' (S - I) v_i with v = S^-1 r, and never positive."""
    matrices, x, y = problems.draw(DEEP, seed=1)
    slope = jax.jit(jax.grad(lambda c: equilibrated_energy_of(rescaled(matrices, c), x, y)))(1.0)
    S = np.asarray(rescaling_of(matrices))
    v = np.linalg.solve(S, np.asarray(residuals(matrices, x, y)).T)
    expected = -np.sum(v * ((S - np.eye(len(S))) @ v)) / len(x)
    assert slope == pytest.approx(float(expected), rel=1e-9)
    assert slope < 0


@pytest.mark.parametrize("parameterisation", ["sp", "mupc"])
def test_energy_of_residual_networks_falls_along_that_scale_too(parameterisation):
    config = pccore.NetworkConfig(3, 2, 4, 3, "linear", parameterisation=parameterisation)
    network = config.build(jax.random.key(0))
    _, x, y = problems.draw((3, 2))

    @jax.jit
    def energy(c):
        scaled = replace(network, last=c * network.last, first=network.first / c)
        return equilibrated_energy(scaled, x, y)

    values = [float(energy(c)) for c in (1.0, 2.0, 4.0, 64.0)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4


def truncated(rank, depth, width=4, seed=0):
    """Return balanced matrices whose product is the best fit of a rank, and data without noise.

    The inputs are white and y = M x with M of rank 3, so that W_L' r = 0 holds.
    """
    random = np.random.default_rng(seed)
    x = np.linalg.qr(random.normal(size=(6, 3)))[0] * 6**0.5
    M = random.normal(size=(3, 3))
    U, s, Vt = np.linalg.svd(M)
    share = np.where(np.arange(3) < rank, s, 0) ** (1 / (depth + 1))
    inner = np.zeros((width, width))
    inner[np.arange(3), np.arange(3)] = share
    first, last = np.zeros((width, 3)), np.zeros((3, width))
    first[:3], last[:, :3] = share[:, None] * Vt, U * share
    matrices = [first, *[inner] * (depth - 1), last]
    return [jnp.asarray(W) for W in matrices], jnp.asarray(x), jnp.asarray(x @ M.T)


gradient = jax.jit(jax.grad(equilibrated_energy_of))
hessian = jax.jit(partial(weight_hessian, equilibrated_energy_of))


def steepest(gradients):
    return max(np.abs(g).max() for g in gradients)


@pytest.mark.parametrize("case", cases([(0, 2), (1, 3), (1, 2), (2, 2)], 2), ids=str)
def test_saddles_of_higher_rank_are_strict(case):
    """At them W_L' r = 0 and F* is the loss; a unit that no sample excites gives an escape.

    Along dW_L = u v', with v orthogonal to every activity and W_L' u = 0, the curvature is
    -(1/B) sum (u' r)^2 v' (A^-1 + W_L' W_L)^-1 v, with A = I + sum_l W_{H:l} W_{H:l}'. The unit
    here has no weights at all, so that the last factor is 1.
    """
    matrices, x, y = truncated(*case)
    assert steepest(gradient(matrices, x, y)) < 1e-12
    r = np.asarray(residuals(matrices, x, y))
    assert np.abs(r @ np.asarray(matrices[-1])).max() < 1e-12
    energy, loss = (f(matrices, x, y) for f in (equilibrated_energy_of, loss_of))
    assert energy == pytest.approx(float(loss), rel=1e-12)
    u = np.linalg.svd(r.T)[0][:, 0]
    v = np.eye(4)[3]  # the unit without weights
    along = [np.zeros(W.shape) for W in matrices[:-1]] + [np.outer(u, v)]
    point = np.concatenate([W.ravel() for W in along])
    H = np.asarray(hessian(matrices, x, y))
    expected = -np.mean((r @ u) ** 2)
    assert point @ H @ point == pytest.approx(float(expected), rel=1e-9)
    assert np.linalg.eigvalsh(H)[0] <= expected + 1e-9


def test_last_matrix_need_not_vanish_at_a_critical_point():
    """T B.3.3 says that it must. At a fit the gradient is zero whatever W_L is."""
    matrices, x, y = truncated(3, 2)
    assert steepest(gradient(matrices, x, y)) < 1e-12
    assert float(jnp.linalg.norm(matrices[-1])) > 1


def test_energy_has_no_minimum_on_data_that_cannot_be_fitted():
    """Descent reaches least squares, and then lowers F* for ever while the weights grow."""
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(16, 2)))
    y = x @ jnp.asarray(random.normal(size=(1, 2))).T + jnp.asarray(random.normal(size=(16, 1))) / 2
    least = 0.5 * float(jnp.sum((y - x @ jnp.linalg.lstsq(x, y)[0]) ** 2)) / 16
    matrices = [jnp.asarray(random.normal(size=s) / s[1] ** 0.5) for s in ((3, 2), (3, 3), (1, 3))]

    @jax.jit
    def descend(matrices):
        def step(_, matrices):
            slopes = jax.grad(equilibrated_energy_of)(matrices, x, y)
            return jax.tree.map(lambda W, g: W - 0.05 * g, matrices, slopes)

        return jax.lax.fori_loop(0, 10_000, step, matrices)

    energies, losses, sizes = [], [], []
    for _ in range(3):
        matrices = descend(matrices)
        energies.append(float(equilibrated_energy_of(matrices, x, y)))
        losses.append(float(loss_of(matrices, x, y)))
        sizes.append(float(jnp.linalg.norm(matrices[-1])))
    assert losses == pytest.approx([least] * 3, rel=1e-3)
    assert energies[0] < 0.05 * least
    assert energies == sorted(energies, reverse=True)
    assert sizes == sorted(sizes)
    assert energies[2] < 0.6 * energies[0]


@pytest.mark.parametrize(
    ("hidden", "positive"), [((3,), True), ((3, 3), False), ((3, 3, 3), False)]
)
def test_origin_is_strict_by_the_papers_definition_alone(hidden, positive):
    """T def. 1 asks for a positive eigenvalue as well, P def. 1 only for a negative one.

    For H > 1 eq. 4.8 is negative semidefinite, so that T's own theorem 3.2 needs P's definition.
    """
    _, x, y = problems.draw((3, 2))
    eigenvalues = OriginHessian.of_energy(x, y, hidden).eigenvalues()
    assert float(eigenvalues[0]) < -1e-3
    assert bool(eigenvalues[-1] > 1e-9) is positive
    if not positive:
        assert float(eigenvalues[0]) == pytest.approx(
            -float(jnp.linalg.eigvalsh(covariances(x, y).yy)[-1])
        )


@pytest.mark.parametrize("width", [1, 2])
def test_recurrence_c_11_holds_for_single_units_alone(width):
    """|D_2| |D_1| - |O_1|^2 is the determinant of H for N = 1, not for N = 2.

    The Hessian is positive definite all the same: it is E'E + C'C, with E the matrix of the hidden
    errors (unit triangular, so that |E| = 1) and C that of the output.
    """
    config = pccore.NetworkConfig(2, 2, width, 2, "linear", False, "sp_gaussian")
    network = config.build(jax.random.key(2))
    product = hessian_product(network.relaxation(jnp.ones((1, 2)), jnp.ones((1, 2))))
    units = jnp.eye(2 * width).reshape(2 * width, 2, 1, width)
    H = np.stack([np.asarray(product(unit)).ravel() for unit in units])
    W2, W3, eye = np.asarray(network.hidden[0]), np.asarray(network.last), np.eye(width)
    det = np.linalg.det
    recurrence = det(eye + W3.T @ W3) * det(eye + W2.T @ W2) - det(W2) ** 2
    assert bool(np.isclose(recurrence, det(H), rtol=1e-6)) is (width == 1)
    E = np.block([[eye, 0 * eye], [-W2, eye]])
    C = np.concatenate([np.zeros((2, width)), W3], axis=1)
    np.testing.assert_allclose(E.T @ E + C.T @ C, H, rtol=1e-9, atol=1e-12)
    assert det(H) >= 1


@pytest.mark.parametrize("last", cases([0.5, 3.0], 1))
@pytest.mark.parametrize(("fitted", "left"), [(2.0, 1.0), (1.0, 2.0)])
def test_critical_points_without_an_unused_unit(last, fitted, left):
    """y = diag(fitted, left) x, and one hidden unit w that fits the first output alone.

    In the directions (dW_L = e_2, dW_1 = e_2) the Hessian has the determinant
    (fitted^2 - left^2) / (1 + w^2): the best fit of rank 1 is a minimum, the other one is strict.
    """
    x = 2**0.5 * np.eye(2)
    y = x * np.array([fitted, left])
    matrices = [np.array([[fitted / last, 0.0]]), np.array([[last], [0.0]])]
    matrices, x, y = jax.tree.map(jnp.asarray, (matrices, x, y))
    assert steepest(gradient(matrices, x, y)) < 1e-12
    H = np.asarray(hessian(matrices, x, y))
    block = H[np.ix_([1, 3], [1, 3])]
    expected = (fitted**2 - left**2) / (1 + last**2)
    assert np.linalg.det(block) == pytest.approx(expected, rel=1e-9)
    assert bool(np.linalg.eigvalsh(H)[0] < -1e-6) is (left > fitted)
