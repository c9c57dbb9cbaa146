"""The door of the ledger: what a worker sends is recorded if it can be true, else as failed."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeGuard

import numpy as np

from pccore.networks.arrays import require_arrays
from pccore.training.config import TrainingConfig
from pccore.training.outcomes import Curve, Outcome, Status
from pccore.training.probe import Reading
from transfer.engine.pool import Group, GroupResult, TrainedWeights, Worker, failed_group
from transfer.functions import MOST_STEPS, FunctionConfig

MAX_SECONDS = 1e9  # 32 years
MAX_TEXT = 1000  # characters of a name or a cause
MAX_LAYERS = 2**31

KEPT = (Status.TRAINED, Status.AT_CHANCE)
"""How runs end whose weights are worth keeping."""

LOST = "the pool returned no result that names its runs"


class Submitted:
    """The groups that a pool has, and the results that it returns for them."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], Group] = {}
        self._answered: set[tuple[str, ...]] = set()
        self._strays = 0

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def groups(self) -> list[Group]:
        """The groups without a result, in the order of submission."""
        return list(self._groups.values())

    def add(self, group: Group) -> None:
        """Expect a result of a group."""
        self._groups[group.run_ids] = group

    def results(self, answers: Iterable[object]) -> Iterator[GroupResult]:
        """Yield one result per group, with failed outcomes in place of those that cannot be true.

        A pool returns one result per group. Those that name no group stand for groups whose results
        never come: when as many are left, these have failed.
        """
        for answer in answers:
            run_ids = _run_ids(answer)
            group = self._groups.pop(run_ids, None) if run_ids else None
            if group is not None:
                self._answered.add(group.run_ids)
                yield admitted(fitting(group, answer))
            elif run_ids not in self._answered:
                self._strays += 1
        if self._groups and len(self._groups) <= self._strays:
            lost, self._groups, self._strays = self.groups, {}, 0
            for group in lost:
                self._answered.add(group.run_ids)
                yield failed_group(group, LOST)


def fitting(group: Group, answer: object) -> GroupResult:
    """Return a worker's answer as the result of a group; a failed group if it cannot be that.

    Outcomes are given to runs by their places: an answer about other runs, or with more or fewer
    outcomes than lanes, is about nobody.
    """
    fault = _misfit(group, answer)
    if fault is None and isinstance(answer, GroupResult):
        return replace(answer, group=group)
    return failed_group(group, f"the answer of its worker is none: {fault}")


def admitted(result: GroupResult) -> GroupResult:
    """Return a result with failed outcomes in place of those that cannot be true."""
    group, config = result.group, result.group.config
    tests = not isinstance(config, FunctionConfig)
    steps = config.steps if isinstance(config, TrainingConfig) else MOST_STEPS
    outcomes, weights, snapshots = [], {}, {}
    for run_id, each in zip(group.run_ids, result.outcomes, strict=True):
        outcome, trained = _admitted(each, steps, tests), result.weights.get(run_id)
        if (fault := _stop_fault(outcome, group, steps)) is not None:
            outcome = Outcome.failed(f"its worker sent an outcome that cannot be: {fault}")
        snapshot = result.snapshots.get(run_id)
        if outcome.status is Status.PRUNED and isinstance(snapshot, bytes):
            snapshots[run_id] = snapshot
        if outcome.status in KEPT and trained is not None and run_id in group.kept:
            fault = _weights_fault(group, trained)
            if fault is None:
                weights[run_id] = trained
            else:
                outcome = Outcome.failed(f"its worker sent weights that cannot be: {fault}")
        outcomes.append(outcome)
    return replace(result, outcomes=tuple(outcomes), weights=weights, snapshots=snapshots)


def _stop_fault(outcome: Outcome, group: Group, steps: int) -> str | None:
    """Return why no run of a group stops like this: after its last update, or where it is told."""
    early = group.until is not None and group.until < steps
    if outcome.status is Status.PRUNED and not (early and outcome.steps == group.until):
        return f"it was stopped after {outcome.steps} updates in place of {group.until or steps}"
    if early and outcome.status in KEPT:
        return f"it ended {outcome.status} and was to stop after {group.until} updates"
    return None


def _misfit(group: Group, answer: object) -> str | None:
    if not isinstance(answer, GroupResult):
        return f"it is {_shown(answer)}"
    if _run_ids(answer) != group.run_ids:
        return "it is about other runs"
    if not isinstance(answer.outcomes, tuple) or len(answer.outcomes) != len(group.lanes):
        return f"it has other than {len(group.lanes)} outcomes"
    for name in ("seconds", "compile_seconds"):
        seconds = getattr(answer, name)
        if not _within(seconds, 0, MAX_SECONDS):
            return f"{name} is {_shown(seconds)}"
    if not _is_moment(answer.started):
        return f"started is {_shown(answer.started)}"
    if answer.path is not None and not _is_text(answer.path):
        return f"path is {_shown(answer.path)}"
    for name in ("weights", "snapshots"):
        if not isinstance(getattr(answer, name), dict):
            return f"{name} is {_shown(getattr(answer, name))}"
    if not _is_worker(answer.worker):
        return f"worker is {_shown(answer.worker)}"
    return None


def _admitted(outcome: object, steps: int, tests: bool) -> Outcome:
    """Return an outcome as it is recorded: without losses that only trained runs have."""
    fault = _impossibility(outcome, steps, tests)
    if fault is not None or not isinstance(outcome, Outcome):
        return Outcome.failed(f"its worker sent an outcome that cannot be: {fault}")
    if outcome.status is Status.TRAINED:
        return outcome
    cause = outcome.cause
    if outcome.status is Status.FAILED and not cause:
        cause = "it failed without a cause"
    return replace(outcome, final_train_loss=None, test_loss=None, cause=cause)


def _impossibility(outcome: object, steps: int, tests: bool) -> str | None:
    """Return why no run of `steps` weight updates has this outcome; None if one may.

    Args:
        outcome: what a worker sent.
        steps: weight updates of the run.
        tests: whether every run has test losses; training functions need not.
    """
    if not isinstance(outcome, Outcome):
        return f"it is {_shown(outcome)}"
    status = outcome.status
    if not isinstance(status, Status):
        return f"status is {_shown(status)}"
    trained, whole = status is Status.TRAINED, status in (Status.TRAINED, Status.AT_CHANCE)
    most = math.nextafter(math.inf, 0) if whole else math.inf
    checks = (
        ("final_train_loss", not trained or _within(outcome.final_train_loss, 0, most)),
        ("min_train_loss", _absent_or_within(outcome.min_train_loss, most)),
        ("test_loss", not trained or _absent_or_within(outcome.test_loss, most)),
        ("test_accuracy", _absent_or_within(outcome.test_accuracy, 1)),
        ("steps", _is_whole(outcome.steps, 0, steps)),
        ("diverged_step", outcome.diverged_step is None or _is_step(outcome, steps)),
        ("cause", outcome.cause is None or _is_text(outcome.cause)),
    )
    for name, holds in checks:
        if not holds:
            return f"{name} of a run that ended {status} is {_shown(getattr(outcome, name))}"
    return (
        _curve_fault(outcome.curve, steps, whole, tests)
        or _changes_fault(outcome.layer_changes)
        or _readings_fault(outcome.readings, steps)
    )


def _is_step(outcome: Outcome, steps: int) -> bool:
    return outcome.status is Status.DIVERGED and _is_whole(outcome.diverged_step, 1, steps)


def _curve_fault(curve: object, steps: int, whole: bool, tests: bool) -> str | None:
    """Return what is wrong with a curve; `whole` where no loss may be missing or infinite.

    Without `tests`, test losses may all be missing.
    """
    if not isinstance(curve, Curve):
        return f"curve is {_shown(curve)}"
    losses = curve.train_loss, curve.test_loss
    arrays = curve.step, *losses, curve.test_accuracy
    if not _is_vector(curve.step, "iu") or not all(_is_vector(each, "f") for each in arrays[1:]):
        return "its curve has other than vectors of numbers"
    if len({len(each) for each in arrays}) > 1:
        return f"its curve has lengths {', '.join(str(len(each)) for each in arrays)}"
    places = curve.step.astype(np.int64)  # unsigned integers have no negative differences
    if len(places) and not (places[0] >= 0 and places[-1] <= steps and np.all(np.diff(places) > 0)):
        return f"its curve is not at increasing updates up to {steps}"
    for name, values in (("train_loss", curve.train_loss), ("test_loss", curve.test_loss)):
        absent = not tests and name == "test_loss" and bool(np.all(np.isnan(values)))
        needed = whole and not absent and (steps > 0 or name == "test_loss")
        if np.any(values < 0) or (needed and not np.all(np.isfinite(values))):
            return f"{name} of its curve is negative, missing or infinite"
    shares = curve.test_accuracy
    if np.any((shares < 0) | (shares > 1)):
        return "test_accuracy of its curve is outside of 0 to 1"
    return None


def _changes_fault(changes: object) -> str | None:
    """Return what is wrong with the changes of layers; those of zeros are infinite or missing."""
    if not _is_vector(changes, "f") or np.any(changes < 0):
        return "layer_changes has other than a vector of numbers from 0"
    return None


def _readings_fault(readings: object, steps: int) -> str | None:
    if not isinstance(readings, tuple):
        return f"readings is {_shown(readings)}"
    for reading in readings:
        if not (
            isinstance(reading, Reading)
            and _is_whole(reading.step, 0, steps)
            and _is_text(reading.quantity)
            and _number(reading.value) is not None
            and _is_text(reading.source)
            and (reading.layer is None or _is_whole(reading.layer, 1, MAX_LAYERS))
        ):
            return f"one of its readings is {_shown(reading)}"
    return None


def _weights_fault(group: Group, weights: object) -> str | None:
    """Return why no run of a group has these weights; None if one may."""
    if not isinstance(weights, TrainedWeights) or not isinstance(weights.arrays, dict):
        return f"they are {_shown(weights)}"
    arrays, config = weights.arrays, group.config
    if not isinstance(config, TrainingConfig):
        return "a training function has none"
    if not all(isinstance(n, str) and isinstance(a, np.ndarray) for n, a in arrays.items()):
        return "they have other than named arrays"
    finite = math.nextafter(math.inf, 0)
    if not _within(weights.mean, -finite, finite) or not _within(weights.std, 0, finite):
        return f"mean is {_shown(weights.mean)}, and std {_shown(weights.std)}"
    if not weights.std or weights.task not in ("classification", "regression"):
        return f"std is {_shown(weights.std)}, and the task {_shown(weights.task)}"
    for each in (weights.feature_mean, weights.feature_std):
        if each is not None and not (_is_vector(each, "f") and np.isfinite(each).all()):
            return "the mean or std of its features has other than a vector of numbers"
    try:
        require_arrays(config.network, arrays)
    except ValueError as error:
        return str(error)
    return None


def _is_worker(worker: object) -> bool:
    return (
        isinstance(worker, Worker)
        and _is_text(worker.device)
        and _is_text(worker.host)
        and _is_whole(worker.pid, 0, 2**63 - 1)
        and all(
            version is None or _is_text(version)
            for version in (worker.jax_version, worker.jaxlib_version)
        )
    )


def _is_moment(value: object) -> bool:
    """Return whether a value is a time with its zone."""
    try:
        return (
            isinstance(value, datetime)
            and value.utcoffset() is not None
            and value.astimezone(UTC) == value
        )
    except (OverflowError, ValueError):
        return False


def _run_ids(answer: object) -> tuple[str, ...] | None:
    """Return the run ids that an answer names; None if it names none."""
    if not isinstance(answer, GroupResult) or not isinstance(answer.group, Group):
        return None
    run_ids = answer.group.run_ids
    if not isinstance(run_ids, tuple) or not all(isinstance(each, str) for each in run_ids):
        return None
    return run_ids


def _number(value: object) -> float | None:
    """Return a number as a float; None if it is none, or too large for one."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _within(value: object, least: float, most: float) -> bool:
    number = _number(value)
    return number is not None and least <= number <= most


def _absent_or_within(value: object, most: float) -> bool:
    return value is None or _within(value, 0, most)


def _is_whole(value: object, least: int, most: int) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return False
    return least <= int(value) <= most


def _is_vector(value: object, kinds: Sequence[str]) -> TypeGuard[np.ndarray]:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in kinds


def _is_text(value: object) -> bool:
    """Return whether a value is a short text that can be stored."""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    """Return a number or None as it is, and anything else by its class."""
    if value is None or (isinstance(value, int | float) and _number(value) is not None):
        return str(value)
    return f"of type {type(value).__name__}"
