"""What training functions may be and return, and the specs of their sweeps."""

import math
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pytest

import transfer
from pccore import Outcome, Status
from results.shapes import Shape
from transfer.engine.admission import admitted
from transfer.engine.plan import SweepPlan
from transfer.engine.pool import Group, GroupResult, Worker
from transfer.functions import FunctionConfig, FunctionLane, TrainingFunction, outcome_of
from transfer.space import Grid, Range
from transfer.spec.sweep import Sweep

START = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "train@0123456789ab"


def train(shape: Any, rates: Any, seed: Any) -> float:
    return 1.0


def spec(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": "test",
        "train": train,
        "tune": {"width": 8, "depth": 4, "rates": {"lr": [0.1, 0.2, 0.4], "decay": [0.01, 0.02]}},
        "transfer": {"depths": [8]},
    }
    for key, change in changes.items():
        inner = values[key] if isinstance(change, dict) and isinstance(values[key], dict) else {}
        values[key] = {**inner, **change} if isinstance(change, dict) else change
    return values


@pytest.mark.parametrize(
    ("answer", "loss"),
    [
        (0.5, 0.5),
        (0, 0.0),
        ({"loss": 0.25}, 0.25),
        ([3.0, 2.0, 1.0], 1.0),
        ([4.0] * 18 + [2.0, 1.0], 1.5),  # the mean of the last tenth
        ([[10, 3.0], [20, 2.0]], 2.0),
        ({"curve": [3.0, 2.0]}, 2.0),
        ({"loss": 1.5, "curve": [3.0, 2.0]}, 1.5),
        ({"loss": 1.0, "test_loss": 2.0, "test_accuracy": None}, 1.0),
    ],
)
def test_answers_that_are_losses(answer: object, loss: float) -> None:
    found = outcome_of(NAME, answer)
    assert (found.status, found.final_train_loss) == (Status.TRAINED, loss)


@pytest.mark.parametrize(
    ("answer", "step"),
    [
        (math.nan, None),
        (math.inf, None),
        (10**400, None),
        ([1.0, math.nan, 2.0], 2),
        ([[5, 1.0], [9, math.inf]], 9),
        ({"loss": 1.0, "curve": [math.nan]}, 1),
        ({"loss": math.nan, "test_loss": 1.0}, None),
    ],
)
def test_a_loss_that_is_not_finite_is_a_divergence(answer: object, step: int | None) -> None:
    found = outcome_of(NAME, answer)
    assert (found.status, found.diverged_step) == (Status.DIVERGED, step)


def test_a_curve_is_recorded() -> None:
    found = outcome_of(NAME, {"curve": [[10, 3.0], [20, 2.0]], "test_accuracy": 0.75})
    assert found.curve.step.tolist() == [10, 20]
    assert found.curve.train_loss.tolist() == [3.0, 2.0]
    assert (found.steps, found.min_train_loss, found.test_accuracy) == (20, 2.0, 0.75)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (None, "train returned None: return the final loss as a number, the curve"),
        (True, "train returned True: return the final loss"),
        ("0.5", "train returned the text '0.5': return the final loss"),
        (b"torch.nn.Linear", "train returned an object of type torch.nn.Linear: return"),
        (-1.5, "train returned a loss of -1.5: losses must be at least 0, as verdicts compare"),
        ([], "train returned an empty curve: it needs at least one loss"),
        ([1.0, -2.0], "train returned a loss of -2: losses must be"),
        ([1.0, "x"], "train returned as loss 2 the text 'x': return"),
        ([[1, 2.0], [1, 1.0]], "train returned a curve whose steps do not increase"),
        ([[1.5, 2.0]], "train returned a curve with the step 1.5: steps are whole numbers"),
        ([[1, 2.0, 3.0]], "train returned a curve with a list of 3 entries, not a (step, loss)"),
        ([[[1.0]]], "train returned a curve with a list of 1 entries"),
        ({}, "train returned a mapping without a loss: give the key loss or curve"),
        ({"loss": None}, "train returned a mapping without a loss"),
        ({"los": 1.0}, "the unknown key 'los': choose from loss, curve, test_loss, test_accuracy; "
         "did you mean 'loss'?"),
        ({"loss": 1.0, "test_accuracy": 75}, "as test_accuracy 75: it must be from 0 to 1"),
        ({"loss": 1.0, "test_loss": -1}, "as test_loss -1: it must be at least 0"),
        ({"curve": 1.0}, "train returned as curve 1.0, not a list"),
    ],
)  # fmt: skip
def test_answers_that_are_none_say_what_came_back(answer: object, sentence: str) -> None:
    found = outcome_of(NAME, answer)
    assert found.status is Status.FAILED
    assert found.cause is not None
    assert sentence in found.cause


def test_outcomes_pass_the_door_of_the_ledger() -> None:
    """An outcome of the user's is what it is, unless no run can have it."""
    good = Outcome(Status.TRAINED, final_train_loss=0.5, test_accuracy=0.9)
    bad = Outcome(Status.TRAINED, final_train_loss=None)
    lane = FunctionLane(transfer.Cell(lr=0.1), 0)
    group = Group(NAME, None, FunctionConfig(NAME, Shape(8, 4)), (lane, lane), ("a", "b"))
    curve = outcome_of(NAME, [2.0, 1.0])
    for outcomes, ends in (((good, bad), ("trained", "failed")), ((curve, good), ("trained",) * 2)):
        result = GroupResult(group, outcomes, 1.0, START, Worker("cpu", "here", 1))
        assert tuple(map(str, (each.status for each in admitted(result).outcomes))) == ends


def test_identity_is_the_code_the_rates_and_the_shape() -> None:
    def ids(**changes: Any) -> set[str]:
        plan = SweepPlan(Sweep.from_dict(spec(**changes)))
        (arm,) = plan.arms
        return {run.run_id for run in plan.runs(arm, Shape(8, 4), arm.space.cells)}

    def other(shape: Any, rates: Any, seed: Any) -> float:
        return 2.0

    usual = ids()
    assert len(usual) == 6 * 3
    assert ids(name="another", transfer={"depths": [16]}) == usual
    assert ids(train={"another_label": train}) == usual
    assert not ids(train=other) & usual
    reordered = {"rates": {"decay": [0.02, 0.01], "lr": [0.4, 0.2, 0.1]}}
    assert ids(tune=reordered) == usual
    assert not ids(tune={"rates": {"eta": [0.1, 0.2, 0.4], "decay": [0.01, 0.02]}}) & usual


def test_a_sweep_is_written_and_read_as_it_is() -> None:
    rates = {"lr": {"low": 0.001, "high": 1.0}, "batch_size": [16, 32], "T": [1.0, 2.0]}
    rules = ["zero_shot", {"lr": {"depth": -0.25}, "T": "depth_mup"}]
    values = spec(
        train=f"{__name__}:train",
        tune={"rates": rates, "sampler": "tpe", "trials": 5},
        transfer={"depths": [8], "rules": rules},
    )
    sweep = Sweep.from_dict(values)
    assert sweep.tune.rates == {
        "lr": Range(0.001, 1.0),
        "batch_size": Grid((16.0, 32.0), whole=True),
        "T": Grid((1.0, 2.0)),
    }
    again = Sweep.from_yaml(sweep.to_yaml())
    assert again.to_dict() == sweep.to_dict()
    assert again.tune.rates == sweep.tune.rates
    names = [name for name, _ in again.rules]
    assert names == ["zero_shot", "lr: exponents depth -0.25, T: depth_mup"]


BAD = [
    ({"train": 3}, "train must be a function train(shape, rates, seed), or module:function"),
    ({"train": "nothing"}, "train must be module:function, such as my_module:train"),
    ({"train": f"{__name__}:trian"}, "has no 'trian'; did you mean 'train'?"),
    ({"train": lambda shape, rates: 0.0}, "must take three arguments, train(shape, rates, seed)"),
    ({"train": Shape}, "must be a function train(shape, rates, seed), not the class Shape"),
    ({"train": {}}, "train must have 1 to 20 functions"),
    ({"tune": {"rates": {}}}, "tune.rates must name 1 to 6 rates, each with a list"),
    ({"tune": {"rates": [0.1]}}, "tune.rates must name 1 to 6 rates"),
    ({"tune": {"rates": {"lr": 0.1}}}, "tune.rates.lr must be a list of values or {low: ..., high"),
    ({"tune": {"rates": {"lr": [0.1, 0.0]}}}, "tune.rates.lr[1] must be a number from 1e-30 to"),
    ({"tune": {"rates": {"lr": [0.1, "x"]}}}, "tune.rates.lr[1] must be a number"),
    ({"tune": {"rates": {"lr": [0.1, True]}}}, "tune.rates.lr[1] must be a number"),
    ({"tune": {"rates": {"lr": [0.1, 0.1]}}}, "tune.rates.lr[1] must not be given twice"),
    ({"tune": {"rates": {"a b": [1]}}}, "must name rates by letters, digits and underscores"),
    ({"tune": {"rates": {"seed": [1]}}}, "must not name a rate like a column of the ledger"),
    ({"tune": {"rates": {"lr": {"low": 2, "high": 1}}}}, "lr.high must be above low (2), got 1"),
    ({"tune": {"rates": {"lr": {"lo": 2, "high": 1}}}}, "'lo'"),
    ({"tune": {"rates": {"lr": {"low": 1, "high": 2}}}}, "must be a list for sampler grid"),
    ({"tune": {"sampler": "tpe"}}, "tune.trials is missing"),
    ({"tune": {"seeds": 0}}, "tune.seeds must be an integer from 1"),
    ({"tune": {"rats": {"lr": [1]}}}, "unknown key tune.rats: choose from"),
    ({"transfer": {"rules": "depth_mupp"}}, "transfer.rules must be one of zero_shot, depth_mup"),
    ({"transfer": {"rules": ["zero_shot", "zero_shot"]}}, "rules[1] must not be given twice"),
    ({"transfer": {"rules": {"lrr": "depth_mup"}}}, "choose from lr, decay; did you mean 'lr'?"),
    ({"transfer": {"rules": {"lr": "fitted"}}}, "transfer.rules.lr must be zero_shot, depth_mup"),
    ({"transfer": {"rules": {"lr": {"depth": 99}}}}, "rules.lr.depth must be a number from -10 to"),
    ({"transfer": {"rules": {"rule": "depth_mup", "like": "lamb"}}}, "must be adam or sgd"),
    ({"transfer": {"rules": {"rule": "exponents"}}}, "must give {depth, width} for a rate"),
    ({"transfer": {"rules": {"rule": "fitted", "depths": [2]}}}, "must make at least 3 shapes"),
    ({"transfer": {"rules": []}}, "must have at least one rule"),
    ({"transfer": {"depths": None}}, "transfer must have depths, widths or targets"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), BAD)
def test_a_mistake_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(transfer.SpecError) as raised:
        Sweep.from_dict(spec(**changes))
    (found,) = raised.value.sentences
    assert sentence in found


def test_depth_mup_is_for_learning_rates() -> None:
    def powers(rates: dict[str, Any], rule: object) -> dict[str, float]:
        values = spec(tune={"rates": rates}, transfer={"depths": [8], "rules": rule})
        ((_, found),) = Sweep.from_dict(values).rules
        return {name: each.depth for name, each in found.powers if each.depth}  # type: ignore[attr-defined]

    both = {"decay": [0.1], "peak_lr": [0.1]}
    assert powers(both, "depth_mup") == {"peak_lr": -0.5}
    assert powers({"scale": [0.1]}, "depth_mup") == {"scale": -0.5}
    assert powers(both, {"decay": "depth_mup"}) == {"decay": -0.5}
    with pytest.raises(transfer.SpecError, match="must say which of the rates a, b it is for"):
        powers({"a": [0.1], "b": [0.1]}, "depth_mup")


def test_what_cannot_be_sent_is_refused_before_training() -> None:
    with pytest.raises(transfer.SpecError, match="neither code nor values identify"):
        Sweep.from_dict(spec(train=partial(train, seed=open(__file__))))  # noqa: PTH123, SIM115


def test_a_function_travels_without_its_modules() -> None:
    import cloudpickle

    own = Sweep.from_dict(spec()).train["train"]
    sent = TrainingFunction.of(own)
    assert sent.code.place == (__name__, "train")
    assert set(sent.code.modules) == {__name__}

    def inner(shape: Any, rates: Any, seed: Any) -> float:
        return 2 * train(shape, rates, seed)

    nested = TrainingFunction.of(Sweep.from_dict(spec(train=inner)).train["inner"]).code
    assert nested.place is None
    assert cloudpickle.loads(nested.pickled)(None, None, 0) == 2.0
    assert sent.digest == TrainingFunction.of(own).digest


def test_whole_rates_stay_whole() -> None:
    grid = Grid((16.0, 32.0, 64.0), whole=True)
    space = transfer.spec.sweep.Space(batch_size=grid)
    assert space.near(transfer.Cell(batch_size=45.0), 1) == tuple(
        transfer.Cell(batch_size=float(n)) for n in (22, 45, 90)
    )
    assert space.admitted(transfer.Cell(batch_size=45.25)) == transfer.Cell(batch_size=45.0)
    assert Range(1.0, 100.0, whole=True).near(3.0, 1) == (2.0, 3.0, 6.0)
    assert np.isclose(Range(1.0, 100.0).near(3.0, 1), (1.5, 3.0, 6.0)).all()


def test_a_dataset_is_refused() -> None:
    with pytest.raises(transfer.SpecError, match="a training function reads its own data"):
        transfer.run(Sweep.from_dict(spec()), None, None, dataset=object())  # type: ignore[arg-type]
