"""Callbacks at evaluations, data of any kind, and the number of lanes of a program."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import pccore
from pccore.training.data_arrays import as_dataset

DIGITS = pccore.data.load("digits")
CONFIG = pccore.TrainingConfig(
    pccore.NetworkConfig(64, 10, width=8, depth=2),
    pccore.PredictiveCoding(pccore.GradientDescent(steps=2)),
    batch_size=32,
    steps=25,
    eval_every=10,
)
LANES = [pccore.Lane(0.05, 2.0, 0), pccore.Lane(0.02, 2.0, 1), pccore.Lane(1e4, 2.0, 2)]


@pytest.fixture(scope="module")
def watched():
    """Return evaluations, copies of the networks in them, and outcomes."""
    seen, networks = [], []

    def watch(evaluation):
        seen.append(evaluation)
        networks.append([evaluation.network(lane) for lane in range(len(LANES))])

    return seen, networks, pccore.fit_many(CONFIG, DIGITS, LANES, on_evaluation=watch)


def test_a_callback_sees_the_points_of_the_curves(watched):
    seen, _, outcomes = watched
    assert [evaluation.step for evaluation in seen] == [10, 20, 25]
    for lane, outcome in enumerate(outcomes[:2]):
        curve = outcome.curve
        np.testing.assert_allclose([e.train_loss[lane] for e in seen], curve.train_loss, rtol=1e-6)
        np.testing.assert_array_equal([e.test_loss[lane] for e in seen], curve.test_loss)
        np.testing.assert_array_equal([e.test_accuracy[lane] for e in seen], curve.test_accuracy)


def test_a_copied_network_has_the_accuracy_of_its_evaluation(watched):
    seen, networks, outcomes = watched
    for evaluation, copies in zip(seen, networks, strict=True):
        for lane in range(2):
            predictor = pccore.Predictor(copies[lane], DIGITS.mean, DIGITS.std)
            accuracy = predictor.accuracy(DIGITS.test_x, DIGITS.test_y)
            assert accuracy == pytest.approx(evaluation.test_accuracy[lane], abs=1e-6)
    assert outcomes[0].test_accuracy == pytest.approx(seen[-1].test_accuracy[0])
    assert outcomes[2].status is pccore.Status.DIVERGED


def test_train_returns_the_network_of_the_last_evaluation():
    last = []
    lane = LANES[0]
    trained = pccore.train(CONFIG, DIGITS, lane, on_evaluation=lambda e: last.append(e.network()))
    arrays = pccore.to_arrays(trained.network)
    for name, array in pccore.to_arrays(last[-1]).items():
        np.testing.assert_array_equal(array, arrays[name])


def test_without_updates_the_initial_network_is_evaluated():
    seen = []
    outcome = pccore.fit(replace(CONFIG, steps=0), DIGITS, LANES[0], on_evaluation=seen.append)
    assert [evaluation.step for evaluation in seen] == [0]
    assert np.isnan(seen[0].train_loss[0])
    assert seen[0].test_loss[0] == outcome.curve.test_loss[0]


def test_an_exception_of_the_callback_ends_the_training():
    def stop(evaluation):
        raise KeyError(evaluation.step)

    with pytest.raises(KeyError, match="10"):
        pccore.fit(CONFIG, DIGITS, LANES[0], on_evaluation=stop)


def test_a_run_among_equal_lanes_has_the_bits_of_one_among_others(watched):
    _, _, outcomes = watched
    for lane, outcome in zip(LANES[:2], outcomes, strict=False):
        again = pccore.fit(CONFIG, DIGITS, lane, len(LANES))
        assert again.final_train_loss == outcome.final_train_loss
        assert again.test_loss == outcome.test_loss


def test_arrays_of_any_object_are_a_data_set():
    images = SimpleNamespace(
        train_x=DIGITS.train_x.reshape(-1, 8, 8).astype(float),
        train_y=DIGITS.train_y.astype(np.int64),
        test_x=DIGITS.test_x.reshape(-1, 8, 8).tolist(),
        test_y=DIGITS.test_y.tolist(),
        mean=DIGITS.mean,
        std=DIGITS.std,
    )
    found = pccore.fit(CONFIG, images, LANES[0])
    assert found.final_train_loss == pccore.fit(CONFIG, DIGITS, LANES[0]).final_train_loss
    assert as_dataset(DIGITS) is DIGITS


def test_floats_as_targets_are_a_regression():
    x = np.linspace(-1, 1, 40)[:, None]
    line = SimpleNamespace(train_x=x, train_y=2 * x[:, 0], test_x=x, test_y=2 * x[:, 0])
    data = as_dataset(line)
    assert (data.task, data.output_size, data.mean, data.std) == ("regression", 1, 0.0, 1.0)
    network = pccore.NetworkConfig(1, 1, width=1, depth=1, activation="linear")
    config = replace(CONFIG, network=network, batch_size=40, steps=300)
    outcome = pccore.fit(config, line, pccore.Lane(0.05, 1.0, 0))
    assert outcome.test_loss < 1e-3  # a line has no noise


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train_y": [0, 1]}, "x has 3 samples, y has 2"),
        ({"train_x": []}, r"x must have samples \(n, ...\), got the shape \(0,\)"),
        ({"test_x": np.zeros((3, 5))}, "x has 2 inputs per sample, x_test 5"),
        ({"std": 0}, r"\(mean, std\) with a positive std, got \(0.0, 0\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_sentence(changes, sentence):
    good = {"train_x": np.eye(2), "train_y": [0, 1], "test_x": np.eye(2), "test_y": [0, 1]}
    if "train_y" in changes:
        good["train_x"] = np.ones((3, 2))
    if "test_x" in changes:
        good["test_y"] = [0, 1, 1]
    with pytest.raises(pccore.data.DatasetError, match=sentence):
        pccore.fit(CONFIG, SimpleNamespace(**{**good, **changes}), LANES[0])
