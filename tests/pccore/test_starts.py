"""Starting points of inference."""

import inference_problems as problems
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inference_problems import TANH, TupleRelaxation, assert_close, problem

import pccore
from pccore.inference import GradientDescent
from pccore.starts import STARTS, ForwardStart, NormalStart


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def test_registered_names():
    assert STARTS["forward"] is ForwardStart
    assert STARTS["normal"] is NormalStart


def test_forward_start_gives_no_departure():
    network, x, y = problem(TANH)
    assert ForwardStart().departure(network.relaxation(x, y), jax.random.key(0)) is None
    assert pccore.PredictiveCoding(GradientDescent(2)).start == ForwardStart()


@pytest.mark.parametrize("in_tuples", [False, True])
def test_normal_start_has_the_normal_distribution(in_tuples):
    network, x, y = problem(TANH, batch=800)
    relaxation = TupleRelaxation.of(network, x, y) if in_tuples else network.relaxation(x, y)
    departure = NormalStart(scale=0.5).departure(relaxation, jax.random.key(1))
    z = np.stack(relaxation.activities(departure))
    assert z.shape == (3, 800, 4)
    n = z[0].size
    # four standard errors of mean, variance and covariance between layers
    assert np.all(np.abs(z.mean(axis=(1, 2))) < 4 * 0.5 / np.sqrt(n))
    covariance = np.cov(z.reshape(3, n))
    assert np.all(np.abs(covariance - 0.25 * np.eye(3)) < 4 * 0.25 * np.sqrt(2 / n))


def test_descent_from_normal_start_depends_on_the_key():
    network, x, y = problem(TANH)
    rule = pccore.PredictiveCoding(GradientDescent(3), NormalStart())
    gradients = jax.jit(rule.gradients)
    for seed in (0, 1):
        key = jax.random.key(seed)
        loss, actual = gradients(network, x, y, jnp.asarray(0.4), key)
        relaxation = network.relaxation(x, y)
        z = relaxation.activities(NormalStart().departure(relaxation, key))
        z = problems.descent(network, z, x, y, 0.4, 3)
        jax.tree.map(assert_close, actual, problems.weight_slopes(network, z, x, y))
        assert_close(loss, relaxation.loss())
    drawn = [NormalStart().departure(relaxation, jax.random.key(seed)) for seed in (0, 1)]
    assert np.all(drawn[0] != drawn[1])


def test_rejects_scale_that_is_not_positive():
    with pytest.raises(ValueError, match="scale must be positive, got 0"):
        NormalStart(scale=0)
