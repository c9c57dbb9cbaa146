"""Layers that learn: the recursion against networks, the prediction against training, the reset."""

import math
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fewer import cases, examples
from hypothesis import given
from hypothesis import strategies as st

import pccore
from pccore.theory import effective_depth, predicted_changes, predicted_layers, reset_unlearned
from pccore.training.outcomes import LEARNED

DIGITS = pccore.data.load("digits")
LAYERS_OFF = 2  # of the prediction, in any of the trainings below
SCHEMES = (pccore.GradientDescent, pccore.Nesterov, pccore.AugmentedLagrangian)


def config(depth=8, inference=None, rule=None, steps=100, batch_size=64, width=32, **network):
    inference = inference or pccore.GradientDescent(depth)
    return pccore.TrainingConfig(
        pccore.NetworkConfig(64, 10, width, depth, **network),
        rule or pccore.PredictiveCoding(inference),
        batch_size=batch_size,
        steps=steps,
    )


def reached(inference, depth, rate, **network):
    """Return s_1 .. s_L."""
    sizes = effective_depth._Sizes.of(config(depth, **network).network)
    return effective_depth._inferred(inference, sizes, rate)


@pytest.mark.parametrize("steps", [3, 8, 20])
def test_far_ahead_of_the_front_the_error_is_a_binomial(steps):
    rate, depth = 1e-6, 8
    found = reached(pccore.GradientDescent(steps), depth, rate)[::-1]
    expected = [rate**k * math.comb(steps, k) for k in range(depth + 1)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("scheme", cases(SCHEMES, 1))
@pytest.mark.parametrize(("rate", "activation"), [(0.05, "relu"), (0.3, "linear")])
def test_errors_are_those_of_a_wide_network(scheme, rate, activation):
    """RMS errors of every layer after inference, from 1e-16 to 1."""
    depth, B, width = 12, 8, 256
    network = config(depth, width=width, activation=activation).network.build(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (B, 64))
    y = jax.nn.one_hot(jnp.arange(B), 10)
    relaxation = network.relaxation(x, y)
    inferred = scheme(depth).infer(relaxation, rate * B)
    errors = relaxation.errors_of(inferred.departure)
    if inferred.multipliers is not None:
        errors = errors + inferred.multipliers
    found = np.sqrt(np.mean(np.square(errors, dtype=float), axis=(1, 2)))
    sizes = effective_depth._Sizes.of(network.config)
    share = effective_depth._inferred(scheme(depth), sizes, rate)[:-1]
    top = pccore.OUTPUTS["mse"].error(y, network.predict(x)) @ network.last / width
    if activation == "relu":
        top = top * (network.forward(x)[-1] > 0)
    size = np.sqrt(np.mean(np.square(top)) * np.cumprod([1, *sizes.gains[-2:0:-1]]))[::-1]
    np.testing.assert_allclose(found, np.abs(share) * size, rtol=0.25)


@examples(8)
@given(
    scheme=st.sampled_from(SCHEMES),
    per_layer=st.sampled_from([0.5, 1, 2]),
    depth=st.sampled_from([8, 16, 24]),
    width=st.sampled_from([12, 32]),
    batch_size=st.sampled_from([16, 32]),
    activation=st.sampled_from(["relu", "linear", "tanh"]),
)
def test_as_many_layers_learn_as_predicted(scheme, per_layer, depth, width, batch_size, activation):
    inference = scheme(int(per_layer * depth))
    trained = config(depth, inference, batch_size=batch_size, width=width, activation=activation)
    lanes = [
        pccore.Lane(eta, rate * batch_size, 0) for eta in (0.01, 0.1) for rate in (0.02, 0.1, 0.25)
    ]
    for lane, outcome in zip(lanes, pccore.fit_many(trained, DIGITS, lanes), strict=True):
        predicted = predicted_layers(trained, lane.weight_lr, lane.activity_lr)
        assert predicted == pytest.approx(outcome.layers_learned, abs=LAYERS_OFF), lane


@pytest.mark.parametrize("scheme", cases(SCHEMES, first=1))
def test_as_many_learn_as_predicted_where_beta_comes_from_the_spectrum(scheme):
    """The recursion's lambda_max is 4; at 16 layers of this width 4.7 is measured."""
    spectral = pccore.SpectralActivityLr(remeasure=0)
    trained = replace(config(16, scheme(8)), activity_lr=spectral)
    lane = pccore.Lane(0.1, None, 0)
    [outcome] = pccore.fit_many(trained, DIGITS, [lane])
    assert outcome.layers_learned < 17
    found = predicted_layers(trained, lane.weight_lr, None)
    assert found == pytest.approx(outcome.layers_learned, abs=LAYERS_OFF)


def test_prediction_agrees_with_published_depths():
    """Matrices that learned of digits (docs/concepts.md) and MNIST networks, measured before."""
    digits = {8: 9, 16: 12, 32: 16, 64: 22, 128: 31}
    for depth, learned in digits.items():
        found = predicted_layers(config(depth), 0.1, 10.0)
        assert found == pytest.approx(learned, abs=1)
    assert predicted_layers(config(128, steps=300, width=64), 0.1, 5.0) == 22


@pytest.mark.parametrize(
    "rule",
    [
        pccore.Backpropagation(),
        pccore.PredictiveCoding(pccore.GaussNewton()),
        pccore.PredictiveCoding(pccore.ErrorBased(4)),
        pccore.PredictiveCoding(pccore.AugmentedLagrangian(512)),
    ],
)
def test_rules_that_reach_the_bottom(rule):
    assert predicted_layers(config(256, rule=rule), 0.1, 64 / 5) == 257


def test_no_layer_below_the_steps_taken_learns():
    for scheme in SCHEMES:
        changes = predicted_changes(config(16, scheme(5)), 0.1, 10.0)
        assert (changes[:-6] == 0).all()
        assert (changes[-6:] > 0).all()


def test_small_eps_and_more_updates_let_more_layers_learn():
    usual = predicted_layers(config(64), 0.1, 5.0)
    tiny_eps = replace(config(64), optimiser=pccore.Adam(eps=1e-16))
    assert predicted_layers(tiny_eps, 0.1, 5.0) > usual + 5
    assert predicted_layers(config(64, steps=10000), 0.1, 5.0) > usual
    assert predicted_layers(config(64), 1e-4, 5.0) == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_inference_that_blows_up_has_no_prediction(scheme):
    changes = predicted_changes(config(2000, scheme(2000)), 0.1, 64.0)
    assert np.isnan(changes).all()
    assert predicted_layers(config(2000, scheme(2000)), 0.1, 64.0) is None


@pytest.mark.parametrize(
    "unknown",
    [
        config(inference=pccore.Halving(8)),
        config(rule=pccore.EquilibriumPropagation(pccore.GradientDescent(8))),
        config(rule=pccore.PredictiveCoding(pccore.GradientDescent(8), pccore.NormalStart())),
        replace(config(), optimiser=pccore.SGD()),
        replace(config(), penalties=(pccore.WeightDecay(1e-4),)),
        replace(config(), network=pccore.HopfieldConfig(config(residual=False).network)),
        config(activity_decay=0.1),
        config(skip=2),
        config(order="weights_first"),
        config(initial_std=0.1),
        config(initial_range=(0.0, 1.0)),
        config(parameterisation="orthogonal", residual=False),
        config(activation="tanh", residual=False),
    ],
)
def test_unknown_cases_have_no_prediction(unknown):
    assert predicted_changes(unknown, 0.1, 5.0) is None
    assert predicted_layers(unknown, 0.1, 5.0) is None


@pytest.fixture(scope="module")
def trained():
    """Return a deep network that learned in its upper layers only, its start and its outcome."""
    deep, lane = config(32), pccore.Lane(0.1, 5.0, 0)
    network, outcome = pccore.train(deep, DIGITS, lane)
    initial = deep.network.build(jax.random.key(lane.seed))
    return SimpleNamespace(network=network, outcome=outcome, initial=initial)


def accuracy(network):
    x = (jnp.asarray(DIGITS.test_x) - DIGITS.mean) / DIGITS.std
    return float(np.mean(np.argmax(network.predict(x), axis=-1) == DIGITS.test_y))


def test_layers_that_did_not_learn_do_not_matter(trained):
    before, changes = trained.outcome.test_accuracy, trained.outcome.layer_changes
    learned = trained.outcome.layers_learned
    assert before > 0.85
    assert learned < 33 / 2
    reset = reset_unlearned(trained.network, trained.initial, changes)
    assert accuracy(reset) == pytest.approx(before, abs=0.005)
    inverted = reset_unlearned(trained.network, trained.initial, 2 * LEARNED - changes)
    assert accuracy(inverted) < 0.3


def test_reset_restores_each_layer_by_itself():
    settings = pccore.NetworkConfig(64, 10, width=4, depth=3, bias=True)
    initial = settings.build(jax.random.key(0))
    network = jax.tree.map(lambda weights: weights + 1, initial)
    changes = np.array([0.5, 0.001, 0.2, 0.01], np.float32)
    reset = reset_unlearned(network, initial, changes)
    np.testing.assert_array_equal(reset.first, network.first)
    np.testing.assert_array_equal(reset.hidden[0], initial.hidden[0])
    np.testing.assert_array_equal(reset.hidden[1], network.hidden[1])
    np.testing.assert_array_equal(reset.last, initial.last)
    np.testing.assert_array_equal(reset.biases.hidden[:, 0], [1, 0, 1])
    np.testing.assert_array_equal(reset.biases.last, 0)
    np.testing.assert_array_equal(
        reset_unlearned(network, initial, changes, threshold=0.3).hidden, initial.hidden
    )


def test_reset_refuses_other_networks_and_sizes():
    stack = pccore.NetworkConfig(64, 10, width=4, depth=3)
    network = stack.build(jax.random.key(0))
    hopfield = pccore.HopfieldConfig(replace(stack, residual=False)).build(jax.random.key(0))
    with pytest.raises(ValueError, match="class Network, got HopfieldNetwork"):
        reset_unlearned(hopfield, hopfield, np.ones(4, np.float32))
    with pytest.raises(ValueError, match=r"one per layer, 4, got the shape \(3,\)"):
        reset_unlearned(network, network, np.ones(3, np.float32))
