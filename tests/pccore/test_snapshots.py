"""Snapshots: resumed trainings end with the numbers of uninterrupted ones."""

import dataclasses
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from fewer import cases

import pccore
from pccore.theory.probe_registry import ForwardNorms
from pccore.theory.weight_gradients import WeightGradientNorm
from pccore.training.snapshots import Identity, Pace, decode, encode

DIGITS = pccore.data.load("digits")
LANES = [pccore.Lane(0.01, 0.5, 0), pccore.Lane(0.02, 0.25, 1), pccore.Lane(1e4, 5.0, 2)]
RULE = pccore.PredictiveCoding(pccore.GradientDescent(steps=4))
CONFIG = pccore.TrainingConfig(
    pccore.NetworkConfig(input_size=64, output_size=10, width=16, depth=4),
    RULE,
    batch_size=64,
    steps=50,  # two epochs of 22 updates, and a little
    eval_every=15,
    probes=(WeightGradientNorm(RULE), ForwardNorms()),
)


class BrokenError(Exception):
    """The death of a worker."""


class Breaks:
    """A storage that keeps every snapshot and interrupts training at the n-th offer."""

    def __init__(self, first: bytes | None = None, after: int | None = None) -> None:
        self.kept: list[bytes] = []
        self._first, self._after = first, after

    def load(self) -> bytes | None:
        return self._first

    def offer(self, take: Callable[[], bytes]) -> None:
        self.kept.append(take())
        if len(self.kept) == self._after:
            raise BrokenError


def assert_same(ours: list[pccore.Outcome], theirs: list[pccore.Outcome]) -> None:
    """Check equality to the last bit, including curves, layers and readings."""
    for mine, other in zip(ours, theirs, strict=True):
        a, b = dataclasses.asdict(mine), dataclasses.asdict(other)
        np.testing.assert_array_equal(a.pop("layer_changes"), b.pop("layer_changes"))
        for name, value in a.pop("curve").items():
            np.testing.assert_array_equal(value, b["curve"][name], err_msg=name)
        b.pop("curve")
        assert repr(a) == repr(b)


@pytest.fixture
def every_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer a snapshot after every weight update."""
    monkeypatch.setattr("pccore.training.snapshots._INTERVAL", 0.0)


@pytest.mark.usefixtures("every_update")
def test_resumed_training_equals_uninterrupted() -> None:
    unbroken = pccore.fit_many(CONFIG, DIGITS, LANES)
    assert [outcome.status for outcome in unbroken][2] is pccore.Status.DIVERGED
    watched = Breaks()
    assert_same(pccore.fit_many(CONFIG, DIGITS, LANES, snapshots=watched), unbroken)
    assert len(watched.kept) == CONFIG.steps - 1
    jax.clear_caches()  # another worker compiles anew
    for place in (1, 15, 16, 22, 23, 44, 49):
        broken = watched.kept[place - 1]
        again = Breaks(broken)
        assert_same(pccore.fit_many(CONFIG, DIGITS, LANES, snapshots=again), unbroken)
        assert len(again.kept) == CONFIG.steps - 1 - place, "it did not begin at the beginning"


def test_exception_in_offer_ends_training() -> None:
    with pytest.raises(BrokenError):
        pccore.fit_many(CONFIG, DIGITS, LANES, snapshots=Breaks(after=1))


@pytest.mark.usefixtures("every_update")
@pytest.mark.parametrize(
    "rule",
    cases(
        [
            pccore.Backpropagation(),
            pccore.PredictiveCoding(pccore.GradientDescent(steps=4), pccore.NormalStart()),
            pccore.PredictiveCoding(pccore.Langevin(steps=4, temperature=0.01)),
            pccore.PredictiveCoding(pccore.GaussNewton()),
        ],
        3,
    ),
)
def test_resumes_with_every_rule(rule: pccore.LearningRule) -> None:
    config = dataclasses.replace(CONFIG, rule=rule, steps=20, probes=())
    unbroken, watched = pccore.fit_many(config, DIGITS, LANES), Breaks()
    pccore.fit_many(config, DIGITS, LANES, snapshots=watched)
    assert_same(
        pccore.fit_many(config, DIGITS, LANES, snapshots=Breaks(watched.kept[16])), unbroken
    )


@pytest.mark.usefixtures("every_update")
def test_resumes_with_the_beta_that_was_in_use() -> None:
    """Snapshots just before, at and after a measurement of the spectrum, which sets beta."""
    config = dataclasses.replace(
        CONFIG, steps=20, eval_every=9, probes=(), activity_lr=pccore.SpectralActivityLr(1.0, 6)
    )
    lanes = [pccore.Lane(0.1, None, 0), pccore.Lane(0.3, None, 1)]
    unbroken, watched = pccore.fit_many(config, DIGITS, lanes), Breaks()
    assert_same(pccore.fit_many(config, DIGITS, lanes, snapshots=watched), unbroken)
    for place in (5, 6, 7, 9, 17):
        again = Breaks(watched.kept[place - 1])
        assert_same(pccore.fit_many(config, DIGITS, lanes, snapshots=again), unbroken)
        assert len(again.kept) == config.steps - 1 - place, "it did not begin at the beginning"


@pytest.mark.usefixtures("every_update")
def test_warns_about_snapshot_of_other_training() -> None:
    watched = Breaks()
    pccore.fit_many(CONFIG, DIGITS, LANES, snapshots=watched)
    unbroken = pccore.fit_many(CONFIG, DIGITS, LANES[:2])
    whole = watched.kept[20]
    for data in (whole, b"", b"nonsense", whole[:-1], whole[: len(whole) // 2], whole + b"\0"):
        lanes = LANES[:2] if data is whole else LANES
        expected = unbroken if data is whole else pccore.fit_many(CONFIG, DIGITS, LANES)
        with pytest.warns(RuntimeWarning, match="training starts from the beginning"):
            assert_same(pccore.fit_many(CONFIG, DIGITS, lanes, snapshots=Breaks(data)), expected)


@pytest.mark.usefixtures("every_update")
@pytest.mark.parametrize(
    ("data", "lanes", "differ"),
    [
        (dataclasses.replace(DIGITS, mean=1.0), LANES, "data differ"),
        (DIGITS, LANES[::-1], "lanes differ"),
        (DIGITS, [*LANES[:2], pccore.Lane(0.01, 0.5, 7)], "lanes differ"),
    ],
    ids=["data", "order", "seed"],
)
def test_refuses_a_snapshot_of_equal_shapes(
    data: pccore.data.Dataset, lanes: list[pccore.Lane], differ: str
) -> None:
    """All arrays would fit: only the identity tells the trainings apart."""
    watched = Breaks(after=20)
    with pytest.raises(BrokenError):
        pccore.fit_many(CONFIG, DIGITS, LANES, snapshots=watched)
    with pytest.warns(RuntimeWarning, match=f"of another training: its {differ}"):
        found = pccore.fit_many(CONFIG, data, lanes, snapshots=Breaks(watched.kept[-1]))
    assert_same(found, pccore.fit_many(CONFIG, data, lanes))


@pytest.mark.parametrize(
    "changes",
    [{"steps": 51}, {"rule": pccore.Backpropagation()}, {"probes": ()}, {"parameterisation": "sp"}],
    ids=["steps", "rule", "probes", "parameterisation"],
)
def test_refuses_a_snapshot_of_another_configuration(changes: dict[str, Any]) -> None:
    of_network = {name: changes.pop(name) for name in list(changes) if name == "parameterisation"}
    network = dataclasses.replace(CONFIG.network, **of_network)
    other = dataclasses.replace(CONFIG, network=network, **changes)
    tree = {"a": np.zeros(1)}
    data = encode(3, tree, Identity.of(other, DIGITS, LANES))
    with pytest.raises(ValueError, match="of another training: its configuration differ"):
        decode(data, lambda _: tree, Identity.of(CONFIG, DIGITS, LANES))
    assert decode(data, lambda _: tree, Identity.of(other, DIGITS, LANES))[0] == 3


def test_a_snapshot_of_an_earlier_version_starts_again() -> None:
    data = b"mupc training 1\n" + encode(3, {"a": np.zeros(1)})[16:]
    with pytest.raises(ValueError, match="not a snapshot"):
        decode(data, lambda _: {"a": np.zeros(1)}, Identity.of(CONFIG, DIGITS, LANES))


def test_the_layout_of_the_arithmetic_is_no_part_of_the_identity() -> None:
    network = dataclasses.replace(CONFIG.network, layers_per_product=2)
    config = dataclasses.replace(CONFIG, network=network, batch_shards=2)
    assert Identity.of(config, DIGITS, LANES) == Identity.of(CONFIG, DIGITS, LANES)


@pytest.mark.parametrize("step", [10**15, -50, 0, 50, -(2**63), 2**63 - 1])
def test_refuses_updates_that_the_training_never_has(step: int) -> None:
    """In particular without building a list of 10^15 evaluations."""
    identity = Identity.of(CONFIG, DIGITS, LANES)
    data = encode(step, {"a": np.zeros(1)}, identity)
    expected = pccore.fit_many(CONFIG, DIGITS, LANES)
    with pytest.warns(RuntimeWarning, match=f"it is at update {step} of 50"):
        assert_same(pccore.fit_many(CONFIG, DIGITS, LANES, snapshots=Breaks(data)), expected)


class Evil:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_does_not_unpickle(tmp_path: Path) -> None:
    """Neither the number of updates nor an array is unpickled."""
    mark = tmp_path / "executed"
    evil = np.array([Evil(mark)], dtype=object)
    whole = encode(3, {"a": np.zeros(1)})
    head = whole[: whole.index(b"\x93NUMPY")]
    steps = whole[: whole.index(b"\x93NUMPY", len(head) + 1)]
    for before in (head, steps):
        buffer = io.BytesIO()
        buffer.write(before)
        np.save(buffer, evil, allow_pickle=True)
        with pytest.raises(ValueError, match="another training"):
            decode(buffer.getvalue(), lambda _: {"a": np.zeros(1)})
    assert not mark.exists()


def test_snapshot_round_trip() -> None:
    tree = {"a": np.arange(6.0).reshape(2, 3), "b": [np.float32(np.nan)]}
    step, back = decode(encode(7, tree), lambda _: tree)
    assert step == 7
    np.testing.assert_array_equal(back["a"], tree["a"])
    with warnings.catch_warnings(), pytest.raises(ValueError, match="another training"):
        decode(encode(7, tree), lambda _: {**tree, "c": np.zeros(1)})


def test_pace_converges_to_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stretch, which includes compilation, does not matter."""
    now = [0.0]
    monkeypatch.setattr("pccore.training.snapshots.time.perf_counter", lambda: now[0])
    pace = Pace()
    taken = []
    for _ in range(8):
        taken.append(pace.steps)
        with pace.timed(pace.steps):
            now[0] += 2**-9 * pace.steps + (30 if len(taken) == 1 else 0)
    assert taken == [1, 1, 8, 64, 256, 256, 256, 256]
    with pace.timed(256):
        now[0] += 1000
    assert pace.steps == 1
