"""Whatever a worker sends, the driver goes on, gives no lane to another and records the rest."""

import math
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pytest
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st
from transfer_fakes import FormulaPool, MemoryLedger, spec

from pccore import Curve, Outcome, Reading, Status
from pccore.training.config import TrainingConfig
from results.schema.tables import TABLES
from results.storage.proof import contradictory
from results.storage.rows import to_arrow
from transfer import Cell, Experiment, run
from transfer.engine.pool import Group, GroupResult, Worker

T = TypeVar("T")

STEPS = 10
EXPERIMENT = Experiment.from_dict(
    spec(
        training={"steps": STEPS},
        tune={"weight_lr": [0.1], "activity_lr": [1, 10, 100], "seeds": 4},
        transfer={"depths": [4], "neighbourhood": "all"},
    )
)
"""12 runs at the tuned shape in groups of 4 lanes, and as many at the target."""


def loss_of(cell: Cell, seed: int) -> float:
    """Return a loss that no other lane has."""
    return 1 + (cell.activity_lr or 0) / 1000 + seed / 10_000


def sound(config: TrainingConfig, cell: Cell, seed: int) -> Outcome:
    ones = np.ones(2, np.float32)
    loss = loss_of(cell, seed)
    curve = Curve(np.array([5, 10]), ones, ones, ones)
    changes = np.ones(3, np.float32)
    return Outcome(Status.TRAINED, loss, loss, loss, 0.5, STEPS, None, None, curve, changes)


class Checked(MemoryLedger):
    """Refuses the rows that a ledger on disk refuses."""

    def append(self, runs: list[dict[str, Any]], curves: Any = (), layers: Any = ()) -> None:
        given = {"runs": runs, "curves": curves, "layers": layers}
        tables = {name: to_arrow(TABLES[name], rows) for name, rows in given.items()}
        assert not any(contradictory(tables["runs"]).to_pylist())
        super().append(runs, curves, layers)

    def append_measurements(self, rows: list[dict[str, Any]]) -> None:
        to_arrow(TABLES["measurements"], rows)
        super().append_measurements(rows)


def altered(thing: T, **changes: Any) -> T:
    """Return a copy with changed attributes, made without the constructor, as unpickling does."""
    copied = copy(thing)
    for name, value in changes.items():
        object.__setattr__(copied, name, value)
    return copied


Spoils = Callable[[GroupResult], object]


class Spoiling(FormulaPool):
    """Sends something else in place of the result of its second group."""

    def __init__(self, spoils: Spoils) -> None:
        super().__init__(sound, slots=2, lanes=4)
        self.spoils, self.victims = spoils, ()
        self.collected = 0

    def collect(self, timeout: float | None = None) -> list[Any]:
        [result] = super().collect(timeout)
        self.collected += 1
        if self.collected != 2:
            return [result]
        self.victims = result.group.run_ids
        return [self.spoils(result)]


def outcome_of_lane_1(change: Callable[[Outcome], Any]) -> Spoils:
    """Return a change of the outcome of the second lane of a group."""

    def spoils(result: GroupResult) -> GroupResult:
        first, second, *others = result.outcomes
        return replace(result, outcomes=(first, change(second), *others))

    return spoils


def rows_after(spoils: Spoils) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Run the experiment; return the rows of all runs, and the ids of the spoilt group."""
    pool, ledger = Spoiling(spoils), Checked()
    run(EXPERIMENT, ledger, pool)
    rows = ledger.appended
    assert len({row["run_id"] for row in rows}) == len(rows) == 24
    for row in rows:
        if row["outcome"] == "failed":
            assert row["cause"]
            assert row["run_id"] in pool.victims
        elif row["run_id"] not in pool.victims:
            cell = Cell(row["weight_lr"], row["activity_lr"])
            assert row["final_train_loss"] == loss_of(cell, row["seed"])
    return rows, pool.victims


def failed_after(spoils: Spoils) -> list[dict[str, Any]]:
    """Return the rows of the runs that failed."""
    return [row for row in rows_after(spoils)[0] if row["outcome"] == "failed"]


def with_curve(**changes: Any) -> Callable[[Outcome], Outcome]:
    return lambda outcome: altered(outcome, curve=altered(outcome.curve, **changes))


NAN, INF = math.nan, math.inf
IMPOSSIBLE: dict[str, tuple[Callable[[Outcome], Any], str]] = {
    **{
        f"loss {loss}": (lambda o, loss=loss: altered(o, final_train_loss=loss), "final_train_loss")
        for loss in (NAN, None, INF, -INF, -5, "0.1", True, 10**400, np.float32(NAN))
    },
    **{
        f"accuracy {share}": (lambda o, share=share: altered(o, test_accuracy=share), "accuracy")
        for share in (7, -0.1, NAN, INF, "1")
    },
    "smallest loss": (lambda o: altered(o, min_train_loss=-1.0), "min_train_loss"),
    "test loss": (lambda o: altered(o, test_loss=NAN), "test_loss"),
    "status of another type": (lambda o: altered(o, status="trained"), "status"),
    "no status": (lambda o: altered(o, status=None), "status"),
    "steps -50": (lambda o: altered(o, steps=-50), "steps"),
    "steps 10^15": (lambda o: altered(o, steps=10**15), "steps"),
    "steps of another type": (lambda o: altered(o, steps=10.0), "steps"),
    "trained and diverged": (lambda o: altered(o, diverged_step=3), "diverged_step"),
    "cause of another type": (lambda o: altered(o, cause=b"no"), "cause"),
    "cause that cannot be stored": (lambda o: altered(o, cause="\ud800"), "cause"),
    "endless cause": (lambda o: altered(o, cause="x" * 10**6), "cause"),
    "longer curve": (with_curve(step=np.arange(3)), "lengths"),
    "shorter curve": (with_curve(test_loss=np.ones(1)), "lengths"),
    "curve with NaN": (with_curve(train_loss=np.array([NAN, 1.0])), "train_loss of its curve"),
    "curve with inf": (with_curve(test_loss=np.array([1.0, INF])), "test_loss of its curve"),
    "curve below zero": (with_curve(train_loss=np.array([1.0, -1.0])), "train_loss of its curve"),
    "curve of accuracy 7": (with_curve(test_accuracy=np.array([7.0, 1.0])), "test_accuracy"),
    "curve backwards": (with_curve(step=np.array([10, 5])), "increasing"),
    "curve beyond the end": (with_curve(step=np.array([10, 15])), "increasing"),
    "curve of lists": (with_curve(step=[5, 10]), "vectors"),
    "curve of objects": (with_curve(step=np.array([5, 10], object)), "vectors"),
    "curve in a matrix": (with_curve(train_loss=np.ones((2, 1))), "vectors"),
    "no curve": (lambda o: altered(o, curve=None), "curve"),
    "changes below zero": (lambda o: altered(o, layer_changes=np.array([-1.0])), "layer_changes"),
    "changes in a list": (lambda o: altered(o, layer_changes=[1.0]), "layer_changes"),
    "readings in a list": (lambda o: altered(o, readings=[]), "readings"),
    "reading of a text": (lambda o: altered(o, readings=(Reading(1, "q", "1", "s"),)), "reading"),
    "reading of nothing": (lambda o: altered(o, readings=(None,)), "reading"),
    "reading at no step": (lambda o: altered(o, readings=(Reading(-1, "q", 1.0, "s"),)), "reading"),
    "nothing": (lambda o: None, "None"),
    "a number": (lambda o: 0.5, "0.5"),
    "a mapping": (lambda o: {"status": "trained"}, "dict"),
}


@pytest.mark.parametrize(("change", "word"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_outcome_fails_alone(change: Callable[[Outcome], Any], word: str) -> None:
    [row] = failed_after(outcome_of_lane_1(change))
    assert word in row["cause"]
    assert len(row["cause"]) < 200


def with_ids(result: GroupResult, run_ids: Any) -> GroupResult:
    return replace(result, group=replace(result.group, run_ids=run_ids))


ALIEN: dict[str, tuple[Spoils, str]] = {
    "no result": (lambda r: None, "no result"),
    "a text": (lambda r: "done", "no result"),
    "its outcomes alone": (lambda r: r.outcomes, "no result"),
    "too few outcomes": (lambda r: replace(r, outcomes=r.outcomes[1:]), "other than 4 outcomes"),
    "too many": (lambda r: replace(r, outcomes=r.outcomes * 2), "other than 4 outcomes"),
    "none": (lambda r: replace(r, outcomes=()), "other than 4 outcomes"),
    "outcomes in a list": (lambda r: replace(r, outcomes=list(r.outcomes)), "other than 4"),
    "lanes reversed": (lambda r: with_ids(r, r.group.run_ids[::-1]), "names its runs"),
    "one run less": (lambda r: with_ids(r, r.group.run_ids[1:]), "names its runs"),
    "foreign runs": (lambda r: with_ids(r, ("a", "b", "c", "d")), "names its runs"),
    "ids in a list": (lambda r: with_ids(r, list(r.group.run_ids)), "names its runs"),
    "no ids": (lambda r: with_ids(r, None), "names its runs"),
    "no group": (lambda r: replace(r, group=None), "names its runs"),
    **{
        f"seconds {value}": (lambda r, value=value: replace(r, seconds=value), "seconds is")
        for value in (NAN, -1.0, INF, 1e300, None, "1")
    },
    "compile seconds": (lambda r: replace(r, compile_seconds=NAN), "compile_seconds is nan"),
    "no start": (lambda r: replace(r, started=None), "started is"),
    "start without zone": (lambda r: replace(r, started=datetime(2026, 1, 1)), "started is"),
    "no worker": (lambda r: replace(r, worker=None), "worker is"),
    "worker without pid": (lambda r: replace(r, worker=Worker("cpu", "h", None)), "worker is"),
    "worker of bytes": (lambda r: replace(r, worker=Worker("cpu", "h", 1, b"1")), "worker is"),
}


@pytest.mark.parametrize(("spoils", "word"), ALIEN.values(), ids=ALIEN)
def test_an_answer_that_is_none_fails_its_group_alone(spoils: Spoils, word: str) -> None:
    rows, victims = rows_after(spoils)
    failed = {row["run_id"]: row["cause"] for row in rows if row["outcome"] == "failed"}
    assert set(failed) == set(victims)
    assert all(word in cause for cause in failed.values())


def test_a_result_that_comes_twice_counts_once() -> None:
    class Repeating(FormulaPool):
        def collect(self, timeout: float | None = None) -> list[GroupResult]:
            return super().collect(timeout) * 2

    ledger = Checked()
    run(EXPERIMENT, ledger, Repeating(sound, lanes=4))
    assert [row["outcome"] for row in ledger.appended] == ["trained"] * 24


def test_failed_runs_are_trained_by_the_next_process() -> None:
    ledger = Checked()
    run(EXPERIMENT, ledger, Spoiling(lambda result: None))
    again = FormulaPool(sound)
    run(EXPERIMENT, ledger, again)
    assert len(again.trained) == 4


def test_diverged_runs_may_have_infinite_losses() -> None:
    """Test losses overflow just before a run diverges; matrices that began at zero change so."""
    curve = Curve(np.array([5, 10]), *(np.array([1.0, bad]) for bad in (NAN, INF, NAN)))
    diverged = Outcome(
        Status.DIVERGED, None, INF, None, None, 6, 6, None, curve, np.array([INF, NAN])
    )
    rows, _ = rows_after(outcome_of_lane_1(lambda outcome: diverged))
    assert sorted({row["outcome"] for row in rows}) == ["diverged", "trained"]


def test_losses_of_untrained_runs_are_dropped() -> None:
    rows, victims = rows_after(
        outcome_of_lane_1(lambda outcome: replace(outcome, status=Status.AT_CHANCE))
    )
    [row] = [row for row in rows if row["outcome"] == "at_chance"]
    assert row["run_id"] == victims[1]
    assert row["final_train_loss"] is None
    assert row["test_loss"] is None


NUMBERS = st.none() | st.floats() | st.integers() | st.booleans() | st.text(max_size=3)
VECTORS = st.lists(st.floats(width=32), max_size=3).map(lambda v: np.array(v, np.float32))
ANYTHING = NUMBERS | VECTORS | st.binary(max_size=3) | st.lists(NUMBERS, max_size=2)
CURVES = st.builds(
    partial(altered, Curve()),
    step=st.lists(st.integers(-1, 12), max_size=3).map(lambda v: np.array(v, np.int64)) | ANYTHING,
    train_loss=VECTORS | ANYTHING,
    test_loss=VECTORS | ANYTHING,
    test_accuracy=VECTORS | ANYTHING,
)
READINGS = st.builds(
    Reading, st.integers(-1, 12) | NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 3) | NUMBERS
)
LOSSES = st.floats(0, 2) | ANYTHING
OUTCOMES = st.builds(
    partial(altered, Outcome(Status.TRAINED)),
    status=st.sampled_from(list(Status)) | ANYTHING,
    final_train_loss=LOSSES,
    min_train_loss=LOSSES,
    test_loss=LOSSES,
    test_accuracy=LOSSES,
    steps=st.integers(-1, 12) | ANYTHING,
    diverged_step=st.integers(-1, 12) | ANYTHING,
    cause=NUMBERS,
    curve=CURVES | ANYTHING,
    layer_changes=VECTORS | ANYTHING,
    readings=st.lists(READINGS, max_size=2).map(tuple) | ANYTHING,
)
TIMES = st.datetimes(timezones=st.none() | st.timezones()) | NUMBERS
WORKERS = st.builds(Worker, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)


@st.composite
def answers(draw: st.DrawFn) -> Spoils:
    """Return a function that replaces parts of a group's result by anything."""
    names = draw(st.sets(st.sampled_from(["outcomes", "seconds", "started", "worker", "group"])))
    lanes = draw(st.lists(st.none() | OUTCOMES | ANYTHING, min_size=3, max_size=5))
    changes = {
        "seconds": draw(st.floats() | ANYTHING),
        "started": draw(TIMES),
        "worker": draw(WORKERS | ANYTHING),
    }
    run_ids = draw(st.permutations(range(4)) | ANYTHING)
    nothing = draw(st.booleans()) and draw(st.booleans())

    def spoils(result: GroupResult) -> object:
        if nothing:
            return run_ids
        chosen: dict[str, Any] = {name: changes[name] for name in names if name in changes}
        if "outcomes" in names:
            own = [*result.outcomes, *result.outcomes]
            chosen["outcomes"] = tuple(
                own[place] if lane is None else lane for place, lane in enumerate(lanes)
            )
        if "group" in names:
            ids: Any = run_ids
            if isinstance(ids, list) and sorted(map(str, ids)) == list("0123"):
                ids = tuple(result.group.run_ids[place] for place in ids)
            chosen["group"] = replace(result.group, run_ids=ids)
        return replace(result, **chosen)

    return spoils


@examples(80)
@given(answers())
def test_whatever_a_worker_sends_is_recorded_as_true_or_failed(spoils: Spoils) -> None:
    """`rows_after` checks that nothing else is lost, doubled or given to another lane."""
    rows, victims = rows_after(spoils)
    for row in rows:
        loss, accuracy = row["final_train_loss"], row["test_accuracy"]
        assert (row["outcome"] == "trained") == (loss is not None)
        assert loss is None or 0 <= loss < math.inf
        assert accuracy is None or 0 <= accuracy <= 1
        assert row["run_id"] in victims or row["outcome"] == "trained"
        assert 0 <= row["seconds"] < math.inf


def test_group_and_worker_as_submitted_are_recorded() -> None:
    def spoils(result: GroupResult) -> GroupResult:
        lanes = tuple(replace(lane, seed=99) for lane in result.group.lanes)
        elsewhere = Group(
            "mnist", "/", replace(result.group.config, steps=1), lanes, result.group.run_ids
        )
        return replace(result, group=elsewhere, started=datetime.now(UTC))

    assert failed_after(spoils) == []
