"""The convolutional network of thesis B.4 against an explicit energy, and on digits."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pccore

CONFIG = pccore.ConvolutionalConfig((2, 5, 4), 3, channels=(3, 4), width=6, activation="tanh")
SHAPES = [(2, 2, 3), (1, 1, 4), (6,)]


def pooled(maps):
    """Return the maximum of every two by two, without an odd last row."""
    window = (1, 2, 2, 1)
    return jax.lax.reduce_window(maps, -jnp.inf, jax.lax.max, window, window, "VALID")


def convolved(z, kernel):
    """Convolve by the library function."""
    kernel = kernel.reshape(3, 3, z.shape[-1], -1)
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(z, kernel, (1, 1), "SAME", dimension_numbers=layout)


def written_out(network, z, x, y):
    """Return the energy of two blocks and two linear layers."""
    (k1,), (k2,), (w3,), (w4,) = network.weights
    predictions = [
        pooled(convolved(jnp.moveaxis(x.reshape(-1, *CONFIG.input_shape), 1, -1), k1)),
        pooled(convolved(jnp.tanh(z[0]), k2)),
        jnp.tanh(z[1]).reshape(len(x), -1) @ w3.T,
        jnp.tanh(z[2]) @ w4.T,
    ]
    errors = [a - p for a, p in zip([*z, y], predictions, strict=True)]
    return sum(0.5 * jnp.sum(e**2) for e in errors) / len(x)


def test_activity_and_weight_gradients():
    @jax.jit
    def ours_and_written_out(network, x, y, departure):
        relaxation = network.relaxation(x, y)
        z = relaxation.activities(departure)
        energy, slopes = jax.value_and_grad(written_out, argnums=(0, 1))(network, z, x, y)
        ours = relaxation.weight_gradients(departure), relaxation.gradient(departure)
        return (jnp.sum(relaxation.energies(departure)), ours), (energy, slopes)

    def close(actual, expected):
        np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)

    draw = np.random.default_rng(0)
    with jax.enable_x64(True):
        network = jax.eval_shape(CONFIG.build, jax.random.key(0))
        network = jax.tree.map(lambda w: draw.normal(size=w.shape), network)
        x, y = draw.normal(size=(4, CONFIG.input_size)), draw.normal(size=(4, 3))
        departure = tuple(draw.normal(size=(4, *shape)) for shape in SHAPES)
        ours, (energy, (weights, slopes)) = ours_and_written_out(network, x, y, departure)
        slopes = jax.tree.map(lambda g: 4 * g, slopes)
        jax.tree.map(close, ours, (energy, (weights, slopes)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_shapes_of_digits_mnist_and_cifar10(shape):
    config = pccore.ConvolutionalConfig(shape, 10)
    network = jax.eval_shape(config.build, jax.random.key(0))
    sizes = [w.size for (w,) in network.weights]
    side = shape[1] // 8
    assert sizes == [
        *[9 * below * above for below, above in pairwise((shape[0], 64, 128, 256))],
        side**2 * 256 * 4096,
        4096 * 10,
    ]
    x = jax.ShapeDtypeStruct((2, config.input_size), jnp.float32)
    assert jax.eval_shape(lambda n, x: n.predict(x), network, x).shape == (2, 10)


def test_initial_weights_have_given_standard_deviation():
    config = pccore.ConvolutionalConfig((3, 8, 8), 10, (16,), 32, weight_std=5e-3)
    for (w,) in jax.jit(config.build)(jax.random.key(0)).weights:
        # the relative standard error of a standard deviation is 1 / sqrt(2 n)
        assert np.std(w) == pytest.approx(5e-3, rel=4 / np.sqrt(2 * w.size))


@pytest.mark.slow
def test_learns_digits():
    config = pccore.TrainingConfig(
        pccore.ConvolutionalConfig((1, 8, 8), 10, channels=(8, 16), width=32),
        pccore.PredictiveCoding(pccore.GradientDescent(4)),
        batch_size=32,
        steps=80,
        eval_every=80,
    )
    outcome = pccore.fit(config, pccore.data.load("digits"), pccore.Lane(0.005, 5.0, 0))
    assert outcome.test_accuracy > 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (64,)}, r"input_shape must be \(C, H, W\)"),
        ({"input_shape": (1, 8, 7)}, "at least 8 for 3 blocks"),
        ({"channels": ()}, "channels"),
        ({"channels": (4, 0)}, "channels"),
        ({"width": 0}, "width"),
        ({"activation": "cube"}, "unknown activation 'cube'"),
        ({"weight_std": 0.0}, "weight_std"),
        ({"precisions": (1.0,)}, "one per layer, 5, got 1"),
    ],
)
def test_rejects_invalid_settings(options, message):
    settings = {"input_shape": (1, 8, 8), "output_size": 10, **options}
    with pytest.raises(ValueError, match=message):
        pccore.ConvolutionalConfig(**settings)
