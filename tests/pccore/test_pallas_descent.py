"""The Pallas kernel against XLA's inference: interpreted here, compiled where there is a GPU."""

import subprocess
import sys
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fewer import cases, examples
from hypothesis import given
from hypothesis import strategies as st

import pccore
from pccore import native
from pccore.networks import descent, pallas_descent
from pccore.networks.stack import Biases
from pccore.training import reference

CONFIG = pccore.NetworkConfig(6, 3, width=16, depth=4, activation="tanh", bias=True)
GPU = pytest.mark.skipif(jax.default_backend() != "gpu", reason="JAX has no GPU here")


by_lanes = jax.jit(pallas_descent.by_lanes, static_argnums=2)
by_waves = jax.jit(descent.by_waves, static_argnums=2)


def problem(config, batch, seed=0, dtype=jnp.float32):
    """Return the energy of a batch on a network with random weights and biases."""
    draw = np.random.default_rng(seed)

    def normal(*shape, scale=1.0):
        return jnp.asarray(scale * draw.normal(size=shape), dtype)

    D, K, N, H = config.input_size, config.output_size, config.width, config.depth
    scale = 1 if config.parameterisation == "mupc" else N**-0.5
    biases = Biases(normal(H, N, scale=0.3), normal(K, scale=0.3)) if config.bias else None
    last, first = normal(K, N, scale=scale), normal(N, D, scale=scale)
    hidden = normal(H - 1, N, N, scale=scale)
    network = pccore.Network(first, hidden, last, biases, config)
    y = jnp.asarray(np.eye(K)[np.arange(batch) % K], dtype)
    return network.relaxation(normal(batch, D), y)


@st.composite
def configs(draw):
    depth = draw(st.integers(2, 5))
    precision = st.floats(0.5, 2)
    return pccore.NetworkConfig(
        6,
        draw(st.integers(1, 20)),
        width=draw(st.integers(1, 40)),
        depth=depth,
        activation=draw(st.sampled_from(pallas_descent.ACTIVATIONS)),
        residual=draw(st.booleans()),
        parameterisation=draw(st.sampled_from(["mupc", "sp"])),
        output=draw(st.sampled_from(pallas_descent.OUTPUTS)),
        bias=draw(st.booleans()),
        precisions=draw(st.just(()) | st.tuples(*[precision] * (depth + 1))),
    )


def apart(found, expected):
    """Return the largest distance of a layer, relative to that layer."""
    difference = np.linalg.norm(np.asarray(found, np.float64) - np.asarray(expected), axis=(1, 2))
    sizes = np.linalg.norm(np.asarray(expected, np.float64), axis=(1, 2))
    return np.max(difference / np.where(sizes, sizes, 1))


@given(configs(), st.integers(1, 70), st.integers(1, 7), st.integers(0, 99))
@examples(16)
def test_it_is_the_descent_of_the_reference(config, batch, steps, seed):
    """In float64 to float64's rounding, so that every formula is the reference's."""
    assert pallas_descent.covers(config)
    with jax.enable_x64(True):
        relaxation = problem(config, batch, seed, jnp.float64)
        found = by_lanes(relaxation, 0.2, steps)
        expected = by_waves(relaxation, 0.2, steps)
        assert found.shape == expected.shape == (min(steps, config.depth), batch, config.width)
        assert apart(found, expected) < 1e-11


@pytest.mark.parametrize("activation", cases(pallas_descent.ACTIVATIONS[1:], first=1))
def test_float32_at_tuning_width_is_near_float64(activation):
    config = replace(CONFIG, width=64, depth=8, activation=activation, bias=False)
    relaxation = problem(config, 32)
    found = by_lanes(relaxation, 0.2, 8)
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), relaxation)
        assert apart(found, by_waves(exact, 0.2, 8)) < 1e-5


def test_lanes_are_those_of_calls_of_their_own():
    """Weights, rates and samples differ between lanes, which are an axis of the grid."""
    lanes = [problem(CONFIG, 20, seed) for seed in range(3)]
    rates = jnp.array([0.1, 0.2, 0.3])
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *lanes)
    call = partial(pallas_descent.by_lanes, steps=4)
    together = jax.jit(jax.vmap(call))(stacked, rates)
    for lane, rate, found in zip(lanes, rates, together, strict=True):
        assert apart(found, by_waves(lane, rate, 4)) < 1e-5


def test_training_takes_it_where_the_variable_says_so(monkeypatch):
    data = pccore.data.load("digits")
    network = pccore.NetworkConfig(64, 10, width=16, depth=3, activation="tanh")
    rule = pccore.PredictiveCoding(pccore.GradientDescent(3))
    config = pccore.TrainingConfig(network, rule, steps=3, eval_every=3)
    lanes = [pccore.Lane(0.001, 1.0, seed) for seed in range(2)]
    monkeypatch.setenv(native.VARIABLE, "0")
    assert rule.path(network) == native.XLA
    expected = pccore.fit_many(config, data, lanes)
    monkeypatch.setenv(pallas_descent.VARIABLE, "interpret")
    jax.clear_caches()
    assert rule.path(network) == pallas_descent.PATH
    called = []
    original = pallas_descent.by_lanes
    monkeypatch.setattr(
        pallas_descent, "by_lanes", lambda *args: called.append(1) or original(*args)
    )
    for one, other in zip(pccore.fit_many(config, data, lanes), expected, strict=True):
        assert one.min_train_loss == pytest.approx(other.min_train_loss, rel=1e-3)
    assert called


def test_it_is_differentiated_in_the_form_of_xla():
    relaxation = problem(replace(CONFIG, depth=2), 4)

    def size(call, rate):
        return jnp.sum(call(relaxation, rate, 2) ** 2)

    found, expected = (
        jax.jit(jax.grad(partial(size, call)))(0.2)
        for call in (pallas_descent.by_lanes, descent.by_waves)
    )
    assert found == pytest.approx(float(expected), rel=1e-5)


OTHERS = {
    "activation": replace(CONFIG, activation="gelu"),
    "skip": replace(CONFIG, skip=2),
    "decay": replace(CONFIG, activity_decay=0.1),
    "one layer": replace(CONFIG, depth=1),
    "order": replace(CONFIG, order="weights_first"),
    "wide": replace(CONFIG, width=129, depth=2),
    "deep": replace(CONFIG, width=128, depth=9),
    "convolutional": pccore.ConvolutionalStackConfig(784, 10, width=16, depth=3, patch=7),
}


@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS)
def test_other_networks_take_xla(config, monkeypatch):
    monkeypatch.setenv(pallas_descent.VARIABLE, "interpret")
    assert pallas_descent.path(config) is None


def test_a_tile_fits_half_of_the_registers():
    """16 samples of 8 x 128 and 32 of 8 x 64: start and departure take 128 KB."""
    for width, expected in ((128, 16), (64, 32), (16, 64)):
        config = replace(CONFIG, width=width, depth=8)
        assert pallas_descent.samples(config) == expected
        assert 2 * 4 * 8 * expected * width <= pallas_descent.RESIDENT


@pytest.mark.parametrize("value", [None, "0", "1"])
def test_it_is_off_without_a_gpu(value, monkeypatch):
    monkeypatch.delenv(pallas_descent.VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(pallas_descent.VARIABLE, value)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert not pallas_descent.enabled()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert pallas_descent.enabled() == (value == "1")


def test_pallas_is_imported_when_it_runs():
    code = (
        "import sys, pccore; from pccore.networks import pallas_descent;"
        "sys.exit('jax.experimental.pallas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, depth=8, width=128, output_size=10)])
@pytest.mark.parametrize("output", pallas_descent.OUTPUTS)
def test_triton_accepts_the_kernel(config, output):
    """JAX translates it into Triton's language without a GPU; Triton's compiler needs one."""
    relaxation = problem(replace(config, output=output), 8)
    call = partial(pallas_descent._call, steps=3, interpret=False)
    traced = jax.jit(jax.vmap(call, in_axes=(None, 0))).trace(relaxation, jnp.ones(2))
    assert "triton" in traced.lower(lowering_platforms=("cuda",)).as_text()


@GPU
@pytest.mark.gpu
@pytest.mark.parametrize("activation", pallas_descent.ACTIVATIONS)
@pytest.mark.parametrize("width", [64, 128])
def test_compiled_kernel_is_near_float64(activation, width):
    """On the GPU's own float32, not TF32, lanes in one call."""
    config = replace(CONFIG, width=width, depth=8, activation=activation)
    lanes = [problem(config, 64, seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *lanes)
    call = jax.jit(jax.vmap(lambda relaxation: pallas_descent.by_lanes(relaxation, 0.2, 8)))
    with jax.default_matmul_precision("float32"):
        found = call(stacked)
    with jax.enable_x64(True):
        for lane, departure in zip(lanes, found, strict=True):
            exact = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), lane)
            assert apart(departure, descent.by_waves(exact, 0.2, 8)) < 1e-4


@GPU
@pytest.mark.gpu
@pytest.mark.parametrize("chosen", ["0", "1"])
def test_training_on_a_gpu_is_near_float64(chosen, monkeypatch):
    monkeypatch.setenv(pallas_descent.VARIABLE, chosen)
    jax.clear_caches()
    assert reference.deviation() < reference.TOLERANCE
