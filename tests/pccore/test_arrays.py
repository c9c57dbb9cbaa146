"""Named arrays of networks, their description, and predictions from both without pccore."""

import json
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st

import pccore
from pccore.networks.arrays import array_shapes

STACK = pccore.NetworkConfig(input_size=6, output_size=3, width=5, depth=4)
PLAIN = replace(STACK, residual=False)


def layers(key):
    first, second = jax.random.split(key)
    top = eqx.nn.Sequential([eqx.nn.Lambda(jnp.tanh), eqx.nn.Linear(4, 3, key=second)])
    return [eqx.nn.Linear(6, 4, key=first), top]


NETWORKS = {
    "stack": STACK,
    "one hidden layer": replace(STACK, depth=1, bias=True),
    "skips over two layers": replace(STACK, skip=2, bias=True),
    "convolutional": pccore.ConvolutionalStackConfig(
        16, 3, width=5, depth=3, bias=True, image=(1, 4, 4), patch=2
    ),
    "hybrid": pccore.HybridConfig(STACK, pccore.mirror(STACK)),
    "bidirectional": pccore.BidirectionalConfig(STACK, pccore.mirror(STACK)),
    "hopfield": pccore.HopfieldConfig(PLAIN),
    "own layers": pccore.SequenceConfig((6,), 3, layers),
}


@pytest.fixture(params=NETWORKS)
def config(request):
    return NETWORKS[request.param]


def test_round_trip_gives_the_same_network(config):
    network = config.build(jax.random.key(3))
    arrays = pccore.to_arrays(network)
    again = pccore.from_arrays(config, dict(reversed(arrays.items())))
    assert jax.tree.structure(again) == jax.tree.structure(network)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(network), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert {name: array.shape for name, array in arrays.items()} == {
        name: shape.shape for name, shape in array_shapes(config).items()
    }


def test_layers_are_numbered_from_the_input():
    network = replace(STACK, bias=True).build(jax.random.key(0))
    arrays = pccore.to_arrays(network)
    assert list(arrays) == [f"layers.{n}.{kind}" for n in range(5) for kind in ("weight", "bias")]
    np.testing.assert_array_equal(arrays["layers.0.weight"], network.first)
    np.testing.assert_array_equal(arrays["layers.2.weight"], network.hidden[1])
    np.testing.assert_array_equal(arrays["layers.4.weight"], network.last)
    assert arrays["layers.4.bias"].shape == (3,)


def test_stacks_of_a_network_are_named_by_their_field():
    names = array_shapes(NETWORKS["hybrid"])
    assert {name.partition(".")[0] for name in names} == {"amortiser", "generator"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"layers.2.weight": None}, "the weights lack 'layers.2.weight'"),
        ({"layers.9.weight": np.ones(1)}, "the weights have, .* 'layers.9.weight'"),
        ({"layers.0.weight": np.ones((6, 5))}, r"layers.0.weight is float64 \(6, 5\), .*\(5, 6\)"),
        ({"layers.0.weight": np.ones((5, 6), int)}, "layers.0.weight is int64"),
    ],
)
def test_arrays_of_another_network_are_refused(change, sentence):
    arrays = pccore.to_arrays(STACK.build(jax.random.key(0))) | change
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(ValueError, match=sentence):
        pccore.from_arrays(STACK, arrays)


PHI = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "linear": lambda z: z,
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
}


def predicted(arrays, about, x):
    """Predict in NumPy, in double precision, as docs/networks.md describes it."""
    H, a, phi, skip = about["depth"], about["scalings"], PHI[about["activation"]], about["skip"]
    W = [arrays[f"layers.{n}.weight"].astype(float) for n in range(H + 1)]
    b = [arrays.get(f"layers.{n}.bias", np.zeros(1)) for n in range(H + 1)]
    z = [a["first"] * x @ W[0].T + b[0]]
    for n in range(1, H):
        below = z[n - skip] if skip and n >= skip else 0
        z.append(a["hidden"] * phi(z[-1]) @ W[n].T + b[n] + below)
    return a["last"] * phi(z[-1]) @ W[H].T + b[H]


@examples(24)
@given(
    activation=st.sampled_from(sorted(PHI)),
    parameterisation=st.sampled_from(sorted(set(pccore.PARAMETERISATIONS) - {"orthogonal"})),
    skip=st.sampled_from([None, 1, 2, 3]),
    bias=st.booleans(),
    depth=st.integers(1, 4),
)
def test_numpy_predicts_from_arrays_and_description(
    activation, parameterisation, skip, bias, depth
):
    config = replace(
        STACK,
        depth=depth,
        activation=activation,
        parameterisation=parameterisation,
        residual=skip is not None,
        skip=skip or 1,
        bias=bias,
    )
    network = config.build(jax.random.key(1))
    # Initial biases are zero, which would hide their place.
    network = jax.tree.map(
        lambda w: w + 0.1 * jnp.arange(w.size).reshape(w.shape) / w.size, network
    )
    x = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    about = json.loads(json.dumps(pccore.describe(config)))
    expected = predicted(pccore.to_arrays(network), about, x)
    np.testing.assert_allclose(network.predict(jnp.asarray(x)), expected, rtol=2e-4, atol=2e-5)


def test_description_of_convolutions_has_their_sizes():
    about = pccore.describe(NETWORKS["convolutional"])
    assert (about["image"], about["patch"], about["kernel"]) == ((1, 4, 4), 2, 3)
    assert about["scalings"]["first"] == 4**-0.5  # 1 channel of 2 x 2 numbers


def test_description_of_several_stacks_has_one_each():
    about = pccore.describe(NETWORKS["hybrid"])
    assert list(about) == ["input_size", "output_size", "amortiser", "generator"]
    assert about["generator"] == pccore.describe(pccore.mirror(STACK))
    assert pccore.describe(NETWORKS["hopfield"])["steps"] == 50


def test_predictor_standardises_raw_samples():
    network = STACK.build(jax.random.key(0))
    predictor = pccore.Predictor(network, mean=100.0, std=50.0)
    x = np.random.default_rng(1).integers(0, 256, (9, 6), np.uint8)
    outputs = network.predict(jnp.asarray((x.astype(np.float32) - 100) / 50))
    np.testing.assert_allclose(predictor(x), outputs, rtol=1e-4, atol=1e-6)
    labels = np.argmax(outputs, axis=1)
    np.testing.assert_array_equal(predictor.labels(x), labels)
    assert predictor.accuracy(x, labels) == 1
    others = np.where(np.arange(9) == 0, (labels + 1) % 3, labels)
    assert predictor.accuracy(x, others) == pytest.approx(8 / 9)
    for wrong in (np.array(["a"] * 9), labels[:-1], labels[:, None]):
        with pytest.raises(ValueError, match=r"labels must be 9 whole numbers.*got .*of shape"):
            predictor.accuracy(x, wrong)
    np.testing.assert_allclose(eqx.filter_jit(predictor)(x), outputs, rtol=1e-4, atol=1e-6)
