"""The gradient flow: the matrix exponential of linear networks, and stopping."""

from dataclasses import replace

import inference_problems as problems
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from fewer import cases
from inference_problems import LINEAR, TANH, assert_close, forward_pass, infer, predict, problem

from pccore.inference import AdaptiveFlow, GradientDescent, GradientFlow
from pccore.inference.gradient_flow import SOLVERS

ORDERS = {"euler": 1, "tsit5": 5, "midpoint": 2, "heun": 2, "bosh3": 3}


def test_orders_of_all_solvers():
    assert set(ORDERS) == set(SOLVERS)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def flow_at(network, x, y, time):
    """Return the activities at `time` of dz/dt = -dF/dz, by the matrix exponential."""
    hessian, equilibrium = problems.dense_system(network, x, y)
    away = np.asarray(forward_pass(network, x)) - equilibrium
    H, B, N = away.shape
    decay = scipy.linalg.expm(-time / B * hessian)
    away = decay @ away.transpose(0, 2, 1).reshape(H * N, B)
    return equilibrium + away.reshape(H, N, B).transpose(0, 2, 1)


@pytest.mark.slow
def test_euler_equals_gradient_descent():
    network, x, y = problem(TANH)
    beta = jnp.asarray(0.4)
    flow, z = infer(GradientFlow(6, "euler"), network, x, y, beta)
    _, expected = infer(GradientDescent(6), network, x, y, beta)
    assert_close(z, expected)
    assert flow.steps == 6
    assert flow.converged is None


@pytest.mark.parametrize("solver", cases(ORDERS, 2))
def test_error_of_one_step_has_the_order_of_the_solver(solver):
    """The error is O(dt^(p+1)); beta is dt."""
    network, x, y = problem(replace(LINEAR, depth=2))
    order, errors = ORDERS[solver], []
    for beta in (0.1, 0.05):
        _, z = infer(GradientFlow(1, solver), network, x, y, jnp.asarray(beta))
        errors.append(np.linalg.norm(z - flow_at(network, x, y, beta)))
    assert errors[1] > 1e-14
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.25)


class TestAdaptive:
    def test_follows_the_flow_within_tolerance(self):
        network, x, y = problem(LINEAR)
        flow = AdaptiveFlow(time=10.0, rtol=1e-6, atol=1e-8)
        inference, z = infer(flow, network, x, y, jnp.asarray(2.0))
        assert inference.converged
        assert_close(z, flow_at(network, x, y, 20.0), rtol=1e-4, atol=1e-5)

    def test_ends_at_the_equilibrium_of_a_linear_network(self):
        network, x, y = problem(replace(LINEAR, residual=False))
        flow = AdaptiveFlow(time=1e3, rtol=1e-6, atol=1e-8, tolerance=1e-6)
        inference, z = infer(flow, network, x, y, jnp.asarray(1.0))
        _, equilibrium = problems.dense_system(network, x, y)
        assert inference.converged
        assert_close(z, equilibrium, rtol=1e-4, atol=1e-5)

    def test_failed_integration_is_a_result(self):
        network, x, y = problem(LINEAR)
        flow, beta = AdaptiveFlow(max_steps=5), jnp.asarray(1.0)
        inference, z = infer(flow, network, x, y, beta)
        assert not inference.converged
        assert inference.steps <= 5
        before, after = (
            np.sum(problems.layer_energies(network, at, x, y))
            for at in (forward_pass(network, x), z)
        )
        assert after < before
        inference, _ = infer(flow, network, x.at[0, 0].set(jnp.nan), y, beta)
        assert not inference.converged


class TestStoppingOnTheVectorField:
    FIXED = GradientFlow(4000, tolerance=0.01)

    @pytest.mark.parametrize("flow", [FIXED, AdaptiveFlow(atol=1e-5, tolerance=0.01)])
    def test_ends_when_the_gradient_is_small(self, flow):
        network, x, y = problem(LINEAR)
        inference, z = infer(flow, network, x, y, jnp.asarray(1.0))
        first = np.linalg.norm(problems.activity_slopes(network, forward_pass(network, x), x, y))
        last = np.linalg.norm(problems.activity_slopes(network, z, x, y))
        assert inference.converged
        assert_close(inference.residual, last / first, rtol=1e-6)
        assert last <= 0.01 * first
        assert 1 < inference.steps < 4000

    def test_large_state_is_not_steady(self):
        """A test of ||f|| relative to the state would end inference immediately."""
        network, x, y = problem(LINEAR)
        x, y = 1e8 * x, 1e8 * predict(network, x) + y
        forward = forward_pass(network, x)
        first = np.linalg.norm(problems.activity_slopes(network, forward, x, y))
        assert first < 1e-8 * np.linalg.norm(forward)
        inference, _ = infer(self.FIXED, network, x, y, jnp.asarray(1e-5))
        assert not inference.converged
        assert inference.steps == 4000

    def test_steady_state_takes_no_step(self):
        network, x, y = problem(LINEAR)
        network = jax.tree.map(jnp.zeros_like, network)
        inference, _ = infer(self.FIXED, network, x, 0 * y, jnp.asarray(1.0))
        assert (inference.steps, inference.converged) == (0, True)
