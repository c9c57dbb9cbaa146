"""Step-by-step schemes: automatic differentiation, and the contract of all schemes."""

from dataclasses import replace
from functools import partial

import inference_problems as problems
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from fewer import cases
from inference_problems import (
    LINEAR,
    TANH,
    TupleRelaxation,
    assert_close,
    forward_pass,
    infer,
    problem,
)

import pccore
from pccore.inference import (
    ActivityOptimiser,
    AdaptiveFlow,
    ExactSolution,
    GradientDescent,
    GradientFlow,
    Halving,
    ToConvergence,
)
from pccore.inference.activity_optimiser import OPTAX

SCHEMES = {
    "gradient_descent": GradientDescent(4),
    "halving": Halving(max_steps=8),
    "to_convergence": ToConvergence(max_steps=8, tolerance=0.2),
    "optax": ActivityOptimiser(3, "rmsprop"),
    "gradient_flow": GradientFlow(3),
    "adaptive_flow": AdaptiveFlow(time=3.0, max_steps=64),
    "exact": ExactSolution(),
}
RATES = np.array([0.02, 0.4, 30.0])  # the last diverges
TO_THE_END = ToConvergence(max_steps=4000, tolerance=1e-7)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def test_registered_names():
    for name, scheme in SCHEMES.items():
        assert pccore.INFERENCE[name] is type(scheme)
        assert hash(scheme) == hash(replace(scheme))


STOPPING = ("halving", "to_convergence", "adaptive_flow")  # each lane by itself
BRANCHING_FIRST = (*STOPPING, *(name for name in SCHEMES if name not in STOPPING))


@pytest.mark.parametrize("name", cases(BRANCHING_FIRST, 3))
def test_vmapped_lanes_match_single_runs_on_any_relaxation(name):
    """Unobserved lanes on the stacked network match observed single runs on tuples."""
    network, x, y = problem(LINEAR)

    @jax.jit
    @jax.vmap
    def lanes(beta):
        relaxation = network.relaxation(x, y)
        inference = SCHEMES[name].infer(relaxation, beta)
        return inference, relaxation.activities(inference.departure)

    @jax.jit
    def alone(beta):
        relaxation = TupleRelaxation.of(network, x, y)
        if name == "exact":
            relaxation = network.relaxation(x, y)
        inference = SCHEMES[name].infer(
            relaxation, beta, observe=lambda d: {"size": sum(jnp.sum(v**2) for v in d)}
        )
        return inference, jnp.stack([*relaxation.activities(inference.departure)])

    together, activities = lanes(RATES)
    for index, beta in enumerate(RATES):
        lone, z = alone(jnp.asarray(beta))
        assert_close(activities[index], z, rtol=1e-8)
        steps = int(lone.steps)
        assert np.broadcast_to(together.steps, 3)[index] == steps
        assert (lone.converged is None) == (together.converged is None)
        if lone.converged is not None:
            assert together.converged[index] == lone.converged
        sizes = np.asarray(lone.observed["size"])
        assert sizes[0] == 0
        assert_close(sizes[steps], np.sum((z - forward_pass(network, x)) ** 2), rtol=1e-8)
        assert np.isfinite(sizes[: steps + 1]).all()
        assert np.isnan(sizes[steps + 1 :]).all()
    assert alone._cache_size() == 1  # a new learning rate does not recompile
    before = problems.layer_energies(network, forward_pass(network, x), x, y)
    after = problems.layer_energies(network, activities[0], x, y)
    assert np.sum(after) < np.sum(before)


def test_one_step_moves_only_the_last_hidden_layer():
    """One step is gradient descent with T = 1 (thesis C.3.5)."""
    network, x, y = problem(TANH)
    forward = network.forward(x)
    inference, z = infer(GradientDescent(1), network, x, y, jnp.asarray(0.4))
    slopes = problems.activity_slopes(network, forward, x, y)
    assert_close(z[-1], forward[-1] - 0.4 * slopes[-1])
    assert np.array_equal(z[:-1], forward[:-1])
    learned = jax.jit(type(network.relaxation(x, y)).weight_gradients)(
        network.relaxation(x, y), inference.departure
    )
    assert not np.any(learned.hidden[:-1])
    assert np.all(np.any(learned.hidden[-1], axis=-1))


class TestHalving:
    def reference(self, network, x, y, beta, most, halvings):
        """Run the schedule in plain Python on the reference energy."""

        def energy(z):
            return np.sum(problems.layer_energies(network, z, x, y))

        z, halved = forward_pass(network, x), 0
        for step in range(most):
            tried = z - beta * problems.activity_slopes(network, z, x, y)
            if energy(tried) < energy(z):
                z = tried
            elif halved == halvings:
                return z, step + 1, True
            else:
                beta, halved = beta / 2, halved + 1
        return z, most, False

    @pytest.mark.parametrize(("beta", "ends"), [(0.5, False), (6.0, False), (300.0, True)])
    def test_matches_the_definition(self, beta, ends):
        network, x, y = problem(TANH)
        inference, z = infer(Halving(20, halvings=2), network, x, y, jnp.asarray(beta))
        expected, steps, converged = self.reference(network, x, y, beta, 20, 2)
        assert (inference.steps, inference.converged) == (steps, converged)
        assert inference.converged == ends
        assert_close(z, expected)

    def test_energy_falls_where_plain_descent_diverges(self):
        network, x, y = problem(TANH)
        before = np.sum(problems.layer_energies(network, forward_pass(network, x), x, y))
        _, z = infer(Halving(20, halvings=2), network, x, y, jnp.asarray(9.0))
        assert np.sum(problems.layer_energies(network, z, x, y)) < before
        z = problems.descent(network, forward_pass(network, x), x, y, 9.0, 20)
        assert np.sum(problems.layer_energies(network, z, x, y)) > before


class TestToConvergence:
    def test_ends_at_the_first_small_gradient(self):
        network, x, y = problem(LINEAR)
        inference, z = infer(TO_THE_END, network, x, y, jnp.asarray(2.0))
        expected, norms = forward_pass(network, x), []
        for _ in range(int(inference.steps) + 1):
            slopes = problems.activity_slopes(network, expected, x, y)
            norms.append(np.linalg.norm(slopes))
            last, expected = expected, expected - 2.0 * slopes
        assert_close(z, last)
        assert inference.converged
        assert_close(inference.residual, norms[-1] / norms[0], rtol=1e-6)
        assert norms[-1] <= TO_THE_END.tolerance * norms[0] < min(norms[:-1])
        _, equilibrium = problems.dense_system(network, x, y)
        assert_close(z, equilibrium, rtol=1e-4, atol=1e-5)

    def test_reports_missing_convergence(self):
        network, x, y = problem(LINEAR)
        inference, _ = infer(TO_THE_END, network, x, y, jnp.asarray(1e-4))
        assert not inference.converged
        assert inference.steps == TO_THE_END.max_steps
        assert inference.residual > TO_THE_END.tolerance

    def test_zero_gradient_takes_no_step(self):
        network, x, y = problem(LINEAR)
        network = jax.tree.map(jnp.zeros_like, network)
        inference, _ = infer(TO_THE_END, network, x, 0 * y, jnp.asarray(1.0))
        assert (inference.steps, inference.converged) == (0, True)
        assert inference.residual == 0

    def test_overflow_ends_inference(self):
        network, x, y = problem(LINEAR)
        inference, _ = infer(TO_THE_END, network, x, y, jnp.asarray(1e6))
        assert not inference.converged
        assert inference.steps < 200


class TestActivityOptimiser:
    @pytest.mark.parametrize("name", OPTAX)
    def test_updates_are_proportional_to_the_learning_rate(self, name):
        """Updates can therefore be multiplied by a traced beta."""
        z = jnp.array([[0.5, -2.0, 3.0]])
        ours, theirs = OPTAX[name](learning_rate=1.0), getattr(optax, name)(0.05)
        state, expected_state = ours.init(z), theirs.init(z)
        for scale in (1.0, -0.3):
            update, state = ours.update(scale * z**2, state, z)
            expected, expected_state = theirs.update(scale * z**2, expected_state, z)
            assert_close(0.05 * update, expected, rtol=1e-6)

    def test_sgd_equals_gradient_descent(self):
        network, x, y = problem(TANH)
        _, expected = infer(GradientDescent(4), network, x, y, jnp.asarray(0.4))
        _, z = infer(ActivityOptimiser(4, "sgd"), network, x, y, jnp.asarray(0.4))
        assert_close(z, expected)

    def test_accepts_an_optimiser_object(self):
        network, x, y = problem(TANH)
        scheme = ActivityOptimiser(3, pccore.SGD(momentum=0.9))
        _, z = infer(scheme, network, x, y, jnp.asarray(0.4))
        expected, velocity = forward_pass(network, x), 0.0
        for _ in range(3):
            velocity = 0.9 * velocity + problems.activity_slopes(network, expected, x, y)
            expected = expected - 0.4 * velocity
        assert_close(z, expected)

    def test_weight_decay_applies_to_activities(self):
        """AdamW moves every activity towards zero, even if its gradient is exactly zero."""
        network, x, y = problem(TANH)
        _, z = infer(ActivityOptimiser(1, "adamw"), network, x, y, jnp.asarray(0.4))
        forward = forward_pass(network, x)
        assert_close(z[0], (1 - 0.4 * 1e-4) * forward[0])


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (partial(Halving, 0), "max_steps must be at least 1, got 0"),
        (partial(Halving, halvings=-1), "halvings must be at least 0, got -1"),
        (partial(ToConvergence, tolerance=0.0), "tolerance must be positive, got 0.0"),
        (partial(ActivityOptimiser, 3, "adma"), "unknown Optax optimiser 'adma'.*did you mean"),
        (partial(GradientFlow, 0), "steps must be at least 1, got 0"),
        (partial(GradientFlow, 1, "runge"), "unknown ODE solver 'runge'"),
        (partial(GradientFlow, 1, tolerance=-1.0), "tolerance must be at least 0, got -1.0"),
        (partial(AdaptiveFlow, rtol=0.0), "rtol must be positive, got 0.0"),
        (partial(AdaptiveFlow, time=0.0), "time must be positive, got 0.0"),
        (partial(AdaptiveFlow, solver="euler"), "estimates its error, got 'euler'"),
        (partial(ExactSolution, 0.0), "tolerance must be positive, got 0.0"),
    ],
)
def test_rejects_invalid_options(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()
