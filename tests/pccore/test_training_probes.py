"""Probes during training: results, times, networks, and no effect on training."""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pccore

DIGITS = pccore.data.load("digits")
NETWORK = pccore.NetworkConfig(DIGITS.input_size, DIGITS.output_size, width=8, depth=2)
CONFIG = pccore.TrainingConfig(
    NETWORK, pccore.PredictiveCoding(pccore.GradientDescent(2)), steps=5, eval_every=2
)
LANES = [pccore.Lane(0.05, 5.0, 0), pccore.Lane(0.02, 1.0, 1)]


@dataclass(frozen=True)
class Sizes(pccore.Probe):
    """A probe of the first weight, the loss of the batch, and beta."""

    source: ClassVar[str] = "here"

    def measure(self, network, x, y, activity_lr):
        loss = jnp.mean(network.config.output_energy.per_sample(y, network.predict(x)))
        return {"weight": network.first[0, 0], "loss": loss, "beta": activity_lr}


PROBED = replace(CONFIG, probes=(Sizes(),))


def values(outcome, quantity):
    return [reading.value for reading in outcome.readings if reading.quantity == quantity]


def test_probe_measures_before_first_update_and_at_evaluations():
    outcomes = pccore.fit_many(PROBED, DIGITS, LANES)
    for outcome, lane in zip(outcomes, LANES, strict=True):
        steps = [r.step for r in outcome.readings if r.quantity == "loss"]
        assert steps == [0, 2, 4, 5]
        assert values(outcome, "beta") == pytest.approx([lane.activity_lr] * 4)
        assert {reading.source for reading in outcome.readings} == {"here"}


def test_probe_measures_own_lane_on_first_training_samples():
    outcomes = pccore.fit_many(PROBED, DIGITS, LANES)
    x = (DIGITS.train_x[:64].astype(np.float32) - DIGITS.mean) / DIGITS.std
    y = np.eye(10, dtype=np.float32)[DIGITS.train_y[:64]]
    for outcome, lane in zip(outcomes, LANES, strict=True):
        untrained = NETWORK.build(jax.random.key(lane.seed))
        trained = pccore.train(CONFIG, DIGITS, lane).network
        for place, network in ((0, untrained), (-1, trained)):
            expected = 0.5 * np.mean(
                np.sum((y - np.asarray(network.predict(jnp.asarray(x)))) ** 2, axis=1)
            )
            assert values(outcome, "loss")[place] == pytest.approx(expected, rel=1e-4)
            first = float(network.first[0, 0])
            assert values(outcome, "weight")[place] == pytest.approx(first, rel=1e-4)


def test_probes_do_not_change_training():
    for plain, probed in zip(
        pccore.fit_many(CONFIG, DIGITS, LANES), pccore.fit_many(PROBED, DIGITS, LANES), strict=True
    ):
        assert plain.readings == ()
        assert probed.final_train_loss == plain.final_train_loss
        np.testing.assert_array_equal(plain.curve.train_loss, probed.curve.train_loss)


def test_zero_steps_measure_untrained_network():
    outcome = pccore.fit(replace(PROBED, steps=0), DIGITS, LANES[0])
    assert outcome.status is pccore.Status.AT_CHANCE
    assert (outcome.steps, outcome.final_train_loss, outcome.min_train_loss) == (0, None, None)
    assert 0 <= outcome.test_accuracy < 0.5
    assert [reading.step for reading in outcome.readings] == [0, 0, 0]
    assert outcome.curve.step.tolist() == [0]


def test_initial_weights_near_saddle_have_given_std():
    near = replace(NETWORK, width=64, initial_std=5e-3)
    network = near.build(jax.random.key(0))
    for weights in (network.first, network.hidden, network.last):
        count = weights.size
        # the standard deviation of n normal draws varies by 1 / sqrt(2 n) of itself
        assert float(jnp.std(weights)) == pytest.approx(5e-3, rel=5 / np.sqrt(2 * count))
    with pytest.raises(ValueError, match="initial_std must be at least 0, got -1"):
        replace(NETWORK, initial_std=-1.0)


def test_initial_std_per_layer():
    stds = (1e-3, 5e-3, 0.2, 0.0)
    config = replace(NETWORK, width=64, depth=3, initial_std=stds)
    network = config.build(jax.random.key(0))
    for weights, std in zip([network.first, *network.hidden, network.last], stds, strict=True):
        assert float(jnp.std(weights)) == pytest.approx(std, rel=5 / np.sqrt(2 * weights.size))
    with pytest.raises(ValueError, match=r"initial_std must be one number, or one per layer, 4"):
        replace(config, initial_std=(0.1, 0.1))
