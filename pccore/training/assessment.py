"""The outcome of a lane from its recorded losses."""

from dataclasses import dataclass

import numpy as np

from pccore.data import Dataset
from pccore.training.outcomes import Curve, Outcome, Status

# Untrained networks can be slightly better than the most common class by luck. A tenth of the way
# from that to a perfect score still counts as chance.
CHANCE_MARGIN = 0.1

BLOWN_UP = 0.01
"""The share of the limit of the batch loss above which a final training loss has blown up.

The limit is 1,000 times the first loss or that of predicting zero, whichever is larger
(`TrainingConfig.divergence_factor`). A run whose last tenth is 10 times worse than both has not
stayed at chance: it has left it upwards.
"""


@dataclass(frozen=True)
class Chance:
    """The performance on a data set of networks that ignore their input.

    Attributes:
        accuracy: for classifications, the share of the most common class of the test set, plus a
            tenth of the difference to 1; None for regressions.
        loss: for regressions, the training loss of predicting the mean target,
            0.5 sum_k Var(y_k); None for classifications.
    """

    accuracy: float | None
    loss: float | None

    @classmethod
    def of(cls, dataset: Dataset) -> "Chance":
        """Return the chance level of `dataset`."""
        if dataset.task == "classification":
            share = float(np.bincount(dataset.test_y).max()) / len(dataset.test_y)
            return cls(accuracy=share + CHANCE_MARGIN * (1 - share), loss=None)
        return cls(accuracy=None, loss=0.5 * float(np.var(dataset.train_y, axis=0).sum()))

    def explains(self, loss: float, accuracy: float | None) -> bool:
        """Return whether a training loss and a test accuracy are no better than chance."""
        if self.accuracy is not None and accuracy is not None:
            return accuracy <= self.accuracy
        return self.loss is not None and loss >= self.loss


def assess(
    losses: np.ndarray,
    limit: float,
    evaluated: np.ndarray,
    test_loss: np.ndarray,
    test_accuracy: np.ndarray,
    chance: Chance,
    stopped: int | None = None,
) -> Outcome:
    """Return the outcome of a lane.

    Args:
        losses: training loss of every step's batch, (steps,); NaN after the lane has diverged.
        limit: the loss above which the lane counts as diverged; infinite if only a loss that is
            not finite does.
        evaluated: steps done at each evaluation, increasing; the last one is the end of training.
        test_loss: test loss at each evaluation.
        test_accuracy: test accuracy at each evaluation, NaN for regressions.
        chance: the chance level of the data set.
        stopped: steps done, if training was stopped before the last one.
    """
    losses = losses[:stopped]
    total = len(losses)
    final = float(np.mean(losses[-max(1, total // 10) :])) if total else None
    if stopped is None:
        diverged_step = _divergence(losses, limit, final, float(test_loss[-1]))
    else:  # it may still recover from anything but NaN
        diverged_step = _first(np.isnan(losses))
    parts = np.split(losses[: evaluated[-1]], evaluated[:-1])
    means = [np.mean(part) if len(part) else np.nan for part in parts]
    alive = evaluated < (diverged_step or total + 1)
    curve = Curve(
        step=evaluated,
        train_loss=np.array(means),
        test_loss=np.where(alive, test_loss, np.nan),
        test_accuracy=np.where(alive, test_accuracy, np.nan),
    )
    recorded = losses[~np.isnan(losses)]
    least = float(recorded.min()) if len(recorded) else None
    if diverged_step is not None:
        return Outcome(
            Status.DIVERGED,
            min_train_loss=least,
            steps=diverged_step,
            diverged_step=diverged_step,
            curve=curve,
        )
    accuracy = None if np.isnan(test_accuracy[-1]) else float(test_accuracy[-1])
    if stopped is not None:
        return Outcome(
            Status.PRUNED, min_train_loss=least, test_accuracy=accuracy, steps=total, curve=curve
        )
    trained = final is not None and not chance.explains(final, accuracy)
    return Outcome(
        Status.TRAINED if trained else Status.AT_CHANCE,
        final_train_loss=final if trained else None,
        min_train_loss=least,
        test_loss=float(test_loss[-1]) if trained else None,
        test_accuracy=accuracy,
        steps=total,
        curve=curve,
    )


def _divergence(
    losses: np.ndarray, limit: float, final: float | None, last_test_loss: float
) -> int | None:
    """Return the first step with a diverged loss; the last step if only the test loss diverged."""
    first = _first(np.isnan(losses))
    if first is None and final is not None and final > BLOWN_UP * limit:
        first = _first(losses > BLOWN_UP * limit)
    if first is not None:
        return first
    within = last_test_loss <= limit and np.isfinite(last_test_loss)
    return None if within else len(losses)


def _first(bad: np.ndarray) -> int | None:
    """Return the first step, counted from 1, that is bad."""
    return int(bad.argmax()) + 1 if bad.any() else None
