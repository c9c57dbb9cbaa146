"""Traces of inference: the reference energy and its gradient."""

from dataclasses import replace

import inference_problems as problems
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inference_problems import BATCH, LINEAR, TANH, TupleRelaxation, assert_close, problem

import pccore
from pccore.diagnostics import trace_relaxation
from pccore.inference import ExactSolution, GradientDescent, ToConvergence
from pccore.starts import NormalStart


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def test_traces_every_step_from_a_normal_start():
    config = replace(TANH, precisions=(2.0, 0.5, 1.0, 3.0), activity_decay=0.1)
    network, x, y = problem(config)
    key, start = jax.random.key(4), NormalStart(0.7)
    traced = pccore.trace(GradientDescent(5), network, x, y, 0.4, start=start, key=key)
    assert traced.energies.shape == (6, 4)
    assert traced.activity_norms.shape == (6, 3)
    relaxation = network.relaxation(x, y)
    z = relaxation.activities(start.departure(relaxation, key))
    for step in range(6):
        slopes = problems.activity_slopes(network, z, x, y)
        assert_close(traced.energies[step], problems.layer_energies(network, z, x, y))
        norms = np.sqrt(np.mean(np.sum(np.square(z), axis=-1), axis=-1))
        assert_close(traced.activity_norms[step], norms)
        assert_close(traced.gradient_norms[step], np.sqrt(BATCH) * np.linalg.norm(slopes))
        z = z - 0.4 * slopes
    assert traced.steps == 5
    assert traced.converged is None
    assert traced.residual is None


def test_entries_after_the_last_step_are_nan_for_any_relaxation():
    network, x, y = problem(TANH)
    scheme = ToConvergence(300, 0.05)
    traced = pccore.trace(scheme, network, x, y, 1.0)
    steps = int(traced.steps)
    assert traced.converged
    assert 1 < steps < 300
    assert_close(
        traced.activity_norms[0], np.sqrt(np.mean(np.sum(network.forward(x) ** 2, -1), -1))
    )
    for values in (traced.energies, traced.activity_norms, traced.gradient_norms):
        assert len(values) == 301
        assert np.isfinite(values[: steps + 1]).all()
        assert np.isnan(values[steps + 1 :]).all()
    assert_close(traced.residual, traced.gradient_norms[steps] / traced.gradient_norms[0])

    @jax.jit
    def trace_in_tuples(beta):
        return trace_relaxation(scheme, TupleRelaxation.of(network, x, y), beta)

    in_tuples = trace_in_tuples(jnp.asarray(1.0))
    assert_close(in_tuples.energies[:, 0], np.sum(traced.energies, axis=-1))
    assert_close(in_tuples.activity_norms, traced.activity_norms)
    assert_close(in_tuples.gradient_norms, traced.gradient_norms)
    assert in_tuples.steps == steps


def test_traces_exact_solution_before_and_after():
    network, x, y = problem(LINEAR)
    traced = pccore.trace(ExactSolution(), network, x, y, 1.0)
    assert traced.energies.shape == (2, 4)
    assert traced.steps == 1
    assert np.sum(traced.energies[1]) < np.sum(traced.energies[0])
    assert traced.gradient_norms[1] < 1e-12 * traced.gradient_norms[0]
