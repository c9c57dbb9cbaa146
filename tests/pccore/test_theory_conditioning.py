"""Extreme eigenvalues of activity Hessians: dense Hessians by automatic differentiation."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pc_problems as problems
import pytest
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st

import pccore
from pccore.linalg.blocktridiagonal import BlockTridiagonal
from pccore.linalg.lanczos import lanczos
from pccore.theory import (
    ActivityConditioning,
    MarchenkoPastur,
    conditioning,
    hessian_product,
    largest_eigenvalue,
)
from pccore.theory.activity_hessian import PIECEWISE_LINEAR, hessian_blocks, shifted_inverse

TIGHT = 1e-10
measured = jax.jit(partial(conditioning, tolerance=TIGHT))


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@partial(jax.jit, static_argnums=4)
def dense(network, departure, x, y, sample=0):
    """Return H_z of one sample, by automatic differentiation of the reference energy."""
    z = (network.forward(x) + departure)[:, sample : sample + 1]

    def energy(flat):
        one = slice(sample, sample + 1)
        return problems.energy(network, flat.reshape(z.shape), x[one], y[one])

    return jax.hessian(energy)(z.reshape(-1))


def assert_extremes(found, eigenvalues):
    size = np.abs(eigenvalues)
    problems.assert_close(found.smallest, eigenvalues[0], rtol=1e-8, atol=1e-12 * size.max())
    problems.assert_close(found.largest, eigenvalues[-1], rtol=1e-8)
    problems.assert_close(found.condition_number, size.max() / size.min(), rtol=1e-8)


shapes = st.sampled_from([(1, 1, 2, 3), (3, 1, 2, 2), (1, 4, 3, 2), (4, 3, 2, 5)])
LAYOUTS = [{"residual": False}, {"residual": True}, {"residual": True, "skip": 2}]


def config(shape, parameterisation="mupc", **options):
    depth, width, inputs, outputs = shape
    if options.pop("weighted", False):
        options["precisions"] = tuple(0.5 + 0.7 * layer for layer in range(depth + 1))
    return pccore.NetworkConfig(
        inputs, outputs, width, depth, parameterisation=parameterisation, **options
    )


@jax.jit
def operators(network, departure, x, y):
    """Return the first sample's H_z by differentiation and by products, and its inverse, dense."""
    relaxation, at = network.relaxation(x[:1], y[:1]), departure[:, :1]
    basis = jnp.eye(at.size).reshape(-1, *at.shape)
    flat = (at.size, at.size)
    products = jax.vmap(hessian_product(relaxation, at))(basis)
    inverse = jax.vmap(shifted_inverse(relaxation, at).solve)(basis)
    return dense(network, departure, x, y), products.reshape(flat), inverse.reshape(flat)


def assert_operators(network, departure, x, y):
    hessian, products, inverse = operators(network, departure, x, y)
    problems.assert_close(products, hessian, atol=1e-10)
    shift = shifted_inverse(network.relaxation(x[:1], y[:1])).shift
    shifted = hessian - shift * np.eye(len(hessian))
    problems.assert_close(inverse @ shifted, np.eye(len(hessian)), atol=1e-8)


@pytest.mark.slow
@examples(6)
@given(
    shapes,
    st.sampled_from(list(pccore.PARAMETERISATIONS)),
    st.sampled_from(LAYOUTS),
    st.booleans(),
    st.sampled_from(["linear", "relu"]),
)
def test_hessian_of_piecewise_linear_networks(
    shape, parameterisation, layout, weighted, activation
):
    options = {"activation": activation, "weighted": weighted, "activity_decay": 0.3, **layout}
    network, x, y = problems.problem(config(shape, parameterisation, **options))
    # the first input is zero, at the kink of some of these activations
    departure = problems.random_like(jax.eval_shape(network.forward, x[1:]), size=1.0)
    assert_operators(network, departure, x[1:], y[1:])


@examples(5)
@given(
    shapes,
    st.booleans(),
    st.booleans(),
    st.sampled_from(["mse", "cross_entropy"]),
    st.sampled_from([0.0, 0.3]),
)
def test_hessian_of_smooth_networks(shape, residual, weighted, output, decay):
    options = {"residual": residual, "output": output, "activity_decay": decay}
    options |= {"activation": "tanh", "weighted": weighted}
    network, x, y = problems.problem(config(shape, "ntp", **options))
    departure = problems.random_like(jax.eval_shape(network.forward, x), size=1.0)
    assert_operators(network, departure, x, 2 * y)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        config((4, 3, 2, 5), "sp", activation="linear", skip=2, activity_decay=0.3),
        config((1, 1, 2, 3), activation="linear", weighted=True),
        config((3, 4, 2, 2), "ntp", activation="relu", output="cross_entropy"),
    ],
    ids=["two-skip-decay", "one-unit", "relu"],
)
def test_extreme_eigenvalues(case):
    network, x, y = problems.problem(case)
    x, y = x[1:], y[1:]
    departure = problems.random_like(jax.eval_shape(network.forward, x))
    eigenvalues = np.linalg.eigvalsh(dense(network, departure, x, y))
    if case.activation == "linear":
        assert_extremes(measured(network), eigenvalues)
    else:
        assert_extremes(measured(network, x, y, departure=departure), eigenvalues)


def indefinite():
    """Return a tanh network with large targets, whose energy is not convex."""
    network, x, y = problems.problem(config((3, 4, 3, 2), "ntp", activation="tanh"))
    return network, x[1:], 10 * y[1:]


@pytest.mark.slow
def test_indefinite_hessian_uses_magnitudes():
    network, x, y = indefinite()
    departure = problems.random_like(jax.eval_shape(network.forward, x), 3)
    eigenvalues = np.linalg.eigvalsh(dense(network, departure, x, y))
    assert eigenvalues[0] < 0
    assert_extremes(measured(network, x, y, departure=departure), eigenvalues)


def test_blocks_match_the_dense_hessian():
    network, x, y = indefinite()
    departure = problems.random_like(jax.eval_shape(network.forward, x))
    one = network.relaxation(x[:1], y[:1])
    blocks = jax.jit(lambda one, d: hessian_blocks(one, d).dense())(one, departure[:, :1])
    problems.assert_close(blocks, dense(network, departure, x, y), atol=1e-10)


@pytest.mark.slow
def test_largest_eigenvalue_of_batch_is_maximum_over_samples():
    network, x, y = indefinite()
    largest = jax.jit(partial(largest_eigenvalue, tolerance=TIGHT))(network, x, y)
    still = jnp.zeros((3, 1, 4))
    each = [np.linalg.eigvalsh(dense(network, still, x, y, i))[-1] for i in range(len(x))]
    assert max(each) > 1.01 * min(each)
    problems.assert_close(largest, max(each), rtol=1e-8)


@pytest.mark.slow
def test_bracket_without_factorisation():
    """With smooth activations and long skips, Lanczos on H_z bounds eigenvalues from within."""
    network, x, y = problems.problem(config((4, 3, 3, 2), activation="tanh", skip=2))
    assert shifted_inverse(network.relaxation(x[:1], y[:1])) is None
    eigenvalues = np.linalg.eigvalsh(dense(network, jnp.zeros((4, 1, 3)), x, y))
    assert_extremes(measured(network, x, y), eigenvalues)  # one step per dimension


@pytest.mark.slow
def test_float32_resolves_smallest_eigenvalue_of_ill_conditioned_network():
    """SP with skips at 64 layers: eigenvalues of H_z = M' M from the singular values of M."""
    network, _, _ = problems.problem(
        config((64, 8, 3, 2), "sp", activation="linear", residual=True)
    )
    J = np.eye(64 * 8).reshape(64, 8, 64, 8)
    for layer, W in enumerate(np.asarray(network.hidden)):
        J[layer + 1, :, layer] = -W - np.eye(8)
    output = np.zeros((2, 64, 8))
    output[:, -1] = network.last
    rows = np.concatenate([J.reshape(512, 512), output.reshape(2, 512)])
    singular = np.linalg.svd(rows, compute_uv=False)
    with jax.enable_x64(False):
        single = jax.tree.map(lambda w: w.astype(jnp.float32), network)
        found = jax.jit(conditioning)(single)
        assert found.smallest.dtype == jnp.float32
    assert singular[0] ** 2 > 1e9 * singular[-1] ** 2
    assert float(found.smallest) == pytest.approx(singular[-1] ** 2, rel=1e-3)
    assert float(found.largest) == pytest.approx(singular[0] ** 2, rel=1e-3)


@pytest.mark.slow
def test_piecewise_linear_activations_have_no_second_derivative():
    z = jnp.linspace(-3, 3, 41) + 0.01
    for name, activation in pccore.ACTIVATIONS.items():
        bend = jax.vmap(jax.grad(jax.grad(activation.phi)))(z)
        assert (np.abs(bend).max() == 0) == (name in PIECEWISE_LINEAR)


@pytest.mark.slow
def test_vmapped_lanes_match_single_runs():
    network, x, y = problems.problem(config((3, 4, 3, 2), activation="relu"))
    x, y = x[1:], y[1:]  # without the sample at the kinks of activations
    lanes = jax.tree.map(lambda w: jnp.stack([w, 0.5 * w]), network)
    probe = ActivityConditioning(steps=12)
    assert hash(probe) == hash(ActivityConditioning(steps=12))
    together = jax.jit(jax.vmap(probe.measure, (0, None, None, 0)))(lanes, x, y, jnp.ones(2))
    for lane, scale in enumerate((1, 0.5)):
        alone = jax.tree.map(lambda w, scale=scale: scale * w, network)
        eigenvalues = np.linalg.eigvalsh(dense(alone, jnp.zeros((3, 1, 4)), x, y))
        expected = {
            "activity_hessian_largest_eigenvalue": eigenvalues[-1],
            "activity_hessian_smallest_eigenvalue": eigenvalues[0],
            "activity_hessian_condition_number": eigenvalues[-1] / eigenvalues[0],
        }
        assert together.keys() == expected.keys()
        for quantity, value in expected.items():
            assert float(together[quantity][lane]) == pytest.approx(value, rel=1e-6)


@examples(10)
@given(st.lists(st.sampled_from([-2.0, 0.0, 1.0, 3.0]), min_size=1, max_size=6))
def test_lanczos_finds_repeated_eigenvalues(eigenvalues):
    values = jnp.asarray(eigenvalues + [0.0] * (6 - len(eigenvalues)))
    Q = jnp.linalg.qr(jnp.asarray(np.random.default_rng(0).normal(size=(6, 6))))[0]
    found = repeated(Q @ jnp.diag(values) @ Q.T)
    problems.assert_close(found.low, values.min(), atol=1e-12)
    problems.assert_close(found.high, values.max(), atol=1e-12)


repeated = jax.jit(lambda A: lanczos(lambda v: A @ v, A[0], tolerance=0.0))


def test_lanczos_error_bound_when_stopped_early():
    draw = np.random.default_rng(0).normal(size=(400, 200)) / 20
    A = draw.T @ draw
    eigenvalues = np.linalg.eigvalsh(A)
    found = jax.jit(lambda A: lanczos(lambda v: A @ v, A[0], steps=40, tolerance=1e-2))(A)
    assert 8 <= found.steps < 40
    for value, error in ((found.low, found.low_error), (found.high, found.high_error)):
        assert np.abs(eigenvalues - value).min() <= error
        assert error > 1e-6
    edges = MarchenkoPastur(400, 200, 1 / 400).edges
    assert float(found.high) == pytest.approx(edges.high, rel=0.1)


@pytest.mark.slow
def test_block_products_equal_the_dense_matrix():
    keys = jax.random.split(jax.random.key(0), 3)
    root = jax.random.normal(keys[0], (4, 3, 3))
    matrix = BlockTridiagonal(root + root.mT, jax.random.normal(keys[1], (3, 3, 3)))
    v = jax.random.normal(keys[2], (4, 2, 3))
    flat = v.transpose(1, 0, 2).reshape(2, 12)
    expected = (flat @ matrix.dense()).reshape(2, 4, 3).transpose(1, 0, 2)
    problems.assert_close(matrix.product(v), expected)
    solved = matrix.factorise(definite=False).solve(matrix.product(v))
    problems.assert_close(solved, v, rtol=1e-8)


def test_bracket_for_sequence_networks():
    layers = config((2, 3, 3, 2), activation="tanh", residual=False)
    network, x, y = problems.problem(layers)
    general = pccore.SequenceConfig((3,), 2, lambda key: layers.build(key).layers())
    sequence = general.build(jax.random.key(0))
    sequence = jax.tree.unflatten(jax.tree.structure(sequence), jax.tree.leaves(network.layers()))
    eigenvalues = np.linalg.eigvalsh(dense(network, jnp.zeros((2, 1, 3)), x, y))
    assert_extremes(measured(sequence, x, y), eigenvalues)


@pytest.mark.parametrize(
    ("change", "call", "message"),
    [
        ({"activation": "relu"}, conditioning, "needs x and y"),
        ({"output": "cross_entropy"}, largest_eigenvalue, "needs x and y"),
        ({}, partial(conditioning, steps=0), "steps must be at least 1, got 0"),
    ],
)
def test_rejects_unsupported_networks(change, call, message):
    options = {"activation": "linear", **change}
    network, _, _ = problems.problem(config((2, 3, 2, 2), **options))
    with pytest.raises(ValueError, match=message):
        call(network)


def test_rejects_invalid_steps_and_large_dense_matrices():
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        ActivityConditioning(steps=0)
    matrix = BlockTridiagonal(jnp.zeros((3, 4, 4)), jnp.zeros((2, 4, 4)))
    with pytest.raises(ValueError, match="may have at most 11 rows, got 3 x 4 = 12"):
        matrix.dense(largest=11)
    network, x, y = problems.problem(config((3, 4, 2, 2), activation="tanh", skip=2))
    with pytest.raises(ValueError, match="needs skip 1, got 2"):
        hessian_blocks(network.relaxation(x, y))
    assert replace(ActivityConditioning(), steps=3).steps == 3
