"""Lanes that stop at an update continue from their snapshots, in whatever company."""

from dataclasses import replace

import numpy as np
import pytest

import pccore
from pccore import Lane, Status
from pccore.training.snapshots import pack, unpack

CONFIG = pccore.TrainingConfig(
    pccore.NetworkConfig(input_size=64, output_size=10, width=8, depth=2),
    pccore.PredictiveCoding(pccore.GradientDescent(steps=2)),
    batch_size=64,
    steps=12,
    eval_every=4,
)
LANES = [Lane(0.1, 4.0, 0), Lane(0.05, 4.0, 1), Lane(0.02, 1.0, 2), Lane(1e9, 64.0, 3)]


class Kept:
    """Resumes from a given snapshot, and keeps none."""

    def __init__(self, snapshot: bytes) -> None:
        self._snapshot = snapshot

    def load(self) -> bytes:
        return self._snapshot

    def offer(self, take: object) -> None: ...


def stopped(lanes: list[Lane], until: int) -> tuple[list[pccore.Outcome], list[bytes]]:
    found: list[bytes] = []
    data = pccore.data.load("digits")
    outcomes = pccore.fit_many(CONFIG, data, lanes, until=until, on_stop=found.extend)
    return outcomes, found


def test_stopped_lanes_have_the_curve_so_far_and_no_result() -> None:
    outcomes, snapshots = stopped(LANES, 8)
    whole = pccore.fit_many(CONFIG, pccore.data.load("digits"), LANES)
    assert len(snapshots) == len(LANES)
    for part, full in zip(outcomes[:3], whole[:3], strict=True):
        assert part.status is Status.PRUNED
        assert (part.steps, part.final_train_loss, part.test_loss) == (8, None, None)
        np.testing.assert_array_equal(part.curve.train_loss, full.curve.train_loss[:2])
    assert outcomes[3].status is Status.DIVERGED
    assert outcomes[3].diverged_step == whole[3].diverged_step


def test_lanes_continue_bit_for_bit_in_the_same_company() -> None:
    data, lanes = pccore.data.load("digits"), LANES[:3]
    whole = pccore.fit_many(CONFIG, data, lanes)
    _, snapshots = stopped(lanes, 4)
    _, later = stopped(lanes, 8)
    assert snapshots != later
    resumed = pccore.fit_many(CONFIG, data, lanes, snapshots=Kept(pack(snapshots)))
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one.curve.train_loss, other.curve.train_loss)
        np.testing.assert_array_equal(one.curve.test_loss, other.curve.test_loss)


def test_lanes_of_different_groups_continue_together() -> None:
    data = pccore.data.load("digits")
    whole = pccore.fit_many(CONFIG, data, LANES[:3])
    (first,), (second,) = stopped(LANES[:1], 4)[1], stopped(LANES[1:3], 4)[1][1:]
    resumed = pccore.fit_many(
        CONFIG, data, [LANES[2], LANES[0]], snapshots=Kept(pack([second, first]))
    )
    for one, other in zip((whole[2], whole[0]), resumed, strict=True):
        np.testing.assert_allclose(one.curve.train_loss, other.curve.train_loss, rtol=1e-5)


def test_snapshots_of_other_lanes_are_refused() -> None:
    _, snapshots = stopped(LANES[:2], 4)
    with pytest.warns(RuntimeWarning, match="lanes differ"):
        pccore.fit_many(
            CONFIG, pccore.data.load("digits"), LANES[1:3], snapshots=Kept(pack(snapshots))
        )


def test_packed_snapshots_round_trip() -> None:
    assert unpack(pack([b"a", b"", b"bc"])) == [b"a", b"", b"bc"]
    assert unpack(b"mupc training 2\n") is None
    with pytest.raises(ValueError, match="torn"):
        unpack(pack([b"abc"])[:-1])


def test_training_stops_at_evaluations_only() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        pccore.fit_many(CONFIG, pccore.data.load("digits"), LANES, until=6)
    config = replace(CONFIG, steps=8)
    (outcome,) = pccore.fit_many(config, pccore.data.load("digits"), LANES[:1], until=8)
    assert outcome.status is not Status.PRUNED
