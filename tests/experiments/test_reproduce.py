"""Execution of a recipe, its verdicts from the ledger, its cost and its scorecard."""

import pandas as pd
import pytest

import jobs
import pccore
import results
from experiments import Claim, Judged, Recipe, as_markdown, gather, perform, scorecard
from experiments.cost import COMPILE_SECONDS, CORE_RATE, cost
from experiments.recipe import Setting
from experiments.scale import Scale
from experiments.settings import batch, runs_of, stack
from transfer import Experiment
from transfer.engine.grouping import work

calculations: list[int] = []


def small_runs(data_dir):
    network = stack("digits", 4, 2)
    rule = pccore.PredictiveCoding(pccore.GradientDescent(2))
    config = pccore.TrainingConfig(network, rule, batch_size=32, steps=4, eval_every=2)
    return runs_of(
        "digits", "mupc", config, data_dir, weight_lrs=[0.1], activity_lrs=[1.0], seeds=[0, 1]
    )


def calculate(data_dir):
    calculations.append(1)
    return [{"quantity": "edge", "width": n, "value": 5.0 + 1 / n} for n in (2, 4)]


def searches():
    values = {
        "name": "search",
        "dataset": "digits",
        "variants": ["bp"],
        "training": {"steps": 3, "batch_size": 32},
        "tune": {"width": 4, "depth": 2, "weight_lr": [0.1, 0.01], "seeds": 1},
        "transfer": {"depths": [3]},
    }
    return [Experiment.from_dict(values)]


def edge(evidence):
    found = evidence.measured("edge", width=4)
    if not len(found):
        return None
    value = float(found["value"].iloc[0])
    return Judged(f"{value:.3f}", abs(value - 5) < 0.3)


def impossible(evidence):
    return Judged("two seeds", False) if len(evidence.trained(variant="mupc")) else None


RECIPE = Recipe(
    name="trial",
    title="a trial",
    source="T1",
    small=Setting("small things", small_runs, searches, calculate, datasets=("digits",)),
    full=Setting("large | things", datasets=("cifar10",)),
    claims=(
        Claim("the edge is 5", "T eq. 1", "5", "0.3", edge),
        Claim("it fails", "T fig. 1", "0", "none", impossible, note="The size is the cause."),
    ),
)


@pytest.fixture
def ledger(tmp_path):
    return results.open(tmp_path / "runs", create=True)


def test_recipe_runs_once(ledger, tmp_path):
    calculations.clear()
    with jobs.LocalPool(1) as pool:
        evidence = perform(RECIPE, Scale.SMALL, ledger, pool)
        again = perform(RECIPE, Scale.SMALL, ledger, pool)
    assert len(calculations) == 1
    assert len(evidence.trained(variant="mupc")) == 2
    assert set(evidence.runs["experiment"]) == {
        "reproduce-trial-small",
        "reproduce-trial-small-search",
    }
    assert len(evidence.verdicts) == 1
    assert set(evidence.curves["depth"]) >= {2}
    assert evidence.seconds > 0
    for name in ("runs", "curves", "measurements"):
        pd.testing.assert_frame_equal(getattr(evidence, name), getattr(again, name))


def test_changed_setting_is_calculated_again(ledger):
    calculations.clear()
    changed = Setting("other things", calculate=calculate)
    with jobs.LocalPool(1) as pool:
        for setting in (Setting("small things", calculate=calculate), changed, changed):
            recipe = Recipe("trial", "", "", setting, setting, RECIPE.claims)
            perform(recipe, Scale.SMALL, ledger, pool)
    assert len(calculations) == 2


def test_claims_are_judged_on_ledger_rows(ledger):
    rows = [{"quantity": "edge", "width": 4, "value": 5.1, "experiment": "reproduce-trial-small"}]
    now = pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime()
    ledger.append_measurements([{"created": now, **row} for row in rows])
    first, second = scorecard([RECIPE], Scale.SMALL, ledger)
    assert (first.measured, first.verdict) == ("5.100", "reproduced")
    assert (second.verdict, second.note) == ("not run", "")
    assert second.measured.startswith("needs about ")
    assert {line.measured for line in scorecard([RECIPE], Scale.FULL, ledger)} == {
        "needs the data set cifar10"
    }


def test_claim_of_one_scale_is_judged_only_there(ledger):
    claim = Claim("it is far", "T1", "1", "0", lambda _: Judged("1", True), scale=Scale.FULL)
    runs = Setting("", small_runs)
    small, full = (
        scorecard([Recipe("trial", "", "", runs, runs, (claim,))], scale, ledger)[0]
        for scale in Scale
    )
    assert small.verdict == "not run"
    assert small.measured.startswith("needs the full scale, about ")
    assert full.verdict == "reproduced"


def test_failed_claim_shows_its_cause(ledger):
    with jobs.LocalPool(1) as pool:
        perform(RECIPE, Scale.SMALL, ledger, pool)
    card = scorecard([RECIPE], Scale.SMALL, ledger)
    assert [line.verdict for line in card] == ["reproduced", "not reproduced"]
    text = as_markdown(card)
    assert "**not reproduced**" in text
    assert "*it fails* The size is the cause." in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1


def test_cost_counts_runs_and_searches():
    runs = small_runs(None)
    assert cost(Setting("", small_runs), None).runs == 2
    arithmetic = sum(work(run.config) for run in runs) / CORE_RATE
    assert cost(Setting("", small_runs, seconds=100), None).core_seconds == pytest.approx(
        arithmetic + COMPILE_SECONDS + 100
    )
    # 2 cells at the tuned shape, at most 2 neighbours at the target
    assert cost(Setting("", experiments=searches), None).runs == 4


def test_missing_data_fails_before_anything_runs(ledger, tmp_path):
    calculations.clear()
    recipe = Recipe(
        "trial", "", "", Setting("", calculate=calculate, datasets=("mnist",)), RECIPE.full, ()
    )
    with jobs.LocalPool(1) as pool, pytest.raises(pccore.data.DatasetError, match="mnist"):
        perform(recipe, Scale.SMALL, ledger, pool, data_dir=tmp_path)
    assert calculations == []


def test_empty_ledger_gives_empty_evidence(ledger):
    evidence = gather(ledger, "reproduce-trial-small")
    assert [len(frame) for frame in vars(evidence).values()] == [0, 0, 0, 0]
    assert evidence.seconds == 0


def test_batch_is_standardised():
    x, y = batch("digits", None, 5)
    data = pccore.data.load("digits")
    assert (x.shape, y.shape) == ((5, 64), (5, 10))
    assert y.argmax(1).tolist() == data.train_y[:5].tolist()
    assert x * data.std + data.mean == pytest.approx(data.train_x[:5].astype(float))
