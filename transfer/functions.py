"""Training functions of the user's: what they are called with, and what they may return.

    def train(shape, rates, seed):
        ...
        return final_loss

`shape` has the sizes `width` and `depth`, `rates` the values by name, `seed` is a whole number. The
function may train anything, with any library, in this process or another.
"""

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property, partial
from itertools import pairwise
from typing import cast

import numpy as np

from pccore import Outcome, Registry
from pccore.own import Own
from pccore.registry import kind_of
from pccore.source_digest import called
from pccore.training.outcomes import Curve, Status
from results.landscape import Cell
from results.shapes import Shape
from transfer.function_code import FunctionCode, code_to_send

Train = Callable[[Shape, Mapping[str, float], int], object]
"""A training function: train(shape, rates, seed)."""

LONGEST_CURVE = 10**6
"""Points of a curve that are recorded at most."""
MOST_STEPS = 2**53
"""The largest place in a curve."""

ALLOWED = (
    "return the final loss as a number, the curve as a list of losses or of (step, loss) pairs, a "
    "mapping with the key loss or curve, or a mupc.Outcome"
)
KEYS = ("loss", "curve", "test_loss", "test_accuracy")
"""The keys of a mapping that a function may return."""


@dataclass(frozen=True)
class TrainingFunction:
    """A training function on its way to the processes that call it. It can be pickled.

    Attributes:
        name: what identifies it: its name with the digest of its code, "train@1f2e3d4c5b6a".
        code: the function, and the modules of the user's that it needs.
    """

    name: str
    code: FunctionCode = field(repr=False)

    @classmethod
    def of(cls, own: Own) -> "TrainingFunction":
        """Return the function that a name in `TRAININGS` stands for."""
        return cls(str(own), code_to_send(cast(Train, own.entry), own.modules))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its name, and so of its code: the place of a data set's digest in run ids."""
        return hashlib.sha256(self.name.encode()).hexdigest()


@dataclass(frozen=True)
class FunctionConfig:
    """What the runs of a training function share at one shape.

    Attributes:
        function: the name of the `TrainingFunction`.
        shape: the shape.
        whole: rates that are whole numbers.
    """

    function: str
    shape: Shape
    whole: tuple[str, ...] = ()

    @property
    def work(self) -> float:
        """The cost of a run compared with that at another shape: N^2 L, for want of a better."""
        return float(self.shape.width**2 * (self.shape.depth + 1))


@dataclass(frozen=True)
class FunctionLane:
    """The values that differ between the runs at one shape: the rates and the seed."""

    cell: Cell
    seed: int


def rates_of(config: FunctionConfig, lane: FunctionLane) -> dict[str, float]:
    """Return the rates that the function is called with: whole ones as integers."""
    return {
        name: int(value) if name in config.whole else float(value)
        for name, value in lane.cell.items()
    }


def adopt(thing: object) -> Train:
    """Return the training function that a user's function or object is.

    Raises:
        ValueError: it cannot be called with a shape, rates and a seed.
    """
    if isinstance(thing, type) or not callable(thing):
        raise ValueError(f"must be a function train(shape, rates, seed), {kind_of(thing)}")
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):  # of a compiled function
        return thing
    try:
        signature.bind(None, None, None)
    except TypeError:
        raise ValueError(
            f"must take three arguments, train(shape, rates, seed), not {called(thing)}{signature}"
        ) from None
    return thing


TRAININGS: Registry[Train] = Registry("training function", {}, adopt)
"""No training function is built in: all are the user's, by object or as module:attribute."""


def outcome_of(name: str, answer: object) -> Outcome:
    """Return the outcome that the answer of a training function stands for.

    A loss that is NaN or infinite is a run that diverged. What is none of `ALLOWED` is a failed run
    whose cause says what came back.

    Args:
        name: of the function.
        answer: what it returned, made of plain Python values, or an `Outcome`. The name of a type,
            as bytes, stands for an object of it.
    """
    if isinstance(answer, Outcome):
        return answer
    try:
        return _outcome(answer)
    except _AnswerError as error:
        return Outcome.failed(f"{name.partition('@')[0]} {error}")


class _AnswerError(ValueError):
    """What is wrong with an answer, as the end of a sentence that begins with the function."""


def _outcome(answer: object) -> Outcome:
    if isinstance(answer, Mapping):
        return _of_mapping(answer)
    if isinstance(answer, list | tuple):
        return _of_curve(answer)
    return _of_loss(_number(answer, "returned"))


def _of_mapping(answer: Mapping[object, object]) -> Outcome:
    for key in answer:
        if key not in KEYS:
            near = get_close_matches(str(key), KEYS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise _AnswerError(
                f"returned a mapping with the unknown key {str(key)[:40]!r}: choose from "
                f"{', '.join(KEYS)}{hint}"
            )
    given = {key: value for key, value in answer.items() if value is not None}
    if "loss" not in given and "curve" not in given:
        raise _AnswerError("returned a mapping without a loss: give the key loss or curve")
    tested = _optional(given, "test_loss", math.inf), _optional(given, "test_accuracy", 1.0)
    if "curve" in given:
        curve = given["curve"]
        if not isinstance(curve, list | tuple):
            raise _AnswerError(f"returned as curve {_shown(curve)}, not a list")
        of_curve = _of_curve(curve)
        if "loss" not in given or of_curve.status is Status.DIVERGED:
            return _tested(of_curve, *tested)
        of_loss = replace(
            _of_loss(_number(given["loss"], "returned as loss")),
            curve=of_curve.curve,
            steps=of_curve.steps,
            min_train_loss=of_curve.min_train_loss,
        )
        return _tested(of_loss, *tested)
    return _tested(_of_loss(_number(given["loss"], "returned as loss")), *tested)


def _tested(outcome: Outcome, loss: float | None, accuracy: float | None) -> Outcome:
    """Return an outcome with what was found on the test set, which counts if it trained."""
    trained = outcome.status is Status.TRAINED
    return replace(outcome, test_loss=loss, test_accuracy=accuracy) if trained else outcome


def _of_loss(loss: float) -> Outcome:
    if not math.isfinite(loss):
        return Outcome(Status.DIVERGED)
    if loss < 0:
        raise _AnswerError(
            f"returned a loss of {loss:g}: losses must be at least 0, as verdicts compare their "
            "logarithms"
        )
    return Outcome(Status.TRAINED, final_train_loss=loss)


def _of_curve(answer: Sequence[object]) -> Outcome:
    """Return the outcome of a curve: its final loss is the mean over the last tenth."""
    if not answer:
        raise _AnswerError("returned an empty curve: it needs at least one loss")
    if len(answer) > LONGEST_CURVE:
        raise _AnswerError(f"returned a curve of {len(answer):,} points, above {LONGEST_CURVE:,}")
    pairs = [each for each in answer if isinstance(each, list | tuple)]
    if len(pairs) < len(answer):
        steps = list(range(1, len(answer) + 1))
        losses = [_number(each, f"returned as loss {n}") for n, each in enumerate(answer, 1)]
    else:
        for pair in pairs:
            if len(pair) != 2:
                raise _AnswerError(f"returned a curve with {_shown(pair)}, not a (step, loss) pair")
        steps = [_step(pair[0]) for pair in pairs]
        losses = [_number(pair[1], f"returned as loss at step {pair[0]}") for pair in pairs]
        if any(after <= before for before, after in pairwise(steps)):
            raise _AnswerError("returned a curve whose steps do not increase")
    values = np.array(losses)
    if (values < 0).any():
        _of_loss(float(values[values < 0][0]))
    missing = np.full(len(values), np.nan)
    curve = Curve(np.array(steps, np.int64), values, missing, missing)
    finite = np.isfinite(values)
    low = float(values[finite].min()) if finite.any() else None
    made = partial(Outcome, min_train_loss=low, steps=steps[-1], curve=curve)
    if not finite.all():
        first = steps[int(np.argmin(finite))]
        return made(Status.DIVERGED, diverged_step=first or None)
    last = max(1, len(values) // 10)
    return made(Status.TRAINED, final_train_loss=float(values[-last:].mean()))


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _AnswerError(f"{where} {_shown(value)}: {ALLOWED}")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _step(value: object) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not 0 <= int(cast(int, value)) <= MOST_STEPS:
        raise _AnswerError(
            f"returned a curve with the step {_shown(value)}: steps are whole numbers from 0"
        )
    return int(cast(int, value))


def _optional(given: Mapping[object, object], key: str, most: float) -> float | None:
    if key not in given:
        return None
    number = _number(given[key], f"returned as {key}")
    if math.isnan(number) or not 0 <= number <= most:
        allowed = "at least 0" if most == math.inf else f"from 0 to {most:g}"
        raise _AnswerError(f"returned as {key} {number:g}: it must be {allowed}")
    return number if math.isfinite(number) else None


def _shown(value: object) -> str:
    """Return a value as a sentence names it: None, a short number or text, else its type."""
    if value is None or isinstance(value, bool | int | float):
        return str(value)[:40]
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, bytes):
        return f"an object of type {value.decode(errors='replace')[:80]}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)} entries"
    return f"an object of type {type(value).__name__}"
