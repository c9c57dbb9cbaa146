"""The desiderata of thesis 5.5 on networks with known results."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pc_problems as problems
import pytest

import pccore
from pccore.theory import ForwardNorms, desiderata, forward_norms

DEEP = pccore.NetworkConfig(16, 3, 32, 24, activation="linear")


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def batch(config):
    draw = np.random.default_rng(0)
    x = jnp.asarray(draw.normal(size=(8, config.input_size)))
    return x, jnp.asarray(draw.normal(size=(8, config.output_size)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        pccore.NetworkConfig(4, 3, 5, 1),
        pccore.NetworkConfig(4, 3, 1, 4, activation="tanh"),
        pccore.NetworkConfig(4, 3, 5, 4, skip=2, bias=True, parameterisation="sp"),
    ],
)
def test_forward_norms_match_a_loop_over_layers(config):
    network, x, y = problems.problem(config)
    z, expected = x, []
    layers = network.layers()[:-1]
    activities = []
    for place, layer in enumerate(layers):
        z = layer(z)
        if config.skip > 1 and place >= config.skip:
            z = z + activities[place - config.skip]
        activities.append(z)
        expected.append(float(np.sqrt(np.mean(np.asarray(z) ** 2))))
    np.testing.assert_allclose(forward_norms(network, x), expected, rtol=1e-12)
    found = jax.jit(ForwardNorms().measure)(network, x, y, jnp.nan)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {
            "forward_rms_first": expected[0],
            "forward_rms_last": expected[-1],
            "forward_rms_max": max(expected),
            "forward_rms_min": min(expected),
        }
    )


@pytest.mark.parametrize(
    ("change", "growth", "stable", "well_conditioned"),
    [
        # growth of the mean square per layer: 1 + 1/L, 2, 1/3 and 1 (table 5.1, fig. C.30)
        ({}, math.e**0.5, True, False),
        ({"parameterisation": "sp_gaussian"}, 2**11.5, False, False),
        ({"parameterisation": "sp", "residual": False}, 3**12, False, True),
        ({"parameterisation": "orthogonal", "residual": False}, 1, True, False),
    ],
)
def test_parameterisations_satisfy_the_desiderata_of_the_thesis(
    change, growth, stable, well_conditioned
):
    """Desiderata 1 and 3 exclude each other: stable forward passes are ill-conditioned (fig. 5.4).

    Activities of plain SP vanish; random-matrix theory bounds its condition number by 42.7.
    """
    config = replace(DEEP, **change)
    x, y = batch(config)
    found = desiderata(config.build(jax.random.key(1)), x, y)
    assert found.stable_forward_pass.satisfied is stable
    assert found.well_conditioned.satisfied is well_conditioned
    # norms of one narrow network scatter around their mean, more so in deep ones
    assert abs(math.log(found.stable_forward_pass.value / growth)) < 1.2
    assert len(found.forward_norms) == config.depth
    assert found.trained_norms is None
    assert found.stable_forward_pass_in_training is None
    assert found.stable_conditioning_in_training is None


def test_trained_network_is_compared_with_initialisation():
    x, y = batch(DEEP)
    network = DEEP.build(jax.random.key(0))
    same = desiderata(network, x, y, network)
    assert same.stable_forward_pass_in_training.value == same.stable_forward_pass.value
    assert same.stable_conditioning_in_training.value == pytest.approx(1)
    grown = desiderata(network, x, y, replace(network, hidden=10 * network.hidden))
    assert not grown.stable_forward_pass_in_training.satisfied
    assert not grown.stable_conditioning_in_training.satisfied
    assert grown.stable_forward_pass == same.stable_forward_pass
    assert grown.trained_norms[-1] > 10 * grown.forward_norms[-1]


def test_zero_activities_are_not_stable():
    x, y = batch(DEEP)
    network = DEEP.build(jax.random.key(0))
    dead = desiderata(replace(network, first=0 * network.first), x, y)
    assert dead.stable_forward_pass.value == math.inf
    assert not dead.stable_forward_pass.satisfied
    nothing = replace(dead.well_conditioned, value=math.nan)
    assert not nothing.satisfied


def test_custom_thresholds():
    x, y = batch(DEEP)
    network = DEEP.build(jax.random.key(0))
    strict = desiderata(network, x, y, factor=1.0, condition_number=1e9)
    assert not strict.stable_forward_pass.satisfied
    assert strict.well_conditioned.satisfied
