"""General networks: equality with the stacked closed forms, training, and errors."""

from dataclasses import replace
from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fewer import cases

import pccore
from pccore.training.programs import advance

STACKED = pccore.NetworkConfig(7, 3, width=6, depth=2, activation="tanh", bias=True)
BATCH = 5


def stacked_layers(key):
    return STACKED.build(key).layers()


SEQUENCE = pccore.SequenceConfig((7,), 3, stacked_layers)


class Rows(eqx.Module):
    """The same map for every row of an image."""

    linear: eqx.nn.Linear

    def __call__(self, image):
        return jax.vmap(self.linear)(image)


def image_layers(key):
    """Return rows and a readout, with a new function object in every build."""
    first, second = jax.random.split(key)
    flatten_tanh = eqx.nn.Lambda(lambda z: jnp.tanh(z.ravel()))
    return [
        Rows(eqx.nn.Linear(8, 8, key=first)),
        eqx.nn.Sequential([flatten_tanh, eqx.nn.Linear(64, 10, key=second)]),
    ]


IMAGES = pccore.SequenceConfig((8, 8), 10, image_layers)


@pytest.fixture
def _float64():
    with jax.enable_x64(True):
        yield


@cache
def problem(**options):
    """Return a stacked network, the same network as a sequence, and a batch, in float64."""
    draw, configs = np.random.default_rng(0), (STACKED, SEQUENCE)
    builders = (replace(config, **options).build for config in configs)
    networks = [jax.jit(build)(jax.random.key(1)) for build in builders]
    x, y = draw.normal(size=(BATCH, 7)), draw.dirichlet(np.ones(3), size=BATCH)
    networks = jax.tree.map(lambda w: jnp.asarray(np.asarray(w, float)), networks)
    return *networks, jnp.asarray(x), jnp.asarray(y)


def assert_close(actual, expected, rtol=1e-10, atol=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


@partial(jax.jit, static_argnums=0)
def inferred(scheme, network, x, y, beta):
    """Return activities after inference, the energy, and the steps taken."""
    relaxation = network.relaxation(x, y)
    inference = scheme.infer(relaxation, beta)
    z = jnp.stack(list(relaxation.activities(inference.departure)))
    return z, jnp.sum(relaxation.energies(inference.departure)), inference.steps


@jax.jit
def everything(network, x, y, departure, errors):
    """Return the results of all methods of a relaxation, and of backpropagation."""
    relaxation = network.relaxation(x, y)
    loss, slopes = pccore.Backpropagation().gradients(network, x, y, x[0, 0], jax.random.key(0))
    stacks = relaxation.gradient(departure), relaxation.error_gradient(errors)
    swept = relaxation.departure_of(errors), relaxation.errors_of(departure)
    activities = network.forward(x), relaxation.activities(departure)
    plain = network.predict(x), loss, relaxation.loss(), relaxation.energies(departure)
    stacks = [jnp.stack(list(values)) for values in (*stacks, *swept, *activities)]
    return stacks, plain, (relaxation.weight_gradients(departure), slopes)


def in_stacks(gradients):
    """Return the gradients of a sequence with biases, in the layout of the stacked network."""
    (w1, b1), *hidden, (w3, b3) = gradients.weights
    return pccore.Network(
        first=w1,
        hidden=jnp.stack([w for w, _ in hidden]),
        last=w3,
        biases=pccore.Biases(jnp.stack([b1, *[b for _, b in hidden]]), b3),
        config=STACKED,
    )


SCHEMES = [
    pccore.GradientDescent(4),
    pccore.ToConvergence(30),
    pccore.ActivityOptimiser(4, "adam"),
    pccore.ErrorBased(4),
    pccore.AdaptiveFlow(time=4.0),
]


@pytest.mark.usefixtures("_float64")
class TestAgainstTheStackedNetwork:
    def test_relaxation_and_backpropagation(self):
        options = {"output": "cross_entropy", "activity_decay": 0.2}
        stacked, sequence, x, y = problem(**options, precisions=(2.0, 0.5, 3.0))
        away = jnp.asarray(np.random.default_rng(3).normal(size=(2, 2, BATCH, 6)))
        *expected, slopes = everything(stacked, x, y, *away)
        *actual, gradients = everything(sequence, x, y, tuple(away[0]), tuple(away[1]))
        jax.tree.map(assert_close, actual, expected)
        for ours, theirs in zip(gradients, slopes, strict=True):
            leaves = jax.tree.leaves(in_stacks(ours)), jax.tree.leaves(theirs)
            jax.tree.map(assert_close, *leaves)

    @pytest.mark.parametrize("scheme", cases(SCHEMES, 4), ids=lambda scheme: type(scheme).__name__)
    def test_inference_schemes(self, scheme):
        stacked, sequence, x, y = problem()
        expected = inferred(scheme, stacked, x, y, jnp.asarray(0.5))
        actual = inferred(scheme, sequence, x, y, jnp.asarray(0.5))
        # adaptive steps, and Adam near a gradient of zero, magnify rounding
        jax.tree.map(partial(assert_close, rtol=1e-7, atol=1e-9), actual, expected)

    def test_rejects_exact_inference(self):
        _, sequence, x, y = problem()
        with pytest.raises(ValueError, match="closed form, got SequenceRelaxation"):
            pccore.ExactSolution().infer(sequence.relaxation(x, y), jnp.asarray(1.0))


def test_linear_chain_has_closed_form_equilibrated_energy():
    """F* = L / s, s = 1 + sum_{l=2}^L (w_L .. w_l)^2 (thesis eq. B.46)."""
    chain = pccore.NetworkConfig(
        1, 1, 1, depth=4, activation="linear", residual=False, parameterisation="sp"
    )
    with jax.enable_x64(True):
        w = np.array([0.8, -1.1, 0.7, 1.3, 0.9])
        network = pccore.Network(
            *(jnp.asarray(part) for part in (w[:1, None], w[1:4, None, None], w[4:, None])),
            biases=None,
            config=chain,
        )
        x, y = jnp.asarray([[1.0], [-0.4]]), jnp.asarray([[0.3], [2.0]])
        scheme = pccore.ToConvergence(2000, tolerance=1e-12)
        _, energy, _ = inferred(scheme, network, x, y, jnp.asarray(0.5))
        s = 1 + sum(np.prod(w[place:]) ** 2 for place in range(1, 5))
        loss = 0.5 * np.mean((np.asarray(y) - np.prod(w) * np.asarray(x)) ** 2)
        assert_close(energy, loss / s)


class TestTraining:
    RULE = pccore.PredictiveCoding(pccore.GradientDescent(2))
    CONFIG = pccore.TrainingConfig(IMAGES, RULE, batch_size=32, steps=60, eval_every=60)
    LANES = (pccore.Lane(0.01, 3.0, 0), pccore.Lane(0.02, 3.0, 1))

    def test_learns_digits_without_recompilation(self):
        data = pccore.data.load("digits")
        outcomes = pccore.fit_many(self.CONFIG, data, self.LANES)
        compiled = advance._cache_size()
        again = pccore.fit_many(self.CONFIG, data, self.LANES[::-1])
        assert advance._cache_size() == compiled
        for outcome in (*outcomes, *again):
            assert outcome.status is pccore.Status.TRAINED
            assert outcome.test_accuracy > 0.8


class Weight(eqx.Module):
    weight: jax.Array

    def __call__(self, z):
        return self.weight @ z


def hiding(key):
    weight = jax.random.normal(key, (3, 7))
    return [lambda z: weight @ z]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            lambda key: [eqx.nn.Linear(7, 5, key=key), eqx.nn.Linear(4, 3, key=key)],
            r"layer 2 \(Linear\) expects in_features = 4, but layer 1 gives shape \(5,\)",
        ),
        (
            lambda key: [eqx.nn.Conv2d(2, 3, 3, key=key)],
            r"layer 1 \(Conv2d\) expects in_channels = 2, but the input gives shape \(7,\)",
        ),
        (
            lambda key: [jnp.tanh, lambda z: z @ jnp.ones((6, 3))],
            r"layer 2 \(<lambda>\) cannot take layer 1's shape \(7,\)",
        ),
        (
            lambda key: [eqx.nn.Linear(7, 4, key=key)],
            r"layer 1 \(Linear\), the last, must give the shape \(3,\), got \(4,\)",
        ),
        (lambda key: [lambda z: (z, z)], "layer 1 .* must give one array, got tuple"),
        (lambda key: [Weight(jnp.ones((3, 7), int))], "layer 1 .* int.* only floating-point"),
        (hiding, "layer 1 .* captures weights"),
        (lambda key: [], "at least one layer"),
    ],
)
def test_names_layer_that_does_not_fit(layers, message):
    with pytest.raises(ValueError, match=message):
        pccore.SequenceConfig((7,), 3, layers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precisions": (1.0, 2.0)}, "one per layer, 3, got 2"),
        ({"precisions": (1.0, 2.0, 0.0)}, "precisions must be positive"),
        ({"activity_decay": -1.0}, "activity_decay"),
        ({"output": "mean"}, "unknown output energy 'mean'"),
        ({"input_shape": ()}, "input_shape"),
        ({"output_size": 0}, "output_size"),
    ],
)
def test_rejects_invalid_settings(options, message):
    with pytest.raises(ValueError, match=message):
        replace(SEQUENCE, **options)


def test_captured_constants_are_not_trained():
    def layers(key):
        scale, weight = jnp.sqrt(4.0), np.ones((3, 7), np.float32)
        return [lambda z: scale * z, lambda z: weight @ z]

    network = pccore.SequenceConfig((7,), 3, layers).build(jax.random.key(0))
    assert jax.tree.leaves(network) == []
    np.testing.assert_allclose(network.predict(jnp.ones((2, 7))), np.full((2, 3), 14.0))
