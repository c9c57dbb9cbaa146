"""Training on embedded real data: lanes, divergence, chance, recompilation, accuracy."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pccore
from pccore.training.assessment import Chance, assess
from pccore.training.programs import advance

DIGITS = pccore.data.load("digits")
NETWORK = pccore.NetworkConfig(DIGITS.input_size, DIGITS.output_size, width=16, depth=3)
CONFIG = pccore.TrainingConfig(
    NETWORK, pccore.PredictiveCoding(pccore.GradientDescent(3)), steps=60, eval_every=25
)
BACKPROP = replace(CONFIG, rule=pccore.Backpropagation())
LANES = [pccore.Lane(0.05, 5.0, 0), pccore.Lane(0.1, 1.0, 1), pccore.Lane(0.02, 20.0, 2)]


@pytest.fixture(scope="module")
def outcomes():
    return pccore.fit_many(CONFIG, DIGITS, LANES)


class TestLanes:
    def test_lane_equals_single_run_to_rounding(self, outcomes):
        for lane, outcome in zip(LANES, outcomes, strict=True):
            alone = pccore.fit(CONFIG, DIGITS, lane)
            assert alone.status is outcome.status is pccore.Status.TRAINED
            assert alone.final_train_loss == pytest.approx(outcome.final_train_loss, rel=2e-3)
            np.testing.assert_allclose(alone.curve.train_loss, outcome.curve.train_loss, rtol=2e-3)

    def test_diverged_lane_does_not_affect_others(self, outcomes):
        wild = pccore.Lane(1e4, 5.0, 0)
        mixed = pccore.fit_many(CONFIG, DIGITS, [LANES[0], wild, LANES[2]])
        diverged = mixed[1]
        assert diverged.status is pccore.Status.DIVERGED
        assert 1 < diverged.diverged_step <= CONFIG.steps
        assert diverged.final_train_loss is diverged.test_loss is diverged.test_accuracy is None
        assert diverged.min_train_loss > 0
        for kept, expected in ((mixed[0], outcomes[0]), (mixed[2], outcomes[2])):
            assert kept.final_train_loss == pytest.approx(expected.final_train_loss, rel=1e-5)

    def test_stops_when_all_lanes_have_diverged(self):
        steps = []
        config = replace(CONFIG, steps=1000)
        outcome = pccore.fit(config, DIGITS, pccore.Lane(1e4, 5.0, 0), on_progress=steps.append)
        assert outcome.status is pccore.Status.DIVERGED
        assert steps == [25]

    def test_rates_seeds_and_equal_data_do_not_recompile(self, outcomes):
        before = advance._cache_size()
        pccore.fit_many(CONFIG, DIGITS, [pccore.Lane(0.3, 7.0, seed) for seed in (5, 6, 7)])
        swapped = replace(DIGITS, train_x=DIGITS.train_x[::-1].copy(), name="reversed")
        pccore.fit_many(CONFIG, swapped, LANES)
        assert advance._cache_size() == before

    def test_interruptions_do_not_recompile(self):
        before = advance._cache_size()
        config = replace(CONFIG, network=replace(NETWORK, width=9), eval_every=7)
        pccore.fit_many(config, DIGITS, LANES)
        assert advance._cache_size() == before + 1

    def test_equal_seeds_give_equal_results(self, outcomes):
        again = pccore.fit_many(CONFIG, DIGITS, LANES)
        assert [o.final_train_loss for o in again] == [o.final_train_loss for o in outcomes]


def test_train_returns_network_of_its_outcome(outcomes):
    trained = pccore.train(CONFIG, DIGITS, LANES[0])
    x = (DIGITS.test_x - DIGITS.mean) / DIGITS.std
    predicted = trained.network.predict(jnp.asarray(x, jnp.float32))
    accuracy = np.mean(np.argmax(predicted, axis=1) == DIGITS.test_y)
    assert accuracy == pytest.approx(trained.outcome.test_accuracy, abs=2 / len(DIGITS.test_y))
    assert trained.outcome.final_train_loss == pytest.approx(
        pccore.fit(CONFIG, DIGITS, LANES[0]).final_train_loss
    )


class TestOutcome:
    def test_curve_has_one_entry_per_evaluation(self, outcomes):
        for outcome in outcomes:
            assert list(outcome.curve.step) == [25, 50, 60]
            assert outcome.curve.test_accuracy[-1] == pytest.approx(outcome.test_accuracy)
            assert outcome.curve.test_loss[-1] == pytest.approx(outcome.test_loss)
            assert outcome.min_train_loss <= outcome.final_train_loss

    def test_zero_learning_rate_is_at_chance(self):
        outcome = pccore.fit(CONFIG, DIGITS, pccore.Lane(1e-12, 1.0, 0))
        assert outcome.status is pccore.Status.AT_CHANCE
        # muPC's outputs vanish as 1/sqrt(N), so the loss is near that of predicting zero, 1/2
        assert outcome.curve.train_loss[-1] == pytest.approx(0.5, abs=0.1)
        assert outcome.final_train_loss is outcome.test_loss is None

    def test_regression_at_chance_is_variance_of_targets(self):
        data = pccore.data.load("toy_linear")
        network = pccore.NetworkConfig(
            data.input_size, data.output_size, width=16, depth=2, activation="linear"
        )
        config = replace(CONFIG, network=network, steps=200, eval_every=200)
        idle, learner = pccore.fit_many(
            config, data, [pccore.Lane(1e-12, 1.0, 0), pccore.Lane(0.02, 5.0, 0)]
        )
        assert idle.status is pccore.Status.AT_CHANCE
        assert learner.status is pccore.Status.TRAINED
        assert idle.test_accuracy is learner.test_accuracy is None
        assert np.isnan(learner.curve.test_accuracy).all()
        variance = 0.5 * np.var(data.train_y, axis=0).sum()
        assert learner.final_train_loss < 0.5 * variance <= idle.curve.train_loss[-1]


@pytest.mark.parametrize(
    ("config", "lane"),
    [
        (CONFIG, pccore.Lane(0.05, 5.0, 0)),
        (BACKPROP, pccore.Lane(0.02, None, 0)),
        (
            replace(CONFIG, network=replace(NETWORK, parameterisation="sp")),
            pccore.Lane(0.01, 2.0, 0),
        ),
        (
            replace(CONFIG, network=replace(NETWORK, output="cross_entropy", residual=False)),
            pccore.Lane(0.05, 5.0, 0),
        ),
        (replace(BACKPROP, optimiser=pccore.SGD(momentum=0.9)), pccore.Lane(1.0, None, 0)),
    ],
    ids=["mupc", "bp", "sp", "cross-entropy", "sgd"],
)
def test_learns_digits_far_above_chance(config, lane):
    outcome = pccore.fit(replace(config, steps=200), DIGITS, lane)
    assert outcome.status is pccore.Status.TRAINED
    assert outcome.test_accuracy > 0.75


def test_package_docstring_example_runs():
    names = {}
    exec(pccore.__doc__.partition("\n")[2], names)
    assert names["trained"].outcome.status is pccore.Status.TRAINED
    assert names["trained"].outcome.test_accuracy > 0.9


@pytest.mark.slow
def test_mupc_trains_128_layers_where_sp_does_not():
    network = replace(NETWORK, depth=128)
    config = replace(
        CONFIG, network=network, rule=pccore.PredictiveCoding(pccore.GradientDescent(128))
    )
    lane = pccore.Lane(0.1, 10.0, 0)
    mupc = pccore.fit(config, DIGITS, lane)
    sp = pccore.fit(replace(config, network=replace(network, parameterisation="sp")), DIGITS, lane)
    assert mupc.status is pccore.Status.TRAINED
    assert sp.status in (pccore.Status.DIVERGED, pccore.Status.AT_CHANCE)


def test_compiled_program_does_not_grow_with_depth():
    def operations(depth):
        network = replace(NETWORK, depth=depth)
        rule = pccore.PredictiveCoding(pccore.GradientDescent(depth))

        def gradients(key, x, y):
            return rule.gradients(network.build(key), x, y, 1.0, key)

        arguments = jax.random.key(0), np.ones((4, 64), np.float32), np.ones((4, 10), np.float32)
        return jax.jit(gradients).lower(*arguments).as_text().count("\n")

    assert operations(128) == pytest.approx(operations(8), rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((CONFIG, DIGITS, []), "no lanes"),
        ((CONFIG, DIGITS, [pccore.Lane(0.1, None, 0)]), "activity_lr"),
        ((replace(CONFIG, batch_size=5000), DIGITS, LANES), "batch_size 5000 exceeds"),
        ((replace(CONFIG, network=replace(NETWORK, input_size=3)), DIGITS, LANES), "3 inputs"),
    ],
)
def test_rejects_invalid_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        pccore.fit_many(*arguments)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: replace(NETWORK, width=0), "width must be at least 1, got 0"),
        (lambda: replace(NETWORK, activation="rleu"), "did you mean 'relu'"),
        (lambda: replace(NETWORK, output="mae"), "output energy 'mae'"),
        (lambda: replace(NETWORK, parameterisation="mup"), "did you mean 'mupc'"),
        (lambda: replace(CONFIG, steps=-1), "steps must be at least 0"),
        (lambda: pccore.Adam(b1=1.0), "b1 must be at least 0 and below 1, got 1.0"),
        (lambda: pccore.Adam(eps=0.0), "eps must be positive, got 0.0"),
        (lambda: pccore.SGD(momentum=-0.1), "momentum must be at least 0"),
        (lambda: pccore.GradientDescent(0), "steps must be at least 1"),
    ],
)
def test_rejects_invalid_configurations(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def assessed(losses, accuracy=0.1, limit=1000.0):
    """Return the outcome of these batch losses, with one evaluation at the end."""
    losses = np.array(losses, float)
    chance = Chance(accuracy=0.2, loss=None)
    ends = np.array([len(losses)]), np.array([losses[-1]]), np.array([accuracy])
    return assess(losses, limit, *ends, chance)


@pytest.mark.parametrize("accuracy", [0.1, 0.9])
def test_a_loss_that_blew_up_without_nan_is_diverged(accuracy):
    """The first loss and that of predicting zero are 1: the limit of one batch is 1000."""
    blown_up = assessed([1.0] * 10 + [11.0] * 30, accuracy)
    assert (blown_up.status, blown_up.diverged_step) == (pccore.Status.DIVERGED, 11)
    assert blown_up.final_train_loss is blown_up.test_loss is blown_up.test_accuracy is None
    recovered = assessed([1.0] * 10 + [900.0] * 10 + [9.0] * 20, accuracy)
    assert recovered.status is not pccore.Status.DIVERGED


def test_only_a_trained_run_has_final_losses():
    high = assessed([2e7] * 20, accuracy=0.1, limit=3e10)  # it began there
    assert high.status is pccore.Status.AT_CHANCE
    assert high.final_train_loss is high.test_loss is None
    assert high.curve.train_loss == high.curve.test_loss == 2e7
    assert assessed([0.5] * 20, accuracy=0.9).final_train_loss == 0.5


def test_a_run_without_a_divergence_factor_ends_only_at_nan_or_infinity():
    """SGD at eta = 30 blows up a linear network: above 1,000 times the loss, then infinite."""
    network = replace(NETWORK, width=8, activation="linear")
    config = replace(BACKPROP, network=network, optimiser=pccore.SGD(), eval_every=60)
    usual, free = (
        pccore.fit(replace(config, divergence_factor=factor), DIGITS, pccore.Lane(30.0, None, 0))
        for factor in (1e3, None)
    )
    losses = usual.min_train_loss, free.min_train_loss
    assert usual.status is free.status is pccore.Status.DIVERGED
    assert usual.diverged_step < free.diverged_step <= 60
    assert losses[0] == losses[1], "the updates before either end are the same"
    finite = assessed([1.0] * 10 + [2e9] * 30, limit=np.inf)
    assert finite.status is pccore.Status.AT_CHANCE
    assert assessed([1.0] * 10 + [np.inf] * 30, limit=np.inf).status is pccore.Status.DIVERGED


@pytest.mark.parametrize("factor", [1, 0, -2, float("nan"), float("inf")])
def test_a_divergence_factor_is_above_1_or_none(factor):
    with pytest.raises(ValueError, match="divergence_factor must be a number above 1, or None"):
        replace(CONFIG, divergence_factor=factor)


@pytest.mark.parametrize(
    ("steps", "every", "expected"),
    [(60, 300, [12, 24, 36, 48, 60]), (3, 300, [1, 2, 3]), (7, 300, [2, 4, 6, 7])],
)
def test_a_training_shorter_than_the_interval_has_a_curve(steps, every, expected):
    config = replace(CONFIG, network=replace(NETWORK, width=8), steps=steps, eval_every=every)
    if steps == 60:  # the others by the definition alone
        outcome = pccore.fit(config, DIGITS, LANES[0])
        assert outcome.curve.step.tolist() == expected
    step = config.interval
    assert [*range(step, steps, step), steps] == expected
    assert replace(config, eval_every=steps).interval == steps
