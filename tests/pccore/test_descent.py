"""The layouts of gradient descent against the float64 reference and one another."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache, partial
from math import gcd

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fewer import examples
from hypothesis import Phase, example, given
from hypothesis import strategies as st
from pc_problems import energy

import pccore

# Every example compiles: shrinking a failure would take minutes.
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)


def problem(config, batch, dtype):
    """Return a network, inputs and one-hot targets; precisions differ by rounding only."""
    keys = jax.random.split(jax.random.key(config.depth * 31 + config.width), 3)
    with jax.enable_x64(False):
        network = config.build(keys[0])
        x = jax.random.normal(keys[1], (batch, config.input_size))
        y = jax.nn.one_hot(jnp.arange(batch) % config.output_size, config.output_size)
    return jax.tree.map(lambda v: v.astype(dtype), (network, x, y))


@cache
def compiled(config, steps):
    """Return a function for departures and weight gradients after inference."""

    @jax.jit
    def run(network, x, y, rate):
        relaxation = replace(network, config=config).relaxation(x, y)
        departure = relaxation.descent(rate, steps)
        return departure, relaxation.weight_gradients(departure)

    return run


@partial(jax.jit, static_argnums=0)
def reference(steps, network, x, y, rate):
    """Return departures and weight gradients by automatic differentiation of the energy."""

    def step(_, z):
        return z - rate * len(x) * jax.grad(energy, argnums=1)(network, z, x, y)

    start = network.forward(x)
    z = jax.lax.fori_loop(0, steps, step, start)
    return z - start, jax.grad(energy)(network, z, x, y)


def distance(actual, exact):
    """Return the largest relative error of a layer's weight gradient, in the norm of the layer.

    Layers with an exact gradient below 1e-10 are excluded: the reference computes it from
    activities, with rounding errors of 1e-16 in float64.
    """
    errors = [0.0]
    for name in ("first", "hidden", "last"):
        a, b = (np.asarray(getattr(g, name), np.float64) for g in (actual, exact))
        a, b = (v if v.ndim == 3 else v[None] for v in (a, b))
        norms = np.linalg.norm(b, axis=(1, 2))
        errors.extend((np.linalg.norm(a - b, axis=(1, 2)) / norms)[norms > 1e-10])
    return max(errors)


networks = st.builds(
    pccore.NetworkConfig,
    input_size=st.integers(1, 5),
    output_size=st.integers(1, 4),
    width=st.integers(1, 6),
    depth=st.integers(1, 12),
    activation=st.sampled_from(["relu", "tanh", "linear"]),
    residual=st.booleans(),
    parameterisation=st.sampled_from(["mupc", "sp_gaussian"]),
    output=st.sampled_from(["mse", "cross_entropy"]),
    bias=st.booleans(),
    activity_decay=st.sampled_from([0.0, 0.0, 0.2]),
)


EXPLOSIVE = pccore.NetworkConfig(
    input_size=3,
    output_size=1,
    width=2,
    depth=11,
    activation="linear",
    residual=True,
    parameterisation="sp_gaussian",
    output="cross_entropy",
    activity_decay=0.2,
)
"""A network whose activities reach 100."""

PRECISE = pccore.NetworkConfig(
    input_size=3,
    output_size=2,
    width=3,
    depth=6,
    activation="tanh",
    residual=True,
    precisions=(0.5, 1.5, 0.8, 2.0, 1.2, 0.7, 1.1),
)
"""A network with another precision in every layer."""


@examples(8, phases=UNSHRUNK)
@example(config=EXPLOSIVE, steps=14, batch=1, pick=0)
@example(config=PRECISE, steps=7, batch=2, pick=1)
@given(config=networks, steps=st.integers(1, 14), batch=st.integers(1, 4), pick=st.integers(0, 20))
def test_layouts_equal_reference_in_float64(config, steps, batch, pick):
    divisors = [g for g in range(1, config.depth + 1) if gcd(g, config.depth) == g]
    grouped = replace(config, layers_per_product=divisors[pick % len(divisors)])
    with jax.enable_x64(True):
        arguments = (*problem(config, batch, jnp.float64), jnp.asarray(0.3))
        d, g = reference(steps, *arguments)
        # The reference computes errors from activities, which are rounded at every step to 1e-16
        # of their size. Gradients are products of an error and an activity.
        start = jax.jit(pccore.Network.forward)(*arguments[:2])
        size = float(np.abs([start, start + d]).max())
        of_d, of_g = (1e-13 + 1e-15 * steps * size**power for power in (1, 2))
        for layout in (config, grouped):
            departure, gradients = compiled(layout, steps)(*arguments)
            np.testing.assert_allclose(departure, d[-len(departure) :], rtol=1e-9, atol=of_d)
            assert np.abs(d[: -len(departure)]).max(initial=0) < of_d  # rounding only
            for actual, expected in zip(
                jax.tree.leaves(gradients), jax.tree.leaves(g), strict=True
            ):
                np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=of_g)


@pytest.mark.parametrize(("decay", "moved"), [(0.0, 4), (0.2, 6)])
@pytest.mark.parametrize("group", [0, 2])
def test_four_steps_move_four_layers(group, decay, moved):
    """An error travels one layer a step; decay moves all six at once."""
    config = pccore.NetworkConfig(5, 3, 4, 6, layers_per_product=group, activity_decay=decay)
    given = jax.eval_shape(lambda: (*problem(config, 2, jnp.float32), jnp.float32(0.2)))
    departure, _ = jax.eval_shape(compiled(config, 4), *given)
    assert departure.shape == (moved, 2, 4)


@pytest.mark.slow
@examples(4, phases=UNSHRUNK)
@given(
    depth=st.sampled_from([4, 12, 24]),
    width=st.integers(2, 8),
    residual=st.booleans(),
    batch=st.integers(1, 4),
    group=st.sampled_from([1, 2, 4]),
)
def test_float32_accuracy_of_layouts(depth, width, residual, batch, group):
    """Layouts equal plain descent where float32 resolves its errors, and are closer elsewhere."""
    config = pccore.NetworkConfig(5, 3, width, depth, "tanh", residual)
    with jax.enable_x64(True):
        exact = reference(depth, *problem(config, batch, jnp.float64), jnp.asarray(0.2))[1]
    arguments = (*problem(config, batch, jnp.float32), jnp.float32(0.2))
    full = distance(reference(depth, *arguments)[1], exact)
    for layout in (config, replace(config, layers_per_product=group)):
        ours = distance(compiled(layout, depth)(*arguments)[1], exact)
        assert ours < 1e-4
        assert ours < max(full, 1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers_per_product": 3}, "layers_per_product must divide the depth, 8, .* got 3"),
        ({"layers_per_product": 2, "skip": 2}, "got 2 with skip 2"),
        ({"layers_per_product": -1}, "layers_per_product must be at least 0, got -1"),
    ],
)
def test_rejects_invalid_layouts(options, words):
    with pytest.raises(ValueError, match=words):
        pccore.NetworkConfig(5, 3, 4, 8, **options)


class TestShards:
    NETWORK = pccore.NetworkConfig(64, 10, 12, 4)
    RULE = pccore.PredictiveCoding(pccore.GradientDescent(4))

    def test_rejects_shards_that_do_not_divide_batch(self):
        with pytest.raises(ValueError, match="batch_shards must divide batch_size 64, got 3"):
            pccore.TrainingConfig(self.NETWORK, self.RULE, batch_shards=3)

    def test_rejects_more_shards_than_devices(self):
        config = pccore.TrainingConfig(self.NETWORK, self.RULE, batch_shards=32, steps=1)
        with pytest.raises(ValueError, match="batch_shards 32 needs as many devices"):
            pccore.fit(config, pccore.data.load("digits"), pccore.Lane(0.01, 1.0, 0))

    @pytest.mark.slow
    def test_shards_train_like_one_device(self):
        program = """
import numpy as np, pccore
from dataclasses import replace
digits = pccore.data.load("digits")
network = pccore.NetworkConfig(64, 10, 12, 4)
lanes = [pccore.Lane(0.05, 5.0, 0), pccore.Lane(0.02, 2.0, 1)]
for rule in (pccore.PredictiveCoding(pccore.GradientDescent(4)), pccore.Backpropagation()):
    config = pccore.TrainingConfig(network, rule, steps=30, eval_every=10)
    whole = pccore.fit_many(config, digits, lanes)
    split = pccore.fit_many(replace(config, batch_shards=2), digits, lanes)
    for a, b in zip(whole, split, strict=True):
        np.testing.assert_allclose(b.curve.train_loss, a.curve.train_loss, rtol=1e-3)
        assert b.final_train_loss < 0.9 * b.curve.train_loss[0]
print("equal")
"""
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.strip() == "equal", done.stderr
