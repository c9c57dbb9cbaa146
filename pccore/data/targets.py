"""Targets of any source: labels from 0 for a classification, vectors for a regression."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pccore.data.errors import DatasetError
from pccore.data.inputs import array_of

Task = Literal["classification", "regression"]

_SHOWN = 5  # names of classes in a message


@dataclass(frozen=True)
class Targets:
    """Targets as training reads them.

    Attributes:
        task: "classification" or "regression".
        train: int32 labels (n,) from 0, or float32 (n, K).
        test: the same for the test set; None if it is to be split off.
        classes: names of the classes, in the order of the labels; empty if they had none.
    """

    task: Task
    train: np.ndarray
    test: np.ndarray | None
    classes: tuple[str, ...] = ()

    @property
    def tested(self) -> np.ndarray:
        """The targets of the test set, which was given."""
        assert self.test is not None
        return self.test

    @property
    def note(self) -> str:
        """The names of the classes in words, or nothing."""
        return f"classes {_listed(self.classes)}" if self.classes else ""


def targets_of(y: object, y_test: object, task: Task | None, what: str = "y") -> Targets:
    """Return the targets of a training set and of a test set.

    Whole numbers (n,) and text are labels; rows (n, K) with a single 1 are one-hot labels; real
    numbers (n, K) are targets of a regression. With `task` "regression" all numbers are, with
    (n,) for K = 1.

    Args:
        y: targets of the training set, or of all samples.
        y_test: targets of the test set, or None.
        task: None to infer it.
        what: name of the targets in an error message.

    Raises:
        DatasetError: they are neither; labels are not numbered from 0 without gaps, or there is one
            class only; or all targets of a regression are equal.
    """
    train = array_of(y, what)
    test = None if y_test is None else array_of(y_test, f"{what}_test")
    task = task or ("regression" if _is_real_matrix(train) else "classification")
    if task == "regression":
        return _regression(train, test, what)
    names: tuple[str, ...] = ()
    if train.dtype.kind in "US":
        train, test, names = _numbered(train, test, what)
    labels = _labels(train, what)
    _require_classes(labels, what)
    if test is None:
        return Targets(task, labels, None, names)
    tested = _labels(test, f"{what}_test")
    if tested.size and tested.max() > labels.max():
        raise DatasetError(
            f"{what}_test has the label {tested.max()}, which no training sample has"
        )
    return Targets(task, labels, tested, names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _is_real_matrix(y: np.ndarray) -> bool:
    return y.ndim == 2 and y.dtype.kind == "f" and not _is_one_hot(y)


def _is_one_hot(y: np.ndarray) -> bool:
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "biuf":
        return False
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())


def _regression(train: np.ndarray, test: np.ndarray | None, what: str) -> Targets:
    parts = []
    for name, y in ((what, train), (f"{what}_test", test)):
        if y is None:
            continue
        if y.dtype.kind not in "biuf" or y.ndim not in (1, 2) or 0 in y.shape[1:]:
            raise DatasetError(
                f"{name} of a regression must be numbers (n, K), got {y.dtype} {y.shape}"
            )
        with np.errstate(over="ignore"):
            stored = np.array(y.reshape(len(y), -1), np.float32)
        _require_finite(stored, name)
        parts.append(stored)
    if len(parts[0]) and (parts[0] == parts[0][0]).all():
        raise DatasetError(f"{what} is the same for every sample, so there is nothing to learn")
    return Targets("regression", parts[0], parts[1] if len(parts) == 2 else None)


def _require_finite(values: np.ndarray, what: str) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise DatasetError(f"{what} has no finite number in single precision in sample {bad[0][0]}")


def _numbered(
    train: np.ndarray, test: np.ndarray | None, what: str
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Return names of classes as labels, in the order of their code points, and the names."""
    names, labels = np.unique(train, return_inverse=True)
    shown = tuple(str(name) for name in names)
    if test is None:
        return labels.reshape(train.shape), None, shown
    strange = sorted(set(test.ravel().tolist()) - set(names.tolist()))
    if strange:
        raise DatasetError(
            f"{what}_test has the class {strange[0]!r}, which no training sample has: they have "
            f"{_listed(shown)}"
        )
    return labels.reshape(train.shape), np.searchsorted(names, test), shown


def _labels(y: np.ndarray, what: str) -> np.ndarray:
    """Return labels (n,) int32 of whole numbers or one-hot rows."""
    if _is_one_hot(y):
        return y.argmax(axis=1).astype(np.int32)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        _require_finite(y, what)
    if y.dtype.kind == "f" and y.ndim == 1:
        raise DatasetError(
            f"{what} must have labels in whole numbers or text, got {y.dtype} such as "
            f"{float(y[0]) if len(y) else ''}: convert them to integers, or say that the task is "
            "regression"
        )
    if y.dtype.kind not in "biu" or y.ndim != 1:
        raise DatasetError(
            f"{what} must have one label (n,) or a one-hot row (n, K) per sample, got {y.dtype} "
            f"{y.shape}"
        )
    if y.size and y.min() < 0:
        raise DatasetError(f"{what} must have labels from 0, got {y.min()}")
    if y.size and y.max() >= max(2**31, 1):
        raise DatasetError(f"{what} must have labels from 0 without gaps, got {y.max()}")
    return y.astype(np.int32)


def _require_classes(labels: np.ndarray, what: str) -> None:
    found = np.unique(labels)
    if len(found) == 1:
        raise DatasetError(f"{what} has one class only, and a classification needs two or more")
    if len(found) and found[0] > 0:
        raise DatasetError(
            f"{what} must have labels from 0, got {found[0]} to {found[-1]}: subtract {found[0]}, "
            "or give the labels as text"
        )
    if len(found) and len(found) != int(found[-1]) + 1:
        gap = int(np.argmax(found != np.arange(len(found))))
        raise DatasetError(
            f"{what} must have labels from 0 without gaps, got {len(found)} labels up to "
            f"{found[-1]} and no sample of {gap}: number them anew, or give them as text"
        )
