"""Clamping: every mode against the stacked network, a dense solver and theory."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pccore

BATCH = 3
TANH = pccore.NetworkConfig(3, 5, width=4, depth=3, activation="tanh")
LINEAR = replace(TANH, activation="linear", residual=False, parameterisation="orthogonal")
SIZES = (3, 4, 4, 4, 5)
SOLVE = pccore.ToConvergence(20_000, tolerance=1e-13)
"""Converges to rounding: gradients fall below 1e-13 of their first values."""


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@cache
def network_of(config):
    """Return a network in float64 with random biases."""
    network = jax.jit(config.build)(jax.random.key(0))
    network = jax.tree.map(lambda w: jnp.asarray(np.asarray(w, float)), network)
    draw = np.random.default_rng(0)
    biases = jax.tree.map(lambda b: jnp.asarray(draw.normal(size=b.shape)), network.biases)
    return replace(network, biases=biases)


def nodes_like(seed):
    draw = np.random.default_rng(seed)
    return [draw.normal(size=(BATCH, size)) for size in SIZES]


def assert_close(actual, expected, rtol=1e-9, atol=1e-11):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


@partial(jax.jit, static_argnums=0)
def by_both(scheme, network, x, y, beta):
    """Return hidden activities, energies and weight gradients: stacked network, then clamped."""
    results = []
    for relaxation in (network.relaxation(x, y), pccore.clamp(network, {0: x, -1: y})):
        departure = scheme.infer(relaxation, beta).departure
        activities = jnp.stack(list(relaxation.activities(departure)))
        slopes = relaxation.weight_gradients(departure)
        results.append((activities, relaxation.energies(departure), slopes))
    return results


@pytest.mark.parametrize(
    "config",
    [
        replace(TANH, bias=True, precisions=(2.0, 0.5, 3.0, 0.25)),
        replace(TANH, skip=2, activity_decay=0.2, output="cross_entropy"),
        replace(TANH, residual=False),
    ],
    ids=["1-skip", "2-skip", "plain"],
)
def test_clamped_input_and_output_equal_discriminative_inference(config):
    x, *_, y = nodes_like(1)
    stacked, clamped = by_both(
        pccore.GradientDescent(5), network_of(config), x, y, jnp.asarray(0.7)
    )
    jax.tree.map(assert_close, clamped, stacked)


def test_free_output_relaxes_to_the_forward_pass():
    network, (x, *others) = network_of(TANH), nodes_like(2)
    away = dict(enumerate(others, start=1))
    found = pccore.complete(network, {0: x, **away}, SOLVE, 1.0, dict.fromkeys(away, False))
    assert_close(jnp.stack(found.activities[1:-1]), network.forward(jnp.asarray(x)))
    assert_close(found.activities[-1], network.predict(jnp.asarray(x)))
    assert found.converged
    assert float(found.energies.sum()) < 1e-20


def dense_least_squares(config, values, masks):
    """Minimise the energy over the free units by least squares in NumPy, sample by sample.

    F = 1/2 ||R z||^2, where z are all nodes and R has the rows sqrt(p_l) (z_l - A_l z_{l-1}).
    """
    network, a = network_of(config), config.scalings
    maps = [
        a.first * np.asarray(network.first),
        *(a.hidden * np.asarray(W) for W in network.hidden),
        a.last * np.asarray(network.last),
    ]
    ends = np.cumsum(SIZES)
    rows = []
    for layer, A in enumerate(maps):
        row = np.zeros((len(A), ends[-1]))
        row[:, ends[layer] - SIZES[layer] : ends[layer]] = -A
        row[:, ends[layer] : ends[layer + 1]] = np.eye(len(A))
        rows.append(np.sqrt(config.precisions[layer]) * row)
    R, z, held = np.concatenate(rows), np.concatenate(values, 1), np.concatenate(masks, 1)
    for sample, clamped in zip(z, held, strict=True):
        target = -R[:, clamped] @ sample[clamped]
        sample[~clamped] = np.linalg.lstsq(R[:, ~clamped], target, rcond=None)[0]
    return np.split(z, ends[:-1], axis=1), 0.5 * np.sum((z @ R.T) ** 2) / BATCH


@pytest.mark.slow
@pytest.mark.parametrize(
    "free", ["pixels of the output", "units of every node", "input and hidden nodes", "a label"]
)
def test_linear_completion_equals_constrained_least_squares(free):
    config = replace(LINEAR, precisions=(1.0, 2.0, 0.5, 4.0))
    draw, values = np.random.default_rng(4), nodes_like(3)
    masks = [np.full((BATCH, size), False) for size in SIZES]
    masks[-1][:] = True
    given = {-1: values[-1]}
    if free == "pixels of the output":  # a masked image with a known input
        masks[-1] = np.tile([True, False, True, True, False], (BATCH, 1))
        masks[0][:] = True
        given[0], clamped = values[0], {-1: masks[-1][0]}
    elif free == "units of every node":  # different units in every sample
        masks = [draw.random((BATCH, size)) < 0.5 for size in SIZES]
        given, clamped = dict(enumerate(values)), dict(enumerate(masks))
    elif free == "input and hidden nodes":
        clamped = {}
    else:  # half of the input and a hidden node are given
        masks[0][:, :2] = masks[2][:] = True
        given |= {0: values[0], 2: values[2]}
        clamped = {0: masks[0], 2: True}
    found = pccore.complete(network_of(config), given, SOLVE, 0.3, clamped)
    expected, energy = dense_least_squares(config, values, masks)
    assert_close(found.energies.sum(), energy)
    for z, dense in zip(found.activities, expected, strict=True):
        assert_close(z, dense, rtol=1e-6, atol=1e-8)


def test_error_based_inference_finds_the_same_equilibrium():
    network, (x, *_, y) = network_of(TANH), nodes_like(5)
    mask = np.array([True, False, True, True, False])
    given, clamped = {0: x, 2: nodes_like(6)[2], -1: y}, {2: mask[:4], -1: mask}
    by_activities = pccore.complete(network, given, SOLVE, 0.5, clamped)
    by_errors = pccore.complete(network, given, pccore.ErrorBased(2000), 0.5, clamped)
    for ours, theirs in zip(by_errors.activities, by_activities.activities, strict=True):
        assert_close(ours, theirs, rtol=1e-6, atol=1e-8)


def test_clamped_units_have_no_gradient_and_ignore_departures():
    network, values = network_of(TANH), nodes_like(7)
    mask = np.array([True, False, True, True])
    given = {0: values[0], 1: values[1], -1: values[-1]}

    @jax.jit
    def gradient_and_nodes(given, departure):
        relaxation = pccore.clamp(network, given, {1: mask})
        assert relaxation.moving == (1, 2, 3)
        return relaxation.gradient(departure), relaxation.nodes(departure)

    gradient, nodes = gradient_and_nodes(given, tuple(nodes_like(8)[1:-1]))
    assert not np.any(gradient[0][:, mask])
    assert np.all(gradient[0][:, ~mask])
    assert_close(nodes[1][:, mask], values[1][:, mask])


class TestUnsupervised:
    def test_learns_from_the_energy_with_a_free_input(self):
        network, y = network_of(TANH), jnp.asarray(nodes_like(9)[-1])
        rule, beta = pccore.Unsupervised(pccore.GradientDescent(6)), jnp.asarray(0.8)
        loss, gradients = jax.jit(rule.gradients)(network, y[:, :3], y, beta, jax.random.key(0))

        def energy(nodes, network):
            layers = network.layers()
            return pccore.energy(layers, nodes[1:], nodes[0], y)

        start = jnp.full((BATCH, 3), 1 / 3)
        nodes = [start, *network.forward(start)]
        step = jax.jit(jax.grad(energy))
        for _ in range(6):
            nodes = [z - beta * g for z, g in zip(nodes, step(nodes, network), strict=True)]
        expected = jax.jit(jax.grad(energy, argnums=1))(nodes, network)
        jax.tree.map(assert_close, gradients, expected)
        assert_close(loss, 0.5 * np.mean(np.sum((y - network.predict(nodes[0])) ** 2, axis=-1)))

    def test_linear_reconstruction_of_digits_nears_that_of_principal_components(self):
        """The first k components give the smallest squared error of any rank-k reconstruction."""
        data = pccore.data.load("digits")
        generative = pccore.data.generative(data)
        latents = generative.input_size
        network = pccore.NetworkConfig(
            latents, 64, 32, 1, activation="linear", parameterisation="sp", bias=True
        )
        rule = pccore.Unsupervised(pccore.GradientDescent(20))
        config = pccore.TrainingConfig(network, rule, steps=400, eval_every=400)
        with jax.enable_x64(False):
            outcome = pccore.fit(config, generative, pccore.Lane(0.003, 8.0, 0))
        pixels = generative.train_y - generative.train_y.mean(axis=0)
        spectrum = np.linalg.svd(pixels, compute_uv=False) ** 2 / (2 * len(pixels))
        least, most = spectrum[latents:].sum(), spectrum.sum()
        excess = (outcome.final_train_loss - least) / (most - least)
        assert -0.02 < excess < 0.1


def test_generative_data_set_exchanges_labels_and_images():
    data = pccore.data.load("digits")
    exchanged = pccore.data.generative(data)
    assert exchanged.task == "regression"
    assert (exchanged.input_size, exchanged.output_size) == (10, 64)
    np.testing.assert_array_equal(exchanged.train_x.argmax(axis=1), data.train_y)
    np.testing.assert_array_equal(exchanged.train_x.sum(axis=1), 1)
    back = exchanged.test_y * data.std + data.mean
    np.testing.assert_allclose(back, data.test_x, atol=1e-5)
    toy = pccore.data.load("toy_linear")
    there_and_back = pccore.data.generative(pccore.data.generative(toy))
    np.testing.assert_allclose(there_and_back.train_y, toy.train_y)


Y, X = np.zeros((BATCH, 5)), np.zeros((BATCH, 3))


@pytest.mark.parametrize(
    ("values", "clamped", "message"),
    [
        ({5: X}, None, "there is no node 5: nodes go from 0, the input, to 4"),
        ({-6: X}, None, "there is no node -6"),
        ({4: Y, -1: Y}, None, "node 4 is named twice, as 4 and -1"),
        ({0: Y}, None, r"node 0 has activities \(3, 3\), got values \(3, 5\)"),
        ({2: Y}, None, r"node 2 has activities \(3, 4\), got values \(3, 5\)"),
        ({0: X[:2], -1: Y}, None, r"same batch size, got \{0: 2, 4: 3\}"),
        (
            {-1: Y},
            {-1: np.ones(4, bool)},
            r"\(3, 5\) or \(5,\), got \(4,\)",
        ),
        ({-1: Y}, {-1: np.ones(5)}, "mask of node 4 must be boolean, got float64"),
        ({-1: Y}, {1: True}, "node 1 has a mask but no values"),
        ({}, None, "nothing is clamped"),
        (dict(enumerate(map(np.asarray, nodes_like(0)))), None, "nodes 0 to 4 is clamped"),
    ],
)
def test_error_names_node_and_expectation(values, clamped, message):
    with pytest.raises(ValueError, match=message):
        pccore.complete(network_of(TANH), values, pccore.GradientDescent(1), 1.0, clamped)


def test_free_output_needs_an_energy_with_a_minimum():
    network = network_of(replace(TANH, output="cross_entropy"))
    with pytest.raises(ValueError, match="output energy 'mse': CrossEntropy has no minimum"):
        pccore.clamp(network, {0: X})
