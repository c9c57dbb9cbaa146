"""A pool that computes losses by a formula, for tests of what is around the training."""

from datetime import UTC, datetime
from typing import Self

import pccore
from pccore import Outcome, Status
from transfer import Group, GroupResult, Worker

CAUSE = "out of memory at s3://ID:SECRET@bucket/x"


class FormulaPool:
    """Returns a loss of (eta - 0.1)^2 + 0.1 for every run.

    Args:
        failing: how many runs fail before the others train.
        interrupted_after: after how many groups Ctrl-C is pressed; None means never.
    """

    slots = 1

    def __init__(self, failing: int = 0, interrupted_after: int | None = None) -> None:
        self._failing, self._left = failing, interrupted_after
        self._waiting: list[Group] = []

    def lanes(self, config: pccore.TrainingConfig) -> int:
        return 2

    def submit(self, group: Group) -> None:
        self._waiting.append(group)

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt
        group = self._waiting.pop(0)
        outcomes = tuple(self._outcome(lane.weight_lr) for lane in group.lanes)
        worker = Worker("cpu", "here", 1)
        return [GroupResult(group, outcomes, 1.0, datetime.now(UTC), worker)]

    def _outcome(self, eta: float) -> Outcome:
        if self._failing:
            self._failing -= 1
            return Outcome.failed(CAUSE)
        loss = (eta - 0.1) ** 2 + 0.1
        return Outcome(
            Status.TRAINED,
            final_train_loss=loss,
            min_train_loss=loss / 2,
            test_loss=loss,
            test_accuracy=0.9,
            steps=60,
        )

    def close(self) -> None:
        self._waiting = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
