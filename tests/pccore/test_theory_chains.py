"""Linear chains and the one-unit network: automatic differentiation, and the thesis's formulas."""

from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import theory_landscapes as problems
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st

from pccore.theory import near_critical, one_unit
from pccore.theory.chains import LinearChain

EXACT = {"rtol": 1e-9, "atol": 1e-10}
NUMBER = st.floats(-2, 2).map(lambda value: round(value, 3))
DEPTHS = st.sampled_from([2, 5])


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@cache
def weighted_energy(precisions):
    """Return one function for each choice of precisions, so that it is compiled once."""
    return partial(problems.energy, precisions=precisions)


def batch(slope=None, seed=0):
    random = np.random.default_rng(seed)
    x = jnp.asarray(random.normal(1, 0.1, size=8))
    y = jnp.asarray(random.normal(size=8)) if slope is None else slope * x
    return x, y


@st.composite
def weights(draw, depths=DEPTHS):
    """Draw weights, some with one, several or only zeros."""
    return jnp.asarray([draw(st.sampled_from([0.0, draw(NUMBER)])) for _ in range(draw(depths))])


@jax.jit
def all_of(chain, w):
    names = ("loss", "energy", "loss_gradient", "energy_gradient", "loss_hessian", "energy_hessian")
    return {name: getattr(chain, name)(w) for name in names}


nearest_minimum = jax.jit(one_unit.nearest_minimum)


@examples(20)
@given(weights(), st.booleans())
def test_values_and_derivatives_match_autodiff(w, weighted):
    x, y = batch()
    precisions = (0.5, 2.0, 3.0, 0.7, 1.5, 0.9)[: len(w)] if weighted else ()
    mine = all_of(LinearChain.of(x, y, precisions), w)
    matrices, columns = list(w[:, None, None]), (x[:, None], y[:, None])
    energy = weighted_energy(precisions)
    for name, objective in {"loss": problems.loss, "energy": energy}.items():
        value, gradient, hessian = problems.derivatives(objective, matrices, *columns)
        np.testing.assert_allclose(mine[name], value, **EXACT)
        np.testing.assert_allclose(mine[f"{name}_gradient"], gradient, **EXACT)
        np.testing.assert_allclose(mine[f"{name}_hessian"], hessian, **EXACT)


@pytest.mark.slow
@examples(15)
@given(DEPTHS, st.sampled_from([-1.0, 2.0]), st.integers(0, 999))
def test_energy_minima_are_flatter_by_the_rescaling(L, slope, seed):
    """Eqs. B.62 and B.63."""
    chain = LinearChain.of(*batch(slope))
    above = jnp.asarray(np.random.default_rng(seed).uniform(0.5, 1.5, size=L - 1))
    w = chain.minimum(above)
    found = all_of(chain, w)
    np.testing.assert_allclose([found["loss"], found["energy"]], 0, atol=1e-12)
    np.testing.assert_allclose(
        found["energy_hessian"], found["loss_hessian"] / chain.rescaling(w), rtol=1e-9, atol=1e-9
    )
    for sharpness, which in zip(chain.sharpness(w), ("loss", "energy"), strict=True):
        *flat, sharp = np.linalg.eigvalsh(found[f"{which}_hessian"])
        np.testing.assert_allclose(flat, 0, atol=1e-9 * sharp)
        np.testing.assert_allclose(sharpness, sharp, rtol=1e-9)
    if L == 2:
        ratio = (w[1] ** 4 + slope**2) / w[1] ** 2 * chain.xx
        np.testing.assert_allclose(chain.sharpness(w).loss, ratio, rtol=1e-9)
        np.testing.assert_allclose(chain.sharpness(w).energy, ratio / (1 + w[1] ** 2), rtol=1e-9)


def test_energy_has_no_minimum_if_no_chain_fits_the_targets():
    chain = LinearChain.of(*batch())
    losses, energies = zip(
        *(
            (chain.loss(w), chain.energy(w))
            for w in map(chain.minimum, jnp.logspace(0, 4, 5)[:, None])
        ),
        strict=True,
    )
    np.testing.assert_allclose(losses, losses[0], rtol=1e-9)
    assert losses[0] > 0.1
    assert energies[-1] < 1e-7 * losses[0]


@pytest.mark.slow
def test_deep_chains_match_autodiff():
    chain = LinearChain.of(*batch())
    w = jnp.asarray(np.random.default_rng(0).uniform(0.9, 1.1, size=65))
    np.testing.assert_allclose(
        eqx.filter_jit(chain.energy_gradient)(w),
        jax.jit(jax.grad(lambda w: chain.energy(w)))(w),
        rtol=1e-8,
        atol=1e-10,
    )
    expected = jax.jit(jax.jacfwd(jax.grad(lambda w: chain.energy(w))))(w)
    scale = float(jnp.max(jnp.abs(expected)))
    np.testing.assert_allclose(eqx.filter_jit(chain.energy_hessian)(w), expected, atol=1e-9 * scale)


def test_perturbed_loss_matches_sampling():
    chain, std = LinearChain.of(*batch(-1.0)), 0.5
    w = jnp.array([1.2, -0.7, 0.9])
    noise = std * jax.random.normal(jax.random.key(0), (100_000, 3))
    losses = np.asarray(jax.jit(jax.vmap(lambda w: chain.loss(w)))(w + noise))
    tolerance = 5 * losses.std() / len(losses) ** 0.5
    assert abs(losses.mean() - float(chain.perturbed_loss(w, std))) < tolerance


@examples(15)
@given(st.integers(0, 999))
def test_saddle_eigenvalues_of_one_unit(seed):
    """Eqs. A.7 to A.9."""
    chain = LinearChain.of(*batch(seed=seed))
    found = all_of(chain, jnp.zeros(2))
    mine = one_unit.saddle_eigenvalues(chain)
    np.testing.assert_allclose(mine.loss, np.linalg.eigvalsh(found["loss_hessian"]), **EXACT)
    np.testing.assert_allclose(mine.energy, np.linalg.eigvalsh(found["energy_hessian"]), **EXACT)
    assert (mine.energy < mine.loss).all()


@examples(15)
@given(st.tuples(NUMBER, NUMBER), st.sampled_from([-1.0, 0.3, 2.0]))
def test_nearest_minimum_is_the_best_root_of_the_quartic(w, slope):
    """Eq. A.3, for y = m x: t^4 - w_1 t^3 + m w_2 t - m^2 = 0."""
    roots = np.roots([1, -w[0], 0, slope * w[1], -(slope**2)])
    real = roots[np.abs(roots.imag) < 1e-6].real
    distance = np.min(np.hypot(real - w[0], slope / real - w[1]))
    mine = np.asarray(nearest_minimum(jnp.array(w), jnp.array(slope)))
    assert mine[0] * mine[1] == pytest.approx(slope, rel=1e-9)
    assert np.hypot(*(mine - w)) == pytest.approx(distance, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("w", [(0, 0), (1, 1), (1, -1), (5, 5), (5, -5), (0, 3), (3, 0)])
@pytest.mark.parametrize("slope", [-1.0, 1.0])
def test_nearest_minimum_with_two_candidates(w, slope):
    t = np.concatenate([-np.logspace(-2, 2, 200_001), np.logspace(-2, 2, 200_001)])
    distance = np.min(np.hypot(t - w[0], slope / t - w[1]))
    mine = np.asarray(nearest_minimum(jnp.array(w, float), jnp.array(slope)))
    assert mine[0] * mine[1] == pytest.approx(slope)
    assert np.hypot(*(mine - w)) == pytest.approx(distance, abs=1e-6)


@examples(15)
@given(st.tuples(NUMBER, NUMBER), st.integers(0, 6), st.booleans())
def test_energy_during_inference(w, steps, weighted):
    x, y = batch()
    p1, p2 = precisions = (2.0, 0.5) if weighted else (1.0, 1.0)
    rate, z = 0.1, w[0] * x
    for _ in range(steps):
        z = z - rate * (p1 * (z - w[0] * x) - p2 * w[1] * (y - w[1] * z))
    F = jnp.mean(p1 * (z - w[0] * x) ** 2 + p2 * (y - w[1] * z) ** 2) / 2
    chain = LinearChain.of(x, y, precisions)
    mine = one_unit.energy_while_inferring(chain, jnp.array(w), rate, steps)
    np.testing.assert_allclose(mine, F, **EXACT)


def test_precision_limits_are_backpropagation_and_target_propagation():
    """Fig. A.5, in the limit of their ratio."""
    x, y = batch()
    w = jnp.array([0.7, -1.3])
    loss = LinearChain.of(x, y).loss(w)
    upwards = LinearChain.of(x, y, (1e8, 1.0)).energy(w)
    np.testing.assert_allclose(upwards, loss, rtol=1e-6)
    downwards = LinearChain.of(x, y, (1.0, 1e8)).energy(w)
    np.testing.assert_allclose(downwards, jnp.mean((y / w[1] - w[0] * x) ** 2) / 2, rtol=1e-6)


def test_predictive_coding_aligns_better_than_backpropagation():
    """Fig. 3.2 at initialisation: y = -x, U(-1, 1) weights, lambda = 2."""
    chain = LinearChain.of(*batch(-1.0))
    w = jax.random.uniform(jax.random.key(0), (2000, 2), minval=-1, maxval=1)
    found = jax.jit(jax.vmap(lambda w: one_unit.alignment(chain, w)))(w)
    for better in (found.predictive_coding, found.trust_region_newton):
        gain = np.asarray(better - found.backpropagation)
        assert gain.mean() > 3 * gain.std() / len(gain) ** 0.5


def test_descent_near_saddle_is_linear():
    """Eqs. A.11 and A.12: the error is cubic in the distance, because F* is even."""
    chain, rate, steps = LinearChain.of(*batch(-1.0)), 0.1, 10
    hessian = chain.energy_hessian(jnp.zeros(2))
    errors = []
    for size in (1e-2, 5e-3):
        w = start = size * jnp.array([0.8, -0.6])
        for _ in range(steps):
            w = w - rate * chain.energy_gradient(w)
        errors.append(
            jnp.linalg.norm(near_critical.descent_trajectory(hessian, start, rate, steps) - w)
        )
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.05)
    many = near_critical.descent_trajectory(hessian, start, 1e-5, jnp.array([0, 100_000]))
    flow = near_critical.flow_trajectory(hessian, start, jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(many, flow, rtol=1e-4)
    lowest = np.linalg.eigvalsh(hessian)[0]
    t = near_critical.escape_steps(lowest, rate, 1e-3, 1e-1)
    assert 1e-3 * (1 - rate * lowest) ** float(t) == pytest.approx(1e-1)
    assert jnp.isinf(near_critical.escape_steps(jnp.array(0.0), rate, 1e-3, 1e-1))


def test_rejects_wrong_number_of_precisions():
    with pytest.raises(ValueError, match="3 layers need 3 precisions"):
        LinearChain.of(*batch(), (1.0, 2.0)).energy(jnp.ones(3))
