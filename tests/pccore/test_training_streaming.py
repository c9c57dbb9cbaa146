"""Data sets larger than the device's memory: every update gets the batch that it would get."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st

import pccore
from pccore import Lane
from pccore.data import Dataset
from pccore.training import feed
from pccore.training.feed import Feed, Resident, Streamed, feed_of

DIGITS = pccore.data.load("digits")
CONFIG = pccore.TrainingConfig(
    pccore.NetworkConfig(64, 10, width=8, depth=2),
    pccore.PredictiveCoding(pccore.GradientDescent(steps=2)),
    batch_size=32,
    steps=100,  # two epochs of 45 updates, and ten of a third
    eval_every=30,
)
LANES = [Lane(0.05, 1.0, 3), Lane(0.02, 1.0, 1), Lane(0.01, 1.0, 3)]


def batches(source: Feed, cuts: list[int], B: int) -> list[tuple[Any, Any]]:
    """Return the inputs and targets (lanes, B, ...) of every update, stretch by stretch."""
    found = []
    for start, stop in pairwise(cuts):
        expected = start
        for window in source.windows(start, stop):
            assert window.start == expected
            for step in range(window.start, window.stop):
                at = (step - window.first) * B
                places = np.asarray(window.order)[:, at : at + B]
                assert places.shape[1] == B
                x, y, *_ = map(np.asarray, window.samples)
                found.append((x[places], y[places]))
            expected = window.stop
        assert expected == stop
    return found


@given(
    n=st.sampled_from([7, 40]),
    B=st.integers(1, 9),
    seeds=st.sampled_from([(2,), (3, 1, 3)]),
    window=st.sampled_from([1, 500, 10**6]),
    longest=st.integers(1, 30),
    cuts=st.sets(st.integers(1, 40), max_size=4),
)
@examples(40)
def test_every_update_gets_the_same_batch(
    n: int, B: int, seeds: tuple[int, ...], window: int, longest: int, cuts: set[int]
) -> None:
    """Also where training continues in the middle of an epoch, and is interrupted anywhere."""
    B = min(B, n)
    x = np.arange(5 * n, dtype=np.float32).reshape(n, 5)
    data = Dataset("own", "regression", x, x[:, :2], x, x[:, :2])
    per_epoch = n // B
    # `windows` is asked for stretches of one epoch.
    stops = sorted(cuts | set(range(0, 41, per_epoch)) & set(range(min(cuts, default=0), 41)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "WINDOW_BYTES", window)
        streamed = Streamed(data, B, seeds, 1, longest)
    resident = Resident(data, B, seeds, 1)
    assert streamed.per_epoch == resident.per_epoch == per_epoch
    for ours, theirs in zip(batches(streamed, stops, B), batches(resident, stops, B), strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_device_has_a_window_and_never_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    row = DIGITS.train_x[0].nbytes + DIGITS.train_y[0].nbytes
    monkeypatch.setattr(feed, "WINDOW_BYTES", 2 * 5 * 32 * row)  # five updates of two seeds
    source = Streamed(DIGITS, 32, [3, 1, 3], 1, longest=30)
    windows = list(source.windows(0, 30))
    assert [(window.start, window.stop) for window in windows] == [
        (start, start + 5) for start in range(0, 30, 5)
    ]
    assert {window.samples.inputs.shape for window in windows} == {(2 * 5 * 32, 64)}
    assert len(source.head.inputs) == 32
    monkeypatch.setattr(feed, "WINDOW_BYTES", 7 * 5 * 32 * row)  # 17 updates, of 30 in a row
    halves = list(Streamed(DIGITS, 32, [3, 1, 3], 1, longest=30).windows(0, 30))
    assert [(window.start, window.stop) for window in halves] == [(0, 15), (15, 30)]


def test_training_and_evaluation_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, activity_lr=pccore.SpectralActivityLr(remeasure=20))
    resident = pccore.fit_many(config, DIGITS, LANES)
    monkeypatch.setenv(feed.ENVIRONMENT_VARIABLE, "0.01")
    monkeypatch.setattr(feed, "WINDOW_BYTES", 30_000)
    streamed = pccore.fit_many(config, DIGITS, LANES)
    for ours, theirs in zip(streamed, resident, strict=True):
        assert ours.status is theirs.status
        np.testing.assert_allclose(ours.curve.train_loss, theirs.curve.train_loss, rtol=1e-6)
        np.testing.assert_allclose(ours.curve.test_loss, theirs.curve.test_loss, rtol=1e-5)
        np.testing.assert_allclose(
            ours.curve.test_accuracy, theirs.curve.test_accuracy, rtol=0, atol=1e-6
        )
        for mine, other in zip(ours.readings, theirs.readings, strict=True):
            assert mine.value == pytest.approx(other.value, rel=1e-5)


class Shelf:
    """Keeps the last snapshot, and offers it to the next training."""

    def __init__(self) -> None:
        self.kept: bytes | None = None

    def load(self) -> bytes | None:
        return self.kept

    def offer(self, encode: Any) -> None:
        self.kept = encode()


def test_interrupted_training_continues_streamed_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which way batches come is no part of a snapshot's identity."""
    whole = pccore.fit_many(CONFIG, DIGITS, LANES)
    shelf = Shelf()

    def stop(step: int) -> None:
        if step == 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pccore.fit_many(CONFIG, DIGITS, LANES, snapshots=shelf, on_progress=stop)
    assert shelf.kept is not None
    monkeypatch.setenv(feed.ENVIRONMENT_VARIABLE, "0")
    monkeypatch.setattr(feed, "WINDOW_BYTES", 30_000)
    continued = pccore.fit_many(CONFIG, DIGITS, LANES, snapshots=shelf)
    for ours, theirs in zip(continued, whole, strict=True):
        np.testing.assert_allclose(ours.curve.train_loss, theirs.curve.train_loss, rtol=1e-6)


def test_sets_are_streamed_above_the_limit_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def kind() -> type[Feed]:
        return type(feed_of(DIGITS, 32, [0], 1, 10))

    assert kind() is Resident  # a CPU reports no memory of its own
    megabytes = DIGITS.nbytes / 1e6
    for limit, expected in ((1.01 * megabytes, Resident), (0.99 * megabytes, Streamed)):
        monkeypatch.setenv(feed.ENVIRONMENT_VARIABLE, str(limit))
        assert kind() is expected
    for text in ("much", "-1", "nan"):
        monkeypatch.setenv(feed.ENVIRONMENT_VARIABLE, text)
        with pytest.raises(ValueError, match=f"MUPC_STREAM_ABOVE_MB must be a number .* '{text}'"):
            kind()
