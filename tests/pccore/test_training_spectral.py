"""beta from the spectrum: dense Hessians, remeasuring, independence of lanes, stable limits."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pc_problems as problems
import pytest
from fewer import cases

import pccore
from pccore import Lane, PredictiveCoding, SpectralActivityLr, Status, TrainingConfig
from pccore.linalg.lanczos import largest_ritz_value
from pccore.spectrum import lambda_max
from pccore.training.programs import SPECTRUM_PRODUCTS, initial_networks, measure_spectrum

DIGITS = pccore.data.load("digits")
NETWORK = pccore.NetworkConfig(64, 10, width=16, depth=3)
RATE, LAMBDA, REACHED = "spectral_activity_lr", "spectral_lambda_max", "spectral_scale_reached"
CONFIG = TrainingConfig(
    NETWORK,
    PredictiveCoding(pccore.Nesterov(6)),
    steps=60,
    eval_every=20,
    activity_lr=SpectralActivityLr(0.9, remeasure=10),
)


def readings(outcome, quantity):
    """Return the values of a quantity by step."""
    return {r.step: r.value for r in outcome.readings if r.quantity == quantity}


@pytest.fixture(scope="module")
def outcomes():
    """Two lanes with different seeds, remeasured; the second has the larger eta."""
    before = measure_spectrum._cache_size()
    found = pccore.fit_many(CONFIG, DIGITS, [Lane(0.02, None, 0), Lane(0.2, None, 1)])
    assert measure_spectrum._cache_size() == before + 1, "it compiled again for the same shapes"
    return found


@pytest.mark.parametrize(
    "kind", cases([("tanh", "cross_entropy"), ("relu", "mse")], 1), ids="-".join
)
def test_first_beta_comes_from_the_largest_dense_eigenvalue(kind):
    """Sixteen products underestimate the eigenvalue by little, and never overestimate it."""
    activation, output = kind
    network = replace(NETWORK, width=4, activation=activation, output=output)
    config = TrainingConfig(
        network,
        PredictiveCoding(pccore.GradientDescent(2)),
        batch_size=8,
        steps=0,
        activity_lr=SpectralActivityLr(1.3),
    )
    outcome = pccore.fit(config, DIGITS, Lane(0.1, None, 3))
    top = float(np.max(dense_eigenvalues(*in_float64(config, 3))))
    found = readings(outcome, LAMBDA)[0]
    assert 0.98 * top < found < top * (1 + 1e-5)
    assert readings(outcome, RATE)[0] == pytest.approx(1.3 * 8 / found, rel=1e-6)
    assert readings(outcome, REACHED)[0] == pytest.approx(1.3)


def in_float64(config, seed):
    """Return the untrained network of a seed, and the first batch of digits."""
    networks = initial_networks(config, jnp.array([seed], jnp.uint32))
    network = jax.tree.map(lambda weights: np.asarray(weights[0], np.float64), networks)
    x = (DIGITS.train_x[: config.batch_size] - DIGITS.mean) / DIGITS.std
    return network, np.asarray(x, np.float64), np.eye(10)[DIGITS.train_y[: config.batch_size]]


def dense_eigenvalues(network, x, y):
    """Return the eigenvalues (B, NH) of each sample's Hessian, by automatic differentiation."""
    with jax.enable_x64(True):
        return np.asarray(_dense_eigenvalues(network, x, y))


@jax.jit
def _dense_eigenvalues(network, x, y):
    config = network.config

    def sample(x, y):
        def flat(z):
            z = z.reshape(config.depth, 1, config.width)
            return problems.energy(network, z, x[None], y[None])

        return jnp.linalg.eigvalsh(jax.hessian(flat)(network.forward(x[None]).reshape(-1)))

    return jax.vmap(sample)(x, y)


def test_error_based_inference_is_measured_in_the_errors():
    """On a linear network lambda_max is that of I + J'J, J the map from errors to outputs."""
    scheme = pccore.ErrorBased(2)
    with jax.enable_x64(True):
        config = pccore.NetworkConfig(4, 3, 5, 4, activation="linear")
        relaxation = problems.problem(config)[0].relaxation(jnp.ones((1, 4)), jnp.ones((1, 3)))
        found = jax.jit(lambda: lambda_max(scheme.descended(relaxation), 20))()

        @jax.jit
        @jax.jacobian
        def jacobian(errors):
            return relaxation.prediction(relaxation.departure_of(errors))

        J = np.asarray(jacobian(relaxation.origin())).reshape(3, -1)
    assert float(found) == pytest.approx(1 + np.linalg.norm(J, 2) ** 2, rel=1e-9)


def test_ritz_value_of_an_exhausted_space_is_the_largest_eigenvalue():
    with jax.enable_x64(True):
        A = jnp.diag(jnp.array([3.0, 1.0, -5.0, 2.0]))
        for steps in (4, 12):
            found = jax.jit(partial(largest_ritz_value, lambda v: A @ v, A[0]), static_argnums=0)
            assert float(found(steps)) == pytest.approx(3.0, rel=1e-9)


def test_every_measurement_sets_beta(outcomes):
    """After a measurement, beta lambda_max / B is c again; before it, it had grown."""
    for outcome in outcomes:
        rate, largest = readings(outcome, RATE), readings(outcome, LAMBDA)
        assert list(rate) == [0, 20, 40, 60]
        for step in (0, 20, 40):
            assert rate[step] * largest[step] / 64 == pytest.approx(0.9, rel=1e-5)
        assert rate[60] != pytest.approx(0.9 * 64 / largest[60], rel=1e-4)  # that of update 50
        assert 0.9 < readings(outcome, REACHED)[60] < 1.25 * 0.9


def test_without_remeasuring_beta_stays_and_the_product_grows(outcomes):
    config = replace(CONFIG, activity_lr=SpectralActivityLr(0.9, remeasure=0))
    fixed = pccore.fit(config, DIGITS, Lane(0.2, None, 1))
    rate, largest = readings(fixed, RATE), readings(fixed, LAMBDA)
    assert len(set(rate.values())) == 1
    assert rate[0] == pytest.approx(0.9 * 64 / largest[0], rel=1e-5)
    products = [rate[step] * largest[step] / 64 for step in rate]
    assert readings(fixed, REACHED)[60] == pytest.approx(max(products), rel=1e-5)
    assert max(products) > 1.3 * 0.9
    assert max(products) > readings(outcomes[1], REACHED)[60]


def test_lanes_are_independent(outcomes):
    alone = pccore.fit(CONFIG, DIGITS, Lane(0.2, None, 1))
    for quantity in (RATE, LAMBDA, REACHED):
        together, own = readings(outcomes[1], quantity), readings(alone, quantity)
        assert own == pytest.approx(together, rel=1e-3)
    assert readings(outcomes[0], RATE)[0] != pytest.approx(readings(alone, RATE)[0], rel=1e-3)


def test_trains_as_with_the_same_beta_given(outcomes):
    """Until the first remeasurement beta is an ordinary learning rate."""
    rate = readings(outcomes[0], RATE)[0]
    short = replace(CONFIG, steps=10)
    given = pccore.fit(replace(short, activity_lr=None), DIGITS, Lane(0.02, rate, 0))
    spectral = pccore.fit(short, DIGITS, Lane(0.02, None, 0))
    assert spectral.final_train_loss == pytest.approx(given.final_train_loss, rel=1e-6)


@pytest.mark.parametrize(
    "network",
    cases(
        [
            pccore.BidirectionalConfig(NETWORK, pccore.mirror(NETWORK)),
            pccore.HybridConfig(NETWORK, pccore.mirror(NETWORK)),
        ],
        1,
    ),
)
def test_measures_other_networks(network):
    """Sixty products of the same Hessian, on the same samples, agree."""
    rule = PredictiveCoding(pccore.GradientDescent(2))
    config = replace(CONFIG, network=network, rule=rule, batch_size=8, steps=2)
    outcome = pccore.fit(config, DIGITS, Lane(0.01, None, 0))
    problem = in_float64(config, 0)
    with jax.enable_x64(True):
        untrained, x, y = jax.tree.map(jnp.asarray, problem)
        relaxation = untrained.relaxation(x, y)
        top = float(jax.jit(lambda: lambda_max(relaxation, 60))())
    assert 0.97 * top < readings(outcome, LAMBDA)[0] < 1.00001 * top
    assert np.isfinite(readings(outcome, RATE)[2])


# A linear network under SGD: nothing limits the weights or the activities.
UNBOUNDED = replace(
    CONFIG,
    network=replace(NETWORK, activation="linear"),
    rule=PredictiveCoding(pccore.GradientDescent(12)),
    optimiser=pccore.SGD(),
)


def test_diverged_run_says_that_inference_was_unstable():
    config = replace(UNBOUNDED, activity_lr=SpectralActivityLr(4.0))
    outcome = pccore.fit(config, DIGITS, Lane(0.1, None, 0))
    assert outcome.status is Status.DIVERGED
    assert outcome.cause == (
        "inference was unstable: beta lambda_max / B reached 4, and its steps are bounded below 2"
    )


def test_diverged_run_with_a_stable_beta_has_no_cause():
    outcome = pccore.fit(
        replace(UNBOUNDED, activity_lr=SpectralActivityLr(0.5)), DIGITS, Lane(1e4, None, 0)
    )
    assert (outcome.status, outcome.cause) == (Status.DIVERGED, None)


def size_of_activities(scheme, share):
    """Return the largest departure after 600 steps at a share of the stable limit."""
    with jax.enable_x64(True):
        network = problems.problem(pccore.NetworkConfig(4, 3, 5, 3, activation="linear"))[0]
        relaxation = network.relaxation(jnp.ones((1, 4)), jnp.ones((1, 3)))

        @jax.jit
        def largest(share):
            rate = share * scheme.stability_limit / lambda_max(scheme.descended(relaxation), 30)
            return jnp.max(jnp.abs(scheme.infer(relaxation, rate).departure))

        return [float(largest(value)) for value in share]


@pytest.mark.parametrize(
    "scheme", [pccore.GradientDescent, pccore.ErrorBased, pccore.AugmentedLagrangian]
)
def test_stable_limits_are_those_of_a_linear_network(scheme):
    """Below the limit the activities of a linear network stay bounded, above it they grow."""
    below, above = size_of_activities(scheme(600), (0.98, 1.05))
    assert below < 1e2
    assert above > 1e6


def test_nesterov_is_bounded_below_its_limit():
    """Above it, restarts can keep the activities bounded too."""
    assert size_of_activities(pccore.Nesterov(600), [0.98])[0] < 1e2


@pytest.mark.parametrize(
    ("rule", "setting", "message"),
    [
        (CONFIG.rule, {"scale": 0.0}, "scale must be positive, got 0"),
        (CONFIG.rule, {"remeasure": -1}, "remeasure must be at least 0, got -1"),
        (pccore.Backpropagation(), {}, "needs predictive coding by a scheme that has an activity"),
        (PredictiveCoding(pccore.GaussNewton()), {}, "needs predictive coding by a scheme"),
        (pccore.EquilibriumPropagation(pccore.GradientDescent(2)), {}, "needs predictive coding"),
    ],
)
def test_rejects_impossible_settings(rule, setting, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, rule=rule, activity_lr=SpectralActivityLr(**setting))


def test_docstring_states_the_number_of_products():
    assert f"{SPECTRUM_PRODUCTS} matrix-free products" in " ".join(
        (SpectralActivityLr.__doc__ or "").split()
    )
