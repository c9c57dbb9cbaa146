"""A worker survives every fault of a group, and attributes it to the faulty run."""

from collections.abc import Sequence
from typing import Any

import pytest
from pool_trainers import SMALL, group

import pccore
from jobs.errors import MAX_CAUSE, one_sentence
from jobs.pools.checkpointer import Stopped
from jobs.pools.worker import load_dataset, train_group

TRAINED = pccore.Outcome(pccore.Status.TRAINED, final_train_loss=0.5)


class Accelerator:
    """`pccore.fit_many` on a device that holds a number of lanes, and fails at others."""

    def __init__(self, holds: int = 1000, bad: Sequence[int] = ()) -> None:
        self.holds = holds
        self.bad = bad
        self.calls: list[int] = []

    def __call__(
        self, config: object, dataset: object, lanes: Sequence[pccore.Lane], **_: object
    ) -> list[pccore.Outcome]:
        self.calls.append(len(lanes))
        if len(lanes) > self.holds:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate\n...")
        if any(lane.seed in self.bad for lane in lanes):
            raise FloatingPointError("bad lane")
        return [TRAINED] * len(lanes)


@pytest.mark.parametrize(("holds", "calls"), [(8, [8]), (4, [8, 4, 4]), (3, [8, 4, 2, 2, 4, 2, 2])])
def test_out_of_memory_halves_the_lanes(
    monkeypatch: pytest.MonkeyPatch, holds: int, calls: list[int]
) -> None:
    device = Accelerator(holds)
    monkeypatch.setattr(pccore, "fit_many", device)
    result = train_group(group("g", tuple(range(8))))
    assert device.calls == calls
    assert result.outcomes == (TRAINED,) * 8


def test_single_lane_that_does_not_fit_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pccore, "fit_many", Accelerator(holds=0))
    (outcome,) = train_group(group("g")).outcomes
    assert outcome.status is pccore.Status.FAILED
    assert "RESOURCE_EXHAUSTED" in str(outcome.cause)
    assert "\n" not in str(outcome.cause)


def test_fault_is_attributed_to_faulty_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pccore, "fit_many", Accelerator(bad=(2, 5)))
    outcomes = train_group(group("g", tuple(range(7)))).outcomes
    failed = [i for i, outcome in enumerate(outcomes) if outcome.status is pccore.Status.FAILED]
    assert failed == [2, 5]
    assert outcomes[2].cause == "FloatingPointError: bad lane"


def test_stop_is_not_a_fault() -> None:
    def stop(steps_done: int) -> None:
        assert 0 < steps_done <= SMALL.steps
        raise Stopped

    with pytest.raises(Stopped):
        train_group(group("g", (0, 1)), on_progress=stop)


def test_data_set_is_loaded_once_per_process(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    digits = pccore.data.load("digits")

    def load(name: str, data_dir: Any = None) -> pccore.data.Dataset:
        loads.append(name)
        return digits

    monkeypatch.setattr(pccore.data, "load", load)
    assert load_dataset("a_test_of_its_own", None) is load_dataset("a_test_of_its_own", None)
    assert loads == ["a_test_of_its_own"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("a\nb"), "ValueError: a"),
        (KeyError(), "KeyError"),
        (ValueError("x" * 1000), "ValueError: " + "x" * (MAX_CAUSE - 15) + "..."),
    ],
)
def test_cause_is_one_short_line(error: Exception, sentence: str) -> None:
    assert one_sentence(error) == sentence
