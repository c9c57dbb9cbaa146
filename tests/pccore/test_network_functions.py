"""Networks of functions of one's own: equality with built-in ones, costs, names, and errors."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import own_module
import pytest

import pccore
from pccore.networks.operations import multiply_adds

STACK = pccore.NetworkConfig(7, 3, width=6, depth=4, activation="tanh", skip=2)


def stack(width, depth, key, input_size, output_size, activation, parameterisation, residual):
    """The built-in network, layer by layer."""
    config = pccore.NetworkConfig(
        input_size, output_size, width, depth, "tanh", residual, parameterisation, skip=2
    )
    return [
        pccore.Skip(layer, 2) if 2 < node <= depth else layer
        for node, layer in enumerate(config.build(key).layers(), 1)
    ]


def family(function, shape=(7,), width=6, depth=4, **settings):
    make = pccore.NetworkFunction(function.__name__, function)
    return pccore.FamilyConfig(shape, 3, make, width, depth, **settings)


@pytest.fixture
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("_float64")
def test_skips_over_layers_have_the_energy_and_gradients_of_the_built_in_network():
    """Thesis eq. C.20; the stack's closed forms are tested against automatic differentiation."""
    own, built_in = (
        config.build(jax.random.key(0))
        for config in (family(stack, activation="tanh", residual=True), STACK)
    )
    draw = np.random.default_rng(0)
    x, y = jnp.asarray(draw.normal(size=(5, 7))), jnp.asarray(draw.normal(size=(5, 3)))
    departure = jnp.asarray(draw.normal(size=(4, 5, 6)))

    @jax.jit
    def found(network, departure):
        relaxation = network.relaxation(x, y)
        back = relaxation.departure_of(relaxation.errors_of(departure))
        stacks = [jnp.stack([*each]) for each in (relaxation.gradient(departure), back)]
        plain = network.predict(x), relaxation.energies(departure)
        return plain, stacks, relaxation.weight_gradients(departure)

    plain, (gradient, back), slopes = found(own, tuple(departure))
    expected_plain, (expected_gradient, _), expected = found(built_in, departure)
    for one, other in zip(plain, expected_plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-9)
    np.testing.assert_allclose(back, departure, rtol=1e-9)
    slopes = jax.tree.leaves(slopes)
    for one, other in zip(slopes, [expected.first, *expected.hidden, expected.last], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_costs_are_those_of_the_built_in_network():
    own = family(stack, residual=True)
    assert own.products == STACK.products
    assert own.weights == STACK.weights
    assert own.numbers == STACK.numbers
    assert own.hidden == STACK.hidden == 4


def test_counts_products_convolutions_and_loops():
    def counted(function, *shapes):
        return multiply_adds(jax.make_jaxpr(function)(*map(jnp.zeros, shapes)).jaxpr)

    def repeated(z, w):
        return jax.lax.scan(lambda z, _: (w @ z, None), z, length=5)[0]

    assert counted(lambda a, b: a @ b, (3, 4), (4, 5)) == 3 * 4 * 5
    assert counted(repeated, (4,), (4, 4)) == 5 * 16
    assert counted(jax.jit(partial(jnp.einsum, "bij,bjk->bik")), (2, 3, 4), (2, 4, 5)) == 120
    conv = eqx.nn.Conv2d(2, 6, 3, padding=1, groups=2, key=jax.random.key(0))
    assert counted(conv, (2, 5, 7)) == 6 * 5 * 7 * (3 * 3 * 1)


def test_function_gets_what_it_has_parameters_for():
    def layers(width, depth, key, input_shape, bias, kernel=3):
        assert (width, depth, input_shape, bias, kernel) == (6, 4, (1, 8, 8), True, 5)
        return [eqx.nn.Sequential([eqx.nn.Lambda(jnp.ravel), eqx.nn.Linear(64, 3, key=key)])]

    make = pccore.NetworkFunction("n", layers, (("kernel", 5),))
    config = pccore.FamilyConfig((1, 8, 8), 3, make, 6, 4, bias=True, residual=True)
    assert (config.activation, config.parameterisation, config.residual) == ("own", "own", None)
    assert config.own_settings() == {"input_shape": (1, 8, 8), "options": {"kernel": 5}}
    assert family(own_module.layers).activation == "relu"


def test_a_sequence_has_nodes_between_its_entries_and_a_module_has_none():
    def sequence(width, depth, key):
        return eqx.nn.Sequential([eqx.nn.Linear(7, 6, key=key), eqx.nn.Linear(6, 3, key=key)])

    assert family(sequence).hidden == 1
    module = family(own_module.module)
    assert module.hidden == 0
    network = module.build(jax.random.key(1))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 7)), jnp.float32)
    direct = jax.vmap(own_module.module(6, 4, jax.random.key(1), 7, 3))(x)
    np.testing.assert_allclose(network.predict(x), direct, rtol=1e-5, atol=1e-6)


def test_arrays_have_the_names_of_their_fields():
    arrays = pccore.to_arrays(family(own_module.layers, depth=1).build(jax.random.key(0)))
    assert {name: array.shape for name, array in arrays.items()} == {
        "layers.0.weight": (6, 7),
        "layers.0.bias": (6,),
        "layers.1.layers.1.weight": (3, 6),
        "layers.1.layers.1.bias": (3,),
    }
    about = pccore.describe(family(own_module.layers, depth=1))
    assert about["layers"] == ["Linear", "Sequential"]


def test_functions_are_equal_by_name_and_options():
    first, second = (
        pccore.NetworkFunction("n@1", function) for function in (stack, own_module.layers)
    )
    assert first == second
    assert repr(first) == repr(second)
    assert first != replace(first, options=(("gain", 2.0),))


def returning(thing):
    def function(width, depth, key):
        if isinstance(thing, Exception):
            raise thing
        return thing

    return function


WIDE = eqx.nn.Linear(7, 6, key=jax.random.key(0))
LAST = eqx.nn.Linear(6, 3, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        ({"a": 1}, "the family function must return a list of layers or an Equinox module that "
         "can be called, not an object of type dict"),
        (None, "must return a list of layers .*, not an object of type NoneType"),
        ([WIDE, "tanh"], "layers that can be called with one sample; layer 2 is of type str"),
        ([], "a network needs at least one layer, got none"),
        (KeyError("x"), "the family function failed at width 6 and depth 4: KeyError: 'x'"),
        ([WIDE, WIDE], r"layer 2 \(Linear\) expects in_features = 7, but layer 1 gives shape"),
        ([WIDE], r"layer 1 \(Linear\), the last, must give the shape \(3,\), got \(6,\)"),
        ([WIDE, pccore.Skip(LAST, 2)], r"layer 2 \(Skip\) has the shape \(3,\), and node 0, which"),
        ([WIDE, pccore.Skip(LAST, 3)], r"layer 2 \(Skip\) must have a span of 1 to 2, got 3"),
    ],
)  # fmt: skip
def test_what_is_no_network_is_refused(thing, sentence):
    with pytest.raises(ValueError, match=sentence):
        family(returning(thing))


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda width, key: [], "has no depth$"),
        (lambda x: x, "has no width and no depth and no key"),
        (WIDE, "must be a function of width, depth and key .*, not an object of type Linear"),
    ],
)
def test_what_makes_no_network_is_refused(function, sentence):
    with pytest.raises(ValueError, match=sentence):
        pccore.NetworkFunction("n", function)


def test_names_of_activations_are_checked_where_the_function_takes_one():
    with pytest.raises(pccore.UnknownNameError, match="did you mean 'tanh'"):
        family(own_module.layers, activation="tahn")
