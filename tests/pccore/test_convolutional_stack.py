"""Convolutional stacks against XLA's convolutions, automatic differentiation and dense stacks."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fewer import cases
from pc_problems import energy, problem

import pccore
from pccore.linear_maps import Convolution, Dense, MeanOverPlaces, Patches
from pccore.spectrum import lambda_max

CONFIG = pccore.ConvolutionalStackConfig(
    input_size=2 * 4 * 6, output_size=3, width=3, depth=4, activation="tanh", image=(2, 4, 6),
    patch=2,
)  # fmt: skip
MAPS = [
    (Dense(), 4, (3, 4)),
    (Convolution(3, 4), 3 * 4 * 2, (3, 9 * 2)),
    (Convolution(2, 3, kernel=5), 2 * 3 * 2, (1, 25 * 2)),
    (Patches(2, 4, 6, 2), 2 * 4 * 6, (3, 2 * 2 * 2)),
    (MeanOverPlaces(6), 6 * 2, (3, 2)),
]


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("linear", "units", "shape"), MAPS)
@pytest.mark.parametrize("layers", [(), (2,)])
def test_transpose_and_outer_are_gradients(linear, units, shape, layers, float64):
    draw = np.random.default_rng(0)
    W = jnp.asarray(draw.normal(size=(*layers, *shape)))
    z = jnp.asarray(draw.normal(size=(*layers, 2, units)))
    e = jnp.asarray(draw.normal(size=(*layers, 2, linear.places * shape[0])))

    def product(W, z):
        return jnp.sum(e * linear.apply(W, z))

    def both(W, z):
        return (linear.outer(e, z), linear.transpose(W, e)), jax.grad(product, (0, 1))(W, z)

    jax.tree.map(assert_close, *jax.jit(both)(W, z))


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_convolution_is_that_of_xla(kernel, float64):
    h, w, C, M = 4, 3, 2, 3
    draw = np.random.default_rng(1)
    W = jnp.asarray(draw.normal(size=(M, kernel * kernel * C)))
    z = jnp.asarray(draw.normal(size=(2, h * w * C)))
    expected = jax.lax.conv_general_dilated(
        z.reshape(2, h, w, C),
        W.reshape(M, kernel, kernel, C),
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "OHWI", "NHWC"),
    )
    assert_close(Convolution(h, w, kernel).apply(W, z), expected.reshape(2, -1))


def test_patches_are_a_convolution_with_stride(float64):
    C, h, w, p, M = 2, 4, 6, 2, 3
    draw = np.random.default_rng(2)
    W = jnp.asarray(draw.normal(size=(M, C * p * p)))
    x = jnp.asarray(draw.normal(size=(2, C * h * w)))
    expected = jax.lax.conv_general_dilated(
        x.reshape(2, C, h, w),
        W.reshape(M, C, p, p),
        window_strides=(p, p),
        padding="VALID",
        dimension_numbers=("NCHW", "OIHW", "NHWC"),
    )
    assert_close(Patches(C, h, w, p).apply(W, x), expected.reshape(2, -1))


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, residual=False, output="cross_entropy", bias=True),
        replace(CONFIG, skip=2, precisions=(2.0, 0.5, 1.0, 3.0, 0.25), activity_decay=0.1),
    ],
    ids=["residual", "plain", "skips"],
)
def test_gradients_are_those_of_the_energy(config, float64):
    network, x, y = problem(config)
    relaxation = network.relaxation(x, y)
    z = jax.jit(lambda network: network.forward(x))(network)
    assert z.shape == (config.depth, len(x), config.units)
    departure = 0.3 * jax.random.normal(jax.random.key(9), z.shape, z.dtype)

    @jax.jit
    def expected(network, z):
        return jax.value_and_grad(energy, (0, 1))(network, z, x, y)

    total, (by_weights, by_activities) = expected(network, z + departure)
    assert_close(jnp.sum(relaxation.energies(departure)), total)

    def closed_form(relaxation, departure):
        back = relaxation.departure_of(relaxation.errors_of(departure))
        return relaxation.gradient(departure), relaxation.weight_gradients(departure), back

    found = jax.jit(closed_form)(relaxation, departure)
    jax.tree.map(assert_close, found, (len(x) * by_activities, by_weights, departure))


@pytest.mark.parametrize(
    "scheme",
    cases(
        [
            pccore.GradientDescent(6),
            pccore.AugmentedLagrangian(6),
            pccore.GaussNewton(1),
            pccore.ErrorBased(2),
            pccore.Nesterov(6),
        ],
        3,
    ),
    ids=lambda scheme: type(scheme).__name__,
)
def test_schemes_agree_with_a_sequence_of_the_same_layers(scheme, float64):
    """The general relaxation differentiates the energy of the layers automatically."""
    network, x, y = problem(CONFIG)

    @partial(jax.jit, static_argnums=0)
    def gradients(energy_of, network):
        relaxation = energy_of(network)
        departure = scheme.infer(relaxation, jnp.asarray(0.4)).departure
        return relaxation.weight_gradients(departure)

    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-10),
        gradients(lambda network: network.relaxation(x, y), network),
        gradients(lambda network: pccore.clamp(network, {0: x, -1: y}), network),
    )


def test_one_place_and_a_kernel_of_one_make_a_dense_stack(float64):
    dense = pccore.NetworkConfig(4, 3, width=5, depth=3, activation="tanh", bias=True)
    config = pccore.ConvolutionalStackConfig(
        4, 3, width=5, depth=3, activation="tanh", bias=True, image=(1, 2, 2), patch=2, kernel=1
    )
    assert config.scalings == dense.scalings
    assert config.products == dense.products
    (network, x, y), (other, *_) = problem(config), problem(dense)
    departure = jnp.ones((config.depth, len(x), config.units))

    @jax.jit
    def gradients(network):
        return jax.tree.leaves(network.relaxation(x, y).weight_gradients(departure))

    jax.tree.map(assert_close, gradients(network), gradients(other))


def test_premultipliers_follow_from_fan_ins():
    a = CONFIG.scalings
    assert (a.first, a.hidden, a.last) == pytest.approx((8**-0.5, (9 * 3 * 5) ** -0.5, 1 / 3))
    plain = replace(CONFIG, residual=False).scalings
    assert plain.hidden == pytest.approx((9 * 3) ** -0.5)


def test_multiply_adds_of_a_forward_pass():
    """Six places; 8 weights of a patch, 27 of a kernel, and 3 of the mean, per output."""
    assert CONFIG.products == (6 * 3 * 8, 6 * 3 * 3 * 27, 3 * 3)
    assert CONFIG.weights == 3 * 8 + 3 * 3 * 27 + 3 * 3
    assert CONFIG.units == 6 * 3


def sizes(config):
    """Return RMS activities, lambda_max, and the RMS of inference's and an update's changes."""
    x = jax.random.normal(jax.random.key(1), (8, config.input_size))
    y = jax.nn.one_hot(jnp.arange(8) % config.output_size, config.output_size)

    def rms(values):
        return jnp.sqrt(jnp.mean(values**2))

    @jax.jit
    @jax.vmap
    def measured(key):
        network = config.build(key)
        relaxation = network.relaxation(x, y)
        curvature = lambda_max(relaxation, 16)
        scheme = pccore.AugmentedLagrangian(2 * config.depth)
        departure = scheme.infer(relaxation, len(x) / 2 / curvature).departure
        slopes = relaxation.weight_gradients(departure)
        step = jax.tree.map(lambda w, g: w - 1e-4 * jnp.sign(g), network, slopes)
        top = network.forward(x)[-1]
        changes = rms(departure[-1]), rms(step.forward(x)[-1] - top)
        return jnp.array([rms(top), curvature, *changes])

    return np.asarray(measured(jax.random.split(jax.random.key(0), 4))).mean(axis=0)


@pytest.mark.slow
def test_sizes_change_with_width_and_depth_as_in_dense_stacks():
    """muPC's scalings are derived for dense layers; a kernel's fan-in takes the place of N.

    Activities and curvature are of order one, and inference changes activities by 1/N, whatever the
    depth. By Adam's step every weight changes by eta, which muPC does not rescale (thesis 5.3.1).
    """

    def conv(width, depth):
        return pccore.ConvolutionalStackConfig(
            64, 4, width, depth, "tanh", image=(1, 8, 8), patch=2
        )

    def dense(width, depth):
        return pccore.NetworkConfig(64, 4, width, depth, "tanh")

    small, same = sizes(conv(16, 4)), sizes(dense(64, 4))
    wider, deeper = sizes(conv(64, 4)) / small, sizes(conv(16, 16)) / small
    np.testing.assert_allclose(wider[:3], [1, 1, 1 / 4], rtol=0.2)
    np.testing.assert_allclose(deeper[:3], [1, 1, 1], rtol=0.3)
    np.testing.assert_allclose(wider, sizes(dense(256, 4)) / same, rtol=0.25)
    np.testing.assert_allclose(deeper, sizes(dense(64, 16)) / same, rtol=0.25)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"image": (1, 4, 6)}, "48 numbers, got"),
        ({"patch": 4}, "patch must divide the 4 rows and 6 columns of the image, got 4"),
        ({"kernel": 2}, "kernel must be odd, got 2"),
        ({"patch": 0}, "patch must be at least 1, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"),
    ],
)
def test_rejects_settings(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(CONFIG, **changes)
