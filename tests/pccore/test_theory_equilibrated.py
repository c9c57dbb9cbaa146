"""The equilibrated energy of linear networks and its gradient: a dense minimisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pc_problems as problems
import pytest
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st

import pccore
from pccore.networks import linear_solution
from pccore.theory import equilibrated_energy, exact_activities, rescaling


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


shapes = st.sampled_from([(1, 1, 2, 3), (3, 1, 2, 2), (1, 4, 3, 2), (4, 3, 2, 5)])
LAYOUTS = [{"residual": False}, {"residual": True}, {"residual": True, "skip": 2}]


def config(shape, parameterisation, layout, weighted, decay):
    depth, width, inputs, outputs = shape
    precisions = tuple(0.5 + 0.7 * layer for layer in range(depth + 1)) if weighted else ()
    return pccore.NetworkConfig(
        inputs,
        outputs,
        width,
        depth,
        activation="linear",
        parameterisation=parameterisation,
        precisions=precisions,
        activity_decay=decay,
        **layout,
    )


def of_activities(z, network, x, y):
    return problems.energy(network, z, x, y)


@jax.jit
def value_and_slope(network, x, y):
    return jax.value_and_grad(lambda network: equilibrated_energy(network, x, y))(network)


slope_at = jax.jit(jax.grad(lambda network, z, x, y: problems.energy(network, z, x, y)))


def equilibrium(network, x, y):
    z = jnp.zeros(jax.eval_shape(network.forward, x).shape)
    return problems.equilibrium(of_activities, z, network, x, y)


@examples(10)
@given(
    shapes,
    st.sampled_from(list(pccore.PARAMETERISATIONS)),
    st.sampled_from(LAYOUTS),
    st.booleans(),
    st.sampled_from([0.0, 0.3]),
)
def test_energy_is_the_minimum_and_its_gradient_that_of_learning(
    shape, parameterisation, layout, weighted, decay
):
    network, x, y = problems.problem(config(shape, parameterisation, layout, weighted, decay))
    z = equilibrium(network, x, y)
    value, slope = value_and_slope(network, x, y)
    problems.assert_close(value, of_activities(z, network, x, y), rtol=1e-9)
    # envelope theorem: activities at their minimum do not contribute
    problems.assert_close(slope, slope_at(network, z, x, y), rtol=1e-7, atol=1e-9)


@pytest.mark.slow
@examples(8)
@given(shapes, st.sampled_from(LAYOUTS), st.booleans(), st.sampled_from([0.0, 0.3]))
def test_exact_activities_match_a_dense_solution(shape, layout, weighted, decay):
    network, x, y = problems.problem(config(shape, "mupc", layout, weighted, decay))
    dense = equilibrium(network, x, y)
    found = jax.jit(exact_activities)(network, x, y)
    problems.assert_close(found.activities, dense, rtol=1e-8, atol=1e-9)
    assert found.residual < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["by_errors", "by_blocks", "by_conjugate_gradients"])
def test_all_solvers_agree(solver):
    network, x, y = problems.problem(config((4, 3, 2, 5), "mupc", {"residual": True}, True, 0.0))
    solve = getattr(linear_solution, solver)
    found = jax.jit(lambda n, x, y: exact_activities(n, x, y, solve))(network, x, y)
    expected = jax.jit(exact_activities)(network, x, y)
    problems.assert_close(found.activities, expected.activities, rtol=1e-7, atol=1e-8)
    assert found.residual < 1e-7


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rescaling_is_output_covariance_under_unit_errors(layout):
    """S = Cov(y | x) of the generative model z_l = f_l(z_{l-1}) + e_l (thesis B.3.2)."""
    network, x, _ = problems.problem(config((4, 3, 2, 5), "mupc", layout, True, 0.0))
    p = network.config.precisions

    def output(errors):
        relaxation = network.relaxation(x[:1], jnp.zeros((1, 5)))
        return network.readout(relaxation.activities(relaxation.departure_of(errors))[-1])[0]

    J = np.asarray(jax.jacrev(output)(jnp.zeros((4, 1, 3))))[:, :, 0]
    expected = np.eye(5) / p[-1] + sum(J[:, k] @ J[:, k].T / p[k] for k in range(4))
    problems.assert_close(rescaling(network), jnp.asarray(expected), rtol=1e-9)


def test_rejects_nonlinear_networks():
    network, x, y = problems.problem(pccore.NetworkConfig(2, 2, 3, 2, activation="tanh"))
    with pytest.raises(ValueError, match="activation 'linear', got 'tanh'"):
        equilibrated_energy(network, x, y)
