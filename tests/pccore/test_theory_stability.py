"""The stable step size: dense Hessians, and runs of gradient descent."""

from dataclasses import fields, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pc_problems as problems
import pytest
from fewer import cases

import pccore
from pccore.relaxation import gradient_steps
from pccore.theory import stability

LINEAR = pccore.NetworkConfig(4, 3, 5, 4, activation="linear")
CASES = {
    "one-layer": replace(LINEAR, depth=1),
    "all-terms": replace(
        LINEAR, skip=2, precisions=(1.0, 2.0, 0.5, 1.0, 3.0), activity_decay=0.5, bias=True
    ),
    "tanh": replace(LINEAR, activation="tanh", parameterisation="sp"),
    "cross-entropy": replace(LINEAR, activation="relu", output="cross_entropy"),
}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@partial(jax.jit, static_argnums=3)
def eigenvalues(network, x, y, config):
    """Return the eigenvalues (B, NH) of each sample's Hessian, by automatic differentiation."""

    def sample(x, y):
        def flat(z):
            z = z.reshape(config.depth, 1, config.width)
            return problems.energy(network, z, x[None], y[None])

        return jnp.linalg.eigvalsh(jax.hessian(flat)(network.forward(x[None]).reshape(-1)))

    return jax.vmap(sample)(x, y)


@pytest.mark.parametrize("name", cases(("all-terms", "cross-entropy", "tanh", "one-layer"), 2))
def test_limit_is_that_of_the_steepest_sample(name):
    network, x, y = problems.problem(CASES[name])
    x = x.at[0].set(1.0)  # away from the kink of relu
    expected = 2 * len(x) / float(jnp.max(eigenvalues(network, x, y, network.config)))
    found = jax.jit(stability.StableActivityLr(products=64).measure)(network, x, y, jnp.nan)
    assert float(found["stable_activity_lr"]) == pytest.approx(expected, rel=2e-3)


def test_linear_networks_need_only_a_batch_size():
    network, x, y = problems.problem(LINEAR)
    limit = partial(stability.stable_activity_lr, batch_size=64, steps=8)
    found = jax.jit(lambda: (limit(network), limit(network, x, y)))()
    top = float(jnp.max(eigenvalues(network, x[:1], y[:1], LINEAR)))
    # few products underestimate the eigenvalue and overestimate the limit
    assert [float(rate) for rate in found] == pytest.approx([128 / top] * 2, rel=0.1)
    assert min(found) >= 128 / top * (1 - 1e-9)
    with pytest.raises(ValueError, match="pass x or batch_size"):
        stability.stable_activity_lr(network)


def test_descent_converges_only_below_the_limit():
    network, x, y = problems.problem(LINEAR)
    relaxation = network.relaxation(x, y)
    start = jnp.asarray(np.random.default_rng(0).normal(size=relaxation.start.shape))

    @jax.jit
    def growth(share):
        rate = share * stability.stable_activity_lr(network, x, y) / len(x)
        later = gradient_steps(relaxation, start, rate, 500)
        ends = later, gradient_steps(relaxation, later, rate, 100)
        norms = [jnp.linalg.norm(relaxation.gradient(end)) for end in ends]
        return norms[1] / norms[0]

    assert growth(0.98) < 1 < growth(1.02)


@pytest.mark.parametrize(
    ("scheme", "least"),
    [(pccore.GradientDescent, 1 - 1e-6), (pccore.Nesterov, 0.7), (pccore.AugmentedLagrangian, 0.7)],
)
def test_growth_of_the_steepest_mode_at_the_blow_up_rate(scheme, least):
    """Exact for gradient descent, an upper bound and nearly reached by the other schemes."""
    network, x, y = problems.problem(replace(LINEAR, depth=6))
    relaxation = network.relaxation(x[:1], y[:1])

    @partial(jax.jit, static_argnums=1)
    def growth(rate, steps):
        with_mode, without = (
            scheme(steps).infer(relaxation, rate, start).departure
            for start in (equilibrium + mode, equilibrium)
        )
        return jnp.linalg.norm(with_mode - without)

    equilibrium = jax.jit(lambda: relaxation.equilibrium())()
    curvature = np.asarray(jax.jit(jax.jacfwd(lambda d: relaxation.gradient(d)))(equilibrium))
    values, vectors = np.linalg.eigh(curvature.reshape(equilibrium.size, -1))
    mode = vectors[:, -1].reshape(equilibrium.shape)
    for steps in (2, 8, 50):
        rate = stability.blow_up_activity_lr(2 / values[-1], scheme(steps), growth=1e5)
        assert least <= float(growth(jnp.asarray(rate), steps)) / 1e5 <= 1 + 1e-6


def test_schemes_with_the_limit():
    limited = set()
    for name, scheme in pccore.INFERENCE.items():
        needs_steps = any(f.name == "steps" for f in fields(scheme))
        built = scheme(steps=2) if needs_steps else scheme()
        if stability.has_step_limit(pccore.PredictiveCoding(built)):
            limited.add(name)
    descending = {"gradient_descent", "to_convergence", "langevin"}
    assert limited == descending | {"nesterov", "augmented_lagrangian"}
    assert not stability.has_step_limit(pccore.Backpropagation())
    descent = pccore.EquilibriumPropagation(pccore.GradientDescent(2))
    assert not stability.has_step_limit(descent)
